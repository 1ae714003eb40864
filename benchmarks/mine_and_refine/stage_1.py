"""Stage 1 under changed data or settings, measured query by query: what the studies of Tables 4 to 6 share.

An arm trains as stage `fit` does, for as many steps as the originals alone take, and keeps the last weights; texts are
tokenised once for all arms of a seed. Its figures lie in a folder named by all that shapes it.
"""

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import by_query
import numpy as np
import polars as pl
from material import FOLDER, Study, say

from motherlode.atomic import fingerprint, write_json
from motherlode.encoders.presets import load
from motherlode.encoders.tokens import TokenStore
from motherlode.encoders.towers import two_tower
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.evaluation.run import top_k
from motherlode.evaluation.separation import separation_by_query
from motherlode.evaluation.slices import OVERLAP, token_overlap
from motherlode.recipe import Fit, Recipe
from motherlode.shop.truth import Truth
from motherlode.stages.fit_encoder import save
from motherlode.stages.retrieve import Known
from motherlode.stages.run import run
from motherlode.stages.shop_texts import Pairs, ShopTexts
from motherlode.text.spelling import SpellingNoiser
from motherlode.training.batches import GradedBatches
from motherlode.training.criterion import criterion
from motherlode.training.fit import FitSettings, fit
from motherlode.training.groups import Caps, GradedGroups
from motherlode.training.objective import GradedObjective

VERSION = 1  # of training and measuring here: a new one makes every arm stale
NOISE_SEED = 90_001  # of misspelt test queries; training draws its variants from other seeds
SPLIT = ("split.unseen=1", "split.test=0.15", "split.validation=0.07")
HOME_DEPOT = Study("tables_home_depot", ("data.source=homedepot", *SPLIT), ("preset=tiny",), steps=160, verdicts=0)
SHOP = Study("tables_shop", ("data.source=shop", "data.items=8000"), ("preset=tiny",), steps=160, verdicts=0)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Arm:
    """One training.

    Attributes:
        name: of the arm; with `fit` and `start` it says all there is to say about it.
        data: makes query texts and training pairs; None takes the originals.
        fit: settings over those of the preset; `steps` is that of the originals where none is given.
        start: the arm whose last weights it goes on from.
        objective: made with (model, queries, items, temperature=, loss=, suspect_margin=, texts=).
        pool: item rows that random negatives come from; None is the whole catalogue.
    """

    name: str
    data: "Callable[[Bench], tuple[list[str], Pairs]] | None" = None
    fit: dict[str, Any] = field(default_factory=dict)
    start: "Arm | None" = None
    objective: Callable[..., GradedObjective] | None = None
    pool: "Callable[[Bench], np.ndarray] | None" = None

    @property
    def key(self) -> str:
        return fingerprint(VERSION, self.name, self.fit, self.start.key if self.start else "")


