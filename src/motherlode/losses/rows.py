"""What every loss over rows of scores shares: checked tensors, pairs in order of grade, reduction over rows."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["sum", "mean", "none"]
MASKED = -1e30  # finite, so an empty row gives zero and not NaN; far below what any gamma can reach


def checked(scores: Tensor, grades: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and grades as floats of one dtype (float32 at least), both 0 wherever the mask is False.

    Whatever stands under the mask, NaN included, then reaches neither value nor gradient.

    Raises:
        ValueError: the three do not share one shape [B, N].
    """
    if not scores.shape == grades.shape == mask.shape or scores.dim() != 2:
        raise ValueError(
            f"scores, grades and mask must share one shape [B, N]; got {tuple(scores.shape)}, "
            f"{tuple(grades.shape)} and {tuple(mask.shape)}."
        )
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    return scores.masked_fill(~mask, 0.0), grades.to(scores.dtype).masked_fill(~mask, 0.0)


def reduced(rows: Tensor, contributing: Tensor, reduction: Reduction) -> Tensor:
    """Sum of rows [B], their mean over the contributing ones (bool [B]), or the rows themselves.

    Raises:
        ValueError: the reduction is unknown.
    """
    if reduction == "sum":
        return rows.sum()
    if reduction == "mean":
        return rows.sum() / contributing.sum().clamp(min=1)
    if reduction == "none":
        return rows
    raise ValueError(f"reduction must be 'sum', 'mean' or 'none'; got {reduction!r}.")


def columns_of(members: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of each row's members (bool [B, N]): int64 [B, K], K the most of any row, and which are real.

    Pairs are then [B, K, N] and not [B, N, N]: the graded items of a row are few, the assumed negatives many.
    """
    width = max(int(members.sum(dim=1).max()), 1) if len(members) else 1
    columns = members.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :width]
    return columns, members.gather(1, columns)


def ordered_pairs(grades: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs (i, j) of a row with grade_i > grade_j.

    Returns:
        columns: int64 [B, K], the items i graded above the lowest grade of their row; the rest is filling.
        pairs: bool [B, K, N], True where item columns[b, k] has a higher grade than item n.
    """
    lowest = grades.masked_fill(~mask, torch.inf).amin(dim=1, keepdim=True)
    columns, real = columns_of(mask & (grades > lowest))
    higher = grades.gather(1, columns)[:, :, None] > grades[:, None, :]
    return columns, higher & real[:, :, None] & mask[:, None, :]


def valued(values: Sequence[float], grades: Tensor) -> Tensor:
    """Look up values[grade]; a grade between two whole ones (an expected grade) is interpolated.

    Raises:
        ValueError: a grade is below 0 or has no value.
    """
    if grades.numel() and (grades.min() < 0 or grades.max() > len(values) - 1):
        raise ValueError(
            f"Grades run from {float(grades.min()):g} to {float(grades.max()):g}, but there are values for "
            f"0 to {len(values) - 1} only."
        )
    table = torch.tensor(list(values), dtype=grades.dtype, device=grades.device)
    below = grades.floor()
    return torch.lerp(table[below.long()], table[grades.ceil().long()], grades - below)
