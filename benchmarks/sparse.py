"""The parts of PROSPER put onto a sparse leg one after another, and the leg beside BM25 and the dense one.

Every arm starts from the same untouched encoder and sees the same batches of the training queries. "ablation" and
"left_out" measure on test queries over part of the catalogue, the same for all arms: all items judged for a test query,
filled up with random others. "blend" encodes the whole catalogue with the last arm of the ablation and blends it with
BM25, in its place, and beside it, with the trained dense leg of preset tiny (shop) or small (Home Depot, as
benchmarks/home_depot.py trained it); blends are fitted on validation queries. No test query is met in training.
"served" keeps the strongest terms of a query. "speed" wants 50,000 items. Gains 1 / 0.5 / 0; what is not judged is 0.
A killed run goes on where it was.

    MOTHERLODE_DATA=... python benchmarks/sparse.py home_depot|shop ablation|left_out|blend|served|speed [seed]
"""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from common import RUNS, write
from motherlode.atomic import fingerprint, read_json, write_json
from motherlode.encoders.encode import encode
from motherlode.encoders.presets import load
from motherlode.evaluation.bootstrap import paired_bootstrap
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.index.analysis import analyser
from motherlode.index.blends import Blend, CalibratedConvex
from motherlode.index.candidates import Candidates
from motherlode.index.dense import DenseIndex
from motherlode.index.learnt_blend import LearntBlend
from motherlode.index.pool import Pool, pool
from motherlode.index.rank_fusion import RankFusion
from motherlode.index.selection import Selection
from motherlode.index.sparse import Impacts, SparseIndex
from motherlode.index.store import locale_of
from motherlode.index.word_matches import Titles
from motherlode.recipe import Recipe
from motherlode.sparse.encode import encode_terms
from motherlode.sparse.fit import Rates, fit_terms, pieces_in
from motherlode.sparse.objective import SparseSettings
from motherlode.sparse.term_encoder import TermEncoder, TermSettings
from motherlode.sparse.term_vectors import TermVectors
from motherlode.stages.retrieve import Part, lexical_index
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.training.fit import FitSettings
from motherlode.training.groups import GradedGroups
from motherlode.workspace import Workspace

DEPTH = 100
METRICS = ("ndcg@10", "recall@100")
FULL = "+ query-only norm"
TOGETHER = ("dense + bm25", "dense + sparse", "dense + bm25 + sparse")
BLENDS: dict[str, type[Blend]] = {
    "rank fusion": RankFusion,
    "calibrated convex": CalibratedConvex,
    "learnt": LearntBlend,
}


@dataclass(frozen=True)
class Setting:
    """A data set and what an arm may cost on it; the FLOPS ramp ends after 3/10 of training, as in the paper."""

    recipe: tuple[str, ...]
    folder: str
    base: str
    steps: int
    groups: int
    lr: float
    precision: str
    windows: tuple[int, int]
    part: int  # items of the ablation's catalogue, at most


SETTINGS = {
    "home_depot": Setting(
        ("preset=small", "data.source=homedepot", "split.unseen=1", "split.test=0.15", "split.validation=0.07"),
        "home_depot_small", "minilm", 120, 24, 1e-4, "bf16", (256, 512), 10_000,
    ),
    "shop": Setting(
        ("preset=tiny", "split.unseen=1", "split.validation=0.15", "split.test=0.35"),
        "sparse/shop_stage_1", "static", 200, 32, 1e-3, "fp32", (16, 32), 10_000,
    ),
}  # fmt: skip
HEAD_LR, DECAY = 1e-3, 0.01


def arms(setting: Setting) -> dict[str, tuple[TermSettings, SparseSettings]]:
    """What is trained: the parts one after another, then the whole with one of them otherwise."""
    wide, cut, ramp = TermSettings(True, None, None), TermSettings(True, *setting.windows), 3 * setting.steps // 10
    off = SparseSettings("none", 0.0, 0.0, ramp)
    return {
        "bare": (TermSettings(False, None, None), off),
        "+ literal residual": (wide, off),
        "+ focusing window": (cut, off),
        "+ FLOPS": (cut, SparseSettings("none", ramp=ramp)),
        FULL: (cut, SparseSettings("query", ramp=ramp)),
        "all but the window": (wide, SparseSettings("query", ramp=ramp)),
        "both sides normalised": (cut, SparseSettings("both", ramp=ramp, temperature=0.05)),
    }


