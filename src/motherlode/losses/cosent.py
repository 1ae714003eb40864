"""CoSENT: every misordered pair of a row is punished, whatever the scores themselves are."""

from torch import Tensor
from torch.nn import functional

from motherlode.losses.rows import MASKED, Reduction, checked, ordered_pairs, reduced


def cosent(
    scores: Tensor, grades: Tensor, mask: Tensor, scale: Tensor | float = 20.0, *, reduction: Reduction = "sum"
) -> Tensor:
    """Order the items of a row by grade.

        L = log( 1 + sum_{grade_i > grade_j} exp(scale (s_j - s_i)) )

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        grades: integer or float [B, N]; only their order counts. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        scale: inverse temperature; positive number or 0-d tensor.
        reduction: "sum" over rows, "mean" over the rows with two grades, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, or the reduction is unknown.

    Source: Su, CoSENT (2022), with the pairs kept within a query; one row of all pairs of a batch is the original.
    """
    scores, grades = checked(scores, grades, mask)
    columns, pairs = ordered_pairs(grades, mask)
    exponents = scale * (scores[:, None, :] - scores.gather(1, columns)[:, :, None])
    rows = -functional.logsigmoid(-exponents.masked_fill(~pairs, MASKED).flatten(1).logsumexp(dim=1))
    return reduced(rows, pairs.flatten(1).any(dim=1), reduction)
