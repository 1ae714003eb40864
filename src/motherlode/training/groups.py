"""Graded groups: one query, its items, their grades; the unit that both training stages sample."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Caps:
    """Most items a group may hold of each grade. Ours: the paper gives no counts."""

    grade_2: int = 4
    grade_1: int = 4
    grade_0: int = 8

    def of(self, grade: int) -> int:
        return (self.grade_0, self.grade_1, self.grade_2)[grade]


@dataclass(frozen=True)
class GradedGroups:
    """Judgements of Q queries over numbered texts, CSR: items and grades of query q lie in indptr[q]:indptr[q+1].

    `queries` int64 [Q] and `items` int64 [J] are row numbers of texts; `grades` int8 [J]. Items are distinct and
    rising within a query; where two judgements fell on one text the higher grade was kept.
    """

    queries: np.ndarray
    indptr: np.ndarray
    items: np.ndarray
    grades: np.ndarray

    @classmethod
    def from_pairs(cls, queries: np.ndarray, items: np.ndarray, grades: np.ndarray) -> "GradedGroups":
        """Group aligned pair columns by query text row."""
        order = np.lexsort((-grades.astype(np.int64), items, queries))
        queries, items, grades = queries[order], items[order], grades[order]
        first = np.ones(len(queries), dtype=bool)
        first[1:] = (queries[1:] != queries[:-1]) | (items[1:] != items[:-1])
        queries, items, grades = queries[first], items[first], grades[first]
        distinct, starts = np.unique(queries, return_index=True)
        return cls(
            distinct.astype(np.int64),
            np.append(starts, len(queries)).astype(np.int64),
            items.astype(np.int64),
            grades.astype(np.int8),
        )

    def __len__(self) -> int:
        return len(self.queries)

    def formats(self) -> np.ndarray:
        """The instance format each query's grades allow, as a bit set: 1 holds grade 0, 2 grade 1, 4 grade 2."""
        bits = np.left_shift(1, self.grades.astype(np.int64))
        return np.bitwise_or.reduceat(bits, self.indptr[:-1]) if len(self) else np.zeros(0, np.int64)

    def trainable(self, unrelated: bool) -> np.ndarray:
        """Groups that hold a relative positive, given whether unrelated items will join them as grade 0.

        Without them these are the four formats of Eq. 1 (2/1/0, 2/0, 1/0, 2/1); with them any group with a
        grade above 0 is one of these formats once it is filled.
        """
        formats = self.formats()
        keep = formats >= 2 if unrelated else np.isin(formats, (7, 5, 3, 6))
        return np.flatnonzero(keep)

    def repeats(self, caps: Caps) -> np.ndarray:
        """How many groups an epoch takes from each query, so that its items are all likely to be seen; int64 [Q].

        max over grades of ceil(items of the grade / cap), at least 1. Ours: the paper gives no counts.
        """
        needed = np.ones(len(self), dtype=np.int64)
        for grade in (0, 1, 2):
            if cap := caps.of(grade):
                counts = np.add.reduceat((self.grades == grade).astype(np.int64), self.indptr[:-1])
                needed = np.maximum(needed, -(-counts // cap))
        return needed

    def sample(self, group: int, caps: Caps, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Items and grades of one group, at most `caps` a grade, drawn without replacement."""
        begin, end = self.indptr[group], self.indptr[group + 1]
        items, grades = self.items[begin:end], self.grades[begin:end]
        keep = np.zeros(len(items), dtype=bool)
        for grade in (0, 1, 2):
            of_grade = np.flatnonzero(grades == grade)
            if len(of_grade) > caps.of(grade):
                of_grade = rng.choice(of_grade, caps.of(grade), replace=False)
            keep[of_grade] = True
        return items[keep], grades[keep]


def stratified_order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order in which every stretch holds each stratum in (nearly) its overall share; int64 [n].

    Each member of a stratum of size m gets a place (rank + u) / m in [0, 1), its rank random and u one shift
    a stratum; sorting all places interleaves the strata evenly.
    """
    places = np.empty(len(strata))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        places[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    return np.argsort(places, kind="stable")