class Study:
    """A shop, its parts, the terms, and the batches that all arms see."""

    def __init__(self, name: str, seed: int) -> None:
        self.setting, self.seed = SETTINGS[name], seed
        self.recipe = Recipe.load(overrides=list(self.setting.recipe))
        self.workspace = Workspace(RUNS / self.setting.folder)
        if not (self.workspace / "fit/best").exists():  # a dense encoder that is there is taken as it is
            run(self.recipe, self.workspace, ("fit",))
        self.shop = ShopTexts(self.workspace, self.recipe)
        self.texts, self.queries = self.shop.texts(), self.shop.queries["text"].to_list()
        self.parts = {part: Part(self.shop, part, DEPTH) for part in ("validation", "test")}
        self.folder = RUNS / "sparse" / name / f"seed_{seed}"
        self.arms = arms(self.setting)
        judged = np.unique(self.parts["test"].judged.items)
        others = np.random.default_rng([seed, 11]).permutation(np.setdiff1d(np.arange(len(self.texts)), judged))
        self.rows = np.union1d(judged, others[: max(0, self.setting.part - len(judged))])
        self.train = self.shop.pairs("train")
        # terms: the pieces of the catalogue and the training queries, nothing of test queries
        seen = [self.queries[row] for row in np.unique(self.train.queries)] + self.texts
        self.pieces = pieces_in("minilm", seen)

    def trained(self, name: str) -> tuple[TermEncoder, float]:
        """The arm's encoder, and the CPU seconds that its training took in the process that ended it."""
        chosen, (terms, objective) = self.setting, self.arms[name]
        folder = self.folder / name.replace(" ", "_")
        done, began = folder / "done.json", time.process_time()
        key = fingerprint(repr([chosen, terms, objective, HEAD_LR, DECAY]), self.seed, self.shop.tables.fingerprint())
        if done.exists() and read_json(done)["key"] == key:
            return TermEncoder.load(folder / "best"), float(read_json(done)["cpu_seconds"])
        encoder = TermEncoder.start(chosen.base, self.texts, terms, pieces=self.pieces, seed=self.seed)
        train = self.train
        fit_terms(
            encoder,
            self.queries,
            self.texts,
            GradedGroups.from_pairs(train.queries, train.items, train.grades),
            folder,
            FitSettings(steps=chosen.steps, keep="last", precision=chosen.precision, seed=self.seed),
            size=chosen.groups,
            rates=Rates(chosen.lr, HEAD_LR, DECAY),
            objective=objective,
            fingerprint=key,
        )
        spent = time.process_time() - began
        write_json(done, {"key": key, "cpu_seconds": spent})
        return TermEncoder.load(folder / "best"), spent

    def terms(self, encoder: TermEncoder, items: np.ndarray, part: str) -> tuple[TermVectors, TermVectors]:
        """Term weights of a part's queries and of items."""
        folder, half = self.folder / "terms", self.setting.precision == "bf16"
        queries = encode_terms(encoder, self.parts[part].texts, "query", folder)
        return queries, encode_terms(encoder, [self.texts[row] for row in items], "document", folder, bf16=half)

    def ablation(self, name: str) -> dict[str, Any]:
        encoder, spent = self.trained(name)
        queries, items = self.terms(encoder, self.rows, "test")
        index = SparseIndex.build(items, self.folder / "index" / name.replace(" ", "_"))
        found = index.search(queries, DEPTH)
        literal = [shares(encoder, vectors, texts) for vectors, texts in (
            (queries, self.parts["test"].texts), (items, [self.texts[row] for row in self.rows]))]  # fmt: skip
        return {
            "lists": found.rows,
            "facts": {
                "query_terms": round(float(queries.counts.mean()), 1),
                "item_terms": round(float(items.counts.mean()), 1),
                "literal_share_of_query_weight": round(literal[0], 3),
                "literal_share_of_item_weight": round(literal[1], 3),
                "postings_a_query": round(float(index.postings(queries).mean())),
                "training_cpu_seconds": round(spent, 1),
            },
        }


