"""From the vectors of a history to one vector: mean, attention or a gated recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLINGS = ("mean", "attention", "gru")


class MeanPooling(nn.Module):
    """The mean of the items of each history, the later ones weighing more by a power law.

        h = Σ_k k^-decay x_k / Σ_k k^-decay,      k = 1 for the newest item, 2 for the one before it ...

    With decay = 0 it is the plain mean. The law is ours.
    """

    def __init__(self, decay: float = 0.0) -> None:
        super().__init__()
        self.decay = decay

    def forward(self, vectors: Tensor, places: Tensor) -> Tensor:
        """vectors float [R, d]; places int64 [B, W], rows of vectors, oldest first, -1 behind them -> [B, d]."""
        real = places >= 0
        lengths = real.sum(dim=1, keepdim=True)
        starts = lengths[:, 0].cumsum(dim=0).roll(1)
        starts[0] = 0
        if not self.decay:
            return F.embedding_bag(places[real], vectors, starts, mode="mean")
        from_the_end = lengths - torch.arange(places.shape[1], device=places.device)
        weights = torch.where(real, from_the_end.clamp(min=1).to(vectors.dtype) ** -self.decay, 0.0)
        weights = weights / weights.sum(dim=1, keepdim=True)
        return F.embedding_bag(places[real], vectors, starts, mode="sum", per_sample_weights=weights[real])


class AttentionPooling(nn.Module):
    """A weighted mean whose weights depend on the item and on how long ago it was taken.

        a_w = v · tanh(A x_w) + r_w,   h = Σ softmax(a)_w x_w,   r: a learnt number for each place from the end

    Source: additive attention with one learnt question (Yang et al. 2016, NAACL); the places are ours. With v and r
    at 0 it begins as the mean.
    """

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.turn = nn.Linear(width, width)
        self.question = nn.Parameter(torch.zeros(width))
        self.recency = nn.Parameter(torch.zeros(window))

    def forward(self, vectors: Tensor, places: Tensor) -> Tensor:
        """See `MeanPooling.forward`."""
        real = places >= 0
        items = vectors.index_select(0, places.clamp(min=0).flatten()).view(*places.shape, -1)
        ago = (real.sum(dim=1, keepdim=True) - 1 - torch.arange(places.shape[1], device=places.device)).clamp(min=0)
        logits = torch.tanh(self.turn(items)) @ self.question + self.recency[ago]
        weights = logits.masked_fill(~real, -torch.inf).softmax(dim=1)
        return torch.einsum("bw,bwd->bd", weights, items)


class RecurrentPooling(nn.Module):
    """The state of a gated recurrent unit after the newest item (GRU4Rec, arXiv 1511.06939)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.unit = nn.GRU(width, width, batch_first=True)

    def forward(self, vectors: Tensor, places: Tensor) -> Tensor:
        """See `MeanPooling.forward`."""
        items = vectors.index_select(0, places.clamp(min=0).flatten()).view(*places.shape, -1)
        states, _ = self.unit(items)  # what comes after the newest item is not read
        last = (places >= 0).sum(dim=1) - 1
        return states[torch.arange(len(places), device=places.device), last]


def pooling(kind: str, width: int, window: int, decay: float = 0.0) -> nn.Module:
    """The pooling of this name out of POOLINGS; `decay` is the mean's."""
    return {
        "mean": lambda: MeanPooling(decay),
        "attention": lambda: AttentionPooling(width, window),
        "gru": lambda: RecurrentPooling(width),
    }[kind]()
