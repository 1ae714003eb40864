"""One published version of an index, and how it answers a handful of asks at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from motherlode.index.candidates import Candidates
from motherlode.index.store import DEPTH, Index
from motherlode.serve.asks import Ask
from motherlode.serve.encoding import Encoders
from motherlode.serve.errors import Refused
from motherlode.serve.intersection import intersect
from motherlode.serve.strata import Strata

DIGITS = 6  # of a score: more than single precision holds
VECTORS = ("hybrid", "dense")  # modes that ask for the query's vector
WIDE = 300  # candidates each side of an intersection gives, at least
Answer = bytes | Exception  # the second half of a JSON object, see `Answering.written`


class Answering:
    """An opened index with its encoder and, where they are known, the strata of its scores."""

    def __init__(self, name: str, index: Index, encoders: Encoders, strata: Strata | None) -> None:
        self.name, self.index, self.encoders, self.strata = name, index, encoders, strata
        self.version: int = index.facts["version"]
        self.dead = frozenset(index.dead.tolist())

    def answers(self, asks: Sequence[Ask]) -> list[Answer]:
        """One answer an ask, in order: the asks' queries are encoded and searched together.

        What cannot be answered is a `Refused` in its place and leaves the others alone.
        """
        found: list[Answer] = [b""] * len(asks)
        vectors = self._encoded(asks)
        groups: dict[Any, list[int]] = defaultdict(list)
        for number, ask in enumerate(asks):
            try:
                if ask.grade and self.strata is None:
                    raise Refused(409, "no_thresholds", f"The index '{self.name}' has no thresholds: ask for grade 0.")
                if ask.mode not in ("hybrid", *self.index.names):
                    raise Refused(409, "no_such_leg", f"The index '{self.name}' has no {ask.mode} leg.")
                if ask.item_id is not None:
                    found[number] = self._similar(ask, vectors.get(ask.query))
                elif ask.query.strip():
                    groups[ask.mode, depth(ask), ask.wanted].append(number)
                else:
                    found[number] = self.written(ask.query, [], False)
            except Refused as error:
                found[number] = error
        for (mode, deep, wanted), numbers in groups.items():
            texts = [asks[number].query for number in numbers]
            known = np.stack([vectors[text] for text in texts]) if mode in VECTORS else None
            legs = self.index.legs(texts, deep, mode, wanted or None, known)
            for place, number in enumerate(numbers):
                one = slice(place, place + 1)
                own = {name: Candidates(leg.scores[one], leg.rows[one]) for name, leg in legs.items()}
                found[number] = self._found(asks[number], own, vectors.get(asks[number].query))
        return found

    def row_of(self, item_id: str) -> int | None:
        """The row where an item lives now, None where it does not."""
        rows = [row for row in self.index.items.find([item_id]).tolist() if row not in self.dead]
        return rows[-1] if rows else None

    def recommended(self, scored: Mapping[str, float], k: int) -> bytes:
        """The answer that holds the first k of these items (id -> score) that the index still has, in their order."""
        found = [row for row in self.index.items.find(list(scored)).tolist() if row not in self.dead]
        rows = {self.index.items[row]["item_id"]: row for row in found}
        kept = [(item_id, score) for item_id, score in scored.items() if item_id in rows][:k]
        hits = [self._hit(rank, rows[name], score, None) for rank, (name, score) in enumerate(kept, start=1)]
        return self.written("", hits, not hits)

    def written(self, query: str, hits: Sequence[Mapping[str, Any]], nothing: bool) -> bytes:
        """All of an answer that does not change from one request to the next: `{...` without the brace before it."""
        rest = {
            "query": query,
            "index": {"name": self.name, "version": self.version},
            "nothing_relevant": nothing,
            "hits": hits,
        }
        return to_json(rest)[1:]

    def _encoded(self, asks: Sequence[Ask]) -> dict[str, NDArray[np.float32]]:
        """The vector of every query that needs one."""
        needs = [ask for ask in asks if self.strata or ask.item_id is not None or ask.mode in VECTORS]
        texts = list(dict.fromkeys(ask.query for ask in needs if ask.query.strip()))
        return dict(zip(texts, self.encoders.queries(texts), strict=True)) if texts else {}

    def _found(self, ask: Ask, legs: dict[str, Candidates], vector: NDArray[np.float32] | None) -> bytes:
        """Blend, keep what reaches the wanted grade, and say what is known of each hit."""
        keep = depth(ask) if ask.grade else ask.k
        if len(legs) > 1:
            mixed = self.index.mix([ask.query], vector[None] if vector is not None else None, legs, keep)
        else:
            (mixed,) = legs.values()
        rows, scores = mixed.rows[0][:keep], mixed.scores[0][:keep]
        rows, scores = rows[rows >= 0], scores[rows >= 0]
        cosines = self._cosines(rows, vector) if vector is not None else None
        nothing = not len(rows)
        if self.strata and cosines is not None:
            nothing = not (cosines >= self.strata.threshold(1)).any()
            kept = np.flatnonzero(cosines >= self.strata.threshold(ask.grade))[: ask.k]
            rows, scores, cosines = rows[kept], scores[kept], cosines[kept]
        told = cosines.tolist() if cosines is not None else [None] * len(rows)
        hits = [
            self._hit(rank, row, score, cosine)
            for rank, (row, score, cosine) in enumerate(zip(rows.tolist(), scores.tolist(), told, strict=True), start=1)
        ]
        if ask.explain:
            _explain(hits, rows.tolist(), told, legs)
        return self.written(ask.query, hits, nothing)

    def _similar(self, ask: Ask, change: NDArray[np.float32] | None) -> bytes:
        """What is like an item; with a modifier, what is like the item and fits the words, both."""
        assert ask.item_id is not None
        own = self.row_of(ask.item_id)
        if own is None:
            raise Refused(404, "no_such_item", f"The index '{self.name}' holds no item {ask.item_id[:80]!r}.")
        item = self.index.dense.vectors(np.array([own], dtype=np.int64))
        vectors = item if change is None else np.concatenate([item, change[None, :]])
        deep = ask.k + 1 if change is None else max(WIDE, 10 * ask.k)
        legs = self.index.legs([""] * len(vectors), deep, "dense", ask.wanted or None, vectors)["dense"]
        if change is None:
            rows, scores = legs.rows[0], legs.scores[0]
        else:
            rows = np.unique(legs.rows[legs.rows >= 0])
            rows = rows[rows != own]
            rows, scores = intersect(rows, self._cosines(rows, item[0]), self._cosines(rows, change))
        kept = np.flatnonzero((rows >= 0) & (rows != own))[: ask.k]
        rows, scores = rows[kept], scores[kept]
        hits = [
            self._hit(rank, row, score, None)
            for rank, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True), start=1)
        ]
        if ask.explain:
            _explain(hits, rows.tolist(), self._cosines(rows, item[0]).tolist(), {})
        return self.written(ask.item_id, hits, not hits)

    def _hit(self, rank: int, row: int, score: float, cosine: float | None) -> dict[str, Any]:
        """One hit; cosine: of the query with the item, None where there is no query: strata are of no other."""
        item = self.index.items[row]
        grade = share = None
        if self.strata and cosine is not None:
            grade, share = self.strata.grade(cosine), round(self.strata.expected_precision(cosine), 4)
        return {
            "rank": rank,
            "item_id": item["item_id"],
            "title": item["title"],
            "brand": item["brand"],
            "taxonomy": [level for level in item["taxonomy"] or () if level],
            "image": item["image"],
            "score": round(score, DIGITS),
            "grade": grade,
            "expected_precision": share,
            "dense": None,
            "lexical": None,
            "sparse": None,
            "dense_rank": None,
            "lexical_rank": None,
            "sparse_rank": None,
        }

    def _cosines(self, rows: NDArray[np.int64], vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines of these rows with a unit vector, summed in double precision and rounded once, as in the leg."""
        order = np.argsort(rows)
        found = np.empty(len(rows), dtype=np.float32)
        vectors = self.index.dense.vectors(rows[order]).astype(np.float64)
        found[order] = np.einsum("d,md->m", vector.astype(np.float64), vectors)
        return found


def depth(ask: Ask) -> int:
    """Candidates that each leg must give for an ask."""
    return max(ask.k, DEPTH) if ask.mode == "hybrid" or ask.grade else ask.k


def _explain(
    hits: list[dict[str, Any]],
    rows: Sequence[int],
    cosines: Sequence[float | None],
    legs: Mapping[str, Candidates],
) -> None:
    """Add the cosine to every hit, and each leg's own rank and score to those it found."""
    for hit, cosine in zip(hits, cosines, strict=True):
        hit["dense"] = round(cosine, DIGITS) if cosine is not None else None
    for name, leg in legs.items():
        places = {row: place for place, row in enumerate(leg.rows[0].tolist()) if row >= 0}
        for hit, row in zip(hits, rows, strict=True):
            if (place := places.get(row)) is not None:
                hit[f"{name}_rank"] = place + 1
                hit[name] = round(float(leg.scores[0, place]), DIGITS)
