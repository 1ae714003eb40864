"""The greatest logit of each term over a text's tokens, with a backward pass over active terms alone."""

from typing import Any

import torch
from torch import Tensor


class _MaxOverTokens(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, mask: Tensor, table: Tensor) -> Tensor:
        logits = states @ table.T
        logits.masked_fill_(~mask[:, :, None], -torch.inf)
        pooled, token = logits.max(dim=1)
        ctx.save_for_backward(states, table, token.to(torch.int16))
        return pooled.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor]:
        states, table, token = ctx.saved_tensors
        (gradient,) = gradients
        row, term = gradient.nonzero(as_tuple=True)
        value = gradient[row, term][:, None]
        place = row * states.shape[1] + token[row, term].long()
        flat = states.reshape(-1, states.shape[2])
        to_states = torch.zeros_like(flat, dtype=torch.float32).index_add_(0, place, value * table[term].float())
        to_table = torch.zeros_like(table, dtype=torch.float32).index_add_(0, term, value * flat[place].float())
        return to_states.view(states.shape).to(states.dtype), None, to_table.to(table.dtype)


def max_over_tokens(states: Tensor, mask: Tensor, table: Tensor) -> Tensor:
    """Pooled logits z_nv = max over the tokens l of <states_nl, table_v>; float32 [n, V].

    The same value and gradient as a matrix product followed by a maximum, of equal tokens one takes the gradient. The
    product's own backward pass would be two more products of its size, although few terms of a text pass the ReLU
    behind it and each takes its gradient from one token: here only those places are visited, and the logits of the
    single tokens are not kept.

    Args:
        states: float [n, L, d].
        mask: bool [n, L], True for tokens of the text; at least one a row.
        table: float [V, d].
    """
    pooled: Tensor = _MaxOverTokens.apply(states, mask, table)
    return pooled
