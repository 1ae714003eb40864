"""Rows of a file as they stand there, in batches, each with the row or line it came from.

Text files go line by line, so that every row knows its line and a broken one spoils no other; parquet goes by
record batches. Text is decoded with surrogate escapes: bytes that are no UTF-8 survive reading and are named
afterwards.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from motherlode.errors import InputError

ROWS = 16_384  # rows a batch: vectors of a thousand numbers still fit
WHOLE_ROW = "the whole row"  # the field of a fault that lies in no one field
QREL_FIELDS = ["query_id", "iteration", "item_id", "grade"]

# line, values by column, complaint about the whole line ("" where it reads well)
Record = tuple[int, dict[str, Any], str]


@dataclass(frozen=True)
class Fault:
    """Rows of a batch that have one thing wrong with one field."""

    kind: str
    field: str
    at: np.ndarray  # int64[n]: positions in the batch, ascending
    advice: str


@dataclass(frozen=True)
class Raw:
    """Some rows as they stand in the file; texts that are no UTF-8 are null in `columns`, and in `faults`."""

    columns: dict[str, pa.Array]
    rows: np.ndarray  # int64[n]: row (parquet) or line (text), from 1
    faults: list[Fault]
    original: Callable[[int], dict[str, Any]]  # position -> the row's values as found


def raw_batches(path: Path, form: str) -> Iterator[Raw]:
    """The rows of a file in batches of at most ROWS; `form` is parquet, csv, tsv, jsonl or qrels.

    Raises InputError where the file as a whole cannot be read.
    """
    if form == "parquet":
        yield from _parquet(path)
        return
    try:
        with _open(path) as lines:
            records = _jsonl(lines) if form == "jsonl" else _fields(path, lines, form)
            while batch := list(islice(records, ROWS)):
                yield _raw(batch)
    except (EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is not a whole gzip file ({error}): compress it again.") from error


def _open(path: Path) -> TextIO:
    opener = gzip.open if path.suffix == ".gz" else open
    stream: Any = opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return stream


def _fields(path: Path, lines: TextIO, form: str) -> Iterator[Record]:
    """Records of a CSV or TSV file with a header line, or of headerless TREC qrels."""
    if form == "qrels":
        for number, text in enumerate(lines, start=1):
            if text.strip():
                yield _record(number, QREL_FIELDS, text.split())
        return
    rows = _rows(path, lines, "," if form == "csv" else "\t")
    header = [name.encode(errors="backslashreplace").decode() for name in next(rows, (1, []))[1]]
    if len(set(header)) < len(header):
        raise InputError(f"{path}, line 1 names a column twice: give every column its own name.")
    for number, fields in rows:
        if fields:
            yield _record(number, header, fields)


def _rows(path: Path, lines: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line each begins on; InputError where one cannot be read."""
    start, closed = 1, True

    def padded() -> Iterator[str]:
        """The lines and a blank one: the row that takes it in has a quotation mark that nothing closes."""
        nonlocal closed
        yield from lines
        closed = False
        yield "\n"

    reader = csv.reader(padded(), delimiter=delimiter)
    try:
        for fields in reader:
            if fields and not closed:
                raise csv.Error("the row never ends")
            yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {start}: {error}; look for a quotation mark without its pair.") from error


def _record(line: int, names: list[str], fields: list[str]) -> Record:
    if len(fields) != len(names):
        return line, {"fields": fields}, f"write {len(names)} fields, it has {len(fields)}"
    return line, dict(zip(names, fields, strict=True)), ""


def _jsonl(lines: TextIO) -> Iterator[Record]:
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            yield number, values, ""
        else:
            yield number, {"text": text.rstrip("\r\n")}, "write one JSON object a line"


def _raw(records: list[Record]) -> Raw:
    faults = []
    complaints: dict[str, list[int]] = {}
    for position, (_, _, complaint) in enumerate(records):
        if complaint:
            complaints.setdefault(complaint, []).append(position)
    for complaint, at in complaints.items():
        faults.append(Fault("unreadable row", WHOLE_ROW, np.array(at), complaint))
    readable = [{} if complaint else values for _, values, complaint in records]
    columns = {}
    for name in dict.fromkeys(name for values in readable for name in values):
        columns[name], broken = _column([values.get(name) for values in readable])
        faults += _broken(name, broken)
    rows = np.array([line for line, _, _ in records], dtype=np.int64)
    return Raw(columns, rows, faults, lambda position: records[position][1])


def _column(values: list[Any]) -> tuple[pa.Array, list[int]]:
    """Texts, or numbers, or (where a column holds anything else or both) texts with the rest as JSON."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds and kinds <= {int, float}:
        try:
            return pa.array(values), []
        except OverflowError:  # an id of more than 64 bits
            pass
    if not kinds <= {str}:
        values = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
    try:
        return pa.array(values, pa.string()), []
    except UnicodeEncodeError:
        broken = [at for at, value in enumerate(values) if value is not None and not _is_utf8(value)]
        for at in broken:
            values[at] = None
        return pa.array(values, pa.string()), broken


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet(path: Path) -> Iterator[Raw]:
    try:
        with pq.ParquetFile(path) as file:
            first = 1
            for batch in file.iter_batches(batch_size=ROWS):
                yield _raw_arrow(batch, first)
                first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a readable parquet file ({reason}): write it again.") from error


def _raw_arrow(batch: pa.RecordBatch, first: int) -> Raw:
    columns, faults = {}, []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        columns[name], broken = _valid(column)
        faults += _broken(name, broken)

    def original(position: int) -> dict[str, Any]:
        return {name: _value(batch[name], position) for name in columns}

    rows = np.arange(first, first + batch.num_rows, dtype=np.int64)
    return Raw(columns, rows, faults, original)


def _valid(column: pa.Array) -> tuple[pa.Array, list[int]]:
    """The column with rows that are no UTF-8 made null (Arrow does not look at bytes when it reads)."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = column.view(pa.large_string() if pa.types.is_large_binary(column.type) else pa.string())
    if _validates(column):
        return column, []
    broken = [at for at in range(len(column)) if not _validates(column.take(pa.array([at])))]
    keep = np.arange(len(column), dtype=np.int64)
    return column.take(pa.array(keep, mask=np.isin(keep, broken))), broken


def _validates(column: pa.Array) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _value(column: pa.Array, position: int) -> Any:
    try:
        return column[position].as_py()
    except UnicodeDecodeError:
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return column[position].as_buffer().to_pybytes().decode(errors="surrogateescape")
        return None


def _broken(name: str, at: list[int]) -> list[Fault]:
    return [Fault("broken UTF-8", name, np.array(at), "save the file as UTF-8")] if at else []
