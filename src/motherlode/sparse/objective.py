"""One training step of the sparse encoder: a graded loss over sparse scores, and FLOPS to keep them sparse."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from motherlode.encoders.tokens import TokenStore
from motherlode.errors import SettingError
from motherlode.sparse.prosper import Norm, flops, quadratic_ramp, sparse_scores
from motherlode.sparse.term_encoder import TermEncoder
from motherlode.training.batches import Batch
from motherlode.training.criterion import Criterion, criterion


@dataclass(frozen=True)
class Stepped:
    """A batch and the number of its step in the whole training: what a schedule is a function of."""

    step: int
    batch: Batch


class _Batches(Protocol):
    def __len__(self) -> int: ...

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch: ...


class SteppedBatches:
    """Batches that know their step: with them the fit loop carries a schedule and still resumes exactly."""

    def __init__(self, batches: _Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Stepped:
        return Stepped(epoch * len(self.batches) + step, self.batches(epoch, step, rank, world))


@dataclass(frozen=True)
class SparseSettings:
    """What the objective adds to a loss.

    Attributes:
        norm: which side's term weights are brought to length 1 before the inner product.
        flops_query, flops_item: weight of the FLOPS term of each side; the paper's. 0 leaves it out.
        ramp: steps until it has its full weight.
        temperature: the scores are divided by it. Ours: the paper tells none; the weights learn their own scale, so
            1 for inner products. Cosines (norm "both") need about 0.05.
    """

    norm: Norm = "query"
    flops_query: float = 5e-3
    flops_item: float = 1e-3
    ramp: int = 0
    temperature: float = 1.0


class SparseObjective(nn.Module):
    """loss(scores) + r(step) (l_q FLOPS(w of queries) + l_d FLOPS(w of items)); `forward(stepped)` gives it and what
    to log.

    Scores are those of the weights W, the FLOPS term is on the base weights w, as in the paper. The loss should be a
    mean over queries, so that the FLOPS weights mean the same at every batch size; without one it is graded SupCon,
    which on one relevant item and in-batch negatives is the paper's InfoNCE.

    Logged: the share of the FLOPS term, and the terms that a query and an item hold on the average.

    Raises:
        SettingError: a weight, the ramp or the temperature that cannot be.

    Source: PROSPER (arXiv 2510.18527); graded groups in place of (query, item) pairs are ours.
    """

    temperature: Tensor

    def __init__(
        self,
        encoder: TermEncoder,
        queries: TokenStore,
        items: TokenStore,
        settings: SparseSettings | None = None,
        *,
        loss: Criterion | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or SparseSettings()
        chosen = self.settings
        if min(chosen.flops_query, chosen.flops_item, chosen.ramp) < 0 or chosen.temperature <= 0:
            raise SettingError("FLOPS weights and the ramp cannot be negative, and the temperature must be above 0.")
        self.encoder, self.queries, self.items = encoder, queries, items
        self.loss = loss or criterion("supcon", reduction="mean")
        self.register_buffer("temperature", torch.tensor(chosen.temperature), persistent=False)

    def forward(self, stepped: Stepped) -> dict[str, Tensor]:
        chosen, batch = self.settings, stepped.batch
        table = self.encoder.table()

        def terms(features: dict[str, Tensor], task: str) -> dict[str, Tensor]:
            return self.encoder(features, task, table)

        queries = self.queries.vectors(batch.queries, forward=terms)  # type: ignore[arg-type]
        items = self.items.vectors(batch.items, forward=terms)  # type: ignore[arg-type]
        scores = sparse_scores(queries[:, 1], items[:, 1], chosen.norm)
        grades = torch.from_numpy(batch.grades).to(scores.device)
        mask = torch.from_numpy(batch.mask).to(scores.device)
        loss = self.loss(scores, grades, mask, self.temperature)
        ramp = quadratic_ramp(stepped.step, chosen.ramp)
        pressure = chosen.flops_query * flops(queries[:, 0]) + chosen.flops_item * flops(items[:, 0])
        return {
            "loss": loss + ramp * pressure,
            "flops": (ramp * pressure).detach(),
            "query_terms": (queries[:, 1] > 0).sum(dim=1).float().mean().detach(),
            "item_terms": (items[:, 1] > 0).sum(dim=1).float().mean().detach(),
        }

    def parameter_groups(self, lr: float, head_lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Of the encoder; a parameter that no text of a batch reaches has no gradient."""
        return self.encoder.parameter_groups(lr, head_lr, weight_decay)
