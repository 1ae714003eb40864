"""Distillation: the scores of a row learn from a teacher's scores of the same items."""

from typing import Literal

from torch import Tensor

from motherlode.losses.rows import MASKED, Reduction, checked, reduced


def kl_distillation(
    scores: Tensor,
    teacher: Tensor,
    mask: Tensor,
    temperature: Tensor | float = 0.05,
    *,
    teacher_temperature: float = 1.0,
    teacher_form: Literal["scores", "probabilities"] = "scores",
    reduction: Reduction = "sum",
) -> Tensor:
    """Kullback-Leibler divergence of the student's distribution over the row's items from the teacher's.

        L = sum_i T_i ( log T_i - log S_i ),    S = softmax(s / t)

    T is softmax(teacher / teacher_temperature) or, of "probabilities" (say a grader's P(grade >= 1)), the
    teacher's values over their sum in the row. It has no gradient. No factor t^2 is added.

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        teacher: float [B, N]. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        temperature: of the student; positive number or 0-d tensor, may require a gradient.
        reduction: "sum" over rows, "mean" over the rows with two items and some teacher probability, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, a probability is negative, or teacher_form or reduction is unknown.

    Source: Hinton et al. (arXiv 1503.02531); listwise for retrieval Lin et al. (arXiv 2010.11386).
    """
    scores, teacher = checked(scores, teacher.detach(), mask)
    if teacher_form == "scores":
        target = (teacher / teacher_temperature).masked_fill(~mask, MASKED).softmax(dim=1)
    elif teacher_form == "probabilities":
        if (teacher < 0).any():
            raise ValueError("A teacher's probabilities must not be negative.")
        total = teacher.sum(dim=1, keepdim=True)
        target = teacher / total.where(total > 0, 1.0)
    else:
        raise ValueError(f"teacher_form must be 'scores' or 'probabilities'; got {teacher_form!r}.")
    target = target.masked_fill(~mask, 0.0)
    logits = (scores / temperature).masked_fill(~mask, MASKED)
    student = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(~mask, 0.0)
    rows = (target.xlogy(target) - target * student).sum(dim=1)
    return reduced(rows, (mask.sum(dim=1) > 1) & (target.sum(dim=1) > 0), reduction)


def margin_mse(
    scores: Tensor, teacher: Tensor, mask: Tensor, scale: Tensor | float = 1.0, *, reduction: Reduction = "sum"
) -> Tensor:
    """Mean squared error of the score differences of all item pairs of a row.

        L = 2 / (n (n - 1)) sum_{i < j} ( [scale s_i - scale s_j] - [t_i - t_j] )^2
          = 2 / (n - 1) sum_i ( d_i - mean d )^2,    d = scale s - t

    Args:
        scores: float [B, N], cosine of query and item. Computed in float32 when given in half precision.
        teacher: float [B, N]. Values under the mask are ignored.
        mask: bool [B, N], True where an item belongs to the row.
        scale: carries cosines to the teacher's units; positive number or 0-d tensor, may require a gradient.
        reduction: "sum" over rows, "mean" over the rows with two items, or "none".

    Returns:
        0-d tensor, or [B] for "none".

    Raises:
        ValueError: shapes differ, or the reduction is unknown.

    Source: Hofstätter et al. (arXiv 2010.02666), whose pairs are (positive, negative); all pairs as in Walmart's
    margin distillation (arXiv 2505.07105).
    """
    scores, teacher = checked(scores, teacher.detach(), mask)
    count = mask.sum(dim=1)
    difference = scale * scores - teacher
    mean = difference.sum(dim=1, keepdim=True) / count.clamp(min=1)[:, None]
    spread = (difference - mean).masked_fill(~mask, 0.0).square().sum(dim=1)
    return reduced(2 * spread / (count - 1).clamp(min=1), count > 1, reduction)