def shares(encoder: TermEncoder, vectors: TermVectors, texts: list[str]) -> float:
    """Share of the weight that lies on terms standing in the text, over all texts."""
    store = encoder.store(texts, "document")
    place = encoder.place.numpy()
    text = np.repeat(np.arange(len(texts)), store.lengths)
    literal = np.unique(text * (vectors.width + 1) + place[store.ids])
    keys = np.repeat(np.arange(len(vectors)), vectors.counts) * (vectors.width + 1) + vectors.terms
    return float(vectors.weights[np.isin(keys, literal)].sum() / vectors.weights.sum())


def on_part(judged: Judged, rows: np.ndarray) -> Judged:
    """The same judgements with items numbered by their place among `rows`, which hold them all."""
    return Judged(judged.indptr, np.searchsorted(rows, judged.items), judged.grades)


def means(values: dict[str, np.ndarray]) -> dict[str, float]:
    return {metric: round(float(np.nanmean(values[metric])), 4) for metric in METRICS}


def against(values: dict[str, np.ndarray], base: dict[str, np.ndarray]) -> dict[str, Any]:
    ours, theirs = (np.stack([one[metric] for metric in METRICS], axis=1) for one in (values, base))
    return {
        metric: {key: round(float(of[key] or 0), 4) for key in ("delta", "low", "high", "p")}
        for metric, of in zip(METRICS, paired_bootstrap(ours, theirs, seed=0), strict=True)
    }


