"""A table of vectors of which a training step reads and writes the batch's rows alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class RowTable(nn.Module):
    """N trainable vectors of width d, updated row by row during the backward pass.

    `rows(which)` copies the asked rows out as a leaf of the graph; when their gradient is complete, they are updated
    at once, at the rate `self.rate`, and nothing else is touched: a step costs the same at a thousand and at a
    million items, and no gradient of the size of the table is ever made. The update is Adam's with one second moment
    a row, the mean over its elements, and moments that stand still while a row is not asked for:

        m_r <- b1 m_r + (1 - b1) g_r;   v_r <- b2 v_r + (1 - b2) mean(g_r²);   n_r <- n_r + 1
        w_r <- w_r - rate · (m_r / (1 - b1^n_r)) / (sqrt(v_r / (1 - b2^n_r)) + eps)

    Weights, moments and counts are buffers: a checkpoint of the module's state holds all that a resume needs.
    Source: Adam (arXiv 1412.6980); one second moment a row is the row-wise form known from embedding tables
    (FBGEMM, arXiv 2101.05615); bias correction by the row's own count is ours.
    """

    weight: Tensor
    first: Tensor
    second: Tensor
    count: Tensor

    def __init__(self, n_rows: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(n_rows, width, generator=generator) * width**-0.5)
        self.register_buffer("first", torch.zeros(n_rows, width))
        self.register_buffer("second", torch.zeros(n_rows))
        self.register_buffer("count", torch.zeros(n_rows, dtype=torch.int32))
        self.rate = 0.0

    def rows(self, which: Tensor) -> Tensor:
        """Vectors [R, d] of distinct rows, int64 [R]; in training their gradient updates them."""
        taken = self.weight.index_select(0, which)  # four times as fast as weight[which]
        if self.training and torch.is_grad_enabled():
            taken.requires_grad_()
            taken.register_post_accumulate_grad_hook(lambda leaf: self._update(which, leaf))
        return taken

    @torch.no_grad()
    def _update(self, which: Tensor, leaf: Tensor) -> None:
        gradient = leaf.grad
        assert gradient is not None
        leaf.grad = None
        count = self.count.index_select(0, which) + 1
        first = self.first.index_select(0, which).lerp_(gradient, 1 - BETAS[0])
        squares = torch.linalg.vector_norm(gradient, dim=1).square_().div_(gradient.shape[1])  # one pass
        second = self.second.index_select(0, which).lerp_(squares, 1 - BETAS[1])
        scale = (second / (1 - BETAS[1] ** count)).sqrt_().add_(EPSILON).mul_(1 - BETAS[0] ** count)
        _put(self.weight, which, leaf.addcdiv(first, scale[:, None], value=-self.rate))
        _put(self.first, which, first)
        _put(self.second, which, second)
        _put(self.count, which, count)


def _put(table: Tensor, which: Tensor, rows: Tensor) -> None:
    """Write rows into the table; on a processor numpy takes half of torch's time for it."""
    if table.device.type == "cpu":
        table.numpy()[which.numpy()] = rows.numpy()
    else:
        table.index_copy_(0, which, rows)
