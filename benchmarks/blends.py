"""Blends of BM25 and the trained encoder on test queries, and what thresholds on the cosine hold of what they state.

Home Depot: everything is fitted on the validation queries of the strict split, which the encoder was not trained on
(they chose its checkpoint). ESCI, five folds, test folds pooled: about 20 validation queries a fold settle nothing, and
the encoder knows the training queries by heart; so each fold's blends are fitted on its validation queries and on its
training queries as the *untouched* encoder scores them, which has seen none. Gains 1 / 0.5 / 0; not judged is 0.
Thresholds look at judged pairs alone: of the others nobody knows the grade.

    MOTHERLODE_DATA=... python benchmarks/blends.py home_depot|esci
"""

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from common import RUNS, write
from motherlode.encoders.encode import encode
from motherlode.encoders.presets import load
from motherlode.errors import InputError
from motherlode.evaluation.bootstrap import paired_bootstrap
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.index.analysis import analyser
from motherlode.index.blend import convex, tune_alpha
from motherlode.index.blends import Blend, CalibratedConvex, DenseGate
from motherlode.index.candidates import Candidates
from motherlode.index.dense import DenseIndex
from motherlode.index.learnt_blend import LearntBlend
from motherlode.index.pool import Pool, pool
from motherlode.index.rank_fusion import RankFusion, ndcg
from motherlode.index.word_matches import Titles
from motherlode.stages.retrieve import Part, lexical_index
from motherlode.stages.shop_texts import ShopTexts
from motherlode.thresholds.adapter import Adapter
from motherlode.thresholds.boundary import measured, middles, tuned
from motherlode.thresholds.conformal import learn_then_test, risk_control
from motherlode.thresholds.coverage import Shown, coverage, under_shift
from motherlode.thresholds.drift import compare, histogram, precision_alarm
from motherlode.thresholds.rejection import refuse_below, rejection
from motherlode.workspace import Workspace

LEARNT, BM25, DENSE = "learnt blend", "bm25", "dense"
FITTED: dict[str, type[Blend]] = {
    "reciprocal rank fusion": RankFusion,
    "calibrated convex": CalibratedConvex,
    "dense gate": DenseGate,
    LEARNT: LearntBlend,
}
METRICS = ("ndcg@10", "recall@100")
SHARES, SPLITS = {1: (0.8, 0.9), 2: (0.6, 0.7, 0.8)}, 50
DELTA, MOST = 0.1, 10


class Side:
    """A part of a workspace: its pool, the judged pairs with their cosines, and slices of its queries."""

    def __init__(self, workspace: Workspace, name: str, titles: Titles, encoder: str = "fit/best") -> None:
        recipe = workspace.recipe()
        shop = ShopTexts(workspace, recipe)
        part, lexical, depth = (
            Part(shop, name, recipe.evaluate.depth),
            lexical_index(workspace, shop),
            recipe.evaluate.depth,
        )
        model = load(str(workspace / encoder))
        items = encode(model, shop.all_texts(), "document", workspace / "vectors")
        queries = np.asarray(encode(model, part.texts, "query", RUNS / "blends_vectors"))
        index = DenseIndex(items, {}, None)
        known = part.known if name != "train" else replace(part.known, indptr=np.zeros(len(queries) + 1, np.int64))
        wide = min(depth + known.most, len(items))
        self.legs = {
            "dense": known.drop(index.search(queries, wide), depth),
            "lexical": known.drop(lexical.search(part.texts, wide), depth),
        }
        scorers = {
            "dense": lambda indptr, rows: index.score(queries, indptr, rows),
            "lexical": lambda indptr, rows: lexical.score(part.texts, indptr, rows),
        }
        found = pool(self.legs, scorers)
        self.pool = replace(found, matches=titles.matches(part.texts, found.rows))
        self.model, self.items = model, items
        self.judged: Judged = part.judged
        self.cosines = index.score(queries, part.judged.indptr, part.judged.items).astype(np.float64)
        rarity = self.pool.matches.queries[:, 2]  # type: ignore[union-attr]
        rare = rarity > np.median(rarity)
        self.slices = part.slices | {"rare words": rare, "common words": ~rare}
        self.features = np.concatenate([self.pool.matches.queries[:, [0, 1, 2]], _tops(self.legs)], axis=1)  # type: ignore[union-attr]


