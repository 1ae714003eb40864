"""The tables in truth/: what a real shop would not know of itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from motherlode.shop.assortment import SLOTS, assortment
from motherlode.shop.items import Codes
from motherlode.tables.schema import ATTRIBUTES

VERSION = 1  # raise it whenever the same seed would no longer give the same shop

SCHEMAS = {
    "items": pa.schema(
        [
            ("item_id", pa.string()),
            ("leaf", pa.int16()),
            ("brand_code", pa.int16()),
            *((f"value_{slot}", pa.int8()) for slot in range(SLOTS)),
            ("family", pa.string()),  # item_id of the family's head
            ("role", pa.string()),  # original, variant, duplicate
            ("cluster", pa.int16()),
            ("popularity", pa.float32()),
        ]
    ),
    "queries": pa.schema(
        [
            ("query_id", pa.string()),
            ("clean", pa.string()),
            ("misspelt", pa.bool_()),
            ("broadness", pa.string()),
            ("category", pa.list_(pa.string())),
            ("brand", pa.string()),
            ("constraints", ATTRIBUTES),
            ("leaf", pa.int16()),
            ("brand_code", pa.int16()),
            *((f"value_{slot}", pa.int8()) for slot in range(SLOTS)),
        ]
    ),
    "planted": pa.schema(
        [
            ("query_id", pa.string()),
            ("item_id", pa.string()),
            ("true_grade", pa.int8()),
            ("planted_grade", pa.int8()),  # null where the pair is left unjudged
            ("kind", pa.string()),
        ]
    ),
    "pages": pa.schema(
        [("query_id", pa.string()), ("item_id", pa.string()), ("rank", pa.int16()), ("appeal", pa.float32())]
    ),
    "users": pa.schema([("user_id", pa.string()), ("taste", pa.int16())]),
}


@contextmanager
def truth_table(folder: Path, name: str) -> Iterator[Any]:
    """Yield a function that appends columns to truth/<name>.parquet."""
    schema = SCHEMAS[name]
    with pq.ParquetWriter(folder / "truth" / f"{name}.parquet", schema, compression="zstd") as writer:
        yield lambda **columns: writer.write_table(
            pa.table([pa.array(columns[field.name]).cast(field.type) for field in schema], schema=schema)
        )


def attributes_column(codes: Codes) -> pa.Array:
    """The attributes column: names and canonical values of the codes, unstated ones left out."""
    shop = assortment()
    stated = codes.values >= 0
    attribute = shop.slots[codes.leaf][stated]
    starts = np.cumsum([0, *(len(values) for values in shop.values)])
    value = starts[attribute] + codes.values[stated]
    names = pa.array(shop.attributes).take(pa.array(attribute))
    values = pa.array([value for values in shop.values for value in values]).take(pa.array(value))
    offsets = np.concatenate([[0], np.cumsum(stated.sum(axis=1))]).astype(np.int32)
    pairs = pa.StructArray.from_arrays([names, values], names=["name", "value"])
    return pa.ListArray.from_arrays(pa.array(offsets), pairs)


def code_columns(codes: Codes) -> dict[str, NDArray[np.int64]]:
    """Codes under the names that the tables in truth/ give them."""
    values = {f"value_{slot}": codes.values[:, slot] for slot in range(SLOTS)}
    return {"leaf": codes.leaf, "brand_code": codes.brand, **values}
