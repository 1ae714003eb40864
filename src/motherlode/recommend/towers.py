"""The user-item two-tower: who a user is, told by what they took, and what an item is, in one space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from motherlode.atomic import read_json, replacing, write_json
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.recommend.pooling import POOLINGS, pooling
from motherlode.recommend.row_table import RowTable
from motherlode.recommend.unit import unit

CHUNK = 65_536  # items encoded at once
WITHOUT_ID = 0.1  # share of the rows that training shows by content alone, so that cold items can be told by it
_OPTIMISER = ("table.first", "table.second", "table.count")  # in a checkpoint, not in a saved model


@dataclass(frozen=True)
class TowerSettings:
    """Shape of the two towers.

    Attributes:
        width: d of both towers' output and of the item embedding.
        window: events of a user that the user tower sees.
        pooling: "mean", "attention" or "gru" over the history.
        decay: of the mean: the k-th last item weighs k^-decay; 0 for all alike.
        user_hidden: widths of the hidden layers of the user tower, at least one.
        item_hidden: the same of the item tower; none for the identity.
    """

    width: int = 64
    window: int = 20
    pooling: str = "mean"
    user_hidden: tuple[int, ...] = (128,)
    item_hidden: tuple[int, ...] = ()
    decay: float = 0.0

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise SettingError(f"pooling = {self.pooling!r} is not one of {', '.join(POOLINGS)}.")
        if min(self.width, self.window, len(self.user_hidden), *self.user_hidden, *self.item_hidden) < 1:
            raise SettingError("width, window, user_hidden and item_hidden must be positive, user_hidden not empty.")
        if not self.decay >= 0 or (self.decay and self.pooling != "mean"):
            raise SettingError(f"decay = {self.decay} is not at least 0, or is given to another pooling than the mean.")


class UserItemTwoTower(nn.Module):
    """Unit vectors of users and items over one shared item embedding x.

        x_i = k_i E_i + Σ_l L_l[label_l(i)] + P c_i          k_i = 1 if i was seen in training
        item  v_i = norm(x_i + MLP(x_i))                     the MLP is left out where item_hidden is empty
        user  u = norm(h + MLP(h)),  h = pool(x of the last `window` items)

    An item outside training has no embedding of its own and lives by its labels and content; with neither its vector
    is 0. With content, a tenth of the rows of a training step go without E (DropoutNet, Volkovs et al. 2017).

    Args:
        n_items: rows of the catalogue.
        known: bool [N], items with training events; None for all.
        labels: name -> int [N] such as category or brand, -1 where unknown.
        content: float32 [N, c], frozen vectors, NaN rows where an item has none; they are scaled to unit length.
        seed: of the first weights.

    Raises:
        InputError: an array does not have one row an item.
    """

    known: Tensor
    content: Tensor

    def __init__(
        self,
        n_items: int,
        settings: TowerSettings | None = None,
        *,
        known: NDArray[np.bool_] | None = None,
        labels: Mapping[str, NDArray[np.integer]] | None = None,
        content: NDArray[np.floating] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings = settings or TowerSettings()
        self.n_items, width = n_items, self.settings.width
        self.label_names = tuple(sorted(labels or {}))
        given = {"known": known, "content": content, **(labels or {})}
        for name, array in given.items():
            if array is not None and len(array) != n_items:
                raise InputError(f"'{name}' has {len(array)} rows for {n_items} items.")
        self.table = RowTable(n_items, width, torch.Generator().manual_seed(seed))
        self.register_buffer("known", torch.from_numpy(np.ones(n_items, bool) if known is None else known.copy()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.pool = pooling(self.settings.pooling, width, self.settings.window, self.settings.decay)
            self.user_mlp = _mlp(width, self.settings.user_hidden)
            self.item_mlp = _mlp(width, self.settings.item_hidden) if self.settings.item_hidden else None
            self.label_tables = nn.ModuleList()
            for name in self.label_names:
                codes = torch.from_numpy(np.asarray((labels or {})[name], dtype=np.int64) + 1)  # row 0: unknown
                self.register_buffer(f"label_{name}", codes)
                self.label_tables.append(nn.Embedding(int(codes.max()) + 1, width, padding_idx=0))
                nn.init.normal_(self.label_tables[-1].weight[1:], std=0.1 * width**-0.5)  # type: ignore[index]
            self.projection: nn.Linear | None = None
            if content is not None:
                vectors = torch.from_numpy(np.nan_to_num(np.asarray(content, dtype=np.float32)))
                self.register_buffer("content", F.normalize(vectors, dim=1))
                self.projection = nn.Linear(vectors.shape[1], width, bias=False)

    @property
    def device(self) -> torch.device:
        return self.table.weight.device

    def inputs(self, rows: Tensor) -> Tensor:
        """x of distinct item rows, int64 [R] -> [R, d]. In training their embeddings are updated by the backward."""
        whole = self.known[rows]
        if self.projection is not None and self.training:
            whole = whole & (torch.rand(len(rows), device=rows.device) >= WITHOUT_ID)
        x = self.table.rows(rows)
        if self.projection is not None or not bool(whole.all()):
            x = x * whole[:, None]
        for name, table in zip(self.label_names, self.label_tables, strict=True):
            x = x + table(self.get_buffer(f"label_{name}")[rows])
        return x if self.projection is None else x + self.projection(self.content[rows])

    def items(self, x: Tensor) -> Tensor:
        """Unit vectors of items from their x, [U, d] -> [U, d]."""
        return unit(x if self.item_mlp is None else x + self.item_mlp(x))

    def users(self, x: Tensor, places: Tensor) -> Tensor:
        """Unit vectors of users from x [R, d] and their histories' places in it, int64 [B, W], -1 behind -> [B, d]."""
        pooled = self.pool(x, places)
        return unit(pooled + self.user_mlp(pooled))

    @torch.no_grad()
    def encode_items(self, rows: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """Unit vectors of these items (all by default), float32 [R, d]; training mode is left as it was."""
        with _evaluating(self):
            wanted = torch.arange(self.n_items) if rows is None else torch.from_numpy(np.asarray(rows, dtype=np.int64))
            parts = wanted.to(self.device).split(CHUNK)
            return np.concatenate([self.items(self.inputs(part)).cpu().numpy() for part in parts])

    @torch.no_grad()
    def encode_users(self, histories: NDArray[np.integer]) -> NDArray[np.float32]:
        """Unit vectors of users, float32 [Q, d], from item rows [Q, W <= window], oldest first, -1 behind."""
        with _evaluating(self):
            return np.concatenate([self._encode_users(part) for part in _parts(histories)])

    def _encode_users(self, histories: NDArray[np.integer]) -> NDArray[np.float32]:
        rows, places = np.unique(histories[histories >= 0], return_inverse=True)
        local = np.full(histories.shape, -1, dtype=np.int64)
        local[histories >= 0] = places
        x = self.inputs(torch.from_numpy(rows).to(self.device))
        return np.asarray(self.users(x, torch.from_numpy(local).to(self.device)).cpu().numpy())

    def save(self, folder: Path | str) -> None:
        """Write weights, labels and content (safetensors) and the settings (JSON) into `folder`."""
        from safetensors.torch import save_file

        folder = Path(folder)
        tensors = {k: v.contiguous() for k, v in self.state_dict().items() if k not in _OPTIMISER}
        with replacing(folder / "model.safetensors") as temporary:
            save_file(tensors, temporary)
        facts = {"items": self.n_items, "labels": self.label_names, **asdict(self.settings)}
        write_json(folder / "towers.json", facts)

    @classmethod
    def load(cls, folder: Path | str) -> UserItemTwoTower:
        """Open what `save` wrote, in evaluation mode. MissingError where there is nothing, InputError if damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / "towers.json").exists():
            raise MissingError(f"{folder} holds no user-item model: train one first.")
        try:
            facts = read_json(folder / "towers.json")
            n_items, names = facts.pop("items"), facts.pop("labels")
            facts |= {name: tuple(facts[name]) for name in ("user_hidden", "item_hidden")}
            tensors = load_file(folder / "model.safetensors")
            content = tensors["content"].numpy() if "content" in tensors else None
            labels = {name: tensors[f"label_{name}"].numpy() - 1 for name in names}
            model = cls(n_items, TowerSettings(**facts), labels=labels, content=content)
            lost = model.load_state_dict(tensors, strict=False)
            if set(lost.missing_keys) != set(_OPTIMISER) or lost.unexpected_keys:
                raise KeyError(str(lost))
        except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
            raise InputError(f"{folder} is damaged: train the user-item model again.") from error
        return model.eval()


class _evaluating:
    """Evaluation mode for a while."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __enter__(self) -> None:
        self.before = self.module.training
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.before)


def _parts(histories: NDArray[np.integer]) -> list[NDArray[np.integer]]:
    return [histories[start : start + 8_192] for start in range(0, len(histories), 8_192)]


def _mlp(width: int, hidden: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = width
    for size in hidden:
        layers += [nn.Linear(before, size), nn.GELU()]
        before = size
    return nn.Sequential(*layers, nn.Linear(before, width))