def _tops(legs: dict[str, Candidates]) -> np.ndarray:
    """Best cosine, its lead over the mean of the list, and the best BM25 score: [Q, 3]."""
    dense, lexical = legs["dense"].scores.astype(np.float64), legs["lexical"].scores.astype(np.float64)
    return np.stack([dense[:, 0], dense[:, 0] - dense[:, :50].mean(axis=1), lexical[:, 0]], axis=1)


def joined(sides: list[Side]) -> tuple[Pool, dict[str, Candidates], Judged]:
    """Several parts as one."""
    width = max(side.pool.rows.shape[1] for side in sides)

    def together(arrays: list[np.ndarray], fill: float) -> np.ndarray:
        spare = [[(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)] for array in arrays]
        padded = [np.pad(array, pad, constant_values=fill) for array, pad in zip(arrays, spare, strict=True)]
        return np.concatenate(padded)

    pools = [side.pool for side in sides]
    matches = [one.matches for one in pools if one.matches is not None]
    whole = Pool(
        pools[0].legs,
        together([one.rows for one in pools], -1),
        together([one.scores for one in pools], np.nan),
        together([one.ranks for one in pools], 0),
        type(matches[0])(together([one.pairs for one in matches], 0), np.concatenate([one.queries for one in matches])),
    )
    legs = {
        name: Candidates(*(np.concatenate(column) for column in zip(*(side.legs[name] for side in sides), strict=True)))
        for name in sides[0].legs
    }
    firsts = np.cumsum([0] + [side.judged.n_queries for side in sides])
    judged = Judged.from_pairs(
        np.concatenate([side.judged.query_rows + first for side, first in zip(sides, firsts, strict=False)]),
        np.concatenate([side.judged.items for side in sides]),
        np.concatenate([side.judged.grades for side in sides]),
        int(firsts[-1]),
    )
    return whole, legs, judged


def answers(fit: list[Side], test: Side) -> tuple[dict[str, Candidates], dict[str, Any]]:
    """Lists of all systems for the test part, everything fitted on the others, and what was fitted."""
    chosen, legs, judged = joined(fit)
    depth = test.legs["dense"].rows.shape[1]
    alpha = tune_alpha(legs["dense"], legs["lexical"], lambda found: ndcg(found, judged), depth)[0]
    found = {
        BM25: test.legs["lexical"],
        DENSE: test.legs["dense"],
        "convex, scaled by query": convex(test.legs["dense"], test.legs["lexical"], alpha, depth),
    }
    fitted: dict[str, Any] = {"alpha": alpha}
    for name, kind in FITTED.items():
        blend = kind.fit(chosen, judged)
        found[name] = blend.blend(test.pool, depth)
        fitted[name] = {key: value for key, value in blend.to_json().items() if key not in ("mean", "scale", "weights")}
        if isinstance(blend, LearntBlend):
            fitted[name]["attention"] = blend.attention
            fitted["milliseconds"] = _milliseconds(blend, test.pool)
    return found, fitted


def _milliseconds(blend: LearntBlend, of: Pool) -> float:
    """Median time to blend one query's candidates, words matched already."""
    times = []
    for query in range(min(100, len(of.rows))):
        one = of.part(np.array([query]))
        kept = slice(0, 200)
        assert one.matches is not None
        matches = replace(one.matches, pairs=one.matches.pairs[:, kept])
        one = Pool(one.legs, one.rows[:, kept], one.scores[:, kept], one.ranks[:, kept], matches)
        began = time.perf_counter()
        blend.blend(one, 10)
        times.append(1000 * (time.perf_counter() - began))
    return round(float(np.median(times)), 3)


