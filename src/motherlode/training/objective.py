"""One training step of the two-tower encoder: encode a batch's distinct texts, score, take the loss."""

import math
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor, nn

from motherlode.encoders.tokens import TokenStore
from motherlode.training.batches import Batch
from motherlode.training.criterion import Criterion, criterion

TEMPERATURE_RANGE = (0.01, 0.5)


class GradedObjective(nn.Module):
    """A loss over a batch, with a learnable temperature; `forward(batch)` gives loss and what to log.

    The temperature is exp(theta), held within 0.01 and 0.5. An item assumed to be irrelevant is left out of an
    instance when its score exceeds the instance's best known positive by more than `suspect_margin`: it is
    suspected to be a positive nobody judged. Without a `loss` it is graded SupCon.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        queries: TokenStore,
        items: TokenStore,
        *,
        temperature: float = 0.05,
        loss: Criterion | None = None,
        suspect_margin: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.queries, self.items = queries, items
        self.loss, self.suspect_margin = loss or criterion("supcon"), suspect_margin

    @property
    def temperature(self) -> Tensor:
        return self.log_temperature.exp().clamp(*TEMPERATURE_RANGE)

    def parameter_groups(self, lr: float, head_lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """AdamW groups: the backbone at `lr`, the projection heads and the temperature (undecayed) at `head_lr`."""
        heads = {
            id(parameter)
            for module in self.model.modules()
            if isinstance(module, Dense)
            for parameter in module.parameters()
        }
        backbone = [p for p in self.model.parameters() if id(p) not in heads]
        head = [p for p in self.model.parameters() if id(p) in heads]
        return [
            {"params": backbone, "lr": lr, "weight_decay": weight_decay},
            {"params": head, "lr": head_lr, "weight_decay": weight_decay},
            {"params": [self.log_temperature], "lr": head_lr, "weight_decay": 0.0},
        ]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        scores = self.queries.vectors(batch.queries) @ self.items.vectors(batch.items).T
        grades = torch.from_numpy(batch.grades).to(scores.device)
        mask = torch.from_numpy(batch.mask).to(scores.device)
        if self.suspect_margin is not None:
            assumed = torch.from_numpy(batch.assumed).to(scores.device)
            mask = mask & ~suspected(scores.detach(), grades, mask, assumed, self.suspect_margin)
        loss = self.loss(scores, grades, mask, self.temperature)
        # a loss without a temperature leaves it without a gradient, and processes that train together need one
        loss = loss + 0.0 * self.log_temperature
        return {"loss": loss, "temperature": self.temperature.detach()}


def suspected(scores: Tensor, grades: Tensor, mask: Tensor, assumed: Tensor, margin: float) -> Tensor:
    """Assumed negatives that outscore the row's best known positive by more than `margin`; bool [B, N]."""
    positive = mask & ~assumed & (grades > 0)
    best = scores.masked_fill(~positive, -torch.inf).amax(dim=1, keepdim=True)
    return assumed & (scores > best + margin)
