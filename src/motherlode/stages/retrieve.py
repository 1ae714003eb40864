"""What each system returns for a part's queries over the whole catalogue, as runs to be measured."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from motherlode.errors import InputError, MissingError
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.evaluation.run import Run
from motherlode.index.blend import convex, convex_pairs, tune_alpha
from motherlode.index.candidates import Candidates, best
from motherlode.index.dense import DenseIndex
from motherlode.index.pool import PairScores, Pool, pool
from motherlode.index.word_matches import Titles

if TYPE_CHECKING:
    import polars as pl

    from motherlode.index.lexical import LexicalIndex
    from motherlode.stages.shop_texts import ShopTexts
    from motherlode.workspace import Workspace


@dataclass(frozen=True)
class Known:
    """Items of each query that were judged in training, CSR by query: no system may spend a place on them."""

    indptr: np.ndarray
    items: np.ndarray

    @classmethod
    def from_pairs(cls, rows: np.ndarray, queries: np.ndarray, items: np.ndarray) -> "Known":
        """Of training pairs (query row, item row), those of the queries `rows`, numbered in that order."""
        held = np.isin(queries, rows)
        numbers, items = np.searchsorted(rows, queries[held]), items[held]
        order = np.argsort(numbers, kind="stable")
        return cls(np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=len(rows)))]), items[order])

    @property
    def most(self) -> int:
        return int(np.diff(self.indptr).max(initial=0))

    def drop(self, found: Candidates, k: int) -> Candidates:
        """Take the known items out of each list and keep the first k of the rest."""
        rows = found.rows.copy()
        for query in range(len(rows)):
            known = self.items[self.indptr[query] : self.indptr[query + 1]]
            if len(known):
                rows[query, np.isin(rows[query], known)] = -1
        return best(found.scores, rows, k)


class Part:
    """The queries of the validation or test part, their judgements, and how each system answers them."""

    def __init__(self, shop: "ShopTexts", name: str, depth: int) -> None:
        train = shop.pairs("train")
        self.shop, self.depth = shop, depth
        self.rows, self.judged = shop.judged(name)
        self.frame: pl.DataFrame = shop.queries[self.rows]
        self.texts: list[str] = self.frame["text"].to_list()
        self.known = Known.from_pairs(self.rows, train.queries, train.items)

    def dense(self, name: str, queries: np.ndarray, items: np.ndarray) -> Run:
        """Exact search by inner product of unit vectors."""
        index = DenseIndex(items, {}, None)
        found = self.known.drop(index.search(queries, self._wide(len(items))), self.depth)
        return _run(name, found, index.score(queries, self.judged.indptr, self.judged.items))

    def lexical(self, name: str, index: "LexicalIndex") -> Run:
        """BM25; a judged item that shares no word with the query scores 0."""
        found = self.known.drop(index.search(self.texts, self.depth + self.known.most), self.depth)
        return _run(name, found, index.score(self.texts, self.judged.indptr, self.judged.items))

    def blend(self, name: str, dense: Run, lexical: Run, alpha: float) -> Run:
        """Convex blend of two runs, `alpha` the weight of the dense one."""
        legs = _candidates(dense), _candidates(lexical)
        assert dense.judged_scores is not None and lexical.judged_scores is not None
        pairs = convex_pairs(*legs, dense.judged_scores, lexical.judged_scores, self.judged.indptr, alpha)
        return _run(name, convex(*legs, alpha, self.depth), pairs)

    def pool(
        self,
        queries: np.ndarray,
        items: np.ndarray,
        lexical: "LexicalIndex",
        titles: Titles,
        others: Mapping[str, tuple[Candidates, PairScores]],
    ) -> Pool:
        """What both legs found, and others beside them; every candidate scored by all, with the words it shares.

        others: of each further leg its list and how it scores given pairs.
        """
        index = DenseIndex(items, {}, None)
        legs = {
            "dense": _candidates(self.dense("dense", queries, items)),
            "lexical": _candidates(self.lexical("lexical", lexical)),
            **{name: found for name, (found, _) in others.items()},
        }
        scorers = {
            "dense": lambda indptr, rows: index.score(queries, indptr, rows),
            "lexical": lambda indptr, rows: lexical.score(self.texts, indptr, rows),
            **{name: score for name, (_, score) in others.items()},
        }
        found = pool(legs, scorers)
        return replace(found, matches=titles.matches(self.texts, found.rows))

    def best_alpha(self, dense: Run, lexical: Run) -> float:
        """Weight of the dense leg with the best NDCG@10 here: to be asked of the validation part."""

        def metric(found: Candidates) -> float:
            return float(np.nanmean(ranking_metrics(self.judged, found.rows, (10,))["ndcg@10"]))

        return tune_alpha(_candidates(dense), _candidates(lexical), metric, self.depth)[0]

    @cached_property
    def slices(self) -> dict[str, np.ndarray]:
        """Head / torso / tail, unseen, misspelt, locale and length, each where it is known and divides the queries."""
        from motherlode.evaluation.slices import by_flag, by_frequency, by_label, by_length

        frequency = self.frame["frequency"]
        known = frequency.null_count() < len(frequency)
        found = by_frequency(frequency.cast(float).fill_null(float("nan")).to_numpy() if known else None)
        for name, flags in (
            ("unseen", self.shop.unseen(self.rows)),
            ("misspelt", self.shop.misspelt(self.rows)),
        ):
            found |= by_flag(name, flags) if flags.any() and not flags.all() else {}
        locales = by_label(self.frame["locale"].to_list(), "locale ")
        return found | (locales if len(locales) > 1 else {}) | by_length(self.texts)

    def _wide(self, items: int) -> int:
        return min(self.depth + self.known.most, items)


def lexical_index(workspace: "Workspace", shop: "ShopTexts") -> "LexicalIndex":
    """The BM25 index of the catalogue, built once a data fingerprint."""
    from motherlode.index.items import documents
    from motherlode.index.lexical import LexicalIndex
    from motherlode.index.store import locale_of

    folder = workspace / f"lexical/{workspace.facts('data')['tables']}"
    if folder.exists():
        with suppress(InputError, MissingError):  # of a damaged one nothing is lost: it is built again
            return LexicalIndex.open(folder)
    LexicalIndex.build(documents(shop.tables), folder, locale=locale_of(shop.tables))
    return LexicalIndex.open(folder)


def _run(name: str, found: Candidates, judged_scores: np.ndarray) -> Run:
    return Run(name, found.rows, found.scores, judged_scores)


def _candidates(run: Run) -> Candidates:
    return Candidates(run.scores, run.items)