def ranked(found: list[dict[str, Candidates]], tests: list[Side]) -> dict[str, Any]:
    """Means and paired intervals over the test queries of all folds, and by slice."""
    parts = [
        {system: ranking_metrics(side.judged, one.rows) for system, one in lists.items()}
        for lists, side in zip(found, tests, strict=True)
    ]
    per_query = {
        system: np.stack([np.concatenate([part[system][metric] for part in parts]) for metric in METRICS], axis=1)
        for system in parts[0]
    }
    names = sorted(set().union(*(side.slices for side in tests)))
    slices = {
        name: np.concatenate([side.slices.get(name, np.zeros(side.judged.n_queries, bool)) for side in tests])
        for name in names
    }

    def against(base: str, mask: np.ndarray) -> dict[str, Any]:
        intervals = paired_bootstrap(per_query[LEARNT][mask], per_query[base][mask], seed=0)
        return {
            metric: {key: round(float(of[key] or 0), 4) for key in ("delta", "low", "high", "p")}
            for metric, of in zip(METRICS, intervals, strict=True)
        }

    def means(mask: np.ndarray) -> dict[str, Any]:
        return {
            system: dict(zip(METRICS, np.nanmean(values[mask], axis=0).round(4).tolist(), strict=True))
            for system, values in per_query.items()
        }

    everything = np.ones(len(per_query[LEARNT]), dtype=bool)
    return {
        "queries": int((~np.isnan(per_query[LEARNT][:, 0])).sum()),
        "systems": means(everything),
        "learnt blend against": {base: against(base, everything) for base in per_query if base != LEARNT},
        "slices": {
            name: {
                "queries": int(mask.sum()),
                "systems": means(mask),
                "learnt blend against convex": against("convex, scaled by query", mask)["ndcg@10"],
            }
            for name, mask in slices.items()
            if mask.sum() >= 20
        },
    }


def thresholds(fit: Side, test: Side) -> dict[str, Any]:
    """Boundaries, guarantees and their coverage, the adapter, refusing and drift: validation against test."""
    found: dict[str, Any] = {"share among judged": {}, "boundaries": [], "guarantees": [], "tuned": [], "refusing": []}
    grades, truth = fit.judged.grades, test.judged.grades
    for grade in (1, 2):
        found["share among judged"][grade] = round(float((truth >= grade).mean()), 4)
        adapter = Adapter.fit(fit.cosines, grades, fit.features[fit.judged.query_rows], grade=grade)
        adapted = [adapter(side.cosines, side.features[side.judged.query_rows]) for side in (fit, test)]
        for target in SHARES[grade]:
            for how, (ours, theirs) in {"cosine": (fit.cosines, test.cosines), "adapter": adapted}.items():  # type: ignore[dict-item]
                try:
                    cut = tuned(grade, target, ours, grades)
                except InputError as error:
                    found["tuned"].append({"grade": grade, "target": target, "score": how, "error": str(error)})
                    continue
                there = measured(grade, cut.threshold, cut.how, theirs, truth)
                found["tuned"].append(
                    {"target": target, "score": how, "validation": cut.to_json(), "test": there.to_json()}
                )
            found["guarantees"] += [guaranteed(fit, test, grade, target)]
        middle = middles()[grade]
        found["boundaries"].append(
            {
                side: measured(grade, middle, "middle of bands", of.cosines, of.judged.grades).to_json()
                for side, of in (("validation", fit), ("test", test))
            }
        )
        best, has = zip(*(_best(side, grade) for side in (fit, test)), strict=True)
        cut_off = refuse_below(best[0], has[0], 0.1)
        found["refusing"].append({"grade": grade, **rejection(best[1], has[1], cut_off).to_json()})
    found["strangers"] = strangers(fit, test)
    reference = histogram(fit.legs["dense"].scores[:, :MOST].ravel(), "validation")
    fresh = histogram(test.legs["dense"].scores[:, :MOST].ravel(), "test", reference["edges"])
    worse = histogram(test.legs["dense"].scores[:, :MOST].ravel() - 0.05, "test, 0.05 lower", reference["edges"])
    found["drift"] = [compare(reference, fresh), compare(reference, worse)]
    return found


def strangers(fit: Side, test: Side) -> dict[str, Any]:
    """Refusing queries of another shop: ESCI's at Home Depot, a few of which it could have served."""
    texts = ShopTexts(Workspace(RUNS / "esci_split_0"), Workspace(RUNS / "esci_split_0").recipe()).queries["text"]
    asked = np.asarray(encode(fit.model, texts.to_list(), "query", RUNS / "blends_vectors"))
    foreign = DenseIndex(fit.items, {}, None).search(asked, 1).scores[:, 0]
    own = [side.legs["dense"].scores[:, 0] for side in (fit, test)]
    cut_off = refuse_below(own[0], np.ones(len(own[0]), dtype=bool), 0.05)
    best = np.concatenate([own[1], foreign])
    return rejection(best, np.arange(len(best)) < len(own[1]), cut_off).to_json()


