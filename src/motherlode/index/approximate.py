"""Finding candidates by short codes: inverted lists of compressed vectors, tuned to a measured recall."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.index.selection import Selection
from motherlode.progress import bar

if TYPE_CHECKING:
    import faiss

# what a code is, in the factory language of faiss; {half}: half the dimensions
CODES = {"pq": "PQ{half}x4fs", "int8": "SQ8", "binary": "RaBitQfs"}
BLOCK = 16_384  # vectors in memory at once when filling
POINTS_PER_LIST = 40  # training vectors for each inverted list; faiss asks for 39
TRAINING = 65_536  # training vectors, at least: codes are learnt from them too
MARGIN = 32  # candidates beyond those asked for
WIDENINGS = (1, 2, 3, 4, 6, 8, 12, 16)  # candidates for each wanted item
WIDEST = WIDENINGS[-1]
SCATTERED = 3  # what reading a byte of a vector somewhere costs, in bytes of codes read in a row (measured)
DEPTHS = (10, 100)  # recall is measured among so many results
SHARES = (0.3, 0.1, 0.03, 0.01)  # of the rows that a filter may leave, for which the lists to visit are tuned apart
FILTER_SAMPLE = 100  # queries for that
NOWHERE = np.iinfo(np.int64).max  # the place of what is not in a list

Exact = Callable[[NDArray[np.float32], int, Selection | None], NDArray[np.int64]]


class Codes:
    """Candidates by inner products with compressed vectors, to be scored again exactly.

    The nearest `visited` lists are scanned; widen * k + 32 candidates come out for k wanted. Under a selection the
    nearest lists that hold selected rows are scanned until they hold as many of them as a share of the lists would
    on average, the share having been tuned for selections of that size: so a filter that fits the query badly,
    whose rows lie far off and together, is answered as well as one whose rows lie everywhere (ours).
    """

    def __init__(self, ann: faiss.IndexIVF, facts: dict[str, Any]) -> None:
        self.ann = ann
        self.visited: int = facts["visited"]
        self.widen: int = facts["widen"]
        self.filtered: list[dict[str, Any]] = facts["filtered"]

    @classmethod
    def build(
        cls, vectors: NDArray[np.float32], precision: str, lists: int, rng: np.random.Generator
    ) -> faiss.IndexIVF:
        """Train on a sample of unit vectors [N, d] and fill; `lists` inverted lists. Raises InputError."""
        import faiss

        count, dimensions = vectors.shape
        if precision == "pq" and dimensions % 2:
            raise InputError(f"Codes of two dimensions each need an even number of them, not {dimensions}.")
        factory = f"IVF{lists},{CODES[precision].format(half=dimensions // 2)}"
        ann = cast(faiss.IndexIVF, faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT))
        wanted = min(count, max(lists * POINTS_PER_LIST, TRAINING))
        sample = np.sort(rng.choice(count, wanted, replace=False))
        with bar("training and filling the dense index", count) as advance:
            ann.train(vectors[sample])
            for start in range(0, count, BLOCK):
                block = np.ascontiguousarray(vectors[start : start + BLOCK])
                ann.add(block)
                advance(len(block))
        return ann

    def candidates(self, queries: NDArray[np.float32], k: int, among: Selection | None = None) -> NDArray[np.int64]:
        """Rows [Q, M] that may hold the k best of each query, M > k, in the order of the codes; -1 pads."""
        wide = min(self.widen * k + MARGIN, self.ann.ntotal)
        if among is None:
            self.ann.nprobe = self.visited
            return np.asarray(self.ann.search(queries, wide)[1])
        return self._selected(queries, wide, among, self._share(len(among) / among.size))

    def _share(self, selected: float) -> float:
        """The share of the lists to visit when a filter leaves this share of the rows."""
        visited = self.visited
        for entry in self.filtered:  # from the largest share down
            if selected < 1:
                visited = entry["visited"]
            if entry["share"] <= selected:
                break
        return visited / self.ann.nlist

    def _selected(self, queries: NDArray[np.float32], wide: int, among: Selection, share: float) -> NDArray[np.int64]:
        import faiss

        swig: Any = faiss  # what its Python layer takes by keyword, its type stubs do not know
        selector = swig.IDSelectorBitmap(among.bits)
        if self.ann.nlist == 1:
            parameters = swig.SearchParametersIVF(sel=selector, nprobe=1)
            return np.asarray(self.ann.search(queries, wide, params=parameters)[1])
        counts = among.counts(self._lists, self.ann.nlist)
        holding = np.flatnonzero(counts)
        near = (queries @ self._centres.T)[:, holding]
        order = np.argsort(-near, axis=1)
        enough = np.cumsum(counts[holding][order], axis=1) >= min(share, 1.0) * len(among)
        ann: Any = self.ann
        point = faiss.swig_ptr
        rows, scores = np.empty((len(queries), wide), np.int64), np.empty((len(queries), wide), np.float32)
        for number, line in enumerate(enough):
            # the lists to visit are known, so the quantizer need not look for them again
            first = order[number, : int(np.argmax(line)) + 1]
            lists, likeness = holding[first], near[number, first]
            ann.search_preassigned_c(
                1, point(queries[number]), wide, point(lists), point(likeness), point(scores[number]),
                point(rows[number]), False, swig.SearchParametersIVF(sel=selector, nprobe=len(first)),
            )  # fmt: skip
        return rows

    @cached_property
    def _centres(self) -> NDArray[np.float32]:
        return np.asarray(self.ann.quantizer.reconstruct_n(0, self.ann.nlist))

    @cached_property
    def _lists(self) -> NDArray[np.int32]:
        """The list of every row, int32 [N]."""
        import faiss

        lists = np.empty(self.ann.ntotal, dtype=np.int32)
        inverted: Any = self.ann.invlists
        for number in range(self.ann.nlist):
            size = inverted.list_size(number)
            if size:
                lists[faiss.rev_swig_ptr(inverted.get_ids(number), size)] = number
        return lists


def tune(
    ann: faiss.IndexIVF, exact: Exact, queries: NDArray[np.float32], target: float, rng: np.random.Generator
) -> dict[str, Any]:
    """The cheapest settings whose recall against exact search reaches `target`, and what it is.

    Recall at 10 and at 100, on `queries`, both. From the fewest lists that reach the target with most candidates,
    lists visited grow by a fifth at a time; with each number of them the fewest candidates that reach the target are
    looked for, and the cheapest pair wins by the bytes it reads: those of the codes scanned, and `SCATTERED` times
    those of the vectors that score candidates again. Where no pair reaches the target, all lists and most candidates
    are what there is. For selections of `SHARES` of the rows, drawn at random, the fewest lists that do are found.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    depths = [depth for depth in DEPTHS if depth <= ann.ntotal] or [ann.ntotal]
    true = exact(queries, depths[-1], None)
    codes = Codes(ann, {"visited": 1, "widen": WIDEST, "filtered": []})
    scanned, scored = ann.ntotal / ann.nlist * ann.code_size, SCATTERED * ann.d * 4 * depths[-1]
    best = (np.inf, ann.nlist, WIDEST)

    def reaching(visited: int) -> list[int]:
        codes.visited = visited
        places = _places(true, codes.candidates(queries, depths[-1]))
        return [widen for widen in WIDENINGS if min(_recalls(places, depths, widen)) >= target]

    steps = _steps(ann.nlist)
    for visited in steps[bisect_left(steps, True, key=lambda step: bool(reaching(step))) :]:
        if visited * scanned + scored >= best[0]:
            break
        if widenings := reaching(visited):
            best = min(best, (visited * scanned + widenings[0] * scored, visited, widenings[0]))
    _, codes.visited, codes.widen = best
    recalls = _recalls(_places(true, codes.candidates(queries, depths[-1])), depths, codes.widen)
    filtered: list[dict[str, Any]] = []
    for share in SHARES if ann.nlist > 1 else ():
        if share * ann.ntotal >= depths[-1]:
            filtered.append(_tune_filtered(codes, exact, queries[:FILTER_SAMPLE], share, depths, target, rng))
    return {
        "lists": ann.nlist,
        "visited": codes.visited,
        "widen": codes.widen,
        **{f"recall@{depth}": recall for depth, recall in zip(depths, recalls, strict=True)},
        "target": target,
        "sample": len(queries),
        "filtered": filtered,
    }


