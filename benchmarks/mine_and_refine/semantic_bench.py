"""Training and measuring under semantic negatives: batches that item codes fill, rows that hold virtual negatives."""

import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import by_query
import numpy as np
import polars as pl
import torch
from material import FOLDER, Study, say
from stage_1 import SPLIT, Bench

from motherlode.atomic import fingerprint, read_json, replacing, write_json
from motherlode.encoders.tokens import TokenStore
from motherlode.encoders.towers import two_tower
from motherlode.errors import MissingError
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.negatives import Batch as Anchors
from motherlode.negatives import Histories, Interpolation, SemanticSampler
from motherlode.recipe import Fit
from motherlode.semantics import CascadedCodebooks, Codes, Views, random_codes_like
from motherlode.stages.retrieve import Part
from motherlode.training.batches import Batch, GradedBatches
from motherlode.training.criterion import criterion
from motherlode.training.fit import FitSettings, fit
from motherlode.training.groups import Caps, GradedGroups, stratified_order
from motherlode.training.objective import GradedObjective, suspected
from motherlode.training.virtual_columns import nearest_negatives, with_virtual

VERSION = 1  # of training and measuring here: a new one makes every arm stale
HOME_DEPOT = Study("semantic_home_depot", ("data.source=homedepot", *SPLIT), ("preset=tiny",), steps=160, verdicts=0)
MINED = "home_depot_static"  # whose Stage 1 and mined judgements Stage 2 goes on from
PRIMARY, SECONDARY = 256, 16  # 214 items a primary cell, 13 a leaf
MOST = 8  # hard negatives of a row that are mixed
METRICS = ("ndcg@10", "recall@100")


@dataclass(frozen=True)
class Arm:
    """One training.

    Attributes:
        name: of the arm.
        stage: 1 from the untouched encoder on human grades; 2 from Stage 1's weights on human and mined ones.
        fit: settings over those of the preset.
        codes: of the "untouched" vectors, these "refreshed" half-way from the vectors of then, or "random" ones of
            equal sizes.
        easy, hard: items that the sampler draws for each query; every query of the batch meets them all.
        own: a query meets its own draws alone.
        leaf: assumed negatives in the leaf of one of the query's positives are masked.
        clustered: queries of neighbouring clusters share a batch.
        virtual: virtual negatives as further columns.
        like: the arm whose learning rate it takes; None chooses its own on validation.
    """

    name: str
    stage: int = 1
    fit: dict[str, Any] = field(default_factory=dict)
    codes: str | None = None
    easy: int = 0
    hard: int = 0
    own: bool = False
    leaf: bool = False
    clustered: bool = False
    virtual: Interpolation | None = None
    like: str | None = None

    @property
    def key(self) -> str:
        return fingerprint(VERSION, asdict(self), PRIMARY, SECONDARY, MOST)


