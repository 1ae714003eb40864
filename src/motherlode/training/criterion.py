"""Which loss a training stage minimises, by name: each as (scores, grades, mask, temperature) -> summed loss."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from motherlode import losses
from motherlode.losses.multilevel_circle import LEVELS, Level
from motherlode.losses.rows import Reduction

Criterion = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
LossName = Literal["supcon", "circle", "triplet", "mnrl", "cosent", "graded_circle", "gcl", "roar", "lambda"]


def criterion(
    name: LossName,
    *,
    gamma: float = 64.0,
    supcon: float = 0.0,
    levels: tuple[Level, ...] = LEVELS,
    detach: bool = True,
    reduction: Reduction = "sum",
) -> Criterion:
    """The loss of that name over a batch's scores.

    Those with a temperature take the learnable one (cosent and lambda its inverse as their scale); circle,
    graded_circle and triplet have a scale or margins of their own and leave it alone.

    Args:
        gamma: scale of the two circle losses.
        supcon: weight of graded SupCon added beside the loss. Ours: the paper's Figure 1 suggests circle alone.
        levels, detach: of the multi-level circle loss.
        reduction: over the queries of a batch.
    """

    def one(scores: Tensor, grades: Tensor, mask: Tensor, temperature: Tensor) -> Tensor:
        given = scores, grades, mask
        match name:
            case "supcon":
                return losses.graded_supcon(*given, temperature, reduction)
            case "circle":
                return losses.multilevel_circle(*given, gamma, levels=levels, detach=detach, reduction=reduction)
            case "triplet":
                return losses.weighted_triplet(*given, reduction=reduction)
            case "mnrl":
                return losses.info_nce(*given, temperature, reduction=reduction)
            case "cosent":
                return losses.cosent(*given, 1 / temperature, reduction=reduction)
            case "graded_circle":
                return losses.graded_circle(*given, gamma, reduction=reduction)
            case "gcl":
                return losses.gcl(*given, temperature, reduction=reduction)
            case "roar":
                return losses.roar(*given, temperature, reduction=reduction)
            case "lambda":
                return losses.lambda_loss(*given, 1 / temperature, reduction=reduction)

    if not supcon or name == "supcon":
        return one

    def beside(scores: Tensor, grades: Tensor, mask: Tensor, temperature: Tensor) -> Tensor:
        added = losses.graded_supcon(scores, grades, mask, temperature, reduction)
        return one(scores, grades, mask, temperature) + supcon * added

    return beside
