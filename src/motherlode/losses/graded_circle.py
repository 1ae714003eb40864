"""Circle loss over all pairs of different grade, with one margin for them all (TF-Ranking's)."""

from torch import Tensor
from torch.nn import functional

from motherlode.losses.rows import MASKED, Reduction, checked, ordered_pairs, reduced


def graded_circle(
    scores: Tensor,
    grades: Tensor,
    mask: Tensor,
    gamma: Tensor | float = 64.0,
    *,
    margin: float = 0.25,
    reduction: Reduction = "sum",
) -> Tensor:
    """Draw the better item of every pair to 1 and the worse to 0.

        L = log( 1 + sum_{grade_i > grade_j} exp(gamma [ y_j (s_j - m) - x_i (s_i - 1 + m) ]) )

    with x_i = [1 + m - s_i]+ and y_j = [s_j + m]+ held constant in the gradient and scores clipped to 0 .. 1 (no
    gradient outside). All pairs share their targets, so a middle grade is drawn to 1 and to 0 at once:
    `multilevel_circle` gives every grade a band of its own.

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N]; only their order counts. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        reduction: "sum" over rows, "mean" over the rows with two grades, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, or the reduction is unknown.

    Source: TensorFlow Ranking, CircleLoss (defaults gamma 64, margin 0.25); Sun et al. (arXiv 2002.10857), Eq. 6.
    """
    scores, grades = checked(scores, grades, mask)
    scores = scores.clamp(0.0, 1.0)
    columns, pairs = ordered_pairs(grades, mask)
    up = -gamma * (1 + margin - scores).clamp(min=0).detach() * (scores - 1 + margin)
    down = gamma * (scores + margin).clamp(min=0).detach() * (scores - margin)
    exponents = up.gather(1, columns)[:, :, None] + down[:, None, :]
    rows = -functional.logsigmoid(-exponents.masked_fill(~pairs, MASKED).flatten(1).logsumexp(dim=1))
    return reduced(rows, pairs.flatten(1).any(dim=1), reduction)
