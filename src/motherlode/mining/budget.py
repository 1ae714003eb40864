"""Which pairs to buy verdicts on first, when there is not the money for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import SettingError
from motherlode.grading.isotonic import isotonic


@dataclass(frozen=True)
class Offers:
    """n pairs on offer; what an order does not look at may be left out.

    Attributes:
        queries: int64 [n], query rows.
        items: int64 [n], item rows.
        ranks: int64 [n, L], rank in each of L legs from 1, the mining one first; one beyond its list where absent.
        probabilities: float64 [n, 3] over the grades, as far as can be told before the verdict.
        clusters: int64 [n], the cluster of the item.
    """

    queries: NDArray[np.int64]
    items: NDArray[np.int64]
    ranks: NDArray[np.int64]
    probabilities: NDArray[np.float64] | None = None
    clusters: NDArray[np.int64] | None = None


def first(name: str, offers: Offers, seed: int) -> NDArray[np.int64]:
    """The offers in the order in which to buy: int64 [n], positions.

    random: any; the baseline. rank: rank 1 of all queries, then rank 2 ... disagreement: where the legs differ
    most. uncertainty: where the grade can be told least. spread: by rank, but one of each query and cluster before a
    second of any. mixed: disagreement and uncertainty in equal parts, spread likewise. Equals come in random order.
    Ours; the channels' disagreement as a signal follows Walmart's three-channel mining (arXiv 2606.23911).
    Raises SettingError for another name, and where what the order needs is not known.
    """
    if name not in ORDERS:
        raise SettingError(f"There is no order '{name}' to buy verdicts in: {', '.join(ORDERS)}.")
    shuffled = np.random.default_rng([seed, 0xB4D6]).permutation(len(offers.queries))
    keys = ORDERS[name](offers)
    return shuffled[np.lexsort([key[shuffled] for key in reversed(keys)])] if keys else shuffled


def disagreement(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """max over legs of ln(rank) - min over legs of ln(rank): float64 [n] from ranks [n, L].

    Logarithms, since rank 1 against 10 is as far apart as 10 against 100. Raises SettingError for a single leg.
    """
    if ranks.shape[1] < 2:
        raise SettingError("To see where legs disagree there must be a second one: give the lexical leg's lists.")
    logs = np.log(ranks)
    return logs.max(axis=1) - logs.min(axis=1)


def uncertainty(probabilities: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Entropy of each row in nats: float64 [n]. Raises SettingError where there are no probabilities."""
    if probabilities is None:
        raise SettingError("Uncertainty needs probabilities of the grades: give some original judgements.")
    safe = np.where(probabilities > 0, probabilities, 1.0)
    return -(safe * np.log(safe)).sum(axis=1)


def spread(
    values: NDArray[np.floating], queries: NDArray[np.int64], clusters: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """How many offers of the same query and cluster have a higher value: int64 [n], 0 for the best of each cell.

    Sorted by it, every cell gives one pair before any gives a second. Equal values count in the order given.
    Raises SettingError where there are no clusters.
    """
    if clusters is None:
        raise SettingError("To spread verdicts over clusters the items need clusters.")
    order = np.lexsort([-values, clusters, queries])
    same = (np.diff(queries[order]) == 0) & (np.diff(clusters[order]) == 0)
    starts = np.flatnonzero(np.concatenate([[True], ~same])) if len(order) else np.zeros(0, np.int64)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    found = np.empty(len(order), dtype=np.int64)
    found[order] = place
    return found


def leg_ranks(rows: NDArray[np.int64], queries: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank from 1 of pairs in a leg's lists rows [Q, K] (-1 pads): int64 [n], K + 1 where an item is not listed."""
    width = int(max(rows.max(initial=-1), items.max(initial=-1))) + 1
    listed = rows >= 0
    keys = (np.arange(len(rows))[:, None] * width + rows)[listed]
    ranks = np.broadcast_to(np.arange(1, rows.shape[1] + 1), rows.shape)[listed]
    order = np.argsort(keys)
    wanted = queries * width + items
    if not len(keys):
        return np.full(len(wanted), rows.shape[1] + 1)
    place = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
    return np.where(keys[place] == wanted, ranks[place], rows.shape[1] + 1).astype(np.int64)


def grades_by_score(
    known: NDArray[np.floating], grades: NDArray[np.int8], scores: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Probabilities of the grades [n, 3] of pairs with these scores, told from judged pairs (known [J], grades [J]).

    P(grade >= 1 | score) and P(grade 2 | score) are isotonic fits; without judged pairs all grades are equal.
    """
    if not len(known):
        return np.full((len(scores), 3), 1 / 3)
    above = [
        np.interp(scores, *isotonic(known.astype(np.float64), (grades >= least).astype(np.float64))) for least in (1, 2)
    ]
    # isotonic fits of nested events are nested; interpolation between other knots need not be
    second = np.minimum(above[0], above[1])
    return np.stack([1 - above[0], above[0] - second, second], axis=1)


def _percentile(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of values below each: float64 [n], equal for equals."""
    return np.searchsorted(np.sort(values), values) / max(len(values), 1)


def _mixed(offers: Offers) -> list[NDArray[np.floating]]:
    value = _percentile(disagreement(offers.ranks)) + _percentile(uncertainty(offers.probabilities))
    return [spread(value, offers.queries, offers.clusters).astype(np.float64), -value]


def _spread(offers: Offers) -> list[NDArray[np.floating]]:
    rank = offers.ranks[:, 0].astype(np.float64)
    return [spread(-rank, offers.queries, offers.clusters).astype(np.float64), rank]


# keys to sort by, the most important first, the smallest bought first
ORDERS: dict[str, Callable[[Offers], list[NDArray[np.floating]]]] = {
    "random": lambda _: [],
    "rank": lambda offers: [offers.ranks[:, 0].astype(np.float64)],
    "disagreement": lambda offers: [-disagreement(offers.ranks)],
    "uncertainty": lambda offers: [-uncertainty(offers.probabilities)],
    "spread": _spread,
    "mixed": _mixed,
}
