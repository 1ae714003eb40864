"""Virtual negatives (EDIS) in sentence-transformers' own Trainer, under any loss of (scores, grades, mask)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from motherlode.negatives.interpolation import Interpolation
from motherlode.training.sentence_transformers_loss import SentenceTransformersLoss
from motherlode.training.virtual_columns import nearest_negatives, with_virtual


class SentenceTransformersVirtualLoss(SentenceTransformersLoss):
    """`SentenceTransformersLoss` whose rows also hold virtual negatives, made from vectors already there.

        loss = SentenceTransformersVirtualLoss(model, multilevel_circle, virtual=Interpolation(simple=4, hard=0))

    Columns, labels and the other arguments are those of `SentenceTransformersLoss`. A row's hard negatives are the
    `most` nearest of its items of grade 0; without codes they count as one cluster. Virtual negatives are made while
    training alone: an evaluation of the loss sees real items.

    Args:
        virtual: how many, between which, from which range.
        most: hard negatives of a row that are mixed.
        seed: of the draws.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[..., Tensor],
        *,
        virtual: Interpolation,
        most: int = 8,
        seed: int = 0,
        learn: Sequence[str] = (),
        in_batch: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(model, loss, learn=learn, in_batch=in_batch, **settings)
        self.virtual, self.most, self.seed, self.step = virtual, most, seed, 0

    def widened(
        self, scores: Tensor, grades: Tensor, mask: Tensor, queries: Tensor, items: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, grades and mask, each [Q, M + V]: see `with_virtual`."""
        if not self.training:
            return scores, grades, mask
        generator = torch.Generator(scores.device).manual_seed(self.seed + self.step)
        self.step += 1
        return with_virtual(
            scores,
            grades,
            mask,
            queries,
            items,
            hard=nearest_negatives(scores, grades, mask, self.most),
            interpolation=self.virtual,
            generator=generator,
        )

    def get_config_dict(self) -> dict[str, Any]:
        """What the library writes into the model card."""
        return {**super().get_config_dict(), "virtual": repr(self.virtual), "most": self.most}
