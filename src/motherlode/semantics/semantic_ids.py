"""Semantic ids: primary and secondary code and a suffix, which together name one item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import replacing
from motherlode.errors import InputError, MissingError
from motherlode.semantics.codes import Codes

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"motherlode.semantic_ids"  # where the parquet file's metadata holds the provenance


def semantic_id_table(item_ids: Sequence[str], codes: Codes) -> pa.Table:
    """Columns item_id, primary, secondary, suffix (int32), coded (bool); (primary, secondary, suffix) is unique.

    The suffix counts the items of a leaf from 0, in the order given. Raises InputError where lengths differ or an id
    comes twice.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = pa.array(item_ids, pa.string())
    if len(ids) != len(codes):
        raise InputError(f"There are {len(ids)} item ids and codes of {len(codes)} items: give one id each.")
    if pc.count_distinct(ids).as_py() < len(ids):
        raise InputError("An item id comes twice: semantic ids name each item once.")
    order = np.argsort(codes.leaf, kind="stable")
    leaf = codes.leaf[order]
    suffix = np.empty(len(codes), np.int32)
    suffix[order] = np.arange(len(leaf)) - np.searchsorted(leaf, leaf)
    columns = {"item_id": ids, "primary": codes.primary, "secondary": codes.secondary, "suffix": suffix}
    return pa.table(columns | {"coded": codes.coded})


def write_semantic_ids(path: Path | str, item_ids: Sequence[str], codes: Codes, **provenance: Any) -> None:
    """Write `semantic_id_table` as parquet; `provenance` (JSON values) says what they were made from.

    Give at least the fingerprints of the codebooks, of the alignment and of the views, and the seed.
    """
    import pyarrow.parquet as pq

    table = semantic_id_table(item_ids, codes)
    sizes = {"primary": codes.primary_size, "secondary": codes.secondary_size}
    said = json.dumps({"sizes": sizes} | provenance, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata({KEY: said.encode()}), temporary, compression="zstd")


def read_semantic_ids(path: Path | str) -> tuple[pa.Table, dict[str, Any]]:
    """The table and its provenance. MissingError where there is none, InputError where it is another file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.exists():
        raise MissingError(f"{path} does not exist: write the semantic ids first.")
    try:
        table = pq.read_table(path)
        provenance = json.loads((table.schema.metadata or {})[KEY])
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise InputError(f"{path} holds no semantic ids: write them again.") from error
    return table.replace_schema_metadata(None), provenance
