"""The table of mined pairs, and what becomes of it: judgements beside all the original ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from motherlode.atomic import replacing
from motherlode.errors import InputError, MissingError
from motherlode.mining.miner import Mined
from motherlode.tables.schema import GRADES, JUDGEMENTS

COLUMNS: dict[str, type[pl.DataType]] = {
    "query_id": pl.String,
    "item_id": pl.String,
    "rank": pl.Int32,  # from 1
    "score": pl.Float32,  # of the query's and the item's vector
    "miner": pl.String,
    "weights": pl.String,  # fingerprint of the encoder
    "grade": pl.Int8,
    "confidence": pl.Float32,  # max(p0, p1, p2)
    "judge": pl.String,  # name@version
    "rubric": pl.String,
}


def write_mined(frame: pl.DataFrame, path: Path | str) -> None:
    """Write mined pairs as parquet, whole or not at all."""
    with replacing(path) as temporary:
        _typed(frame).write_parquet(temporary)


def read_mined(path: Path | str) -> pl.DataFrame:
    """Read what `write_mined` wrote. MissingError without the file, InputError where it is something else."""
    path = Path(path)
    if not path.exists():
        raise MissingError(f"{path} is not there: mine a round first.")
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} is no parquet file of mined pairs: mine the round again.") from error
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise InputError(f"{path} has no column {missing[0]}: mine the round again.")
    wrong = frame.with_row_index("row").filter(~pl.col("grade").is_in(GRADES).fill_null(False))
    if len(wrong):
        raise InputError(
            f"{path}, row {wrong['row'][0]}, grade: {wrong['grade'][0]} is not 0, 1 or 2: mine the round again."
        )
    return _typed(frame)


def merge(originals: pl.DataFrame, mined: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All original judgements, then the mined pairs that they do not hold, with the columns of `JUDGEMENTS`.

    An original judgement wins over a mined verdict on the same pair; of several mined tables the later wins. Without
    the originals the model forgets (Mine and Refine §4.4). Columns that `originals` lacks are null; it needs query_id,
    item_id and grade. Raises InputError where one of them is absent.
    """
    for name in ("query_id", "item_id", "grade"):
        if name not in originals.columns:
            raise InputError(f"The original judgements have no column {name}.")
    schema = pl.from_arrow(JUDGEMENTS.empty_table()).schema  # type: ignore[union-attr]
    full = originals.select(
        (pl.col(name) if name in originals.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    )
    if not mined:
        return full
    pair = ["query_id", "item_id"]
    new = (
        pl.concat([_typed(frame) for frame in mined])
        .unique(pair, keep="last", maintain_order=True)
        .join(full.select(pair), on=pair, how="anti", maintain_order="left")
        .with_columns(pl.lit("mined").alias("source"), pl.col("judge").alias("grader"))
    )
    return pl.concat([full, new.select(name for name in schema if name in new.columns)], how="diagonal")


def unjudged(mined: Mined, query_ids: pl.Series, item_ids: pl.Series, miner: str, weights: str) -> pl.DataFrame:
    """A rival's negatives as a mined table, all grade 0 on nobody's verdict (judge "unjudged"): for comparisons alone.

    The columns are those of COLUMNS; rank is the place in the miner's list, confidence and rubric are null.
    """
    queries, columns = np.nonzero(mined.items >= 0)
    found = {
        "query_id": query_ids[queries],
        "item_id": item_ids[mined.items[queries, columns]],
        "rank": columns + 1,
        "score": mined.scores[queries, columns],
    }
    said = {"miner": miner, "weights": weights, "grade": 0, "confidence": None, "judge": "unjudged", "rubric": None}
    return _typed(pl.DataFrame(found).with_columns(pl.lit(value).alias(name) for name, value in said.items()))


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