def ablation(study: Study, names: list[str], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Arms over part of the catalogue, compared in pairs, BM25 and the dense leg beside them."""
    judged = on_part(study.parts["test"].judged, study.rows)
    found, facts = {}, {}
    for name in names:
        one = study.ablation(name)
        found[name], facts[name] = ranking_metrics(judged, one["lists"]), one["facts"]
        print(name, means(found[name]), one["facts"], flush=True)
    legs, _ = other_legs(study, "test", among=study.rows)
    for name, leg in legs.items():
        places = np.where(leg.rows >= 0, np.searchsorted(study.rows, leg.rows), -1)
        found[name] = ranking_metrics(judged, places)
    return {
        "items": len(study.rows),
        "systems": {name: means(values) | facts.get(name, {}) for name, values in found.items()},
        "against": {f"{name} vs {base}": against(found[name], found[base]) for name, base in pairs},
    }


def other_legs(
    study: Study, part: str, among: np.ndarray | None = None
) -> tuple[dict[str, Candidates], dict[str, Callable[..., Any]]]:
    """BM25 and the trained dense encoder: lists of a part's queries, and how each scores given pairs."""
    side, workspace = study.parts[part], study.workspace
    lexical, model = lexical_index(workspace, study.shop), load(str(workspace / "fit/best"))
    dense = DenseIndex(encode(model, study.shop.all_texts(), "document", workspace / "vectors"), {}, None)
    vectors = np.asarray(encode(model, side.texts, "query", study.folder / "dense"))
    words = lexical.search(side.texts, DEPTH if among is None else 2_000)
    if among is not None:  # BM25 without filters here: the first 2,000 of the whole catalogue, then the part
        held = np.where(np.isin(words.rows, among), words.rows, -1)
        order = np.argsort(held < 0, axis=1, kind="stable")[:, :DEPTH]
        words = Candidates(np.take_along_axis(words.scores, order, 1), np.take_along_axis(held, order, 1))
    chosen = None if among is None else Selection(among, len(study.texts))
    legs = {"bm25": words, "dense": dense.search(vectors, DEPTH, among=chosen)}
    scorers = {
        "bm25": lambda indptr, rows: lexical.score(side.texts, indptr, rows),
        "dense": lambda indptr, rows: dense.score(vectors, indptr, rows),
    }
    return legs, scorers


def blended(study: Study) -> dict[str, Any]:
    """Legs together over the whole catalogue, the sparse one beside BM25 and in its place; fitted on validation."""
    encoder, spent = study.trained(FULL)
    titles = study.shop.tables.frame("catalogue", ["title"])["title"].to_list()
    words = Titles.build(titles, analyser(locale_of(study.shop.tables)).analyze)
    sides: dict[str, dict[str, Pool]] = {name: {} for name in TOGETHER}
    lists: dict[str, Candidates] = {}
    index = None
    for part, side in study.parts.items():
        queries, items = study.terms(encoder, np.arange(len(study.texts)), part)
        index = index or SparseIndex.build(items, study.folder / "index" / "whole")
        queries = queries.normalised()
        legs, scorers = other_legs(study, part)
        legs["sparse"] = index.search(queries, DEPTH)
        scorers["sparse"] = partial(index.score, queries)
        for name in TOGETHER:
            chosen = name.split(" + ")
            found = pool({leg: legs[leg] for leg in chosen}, {leg: scorers[leg] for leg in chosen})
            sides[name][part] = replace(found, matches=words.matches(side.texts, found.rows))
        lists = legs if part == "test" else lists
        print(part, flush=True)
    judged = {name: part.judged for name, part in study.parts.items()}
    lists, fitted = dict(lists), {}
    for how, kind in BLENDS.items():
        for name, pools in sides.items():
            blend = kind.fit(pools["validation"], judged["validation"])
            lists[f"{name}, {how}"] = blend.blend(pools["test"], DEPTH)
            fitted[f"{name}, {how}"] = getattr(blend, "attention", None) or blend.to_json()
            print(name, how, flush=True)
    values = {name: ranking_metrics(judged["test"], found.rows) for name, found in lists.items()}
    two, place, three = TOGETHER
    return {
        "items": len(study.texts),
        "training_cpu_seconds": round(spent, 1),
        "systems": {name: means(one) for name, one in values.items()},
        "against": {
            f"{name} vs {base}, {how}": against(values[f"{name}, {how}"], values[f"{base}, {how}"])
            for how in BLENDS
            for name, base in ((three, two), (place, two), (three, place))
        },
        "found by one leg alone": alone(lists, judged["test"]),
        "fitted": fitted,
    }


def alone(lists: dict[str, Candidates], judged: Judged) -> dict[str, float]:
    """Of the relevant items that any leg found among its 100, the share that this leg alone found."""
    legs = ("dense", "bm25", "sparse")
    relevant = {leg: relevant_keys(lists[leg].rows, judged) for leg in legs}
    union = np.unique(np.concatenate(list(relevant.values())))
    found = {}
    for leg in legs:
        others = np.concatenate([relevant[other] for other in legs if other != leg])
        found[leg] = round(len(np.setdiff1d(relevant[leg], others)) / len(union), 4)
    return found


def relevant_keys(rows: np.ndarray, judged: Judged) -> np.ndarray:
    """A number for each (query, relevant item) of lists [Q, K]."""
    query, place = np.nonzero(judged.grades_of(rows) >= 1)
    return query * (np.int64(judged.items.max()) + 1) + rows[query, place]


def speed(study: Study) -> dict[str, Any]:
    """CPU milliseconds a query at 50,000 items, one thread, top 100, and what is stored; with 16 terms a query too."""
    encoder, _ = study.trained(FULL)
    queries, items = study.terms(encoder, np.arange(len(study.texts)), "test")
    items, queries = items.take(np.arange(50_000)), queries.take(np.arange(min(500, len(queries)))).normalised()
    kinds: tuple[Impacts, ...] = ("float32", "uint8")
    result: dict[str, Any] = {"items": len(items), "queries": len(queries)}
    exact = None
    for kind in kinds:
        index = SparseIndex.build(items, study.folder / "index" / kind, kind)
        size = sum(array.nbytes for array in (index.indptr, index.rows, index.impacts, index.scales))
        for name, asked in (("all terms", queries), ("16 terms a query", queries.strongest(16))):
            index.search(asked.take(np.arange(20)), DEPTH)
            began = time.process_time()
            found = index.search(asked, DEPTH)
            spent = 1000 * (time.process_time() - began) / len(asked)
            exact = found.rows if exact is None else exact
            agree = np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(found.rows, exact, strict=True)])
            result[f"{kind}, {name}"] = {
                "cpu_ms_a_query": round(spent, 3),
                "megabytes": round(size / 1e6, 1),
                "same_of_100_as_float32_with_all_terms": round(float(agree), 4),
            }
    began = time.process_time()
    texts = study.parts["test"].texts[:200]
    store = encoder.store(texts, "query")
    for row in range(len(texts)):
        store.vectors(np.array([row]), forward=encoder)
    result["encoding_a_query_cpu_ms"] = round(1000 * (time.process_time() - began) / len(texts), 2)
    return result