def guaranteed(fit: Side, test: Side, grade: int, share: float) -> dict[str, Any]:
    """Both methods on validation, their coverage on test and under shifts, and over random halves of all queries."""
    shown = Shown(test.cosines, test.judged.grades >= grade, test.judged.query_rows, test.judged.n_queries, MOST)
    here: dict[str, Any] = {"grade": grade, "stated": share}
    for method in (risk_control, learn_then_test):
        arguments = {"grade": grade, "share": share, "most": MOST, "n_queries": fit.judged.n_queries}
        made = method(fit.cosines, fit.judged.grades, fit.judged.query_rows, **arguments)  # type: ignore[arg-type]
        entry = {"validation": made.to_json(), "test": coverage(shown, made.threshold)}
        if made.threshold is not None:
            moved = under_shift(shown, made.threshold, test.slices)
            entry["shifted"] = {name: {kind: of["share"] for kind, of in one.items()} for name, one in moved.items()}
            kept = shown.scores >= made.threshold
            entry["alarm on 500 fresh grades"] = precision_alarm(
                share, np.random.default_rng(0).permutation(shown.good[kept])[:500]
            )
        entry["random halves"] = halves(fit, test, method, grade, share)
        here[made.method] = entry
    return here


def halves(fit: Side, test: Side, method: Any, grade: int, share: float) -> dict[str, Any]:
    """Coverage over random halves of validation and test queries together: fitted on one, measured on the other."""
    queries = np.concatenate([fit.judged.query_rows, test.judged.query_rows + fit.judged.n_queries])
    scores = np.concatenate([fit.cosines, test.cosines])
    grades = np.concatenate([fit.judged.grades, test.judged.grades])
    count = fit.judged.n_queries + test.judged.n_queries
    covered = []
    for split in range(SPLITS):
        place = np.random.default_rng([split, count]).permutation(count)
        half, own = count // 2, place[queries]
        first = own < half
        made = method(scores[first], grades[first], own[first], grade=grade, share=share, most=MOST, n_queries=half)
        if made.threshold is None:
            continue
        rest = Shown(scores[~first], grades[~first] >= grade, own[~first] - half, count - half, MOST)
        good, shown = rest.counts(made.threshold)
        covered.append(good.sum() / max(shown.sum(), 1))
    if not covered:
        return {"splits": SPLITS, "answered": 0}
    values = np.array(covered)
    return {
        "splits": SPLITS,
        "answered": len(values),
        "mean": round(float(values.mean()), 4),
        "below stated": round(float((values < share).mean()), 3),
        "more than 2 points below": round(float((values < share - 0.02).mean()), 3),
    }


def _best(side: Side, grade: int) -> tuple[np.ndarray, np.ndarray]:
    """Best cosine of each list, and whether it holds an item of the grade; every second query loses all such items."""
    listed = side.legs["dense"]
    grades = side.judged.grades_of(listed.rows)
    emptied = np.arange(len(grades)) % 2 == 1
    left = (listed.rows >= 0) & ~(emptied[:, None] & (grades >= grade))
    best = np.where(left, listed.scores, -np.inf).max(axis=1)
    known = (grades >= grade).any(axis=1)  # of a query with nothing judged in its list nothing is known
    return best[known], ~emptied[known]


def titles_of(workspace: Workspace) -> Titles:
    shop = ShopTexts(workspace, workspace.recipe())
    return Titles.build(shop.tables.frame("catalogue", ["title"])["title"].to_list(), analyser("en").analyze)


def home_depot() -> dict[str, Any]:
    workspace = Workspace(RUNS / "home_depot_small")
    titles = titles_of(workspace)
    fit, test = Side(workspace, "validation", titles), Side(workspace, "test", titles)
    found, fitted = answers([fit], test)
    return {**ranked([found], [test]), "fitted": fitted, "thresholds": thresholds(fit, test)}


def esci() -> dict[str, Any]:
    lists, tests, fitted = [], [], []
    for fold in range(5):
        workspace = Workspace(RUNS / f"esci_22b98217585ebb6c_{fold}")
        titles = titles_of(workspace)
        fit = [Side(workspace, "train", titles, "fit/untouched"), Side(workspace, "validation", titles)]
        tests.append(Side(workspace, "test", titles))
        found, made = answers(fit, tests[-1])
        lists.append(found)
        fitted.append(made)
    return {**ranked(lists, tests), "fitted": fitted}


if __name__ == "__main__":
    sets = {"home_depot": home_depot, "esci": esci}
    if len(sys.argv) != 2 or sys.argv[1] not in sets:
        sys.exit(__doc__)
    write(f"blends_{sys.argv[1]}", sets[sys.argv[1]]())
