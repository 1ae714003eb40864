"""For the audit benchmark: a small real model of grades over texts, and simulated judges and people (named so)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from motherlode.audit.confident import out_of_fold
from motherlode.encoders.presets import load
from motherlode.encoders.static import static_backbone
from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.shop.truth import Truth
from motherlode.tables.hashing import hash_ids, mix, uniform
from motherlode.tables.tables import Tables

RUBRIC = "none"


def features(tables: Tables, query_ids: pl.Series, item_ids: pl.Series) -> NDArray[np.float64]:
    """What a query's text and an item's fields share; float64 [n, 13].

    Cosine of static vectors, words and character trigrams of the query found in title, leaf, parent and all fields,
    words left over, brand named and met, and attribute values named in the query that the item has or has not.
    """
    queries = dict(tables.frame("queries", ["query_id", "text"]).iter_rows())
    rows = {row["item_id"]: row for row in tables.frame("catalogue").iter_rows(named=True)}
    brands = {row["brand"].lower() for row in rows.values() if row["brand"]}
    values: dict[str, set[str]] = {}  # value -> names of the attributes it occurs in
    for row in rows.values():
        for pair in row["attributes"] or ():
            values.setdefault(pair["value"].lower(), set()).add(pair["name"])
    named = {
        query: (
            {brand for brand in brands if brand in text},
            {value for value in values if f" {value} " in f" {text} "},
        )
        for query, text in queries.items()
    }
    parts = {item: _parts(row) for item, row in rows.items()}
    cosine = _cosine(queries, {item: row["title"] for item, row in rows.items()})
    found = []
    for query, item in zip(query_ids, item_ids, strict=True):
        text, row = queries[query], rows[item]
        words, grams = set(text.split()), _grams(text)
        title, leaf, parent, everything, all_grams = parts[item]
        brand, wanted = named[query]
        has = {pair["name"]: pair["value"].lower() for pair in row["attributes"] or ()}
        met = sum(value in has.values() for value in wanted)
        conflicts = sum(value not in has.values() and bool(values[value] & has.keys()) for value in wanted)
        own = (row["brand"] or "").lower()
        found.append(
            (
                cosine(query, item),
                len(words),
                len(words & title) / len(words),
                len(words & leaf),
                len(words & leaf) / max(len(leaf), 1),
                len(words & parent),
                len(words & everything) / len(words),
                len(words - everything),
                len(grams & all_grams) / max(len(grams), 1),
                met,
                conflicts,
                bool(brand) and own in brand,
                bool(brand) and own not in brand,
            )
        )
    return np.array(found, dtype=np.float64)


def learned(tables: Tables, pairs: pl.DataFrame, seed: int) -> NDArray[np.float64]:
    """Out-of-fold probabilities [n, 3] of boosted trees fitted to the given (noisy) labels, five folds by query."""
    x = features(tables, pairs["query_id"], pairs["item_id"])
    y = pairs["label"].to_numpy()

    def predict(train: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        model = HistGradientBoostingClassifier(max_iter=120, learning_rate=0.08, random_state=seed)
        return model.fit(x[train], y[train]).predict_proba(x[rows])

    return out_of_fold(pairs["query_id"], predict, seed=seed)


@dataclass(frozen=True)
class LearnedJudge:
    """Answers with the out-of-fold probabilities of `learned`: a real judge, no stronger than its features."""

    probabilities: dict[tuple[str, str], NDArray[np.float64]]
    block: int = 4096

    @property
    def judge(self) -> Judge:
        return Judge("boosted trees", "1", RUBRIC)

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        return Graded(np.stack([self.probabilities[pair.query_id, pair.item_id] for pair in pairs]))


@dataclass(frozen=True)
class SimulatedJudge:
    """Knows the truth, and is wrong by one grade in a share of the pairs, the same ones whenever it is asked."""

    truth: Truth
    accuracy: float
    seed: int
    block: int = 4096

    @property
    def judge(self) -> Judge:
        return Judge("simulated judge", f"{self.accuracy}-{self.seed}", RUBRIC)

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        grades = slipped(self.truth, pairs, 1 - self.accuracy, self.seed)
        return Graded(np.full((len(pairs), 3), 0.05) + 0.85 * np.eye(3)[grades])


@dataclass(frozen=True)
class SimulatedPerson:
    """Knows the truth, and slips by one grade in a share of the pairs, whatever the two verdicts say."""

    truth: Truth
    slips: float
    seed: int

    @property
    def judge(self) -> Judge:
        return Judge("person/simulated", f"{self.slips}-{self.seed}", RUBRIC)

    def adjudicate(
        self, pairs: Sequence[Pair], first: NDArray[np.int8], second: NDArray[np.int8]
    ) -> NDArray[np.integer]:
        del first, second
        return slipped(self.truth, pairs, self.slips, self.seed + 1)


def slipped(truth: Truth, pairs: Sequence[Pair], share: float, seed: int) -> NDArray[np.int64]:
    """True grades, a random share of them off by one; a pair's lot is a hash of its ids."""
    queries, items = pl.Series([pair.query_id for pair in pairs]), pl.Series([pair.item_id for pair in pairs])
    grades = truth.grade(queries.to_list(), items.to_list()).astype(np.int64)
    slip, side = (uniform(mix(hash_ids(queries, seed, salt), hash_ids(items, seed, salt))) for salt in ("slip", "side"))
    off = np.where(grades == 1, np.where(side < 0.5, 0, 2), 1)
    return np.where(slip < share, off, grades)


def _parts(row: dict) -> tuple[set[str], set[str], set[str], set[str], set[str]]:
    taxonomy = row["taxonomy"] or [""]
    title, leaf, parent = (_words(text) for text in (row["title"], taxonomy[-1], " ".join(taxonomy[:-1])))
    values = " ".join(pair["value"] for pair in row["attributes"] or ())
    everything = title | leaf | parent | _words(f"{row['brand'] or ''} {values}")
    return title, leaf, parent, everything, _grams(" ".join(sorted(everything)))


def _words(text: str) -> set[str]:
    words = set(text.lower().split())
    return words | {word.removesuffix("s") for word in words}


def _grams(text: str) -> set[str]:
    text = f" {text.lower()} "
    return {text[at : at + 3] for at in range(len(text) - 2)}


def _cosine(queries: dict[str, str], titles: dict[str, str]):  # type: ignore[no-untyped-def]
    backbone = static_backbone(load("minilm"), list(titles.values()))
    table, tokenizer = backbone.embedding.weight.detach().numpy(), backbone.tokenizer
    vectors = {}
    for kind, texts in (("q", queries), ("i", titles)):
        encodings = tokenizer.encode_batch(list(texts.values()), add_special_tokens=False)
        for key, encoding in zip(texts, encodings, strict=True):
            vector = table[encoding.ids].sum(axis=0)
            vectors[kind, key] = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return lambda query, item: float(vectors["q", query] @ vectors["i", item])