def served(study: Study) -> dict[str, Any]:
    """What keeping a query's strongest terms costs in quality and saves in time: the leg alone, and fused by rank."""
    encoder, _ = study.trained(FULL)
    side = study.parts["test"]
    queries, items = study.terms(encoder, np.arange(len(study.texts)), "test")
    index, (legs, _) = SparseIndex.of(items), other_legs(study, "test")
    values, facts = {"two legs": ranking_metrics(side.judged, RankFusion().blend(pool(legs), DEPTH).rows)}, {}
    for kept in (16, 32, 64, None):
        asked = (queries if kept is None else queries.strongest(kept)).normalised()
        name = f"{kept or 'all'} terms"
        began = time.process_time()
        legs["sparse"] = index.search(asked, DEPTH)
        facts[name] = {
            "cpu_ms_a_query": round(1000 * (time.process_time() - began) / len(asked), 3),
            "postings_a_query": round(float(index.postings(asked).mean())),
        }
        values[name] = ranking_metrics(side.judged, legs["sparse"].rows)
        fused = f"{name}, fused"
        values[fused] = ranking_metrics(side.judged, RankFusion().blend(pool(legs), DEPTH).rows)
        print(name, facts[name], means(values[name]), means(values[fused]), flush=True)
    return {
        "items": len(items),
        "systems": {name: means(one) | facts.get(name, {}) for name, one in values.items()},
        "against": {
            f"{name}, fused vs {base}": against(values[f"{name}, fused"], values[base])
            for name in facts
            for base in ("two legs", "all terms, fused")
            if f"{name}, fused" != base
        },
    }


def in_order(study: Study) -> dict[str, Any]:
    """The parts of PROSPER one after another, each arm against the one before it."""
    names = list(study.arms)[: list(study.arms).index(FULL) + 1]
    return ablation(study, names, [*zip(names[1:], names, strict=False), (FULL, names[0])])


def left_out(study: Study) -> dict[str, Any]:
    """Two arms that the paper finds worst, against the whole."""
    names = list(study.arms)[list(study.arms).index(FULL) :]
    return ablation(study, names, [(name, FULL) for name in names[1:]])


PARTS: dict[str, Callable[[Study], dict[str, Any]]] = {
    "ablation": in_order,
    "left_out": left_out,
    "blend": blended,
    "served": served,
    "speed": speed,
}


def main(name: str, part: str, seed: int) -> None:
    import torch

    torch.set_num_threads(1)
    study = Study(name, seed)
    found = PARTS[part](study)
    queries = int((np.diff(study.parts["test"].judged.indptr) > 0).sum())
    facts = {"seed": seed, "queries": queries, "terms": len(study.pieces), "setting": asdict(study.setting)}
    write(f"sparse_{name}_{part}" + (f"_seed_{seed}" if seed else ""), {**facts, **found})


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in SETTINGS or sys.argv[2] not in PARTS:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0)
