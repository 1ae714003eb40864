"""Circle loss over any number of ordered grades, each with a band of scores of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from motherlode.losses.rows import MASKED, Reduction, checked, reduced


@dataclass(frozen=True)
class Level:
    """A grade and the (boundary, optimum) its scores are to pass and to reach in either role.

    positive: beside a lower grade, boundary = centre - half width and optimum = centre + half width.
    negative: beside a higher grade, the other way round. None where the grade never has the role.
    """

    grade: int
    positive: tuple[float, float] | None = None
    negative: tuple[float, float] | None = None


LEVELS = (
    Level(2, positive=(0.75, 1.25)),
    Level(1, positive=(0.40, 0.60), negative=(0.60, 0.30)),
    Level(0, negative=(0.25, -0.25)),
)  # as printed; reflecting 0.60 about 0.5 would give grade 1 the negative optimum 0.40


def standard_levels(margin: float = 0.25) -> tuple[Level, Level]:
    """The two levels (1 and 0) that make `multilevel_circle` without averaging the circle loss of Sun et al."""
    return Level(1, positive=(1 - margin, 1 + margin)), Level(0, negative=(margin, -margin))


def multilevel_circle(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    gamma: Tensor | float = 64.0,
    *,
    levels: Sequence[Level] = LEVELS,
    pairs: Sequence[tuple[int, int]] | None = None,
    detach: bool = True,
    average_negatives: bool = True,
    reduction: Reduction = "sum",
) -> Tensor:
    """Push the scores of every grade into its band, each score weighted by its distance from the optimum.

    For one row and a pair of grades a > b, with I_g the items of grade g, D and O the boundary and optimum of
    the grade in its role, x_i = [O_a - s_i]+ and y_j = [s_j - O_b]+,

        L_ab = log( 1 + 1/|I_b| sum_{i in I_a} exp(-gamma x_i (s_i - D_a)) sum_{j in I_b} exp(gamma y_j (s_j - D_b)) )

    computed as softplus(LSE_i + LSE_j - log |I_b|). A row adds L_ab for every pair both of whose grades it
    holds. With grades 2, 1, 0 and the default levels, scores come to lie above 0.75, in 0.40 .. 0.60 and
    below 0.25.

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N]; items of a grade that is no level, and those under the mask, are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        gamma: positive scale.
        levels: the bands.
        pairs: (higher grade, lower grade); None takes all that the levels have both roles for.
        detach: treat x and y as constants in the gradient. Scores are then drawn on to the optimum; without,
            to the centre of the band.
        average_negatives: divide by |I_b| as printed; Sun et al. do not.
        reduction: "sum" over rows, "mean" over the rows that hold a pair, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, or a pair is out of order or names a grade without the role.

    Source: Mine and Refine (arXiv 2602.17654), Eqs. 3-5; Sun et al. (arXiv 2002.10857). The paper is silent on
    gamma, detach and reduction; summing the three cases of a row that holds all grades is our reading.
    """
    scores, grades = checked(scores, grades, mask)
    total = scores.new_zeros(len(scores))
    contributing = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    for (a, (boundary_a, optimum_a)), (b, (boundary_b, optimum_b)) in _roles(levels, pairs):
        high, low = mask & (grades == a), mask & (grades == b)
        weight_a, weight_b = (optimum_a - scores).clamp(min=0), (scores - optimum_b).clamp(min=0)
        if detach:
            weight_a, weight_b = weight_a.detach(), weight_b.detach()
        logit_a = (-gamma * weight_a * (scores - boundary_a)).masked_fill(~high, MASKED)
        logit_b = (gamma * weight_b * (scores - boundary_b)).masked_fill(~low, MASKED)
        exponent = logit_a.logsumexp(dim=1) + logit_b.logsumexp(dim=1)
        if average_negatives:
            exponent = exponent - low.sum(dim=1).clamp(min=1).to(scores.dtype).log()
        total = total - functional.logsigmoid(-exponent)  # softplus, but exact above its cut at 20 too
        contributing = contributing | (high.any(dim=1) & low.any(dim=1))
    return reduced(total, contributing, reduction)


Role = tuple[int, tuple[float, float]]


def _roles(levels: Sequence[Level], pairs: Sequence[tuple[int, int]] | None) -> list[tuple[Role, Role]]:
    """Every pair as ((a, positive role of a), (b, negative role of b))."""
    positive = {level.grade: level.positive for level in levels if level.positive is not None}
    negative = {level.grade: level.negative for level in levels if level.negative is not None}
    if pairs is None:
        pairs = [(a, b) for a in positive for b in negative if a > b]
    for a, b in pairs:
        if a <= b or a not in positive or b not in negative:
            raise ValueError(
                f"The pair ({a}, {b}) needs a higher grade with a positive role and a lower one with a negative role."
            )
    return [((a, positive[a]), (b, negative[b])) for a, b in pairs]