class Bench:
    """A data set under one seed (of data, split and training)."""

    def __init__(self, study: Study, seed: int, *more: str) -> None:
        self.study, self.seed = study, seed
        self.recipe = Recipe.load(overrides=[*study.data, *study.fit, f"seed={seed}", *more])
        self.folder = FOLDER / study.name / f"seed_{seed}"
        self.workspace = run(self.recipe, self.folder / "data", ("split",))
        self.shop = ShopTexts(self.workspace, self.recipe)
        self.texts: list[str] = self.shop.queries["text"].to_list()
        self.variant = fingerprint(list(more))

    @cached_property
    def train_pairs(self) -> Pairs:
        return self.shop.pairs("train")

    @cached_property
    def _items(self) -> tuple[list[str], np.ndarray]:
        """Distinct item texts in order, and which is each catalogue row's."""
        texts, number = np.unique(np.array(self.shop.texts(), dtype=object), return_inverse=True)
        return list(texts), number

    @cached_property
    def untouched(self) -> str:
        """Folder of the encoder that training starts from."""
        folder = self.folder / f"untouched_{self.variant}"
        if not (folder / "motherlode.json").exists():
            chosen = self.recipe.encoder
            model = two_tower(chosen.base, self._items[0], dim=chosen.dim, untied=chosen.untied)
            save(model, folder, {"base": chosen.base, "seed": self.seed})
        return str(folder)

    @cached_property
    def _item_tokens(self) -> TokenStore:
        return TokenStore(load(self.untouched), self._items[0], "document")

    @cached_property
    def steps(self) -> int:
        """How many steps the preset's epochs over the originals are."""
        return self.recipe.fit.epochs * len(self._batches(self.texts, self.train_pairs, self.recipe.fit, None)[0])

    def figures(self, arm: Arm) -> pl.DataFrame:
        """The arm's figures by (arena, query), trained and measured where that has not been done."""
        folder = self._folder(arm)
        if not (folder / "figures.parquet").exists():
            model = self.trained(arm)
            found = self._measured(model)
            by_query.save(folder / "figures.parquet", found)
            (folder / "checkpoint.pt").unlink(missing_ok=True)
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)
            shown = pl.read_parquet(folder / "figures.parquet")
            say(
                f"{self.study.name} seed {self.seed} {arm.name}:",
                *(f"{arena} {by_query.mean(shown, arena, 'ndcg@10'):.4f}" for arena in found),
            )
        frame = pl.read_parquet(folder / "figures.parquet")
        if self.recipe.data.source == "shop":  # every seed is a shop of its own
            frame = frame.with_columns(query=pl.format("{} {}", pl.lit(self.seed), "query"))
        return frame

    def trained(self, arm: Arm) -> Any:
        """The encoder after the arm's last step, read back where it is there."""
        folder, kept = self._folder(arm), self._folder(arm) / "best"
        if (kept / "motherlode.json").exists():
            return load(str(kept))
        base = self.untouched
        if arm.start:
            self.trained(arm.start)
            base = str(self._folder(arm.start) / "best")
        texts, pairs = arm.data(self) if arm.data else (self.texts, self.train_pairs)
        chosen = Fit(**{**self.recipe.fit.model_dump(), "steps": self.steps, **arm.fit})
        model = two_tower(base, [], untied=self.recipe.encoder.untied)
        batches, names = self._batches(texts, pairs, chosen, arm.pool(self) if arm.pool else None)
        queries, items = TokenStore(model, names, "query"), copy.copy(self._item_tokens)
        items.model = model
        objective = (arm.objective or _objective)(
            model,
            queries,
            items,
            temperature=chosen.temperature,
            loss=criterion(chosen.loss, gamma=chosen.gamma, supcon=chosen.supcon, reduction=chosen.reduction),
            suspect_margin=chosen.suspect_margin,
            texts=names,
        )
        fit(
            objective,
            objective.parameter_groups(chosen.lr, chosen.head_lr, chosen.weight_decay),
            batches,
            FitSettings(steps=chosen.steps, warmup=chosen.warmup, clip=chosen.clip, keep="last", seed=self.seed),
            folder,
            save=lambda _: None,
            fingerprint=folder.name,
        )
        model.eval()
        save(model, kept, {"arm": arm.name, "seed": self.seed})
        write_json(folder / "arm.json", {"arm": arm.name, "pairs": len(pairs.grades), "fit": chosen.model_dump()})
        return model

    def forget(self, arm: Arm) -> None:
        """Remove the arm's weights, which are large and made again in seconds; its figures stay."""
        shutil.rmtree(self._folder(arm) / "best", ignore_errors=True)

    def corrected(self, rows: np.ndarray) -> list[str]:
        """What these queries, recorded as misspelt, should have said."""
        truth, known = (
            self.shop.tables.folder / "truth/queries.parquet",
            self.shop.tables.folder / "corrections.parquet",
        )
        frame = pl.read_parquet(known) if known.exists() else pl.read_parquet(truth).rename({"clean": "corrected"})
        said = dict(zip(frame["query_id"].to_list(), frame["corrected"].to_list(), strict=True))
        return [said[one] for one in self.shop.queries["query_id"][rows].to_list()]

    def _folder(self, arm: Arm) -> Path:
        return self.folder / f"arms_{self.variant}" / arm.key

    def _batches(
        self, texts: list[str], pairs: Pairs, chosen: Fit, pool: np.ndarray | None
    ) -> tuple[GradedBatches, list[str]]:
        names, number = np.unique(np.array(texts, dtype=object), return_inverse=True)
        of_item = self._items[1]
        batches = GradedBatches(
            GradedGroups.from_pairs(number[pairs.queries], of_item[pairs.items], pairs.grades),
            size=chosen.groups,
            caps=Caps(chosen.grade_2, chosen.grade_1, chosen.grade_0),
            unrelated=chosen.unrelated,
            random_items=chosen.random_items,
            pool=np.unique(of_item if pool is None else of_item[pool]),
            seed=self.seed,
        )
        return batches, list(names)

    def _measured(self, model: Any) -> dict[str, tuple[list[str], dict[str, np.ndarray]]]:
        """Every arena's figures: see `_arenas`."""
        items = self._vectors(model, self._item_tokens)[self._items[1]]
        found = {}
        for name, rows, texts, judged in self._arenas:
            queries = self._vectors(model, TokenStore(model, texts, "query"))
            known = Known.from_pairs(rows, self.train_pairs.queries, self.train_pairs.items)
            ranked = _search(queries, items, known)
            values = {key: one for key, one in ranking_metrics(judged, ranked).items() if key in by_query.RANKED}
            if name in ("test", "truth"):
                values |= self._margins(queries, items, judged, texts)
            found[name] = (self.shop.queries["query_id"][rows].to_list(), values)
        return found

    @cached_property
    def _arenas(self) -> list[tuple[str, np.ndarray, list[str], Judged]]:
        """(name, query rows, texts as searched, judgements), all over the whole catalogue.

        test, validation: the queries of that part as they are. "PART corrected": those recorded as misspelt, as they
        should have been. "PART noised": the others where the noiser changed them. truth: test queries of the generated
        shop against every item whose true grade is above 0, and the part's judged ones.
        """
        found = []
        for part in ("validation", "test"):
            pairs, noiser = self.shop.pairs(part), SpellingNoiser()
            rows = np.unique(pairs.queries)
            texts = [self.texts[row] for row in rows.tolist()]
            wrong = self.shop.misspelt(rows)
            noised = noiser.noise(texts, self.shop.queries["query_id"][rows].to_list(), NOISE_SEED)
            changed = ~wrong & np.array([a.split() != b.split() for a, b in zip(noised, texts, strict=True)])
            found.append((part, rows, texts, _judged(pairs, rows)))
            for name, here, said in (
                ("corrected", rows[wrong], self.corrected(rows[wrong])),
                ("noised", rows[changed], [noised[place] for place in np.flatnonzero(changed)]),
            ):
                found.append((f"{part} {name}", here, said, _judged(pairs, here)))
            if part == "test" and (self.shop.tables.folder / "truth").exists():
                found.append(("truth", rows, texts, self._truth(rows, pairs)))
        return found

    def _truth(self, rows: np.ndarray, pairs: Pairs) -> Judged:
        known = Truth(self.shop.tables.folder)
        place = {item: row for row, item in enumerate(self.shop.item_ids.to_list())}
        ids = self.shop.queries["query_id"]
        grades = known.grade(ids[pairs.queries].to_list(), self.shop.item_ids[pairs.items].to_list())
        held = {(query, item): grade for query, item, grade in zip(pairs.queries, pairs.items, grades, strict=True)}
        for row in rows.tolist():
            relevant, levels = known.relevant(ids[row])
            held |= {(row, place[item]): level for item, level in zip(relevant, levels, strict=True)}
        queries, items = np.array(list(held)).T
        return _judged(Pairs(queries, items, np.array(list(held.values()), np.int8)), rows)

    @cached_property
    def _titles(self) -> list[str]:
        return self.shop.tables.frame("catalogue", ["title"])["title"].to_list()

    def _margins(
        self, queries: np.ndarray, items: np.ndarray, judged: Judged, texts: list[str]
    ) -> dict[str, np.ndarray]:
        """Margins of each query over its judged pairs with at least 70 % token overlap (Table 5)."""
        scores = np.einsum("ij,ij->i", queries[judged.query_rows], items[judged.items])
        near = token_overlap(judged, texts, self._titles) >= OVERLAP
        found = separation_by_query(judged, np.where(near, scores, np.float32(np.nan)))
        return {name: found[name] for name in by_query.MARGINS}

    @staticmethod
    def _vectors(model: Any, store: TokenStore) -> np.ndarray:
        import torch

        with torch.no_grad():
            parts = [
                store.vectors(np.arange(begin, min(begin + 4_096, len(store.lengths))), forward=model).numpy()
                for begin in range(0, len(store.lengths), 4_096)
            ]
        return np.concatenate(parts) if parts else np.zeros((0, model.get_embedding_dimension()), np.float32)


def _objective(*given: Any, texts: list[str], **more: Any) -> GradedObjective:
    del texts
    return GradedObjective(*given, **more)


def _judged(pairs: Pairs, rows: np.ndarray) -> Judged:
    here = np.isin(pairs.queries, rows)
    return Judged.from_pairs(
        np.searchsorted(rows, pairs.queries[here]), pairs.items[here], pairs.grades[here], len(rows)
    )


def _search(queries: np.ndarray, items: np.ndarray, known: Known, k: int = 100) -> np.ndarray:
    """The k best catalogue rows of each query, less those it was trained on: int64 [Q, k]."""
    found = [np.zeros((0, k), np.int64)]
    for begin in range(0, len(queries), 256):
        scores = queries[begin : begin + 256] @ items.T
        for row in range(len(scores)):
            scores[row, known.items[known.indptr[begin + row] : known.indptr[begin + row + 1]]] = -np.inf
        found.append(top_k(scores, k)[0])
    return np.concatenate(found)
