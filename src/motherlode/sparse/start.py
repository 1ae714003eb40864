"""Where a head that is tied to the input embeddings starts: each token's state is led back to its own piece."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from motherlode.sparse.pooling import max_over_tokens

if TYPE_CHECKING:
    from motherlode.sparse.term_encoder import TermEncoder

START_SHARE = 0.02  # share of the terms that a text holds at the start
OWN_LOGIT = 2.0  # what a token's own piece is led to, before the bias
NO_PLACE = 0.1  # vectors as close as this to the mean of all say nothing of their piece
RIDGE = 1e-3  # of the mean squared state


@torch.no_grad()
def aligned(encoder: "TermEncoder", texts: Sequence[str], share: float) -> None:
    """Set A, a and b of the encoder in closed form, from the states of `texts`.

    (A, a) is the ridge regression of t_v = 2 (E_v - m) / |E_v - m|^2 on the states of the tokens v, m the mean of
    E: <t_v, E_v - m> = 2, so a state that says "I am v" gives v a high logit, and terms whose vectors lie near
    E_v a lower one. b is one number: the one at which the texts hold `share` of the terms on the average. Without it a
    sentence encoder, whose last states were never trained towards its input embeddings, starts from noise.

    Source: ours.
    """
    store = encoder.store(texts, "document")
    table, where = encoder.table(), encoder.place
    mean = table.mean(dim=0)
    # a static table's row is 0 for a piece of every text: such a piece has no place to be led to; the last is "no term"
    distinct = torch.cat([(table - mean).norm(dim=1) > NO_PLACE, torch.zeros(1, dtype=torch.bool)])
    width = table.shape[1]
    product, moment = torch.zeros(width + 1, width + 1, dtype=torch.float64), torch.zeros(width + 1, width).double()
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def collect(features: dict[str, torch.Tensor], task: str) -> dict[str, torch.Tensor]:  # noqa: ARG001
        states, mask, ids = encoder.backbone(features)
        kept.append((states, mask))
        held = mask & distinct[where[ids]]
        own = table[where[ids[held]]] - mean
        target = OWN_LOGIT * own / own.square().sum(dim=1, keepdim=True)
        inputs = torch.cat([states[held], torch.ones(len(own), 1)], dim=1).double()
        product.add_(inputs.T @ inputs)
        moment.add_(inputs.T @ target.double())
        return {"sentence_embedding": torch.zeros(len(ids), 1)}

    store.vectors(np.arange(len(texts)), forward=collect)  # type: ignore[arg-type]
    ridge = torch.eye(width + 1, dtype=torch.float64) * RIDGE * product.diagonal()[:width].mean()
    ridge[width, width] = 0.0  # the constant is not shrunk
    solved = torch.linalg.solve(product + ridge, moment)
    assert encoder.align is not None
    encoder.align.weight.copy_(solved[:width].T)
    encoder.align.bias.copy_(solved[width])
    pooled = torch.cat([max_over_tokens(encoder.align(states), mask, table) for states, mask in kept[:16]])
    encoder.bias.fill_(-float(np.quantile(pooled.numpy(), 1 - share)))
