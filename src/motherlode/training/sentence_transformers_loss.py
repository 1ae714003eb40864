"""Our losses in sentence-transformers' own Trainer: its columns in, scores, grades and mask out."""

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from motherlode.errors import InputError, SettingError

Features = dict[str, Any]
BOUNDS = (0.2, 10.0)  # a learnt setting stays within these multiples of its start: a temperature of 0.05 in 0.01 .. 0.5


class SentenceTransformersLoss(nn.Module):
    """Any loss of (scores, grades, mask) as a `loss` of SentenceTransformerTrainer.

        trainer = SentenceTransformerTrainer(
            model, args, train_dataset, loss=SentenceTransformersLoss(model, multilevel_circle, gamma=64.0)
        )

    Columns, in this order, with a label column named as the library asks (label, labels, score or scores):

    * (query, item) and a label a row: rows of the same query within the batch are one instance. Sort or batch the data
      by query, else an instance has one item and teaches nothing.
    * (query, item_1 .. item_n) and a list of n labels a row. NaN as a label marks a place as filling.

    Labels are grades, or a teacher's scores for the distillation losses. Every distinct text of the batch is
    encoded once; scores are cosines in float32. A pair that occurs twice counts once, with its highest label.

    Args:
        model: the SentenceTransformer that is trained.
        loss: `motherlode.losses.graded_supcon`, `multilevel_circle`, ... or a function of one's own with their form.
        learn: names of positive settings of the loss (temperature, scale, gamma) to be learnt with the model, in
            log space, between a fifth and ten times their start. Give them a rate of their own with the Trainer's
            learning_rate_mapping={"log_factor": 1e-3}.
        in_batch: items of the batch's other queries join every instance as grade 0; a label always wins. Not for
            distillation, whose teacher has not scored them.
        settings: passed on to the loss.

    Raises:
        SettingError: the loss has no such setting, or one to be learnt is no positive number.
        InputError: on a batch whose labels are missing or do not fit its columns.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[..., Tensor],
        *,
        learn: Sequence[str] = (),
        in_batch: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.in_batch = model, loss, in_batch
        self.settings = _settings(loss, learn, settings)
        # relative to the start, so that weight decay, where the Trainer has any, pulls back to it
        self.log_factor = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in learn})

    def learnt(self) -> dict[str, Tensor]:
        """Present values of the learnt settings."""
        return {
            name: self.settings[name] * factor.clamp(*(math.log(bound) for bound in BOUNDS)).exp()
            for name, factor in self.log_factor.items()
        }

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        columns = list(sentence_features)
        scores, grades, mask = self.rows(columns, labels)
        return self.loss(scores, grades, mask, **{**self.settings, **self.learnt()})

    def rows(self, columns: Sequence[Features], labels: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, grades and mask, each [Q, M]: the distinct queries of the batch by its distinct items."""
        width = len(columns) - 1
        if not width or labels is None or labels.numel() != len(labels) * width:
            raise InputError(
                f"{len(columns)} text columns and {'no labels' if labels is None else f'labels {list(labels.shape)}'} "
                "do not fit: give (query, item) rows a label, or (query, item_1 .. item_n) rows a list of n labels."
            )
        queries, query_of = distinct_texts(columns[:1])
        items, item_of = distinct_texts(columns[1:])
        made = [self.model(texts)["sentence_embedding"] for texts in (queries, items)]
        with torch.autocast(made[0].device.type, enabled=False):  # bands are narrower than a bf16 cosine is exact
            query_vectors, item_vectors = (functional.normalize(vectors.float(), dim=1) for vectors in made)
            scores = query_vectors @ item_vectors.T
        device = scores.device
        # item columns follow each other in item_of; labels run the other way round
        given = labels.reshape(-1, width).T.flatten().to(device, torch.float32)
        place = query_of.repeat(width).to(device) * scores.shape[1] + item_of.to(device)
        real = ~given.isnan()
        grades = torch.full((scores.numel(),), -torch.inf, device=device)
        grades = grades.scatter_reduce(0, place[real], given[real], "amax").view_as(scores)
        mask = grades > -torch.inf
        grades = grades.masked_fill(~mask, 0.0)
        if self.in_batch:
            mask = mask.any(dim=0).expand_as(mask)  # but not what is filling wherever it stands
        return self.widened(scores, grades, mask, query_vectors, item_vectors)

    def widened(  # what adds columns reads all of them
        self, scores: Tensor, grades: Tensor, mask: Tensor, _queries: Tensor, _items: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rows with further columns, from the unit vectors [Q, D] and [M, D] behind them: none here."""
        return scores, grades, mask

    def get_config_dict(self) -> dict[str, Any]:
        """What the library writes into the model card."""
        settings = {name: v if isinstance(v, int | float | str) else repr(v) for name, v in self.settings.items()}
        return {"loss": self.loss.__name__, "in_batch": self.in_batch, "learn": list(self.log_factor), **settings}


def distinct_texts(columns: Sequence[Features]) -> tuple[Features, Tensor]:
    """Tokens of the distinct texts of columns of B rows each, and int64 [len(columns) * B]: which text stands where.

    Knows padded tokens (input_ids and attention_mask [B, L]) and the flat ones of a static table (input_ids,
    offsets).

    Raises:
        InputError: the columns hold something else, or go different routes.
    """
    others = [{key: value for key, value in column.items() if not isinstance(value, Tensor)} for column in columns]
    if any(other != others[0] for other in others):
        raise InputError("The item columns go different routes: give them all one task in the router mapping.")
    rest = others[0]
    names = {name for column in columns for name, value in column.items() if isinstance(value, Tensor)}
    if names == {"input_ids", "offsets"}:
        texts = [text for column in columns for text in column["input_ids"].tensor_split(column["offsets"].cpu()[1:])]
        first, index = _first_of([text.cpu().numpy().tobytes() for text in texts])
        kept = [texts[place] for place in first]
        offsets = torch.tensor([0, *(len(text) for text in kept[:-1])], device=kept[0].device).cumsum(0)
        return {"input_ids": torch.cat(kept), "offsets": offsets, **rest}, index
    if not {"input_ids", "attention_mask"} <= names or any(
        value.dim() != 2 for column in columns for value in column.values() if isinstance(value, Tensor)
    ):
        raise InputError(f"The columns must hold tokens of texts; these hold {sorted(names)}.")
    width = max(column["input_ids"].shape[1] for column in columns)
    tokens = {
        name: torch.cat([functional.pad(column[name], (0, width - column[name].shape[1])) for column in columns])
        for name in sorted(names)
    }
    attended = tokens["attention_mask"].bool().cpu()
    ids = tokens["input_ids"].cpu()
    first, index = _first_of([ids[row, attended[row]].numpy().tobytes() for row in range(len(ids))])
    return {**{name: value[first] for name, value in tokens.items()}, **rest}, index


def _first_of(keys: list[bytes]) -> tuple[list[int], Tensor]:
    """Places of the distinct keys, and for every key the number of its first like among them."""
    number: dict[bytes, int] = {}
    first: list[int] = []
    for place, key in enumerate(keys):
        if key not in number:
            number[key] = len(first)
            first.append(place)
    return first, torch.tensor([number[key] for key in keys])


def _settings(loss: Callable[..., Tensor], learn: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
    """The given settings, and the defaults of those to be learnt."""
    parameters = dict(list(inspect.signature(loss).parameters.items())[3:])
    name = getattr(loss, "__name__", repr(loss))
    for setting in (*given, *learn):
        if setting not in parameters:
            raise SettingError(f"{name} has no setting {setting!r}; it has {', '.join(parameters)}.")
    for setting, parameter in parameters.items():
        if parameter.default is parameter.empty and setting not in given:
            raise SettingError(f"{name} needs the setting {setting!r}: give it a value.")
    settings = {setting: parameters[setting].default for setting in learn} | given
    for setting in learn:
        value = settings[setting]
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise SettingError(
                f"{name}'s setting {setting!r} can be learnt only from a positive number, not {value!r}."
            )
    return settings
