"""Verdicts out of the ledger, batch by batch: as Arrow, as a parquet file, as a table of judgements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from motherlode.atomic import replacing
from motherlode.grading.grader import Judge
from motherlode.grading.ledger_file import connect, explained
from motherlode.progress import bar
from motherlode.tables.schema import JUDGEMENTS

if TYPE_CHECKING:
    from motherlode.grading.ledger import Ledger

SCHEMA = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("grader", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("rubric", pa.string(), nullable=False),
        pa.field("p0", pa.float64(), nullable=False),
        pa.field("p1", pa.float64(), nullable=False),
        pa.field("p2", pa.float64(), nullable=False),
        pa.field("grade", pa.int8(), nullable=False),
        pa.field("cost", pa.float64(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
ROWS = 65_536

# from the few judges and sources to their verdicts: CROSS JOIN keeps that order
SELECT = """
SELECT v.query_id, v.item_id, j.name, j.version, j.rubric, v.p0, v.p1, v.p2, v.grade, v.cost, v.reason, o.source, v.time
FROM judges j CROSS JOIN verdicts v ON v.judge = j.number CROSS JOIN origins o ON o.number = v.origin
WHERE true
"""


def batches(ledger: Ledger, judge: Judge | None = None, source: str | None = None) -> Iterator[pa.RecordBatch]:
    """The verdicts in record batches with `SCHEMA`: one state of the ledger, whatever is written meanwhile."""
    select, values = SELECT, []
    if judge is not None:
        select += "AND (j.name, j.version, j.rubric) = (?, ?, ?) "
        values += [judge.name, judge.version, judge.rubric]
    if source is not None:
        select += "AND o.source = ? AND j.number IN (SELECT judge FROM origins WHERE source = ?) "
        values += [source, source]
    select += "ORDER BY j.number, v.query_id, v.item_id"  # the order of the key: nothing is sorted
    # a connection of its own: a long reading holds up no thread that records
    with explained(ledger.path), closing(connect(ledger.path)) as connection:
        cursor = connection.execute(select, values)
        while rows := cursor.fetchmany(ROWS):
            columns = zip(*rows, strict=True)
            yield pa.record_batch(
                [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
            )


def export(ledger: Ledger, path: Path, judge: Judge | None, source: str | None) -> int:
    """Write the verdicts as they are; rows written."""
    return _write(batches(ledger, judge, source), path, SCHEMA, lambda batch: batch)


def export_judgements(ledger: Ledger, path: Path, judge: Judge) -> int:
    """Write one judge's verdicts with the schema of the table of judgements; rows written."""
    return _write(batches(ledger, judge), path, JUDGEMENTS, _judgements)


def _write(
    found: Iterator[pa.RecordBatch],
    path: Path,
    schema: pa.Schema,
    change: Callable[[pa.RecordBatch], pa.RecordBatch],
) -> int:
    import pyarrow.parquet as pq

    written = 0
    with (
        replacing(path) as temporary,
        bar("exporting verdicts", unit="verdicts") as advance,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for batch in found:
            writer.write_batch(change(batch))
            written += batch.num_rows
            advance(batch.num_rows)
    return written


def _judgements(batch: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow.compute as pc

    columns = {name: batch.column(name) for name in batch.schema.names}
    kinds = {name: _kind(name) for name in pc.unique(columns["grader"]).to_pylist()}
    made = {
        **columns,
        "source": pa.array([kinds[name] for name in columns["grader"].to_pylist()]),
        "confidence": pc.max_element_wise(columns["p0"], columns["p1"], columns["p2"]),
        "grader": pc.binary_join_element_wise(columns["grader"], columns["version"], "@"),
    }
    return pa.record_batch(
        [
            made[field.name].cast(field.type) if field.name in made else pa.nulls(batch.num_rows, field.type)
            for field in JUDGEMENTS
        ],
        schema=JUDGEMENTS,
    )


def _kind(grader: str) -> str:
    role, _, name = grader.partition("/")
    return {"person": "human", "label": name}.get(role, "grader")
