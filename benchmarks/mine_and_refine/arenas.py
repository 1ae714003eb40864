"""Where an encoder is measured: human grades over the whole catalogue, a graded pool, or the generated shop's truth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from material import FOLDER

from common import RUNS
from motherlode.atomic import replacing
from motherlode.encoders.encode import encode
from motherlode.encoders.presets import load
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import judged_metrics, ranking_metrics
from motherlode.evaluation.separation import auc
from motherlode.grading import job
from motherlode.grading.grader import Grader, decide
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.index.dense import DenseIndex
from motherlode.shop.truth import Truth
from motherlode.stages.retrieve import Part, lexical_index
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Workspace

RANKED = ("ndcg@10", "ndcg@100", "recall@10", "recall@100", "precision@10")
POOL_QUERIES, POOL_UNSEEN = 400, 0.3  # the paper's share of evaluation queries that training never saw
MINED, RANDOM = 15, 60  # of each leg; random items fill up until grade 0 is the large majority


@dataclass(frozen=True, eq=False)
class Measured:
    """Per query (in a fixed order) the metrics of RANKED; of every judged pair its query, grade and score."""

    metrics: np.ndarray  # float64 [Q, len(RANKED)]
    queries: np.ndarray
    grades: np.ndarray
    scores: np.ndarray

    def save(self, path: Path) -> None:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "Measured":
        with np.load(path) as held:
            return cls(**{name: held[name] for name in held.files})

    def facts(self) -> dict[str, Any]:
        """Means over queries, AUCs over all pairs."""
        means = np.nanmean(self.metrics, axis=0)
        found: dict[str, Any] = {name: float(value) for name, value in zip(RANKED, means, strict=True)}
        for high, low in ((2, 0), (2, 1), (1, 0)):
            found[f"auc_{high}_{low}"] = auc(self.scores[self.grades == high], self.scores[self.grades == low])
        for grade in (0, 1, 2):
            scores = self.scores[self.grades == grade]
            inside = (scores >= 0.75, (scores >= 0.4) & (scores <= 0.6), scores <= 0.25)[2 - grade]
            found[f"band_{grade}"] = float(inside.mean()) if len(scores) else None
        return found


def build_pool(shop: ShopTexts, workspace: Workspace, grader: Grader, name: str) -> pl.DataFrame:
    """The graded pool of a data set: query_id, item_id, grade, unseen; made once, the same for every arm and seed.

    About 30 % of its queries have no training pair (test), the rest do; of every query the pool holds what two legs
    that no arm trains (BM25, the untouched MiniLM) rank first, and random items, less the query's training pairs; all
    grades are the grader's.
    """
    path = FOLDER / name / "pool.parquet"
    if path.exists():
        return pl.read_parquet(path)
    rng = np.random.default_rng(11)
    unseen = np.unique(shop.pairs("test").queries)
    seen = np.setdiff1d(np.unique(shop.pairs("train").queries), unseen)
    count = min(POOL_QUERIES, int(len(unseen) / POOL_UNSEEN))
    rows = np.sort(
        np.concatenate(
            [
                rng.choice(unseen, round(count * POOL_UNSEEN), replace=False),
                rng.choice(seen, count - round(count * POOL_UNSEEN), replace=False),
            ]
        )
    )
    texts = shop.queries["text"][rows].to_list()
    legs = [lexical_index(workspace, shop).search(texts, MINED).rows]
    model = load("minilm")
    vectors = [
        np.asarray(encode(model, part, task, RUNS / "minilm_vectors"))
        for part, task in ((texts, "query"), (shop.all_texts(), "document"))
    ]
    legs.append(DenseIndex(vectors[1], {}, None).search(vectors[0], MINED).rows)
    legs.append(rng.integers(0, len(shop.item_ids), (count, RANDOM)))
    items = np.concatenate(legs, axis=1)
    query = np.repeat(rows, items.shape[1])[items.ravel() >= 0]
    pairs = pl.DataFrame(
        {"query_id": shop.queries["query_id"][query], "item_id": shop.item_ids[items.ravel()[items.ravel() >= 0]]}
    )
    train = shop.split.filter(pl.col("part") != "test").select("query_id", "item_id")
    pairs = pairs.unique(maintain_order=True).join(train, on=["query_id", "item_id"], how="anti", maintain_order="left")
    with Ledger(FOLDER / name / "pool.sqlite") as ledger:
        job.grade(pairs["query_id"], pairs["item_id"], PairTexts(shop.tables), grader, ledger, source="pool")
        found = ledger.lookup(grader.judge, pairs["query_id"], pairs["item_id"])
    new = pl.DataFrame({"query_id": shop.queries["query_id"][unseen]})
    pool = pairs.with_columns(
        pl.Series("grade", decide(found.probabilities)),
        unseen=pairs["query_id"].is_in(new["query_id"].implode()),
    ).filter(pl.col("grade") >= 0)
    with replacing(path) as temporary:
        pool.write_parquet(temporary)
    return pool


def measure(shop: ShopTexts, encoder: Path, vectors: Path, pool: pl.DataFrame | None) -> dict[str, Measured]:
    """Measure an encoder in every arena the data set has.

    human: test queries over the whole catalogue, gains 1 / 0.5 / 0. validation: the same on validation queries.
    pool: every query ranks its own pool. truth: the generated shop, test queries over the whole catalogue.
    """
    model = load(str(encoder))
    items = np.asarray(encode(model, shop.all_texts(), "document", vectors, "encoding the catalogue"))
    found = {}
    for name, part_name in (("human", "test"), ("validation", "validation")):
        part = Part(shop, part_name, 100)
        run = part.dense(name, np.asarray(encode(model, part.texts, "query", vectors)), items)
        assert run.judged_scores is not None
        metrics = ranking_metrics(part.judged, run.items, (10, 100))
        found[name] = _measured(metrics, part.judged, run.judged_scores)
        if part_name == "test" and (shop.tables.folder / "truth").exists():
            judged = truth(shop, part.rows)
            scores = DenseIndex(items, {}, None)
            queries = np.asarray(encode(model, part.texts, "query", vectors))
            metrics = ranking_metrics(judged, scores.search(queries, 100).rows, (10, 100))
            found["truth"] = _measured(metrics, judged, scores.score(queries, judged.indptr, judged.items))
    if pool is not None:
        judged, texts = pool_judged(shop, pool)
        queries = np.asarray(encode(model, texts, "query", vectors))
        scores = DenseIndex(items, {}, None).score(queries, judged.indptr, judged.items)
        found["pool"] = _measured(judged_metrics(judged, scores, (10, 100)), judged, scores)
    return found


def pool_judged(shop: ShopTexts, pool: pl.DataFrame) -> tuple[Judged, list[str]]:
    """The pool by row numbers, its queries in the order of the shop's."""
    pairs = shop.pairs_of(pool)
    rows, numbers = np.unique(pairs.queries, return_inverse=True)
    return Judged.from_pairs(numbers, pairs.items, pairs.grades, len(rows)), shop.queries["text"][rows].to_list()


def truth(shop: ShopTexts, rows: np.ndarray) -> Judged:
    """Every item of grade 1 or 2 of these queries, and as many random ones of grade 0, from the shop's truth."""
    known, rng = Truth(shop.tables.folder), np.random.default_rng(13)
    place = {item: row for row, item in enumerate(shop.item_ids.to_list())}
    queries, items, grades = [], [], []
    for number, query in enumerate(shop.queries["query_id"][rows].to_list()):
        relevant, levels = known.relevant(query)
        own = np.array([place[item] for item in relevant], np.int64)
        other = np.setdiff1d(rng.choice(len(place), min(len(place), 200), replace=False), own)
        queries.append(np.full(len(own) + len(other), number))
        items.append(np.concatenate([own, other]))
        grades.append(np.concatenate([levels, np.zeros(len(other), np.int8)]))
    return Judged.from_pairs(np.concatenate(queries), np.concatenate(items), np.concatenate(grades), len(rows))


def _measured(metrics: dict[str, np.ndarray], judged: Judged, scores: np.ndarray) -> Measured:
    table = np.stack([metrics[name] for name in RANKED], axis=1)
    return Measured(table, judged.query_rows.astype(np.int32), judged.grades, scores.astype(np.float32))
