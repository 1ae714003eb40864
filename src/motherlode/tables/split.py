"""Who trains, who validates, who tests: decided by hashes of the ids, never by the order of the rows.

A query's role depends on its id and the seed alone, so adding rows or queries moves nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from motherlode.errors import SettingError
from motherlode.tables.hashing import hash_ids, mix, uniform


def split(
    judgements: pl.DataFrame,
    *,
    seed: int,
    validation: float = 0.1,
    test: float = 0.2,
    unseen: float = 0.3,
) -> pl.DataFrame:
    """The judgements with two more columns: `part` (train, validation or test) and `seen` (bool).

    A share `validation` of the queries is for validation alone. Of the share `test`, the fraction `unseen` is
    wholly held out; of the others each (query, item) pair goes by its own hash, one half to test, one half to
    train, so that these test queries are known to the model but their test pairs are not. `unseen=1` is the
    strict split by query. `seen` says whether the query has a row in `train`.

    Needs `query_id` and `item_id`; raises SettingError for shares that cannot be.
    """
    shares = {
        "validation": validation,
        "test": test,
        "unseen": unseen,
        "validation + test": validation + test,
    }
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise SettingError(f"The share {name} = {share} must lie between 0 and 1.")
    queries, items = judgements["query_id"], judgements["item_id"]
    role = uniform(hash_ids(queries, seed, "role"))
    in_test, in_validation = role < test, (role >= test) & (role < test + validation)
    held_out = uniform(hash_ids(queries, seed, "unseen")) < unseen
    pair = uniform(mix(hash_ids(queries, seed, "pair"), hash_ids(items, seed, "pair")))
    tested = in_test & (held_out | (pair < 0.5))
    part = np.where(tested, "test", np.where(in_validation, "validation", "train"))
    divided = judgements.with_columns(pl.Series("part", part, dtype=pl.String))
    return divided.with_columns(seen=(pl.col("part") == "train").any().over("query_id"))


def folds(query_ids: pl.Series | Sequence[str], k: int, seed: int) -> np.ndarray:
    """int64[n]: the fold 0..k-1 of each query by a hash of its id; folds have equal sizes on average only."""
    if k < 2:
        raise SettingError(f"Cross-validation needs at least 2 folds, not {k}.")
    ids = pl.Series(query_ids, dtype=pl.String)
    return (hash_ids(ids, seed, "fold") % np.uint64(k)).astype(np.int64)