def _tune_filtered(
    codes: Codes,
    exact: Exact,
    queries: NDArray[np.float32],
    share: float,
    depths: list[int],
    target: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    count = codes.ann.ntotal
    among = Selection(np.sort(rng.choice(count, round(share * count), replace=False)), count)
    true = exact(queries, depths[-1], among)

    def recalls_of(visited: int) -> list[float]:
        found = codes._selected(queries, codes.widen * depths[-1] + MARGIN, among, visited / codes.ann.nlist)
        return _recalls(_places(true, found), depths, codes.widen)

    steps = [step for step in _steps(codes.ann.nlist) if step >= codes.visited]
    first = bisect_left(steps, True, key=lambda step: min(recalls_of(step)) >= target)
    visited = steps[min(first, len(steps) - 1)]
    recalls = recalls_of(visited)
    measured = {f"recall@{depth}": recall for depth, recall in zip(depths, recalls, strict=True)}
    return {"share": share, "visited": visited, **measured}


def _steps(lists: int) -> list[int]:
    """Numbers of lists to try, from 1 to all, each a fifth more than the one before."""
    found = [1]
    while found[-1] < lists:
        found.append(min(max(found[-1] + 1, round(1.2 * found[-1])), lists))
    return found


def _recalls(places: NDArray[np.int64], depths: list[int], widen: int) -> list[float]:
    """Recall at each depth when `widen` times as many candidates, and the margin, are scored again.

    places: as `_places` gives them. Mean over the queries that have a true row at all.
    """
    found = []
    for depth in depths:
        real = (places[:, :depth] >= 0).sum(axis=1)
        hits = ((places[:, :depth] >= 0) & (places[:, :depth] < widen * depth + MARGIN)).sum(axis=1)
        found.append(float((hits[real > 0] / real[real > 0]).mean()) if real.any() else 1.0)
    return found


def _places(true: NDArray[np.int64], found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each true row [Q, K] stands among the candidates [Q, M] of its query: `NOWHERE`, -1 for pads."""
    place = np.full(int(max(true.max(), found.max())) + 2, NOWHERE)  # by row; of pads the last
    places = np.empty_like(true)
    for one, candidates, at in zip(true, found, places, strict=True):
        place[candidates] = np.arange(len(candidates))
        place[-1] = -1
        at[:] = place[one]
        place[candidates] = NOWHERE
    return places