class SemanticBatches(GradedBatches):
    """Batches of graded groups that a `SemanticSampler` over the item texts' codes fills; see `Arm`.

    Args:
        arm: what is filled in, masked and put in order.
        codes: of all item texts.
        refreshed: makes the codes that hold from batch `refresh_at` on.
    """

    def __init__(
        self,
        *given: Any,
        arm: Arm,
        codes: Codes | None,
        refreshed: Callable[[], Codes] | None = None,
        refresh_at: int = 0,
        **more: Any,
    ) -> None:
        super().__init__(*given, **more)
        self.arm, self.refreshed, self.refresh_at = arm, refreshed, refresh_at
        self.orders: dict[int, np.ndarray] = {}
        if codes is not None:
            self.use(codes)

    def use(self, codes: Codes) -> None:
        """Fill from these codes from now on."""
        self.codes, self.leaf = codes, codes.leaf
        if self.arm.easy + self.arm.hard:
            self.sampler = SemanticSampler(
                codes.primary, codes.secondary, codes.primary_centres, easy=self.arm.easy, hard=self.arm.hard
            )

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        if self.refreshed and epoch * len(self) + step >= self.refresh_at:
            self.use(self.refreshed())
            self.refreshed = None
        if self.arm.codes is None:
            return super().__call__(epoch, step, rank, world)
        if epoch not in self.orders:
            self.orders = {epoch: self._order(np.random.default_rng([self.seed, epoch, 0]))}
        order = self.orders[epoch]
        chosen = self.members[order[step * self.size : (step + 1) * self.size]]
        rng = np.random.default_rng([self.seed, epoch, 1 + step])
        sampled = [self.groups.sample(int(group), self.caps, rng) for group in chosen]
        drawn = self._drawn(rng, chosen, sampled)
        batch = self._batch(chosen, sampled, np.unique(drawn))
        mask = batch.mask
        if self.arm.own:
            met = np.zeros_like(mask)
            np.put_along_axis(met, np.searchsorted(batch.items, drawn), True, axis=1)
            mask = mask & (~batch.assumed | met)
        if self.arm.leaf:
            mask = mask & ~(batch.assumed & self._near(batch))
        return replace(batch, mask=mask, assumed=batch.assumed & mask)

    def _drawn(
        self, rng: np.random.Generator, chosen: np.ndarray, sampled: list[tuple[np.ndarray, np.ndarray]]
    ) -> np.ndarray:
        """The sampler's items for each group, int64 [B, easy + hard]: none that its query was judged on."""
        if not self.arm.easy + self.arm.hard:
            return np.zeros((len(chosen), 0), np.int64)
        anchors = np.array([rng.choice(items[grades == grades.max()]) for items, grades in sampled])
        spans = [self.groups.items[self.groups.indptr[one] : self.groups.indptr[one + 1]] for one in chosen]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in spans])])
        return self.sampler(rng, Anchors(anchors, Histories(starts, np.concatenate(spans)))).pools[0].rows

    def _near(self, batch: Batch) -> np.ndarray:
        """Which items share a leaf with a known positive of the row: bool [B, M]."""
        leaves, place = np.unique(self.leaf[batch.items], return_inverse=True)
        held = np.zeros((len(batch.queries), len(leaves)), dtype=bool)
        rows, columns = np.nonzero(batch.mask & ~batch.assumed & (batch.grades > 0))
        held[rows, place[columns]] = True
        return held[:, place]

    def _order(self, rng: np.random.Generator) -> np.ndarray:
        """Places in `members`: stratified as ever, or by cluster along a chain of nearest centres, batches shuffled."""
        if not self.arm.clustered:
            return stratified_order(self.strata, rng)
        groups = self.groups
        best = [
            groups.items[begin + int(np.argmax(groups.grades[begin:end]))]
            for begin, end in zip(groups.indptr[:-1], groups.indptr[1:], strict=True)
        ]
        cluster = self.codes.primary[np.array(best)[self.members]]
        place = chain(self.codes.primary_centres, int(rng.integers(len(self.codes.primary_centres))))
        order = np.lexsort((rng.random(len(cluster)), place[cluster]))
        parts = np.split(order, np.arange(self.size, len(order), self.size))
        last = parts.pop()  # the smaller batch stays the last, as batches are cut by count
        return np.concatenate([*(parts[one] for one in rng.permutation(len(parts))), last])


def chain(centres: np.ndarray, first: int) -> np.ndarray:
    """Place of each centre on a walk that goes on to the nearest centre not yet met: int64 [K]."""
    place, left = np.full(len(centres), -1), np.ones(len(centres), dtype=bool)
    for step in range(len(centres)):
        place[first], left[first] = step, False
        distance = np.where(left, np.square(centres - centres[first]).sum(axis=1), np.inf)
        first = int(distance.argmin())
    return place


