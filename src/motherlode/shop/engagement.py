"""What shoppers did with the result pages: a position-based click model over a simulated ranker."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from motherlode.shop.hashing import generator
from motherlode.shop.items import popularity
from motherlode.shop.judgements import Pool, rank_within
from motherlode.shop.queries import Queries

PAGE = 20
ETA = 0.8  # examination of rank r is r^-ETA
ATTRACTION = (0.04, 0.22, 0.45)  # chance that an examined item of grade 0, 1, 2 is clicked, at average appeal
ADD = (0.05, 0.18, 0.35)  # of clicked
PURCHASE = 0.4  # of added
APPEAL_SPREAD = 0.4  # standard deviation of the log of what photo, price and promotion do to attraction


class Pages(NamedTuple):
    """One row per item shown, sorted by query and rank."""

    query: NDArray[np.int64]
    item: NDArray[np.int64]
    rank: NDArray[np.int64]  # from 1
    appeal: NDArray[np.float64]
    impressions: NDArray[np.int64]
    clicks: NDArray[np.int64]
    adds: NDArray[np.int64]
    purchases: NDArray[np.int64]


def engage(seed: int, pool: Pool, queries: Queries) -> Pages:
    """Show each query's first PAGE candidates as often as it is asked, and count.

    rank by 0.5 · grade + 0.3 · log popularity + N(0, 0.5); clicks ~ B(impressions, rank^-ETA · min(0.95,
    ATTRACTION[grade] · appeal)); adds ~ B(clicks, ADD[grade]); purchases ~ B(adds, PURCHASE); log appeal is
    N(0, APPEAL_SPREAD), one draw a pair. Clicks therefore confuse grade, place, popularity and appeal.
    """
    rng = generator(seed, "engagement", int(pool.query[0]))
    score = 0.5 * pool.grade + 0.3 * np.log(popularity(seed, pool.item)) + rng.normal(0, 0.5, len(pool.item))
    order = np.lexsort((-score, pool.query))
    place = rank_within(pool.query[order])
    shown = order[place < PAGE]
    rank = place[place < PAGE] + 1
    query, item, grades = pool.query[shown], pool.item[shown], pool.grade[shown]
    appeal = np.exp(rng.normal(0, APPEAL_SPREAD, len(shown)))
    impressions = queries.frequency[query]
    clicks = rng.binomial(impressions, rank**-ETA * np.minimum(0.95, np.array(ATTRACTION)[grades] * appeal))
    adds = rng.binomial(clicks, np.array(ADD)[grades])
    return Pages(query, item, rank, appeal, impressions, clicks, adds, rng.binomial(adds, PURCHASE))
