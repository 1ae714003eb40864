"""Answer "what next?" from a folder: item vectors in a dense index, the user tower, and what users have had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from motherlode.atomic import read_json, replacing_folder, write_json
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index.dense import DenseIndex
from motherlode.recommend.sequences import Sequences
from motherlode.recommend.towers import CHUNK, UserItemTwoTower

if TYPE_CHECKING:
    import polars as pl

FORM = 1  # raised when the folder's form changes


@dataclass(frozen=True)
class Recommendation:
    """One item for a user: rank from 1, cosine of user and item, id and title."""

    rank: int
    score: float
    item_id: str
    title: str


class Recommender:
    """Items for a user who is told by a history alone, so that one never met before is served as well.

    The folder holds the towers (safetensors), a `DenseIndex` of the items that have a vector, items.parquet
    (item_id, title, served; in the order of the model's rows), where known users.parquet (user_id, items) and
    recommender.json. Exact up to 200,000 items.
    """

    def __init__(self, folder: Path, model: UserItemTwoTower, dense: DenseIndex, facts: dict[str, Any]) -> None:
        self.folder, self.facts = folder, facts
        self._model, self._dense = model, dense

    @classmethod
    def build(
        cls,
        folder: Path | str,
        model: UserItemTwoTower,
        item_ids: Sequence[str],
        titles: Sequence[str],
        *,
        users: tuple[Sequence[str], Sequences] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Recommender:
        """Write the folder, whole or not at all, and open it.

        Items of which the model knows nothing (no training event, no content, no label) are not served.

        Args:
            item_ids, titles: of the N items, in the order of the model's rows.
            users: ids, and what each has had, for `history_of`; None where histories come with the question.
            facts: JSON-able, kept in recommender.json.

        Raises InputError where lengths differ or no item has a vector.
        """
        import polars as pl

        folder, vectors = Path(folder), model.eval().encode_items()
        if not len(item_ids) == len(titles) == len(vectors):
            raise InputError(
                f"{len(item_ids)} ids and {len(titles)} titles do not fit a model of {len(vectors)} items."
            )
        served = _known(model) & (np.linalg.norm(vectors, axis=1) > 0.5)  # unit length, or 0
        if not served.any():
            raise InputError("No item has a vector: train the model on interactions first.")
        with replacing_folder(folder) as temporary:
            dense = DenseIndex.build(vectors[served], temporary / "dense")
            model.save(temporary / "towers")
            items = pl.DataFrame({"item_id": item_ids, "title": titles, "served": served})
            items.write_parquet(temporary / "items.parquet")
            if users is not None:
                ids, events = users
                lists = pl.Series(events.items).cast(pl.Int32)
                rows = pl.DataFrame({"user": events.users, "items": lists}).group_by("user", maintain_order=True).all()
                names = pl.DataFrame({"user_id": ids}).with_row_index("user").cast({"user": pl.Int64})
                kept = names.join(rows, on="user", how="inner").select("user_id", "items")
                kept.sort("user_id").write_parquet(temporary / "users.parquet")
            said = {
                "form": FORM,
                "items": len(vectors),
                "served": int(served.sum()),
                "users": None if users is None else len(users[0]),
                "dense": dense.facts["kind"],
                **(facts or {}),
            }
            write_json(temporary / "recommender.json", said)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str) -> Recommender:
        """Open what `build` wrote. MissingError where there is nothing, InputError where it is damaged."""
        folder = Path(folder)
        if not (folder / "recommender.json").exists():
            raise MissingError(
                f"{folder} holds no recommender: make one with `motherlode run journey=recommend` first."
            )
        try:
            facts = read_json(folder / "recommender.json")
            if facts["form"] != FORM:
                raise ValueError(f"form {facts['form']}, not {FORM}")
            made = cls(folder, UserItemTwoTower.load(folder / "towers"), DenseIndex.open(folder / "dense"), facts)
            if made._dense.facts["items"] != facts["served"] or made._model.n_items != facts["items"]:
                raise ValueError("its parts do not belong together")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} is damaged ({error}): build the recommender again.") from error
        return made

    def recommend(self, history: Sequence[str], k: int = 10) -> list[Recommendation]:
        """The k items that fit best after `history` (item ids, oldest first), none of it among them.

        The user tower sees the last `window` known items of the history, of one met twice the first time, as in
        training. Ids that the catalogue has not are passed over (`unknown` names them). Fewer than k items where
        no more are left. Equal scores go by the order of the catalogue.

        Raises:
            InputError: no id of the history is known. SettingError: k is below 1.
        """
        if k < 1:
            raise SettingError(f"k = {k}: ask for at least one item.")
        known = [self._rows[item] for item in dict.fromkeys(history) if item in self._rows]
        if not known:
            raise InputError(
                f"None of the {len(history)} items of the history is in the catalogue: give item ids of this shop."
            )
        rows = np.asarray(known, dtype=np.int64)
        window = rows[None, -self._model.settings.window :]
        asked = min(k + len(rows), len(self._served))
        found = self._dense.search(self._model.encode_users(window), asked)
        at, scores = found.rows[0], found.scores[0]
        items = np.where(at >= 0, self._served[at], -1)
        kept = np.flatnonzero((items >= 0) & ~np.isin(items, rows))[:k]
        chosen = self._items[items[kept]]
        return [
            Recommendation(rank, float(score), item_id, title)
            for rank, (score, item_id, title) in enumerate(
                zip(scores[kept], chosen["item_id"], chosen["title"], strict=True), start=1
            )
        ]

    def history_of(self, user_id: str) -> list[str]:
        """What a user of the interactions table has had, oldest first.

        Raises:
            InputError: the user is not known. MissingError: the folder was written without users.
        """
        import polars as pl

        path = self.folder / "users.parquet"
        if not path.exists():
            raise MissingError(f"{self.folder} knows no users: give a history of item ids.")
        found = pl.scan_parquet(path).filter(pl.col("user_id") == user_id).collect()
        if not len(found):
            raise InputError(f"There is no user '{user_id}' among the interactions: give a history of item ids.")
        return list(self._items["item_id"][found["items"][0].to_numpy().astype(np.int64)])

    def titles_of(self, item_ids: Sequence[str]) -> list[str | None]:
        """The titles of these items, None where the catalogue has not the id."""
        titles = self._items["title"]
        return [titles[self._rows[item]] if item in self._rows else None for item in item_ids]

    def unknown(self, item_ids: Sequence[str]) -> list[str]:
        """Those of the ids that the catalogue has not."""
        return [item for item in item_ids if item not in self._rows]

    @cached_property
    def _items(self) -> pl.DataFrame:
        import polars as pl

        return pl.read_parquet(self.folder / "items.parquet")

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self._items["item_id"])}

    @cached_property
    def _served(self) -> NDArray[np.int64]:
        """The catalogue row of each row of the dense index."""
        return np.flatnonzero(self._items["served"].to_numpy())


@torch.no_grad()
def _known(model: UserItemTwoTower) -> NDArray[np.bool_]:
    """Items of which the model knows anything: with hidden layers even an input of 0 has a vector."""
    rows = torch.arange(model.n_items, device=model.device)
    return np.concatenate([(model.inputs(part) != 0).any(dim=1).cpu().numpy() for part in rows.split(CHUNK)])