class VirtualObjective(GradedObjective):
    """`GradedObjective` whose rows hold virtual negatives besides, made from their hardest items of grade 0."""

    interpolation: Interpolation
    group: torch.Tensor
    steps = made = 0.0

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        queries, items = self.queries.vectors(batch.queries), self.items.vectors(batch.items)
        scores = queries @ items.T
        grades, mask = torch.from_numpy(batch.grades), torch.from_numpy(batch.mask)
        if self.suspect_margin is not None:
            assumed = torch.from_numpy(batch.assumed)
            mask = mask & ~suspected(scores.detach(), grades, mask, assumed, self.suspect_margin)
        rows = with_virtual(
            scores,
            grades,
            mask,
            queries,
            items,
            hard=nearest_negatives(scores, grades, mask, MOST),
            interpolation=self.interpolation,
            generator=torch.Generator().manual_seed(int(torch.initial_seed() % 2**62)),
            group=self.group[torch.from_numpy(batch.items)],
        )
        self.made, self.steps = self.made + float(rows[2][:, scores.shape[1] :].float().mean()), self.steps + 1
        loss = self.loss(*rows, self.temperature) + 0.0 * self.log_temperature
        return {"loss": loss, "temperature": self.temperature.detach()}


class SemanticBench(Bench):
    """Home Depot under one seed, with codes of its item texts."""

    def result(self, arm: Arm, factors: tuple[float, ...]) -> dict[str, Any]:
        """Facts of the arm, trained where that was not done: the factor that validation likes best, the test once."""
        folder = self.folder / "arms" / arm.key
        if (folder / "arm.json").exists():
            return dict(read_json(folder / "arm.json"))
        began, trials, kept = time.process_time(), {}, {}
        for factor in factors:
            model, facts = self._train(arm, factor)
            items = self._vectors(model, self._tokens(model))[self._items[1]]
            found = self._figures(model, items, "validation")
            trials[factor] = float(np.nanmean(found["values"]["ndcg@10"]))
            kept[factor] = model, items, found
        best = max(trials, key=lambda one: trials[one])
        model, items, found = kept[best]
        parts = {"validation": found, "test": self._figures(model, items, "test")}
        by_query.save(folder / "figures.parquet", {part: (one["ids"], one["values"]) for part, one in parts.items()})
        with replacing(folder / "pairs.parquet") as temporary:
            parts["test"]["pairs"].write_parquet(temporary)
        seconds = round(time.process_time() - began, 1)
        report = {
            "arm": arm.name,
            "factor": best,
            "validation ndcg@10": {str(k): round(v, 4) for k, v in trials.items()},
        }
        write_json(folder / "arm.json", {**report, "cpu_seconds": seconds, **facts})
        shown = {name: round(float(np.nanmean(parts["test"]["values"][name])), 4) for name in METRICS}
        say(f"seed {self.seed} {arm.name} x{best} {trials} test {shown} {seconds} CPU-seconds {facts}")
        return dict(read_json(folder / "arm.json"))

    def read(self, arm: Arm) -> tuple[pl.DataFrame, pl.DataFrame] | None:
        """Figures by (arena, query) and scored judged pairs of the test; None where the arm has not been run."""
        folder = self.folder / "arms" / arm.key
        if not (folder / "arm.json").exists():
            return None
        return pl.read_parquet(folder / "figures.parquet"), pl.read_parquet(folder / "pairs.parquet")

    @cached_property
    def stage_1(self) -> str:
        """Weights that Stage 2 goes on from, which `run.py` trains."""
        folder = FOLDER / MINED / f"seed_{self.seed}"
        if not (folder / "data/mined.parquet").exists():
            raise MissingError(f"{folder} holds no mined judgements: run `run.py {MINED}` first.")
        return str(folder / "stage_1/fit/best")

    def codes(self, kind: str, base: str) -> Codes:
        """Codes of the item texts by the item vectors of the encoder `base`; random ones of equal sizes."""
        name = "untouched" if base == self.untouched else "stage_1"
        if name not in self._codes:
            folder, views = self.folder / f"codebooks_{name}", self._views(two_tower(base, []))
            if not (folder / "codebooks.json").exists():
                CascadedCodebooks(PRIMARY, SECONDARY, seed=self.seed).fit(views).save(folder)
            self._books[name] = CascadedCodebooks.load(folder)
            self._codes[name] = self._books[name].assign(views)
        found = self._codes[name]
        return random_codes_like(found, self.seed) if kind == "random" else found

    @cached_property
    def _codes(self) -> dict[str, Codes]:
        return {}

    @cached_property
    def _books(self) -> dict[str, CascadedCodebooks]:
        return {}

    def _views(self, model: Any) -> Views:
        return Views.from_arrays({"text": self._vectors(model, self._tokens(model))})

    def _tokens(self, model: Any) -> TokenStore:
        store = copy.copy(self._item_tokens)
        store.model = model
        return store

    def _train(self, arm: Arm, factor: float) -> tuple[Any, dict[str, Any]]:
        base = self.untouched if arm.stage == 1 else self.stage_1
        pairs = self.train_pairs
        if arm.stage == 2:
            pairs = self.shop.pairs_of(pl.read_parquet(FOLDER / MINED / f"seed_{self.seed}/data/mined.parquet"))
        preset = self.recipe.fit
        steps = self.steps if arm.stage == 1 else self.study.steps
        chosen = Fit(**{**preset.model_dump(), "lr": preset.lr * factor, "head_lr": preset.head_lr * factor, **arm.fit})
        codes = None if arm.codes is None else self.codes(arm.codes, base)
        model = two_tower(base, [])
        names, number = np.unique(np.array(self.texts, dtype=object), return_inverse=True)
        of_item = self._items[1]

        def refreshed() -> Codes:
            with torch.no_grad():
                views = self._views(model)
            books = CascadedCodebooks.load(self.folder / "codebooks_untouched").refresh(views)
            return books.assign(views)

        batches = SemanticBatches(
            GradedGroups.from_pairs(number[pairs.queries], of_item[pairs.items], pairs.grades),
            size=chosen.groups,
            caps=Caps(chosen.grade_2, chosen.grade_1, chosen.grade_0),
            unrelated=chosen.unrelated,
            random_items=chosen.random_items,
            pool=None if arm.own else np.arange(len(self._items[0])),
            seed=self.seed,
            arm=arm,
            codes=codes,
            refreshed=refreshed if arm.codes == "refreshed" else None,
            refresh_at=steps // 2,
        )
        objective = (VirtualObjective if arm.virtual else GradedObjective)(
            model,
            TokenStore(model, list(names), "query"),
            self._tokens(model),
            temperature=chosen.temperature,
            loss=criterion(chosen.loss, gamma=chosen.gamma),
            suspect_margin=chosen.suspect_margin,
        )
        if isinstance(objective, VirtualObjective):
            assert arm.virtual is not None
            objective.interpolation = arm.virtual
            objective.group = torch.from_numpy(self.codes("stage_1", base).primary.astype(np.int64))
        with tempfile.TemporaryDirectory() as work:  # an arm is trained at one go, or again
            fit(
                objective,
                objective.parameter_groups(chosen.lr, chosen.head_lr, chosen.weight_decay),
                batches,
                FitSettings(steps=steps, warmup=chosen.warmup, clip=chosen.clip, keep="last", seed=self.seed),
                work,
                save=lambda _: None,
                fingerprint=arm.key,
            )
        model.eval()
        facts: dict[str, Any] = {"steps": steps, "pairs": len(pairs.grades)}
        if isinstance(objective, VirtualObjective):
            facts["virtual columns used"] = round(objective.made / objective.steps, 3)
        return model, facts

    def _figures(self, model: Any, items: np.ndarray, name: str) -> dict[str, Any]:
        """Figures of every query of a part over the whole catalogue, and the part's judged pairs with scores."""
        part = Part(self.shop, name, 100)
        run = part.dense(name, self._vectors(model, TokenStore(model, part.texts, "query")), items)
        metrics = ranking_metrics(part.judged, run.items, (10, 100))
        ids = self.shop.queries["query_id"][part.rows]
        pairs = pl.DataFrame(
            {"query": ids[part.judged.query_rows], "grade": part.judged.grades, "score": run.judged_scores}
        )
        return {"ids": ids.to_list(), "values": {key: metrics[key] for key in METRICS}, "pairs": pairs}
