"""Which pairs get judged, and with which planted faults."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.shop.assortment import assortment
from motherlode.shop.hashing import generator
from motherlode.shop.items import BLOCK, codes, draw_members
from motherlode.shop.queries import Queries
from motherlode.shop.truth import grade

# Where a candidate comes from, how many are drawn and how many of them at most are judged.
OWN, COMPLEMENT, SIBLING, RANDOM = range(4)
DRAWN = (160, 10, 12, 6)
JUDGED = np.array([11, 3, 4, 3])
LABEL_ERROR, FALSE_NEGATIVE, UNJUDGED = range(1, 4)
FAULTS = ("none", "label error", "false negative", "unjudged")


@dataclass(frozen=True)
class Pool:
    """Candidate pairs, each once, sorted by query and item."""

    query: NDArray[np.int64]  # [n] query number
    item: NDArray[np.int64]  # [n] item number
    source: NDArray[np.int64]  # [n]
    grade: NDArray[np.int8]  # [n] true grade


def candidates(seed: int, items: int, queries: Queries, first: int, last: int) -> Pool:
    """Plausible and random items for queries first to last-1.

    They are the target's block, members of its leaf, of the leaf's complements and of its neighbours in the
    taxonomy, and a few from anywhere, DRAWN of each. No list of the catalogue is needed.
    """
    shop = assortment()
    rng = generator(seed, "candidates", first)
    rows = np.arange(first, last)
    leaf, target = queries.codes.leaf[rows], queries.targets[rows]
    siblings = (shop.parents[:, None] == shop.parents) & ~np.eye(len(shop.parents), dtype=bool)
    own, complement, sibling, anywhere = DRAWN
    drawn = [
        target[:, None] // BLOCK * BLOCK + np.arange(BLOCK),
        draw_members(seed, np.repeat(leaf[:, None], own, axis=1), items, rng),
        _draw_related(seed, shop.complements, leaf, complement, items, rng),
        _draw_related(seed, siblings, leaf, sibling, items, rng),
        rng.integers(items, size=(len(rows), anywhere)),
    ]
    sources = np.repeat([OWN, OWN, COMPLEMENT, SIBLING, RANDOM], [part.shape[1] for part in drawn])
    item = np.concatenate(drawn, axis=1)
    keep = (item >= 0) & (item < items)
    query = np.broadcast_to(rows[:, None], item.shape)[keep]
    source = np.broadcast_to(sources, item.shape)[keep]
    # The same item drawn twice counts once, under its first source.
    _, once = np.unique(query * items + item[keep], return_index=True)
    query, item, source = query[once], item[keep][once], source[once]
    return Pool(query, item, source, grade(queries.codes.take(query), codes(seed, item)))


def shortlist(seed: int, pool: Pool, targets: NDArray[np.int64]) -> Pool:
    """The pairs to judge: the target, and the most promising of each source up to its share in JUDGED.

    Promise = U(0, 1) + 0.2 · grade: real judgement pools come from rankers, so they hold more of what is
    relevant.
    """
    rng = generator(seed, "shortlist", int(pool.query[0]))
    promise = rng.random(len(pool.query)) + 0.2 * pool.grade
    promise[pool.item == targets[pool.query]] = np.inf
    order = np.lexsort((-promise, pool.source, pool.query))
    keep = np.sort(
        order[rank_within(pool.query[order] * len(JUDGED) + pool.source[order]) < JUDGED[pool.source[order]]]
    )
    return Pool(pool.query[keep], pool.item[keep], pool.source[keep], pool.grade[keep])


def plant(
    seed: int, judged: Pool, label_errors: float, false_negatives: float
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Given grades int8 [n] (-1 where a pair is left unjudged) and faults int64 [n], an index into FAULTS.

    A share `false_negatives` of the pairs of grade 2 is lost: half of them judged 0, half not judged at all.
    Of all other pairs a share `label_errors` gets another grade: the next one up or down in nine cases of
    ten, from 0 to 2 or from 2 to 0 in the tenth (a grade 1 has neighbours alone).
    """
    rng = generator(seed, "faults", int(judged.query[0]))
    count = len(judged.query)
    given = judged.grade.astype(np.int8)
    lost = (judged.grade == 2) & (rng.random(count) < false_negatives)
    unjudged = lost & (rng.random(count) < 0.5)
    wrong = ~lost & (rng.random(count) < label_errors)
    far = rng.random(count) < 0.1
    either = rng.choice(np.array([0, 2], dtype=np.int8), size=count)
    other = np.where(judged.grade == 1, either, np.where(far, 2 - judged.grade, 1))
    given = np.select([unjudged, lost, wrong], [-1, 0, other], given).astype(np.int8)
    return given, np.select([unjudged, lost, wrong], [UNJUDGED, FALSE_NEGATIVE, LABEL_ERROR], 0)


def rank_within(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each row within its run of equal, sorted group numbers."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))


def _draw_related(
    seed: int,
    related: NDArray[np.bool_],
    leaves: NDArray[np.int64],
    count: int,
    items: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Members [n, count] of random leaves that `related` [L, L] ties to each leaf; -1 where it has none."""
    ties = related[leaves]
    totals = ties.sum(axis=1)
    # Related leaves first, in a stable order: the k-th of them is column k.
    listed = np.argsort(~ties, axis=1, kind="stable")
    column = (rng.random((len(leaves), count)) * totals[:, None]).astype(np.int64)
    drawn = draw_members(seed, np.take_along_axis(listed, column, axis=1), items, rng)
    return np.where(totals[:, None] > 0, drawn, -1)
