"""A column as found in a file, in the type of the schema; what cannot be read is named, not guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from motherlode.errors import InputError
from motherlode.tables.raw import Fault
from motherlode.tables.schema import ATTRIBUTES

Converted = tuple[pl.Series, list[Fault]]


def convert(column: pa.Array, field: pa.Field, separator: str) -> Converted:
    """The column with the field's type, null where a value could not be read, and what was wrong with those.

    `separator` parts the levels of a taxonomy given as text. Blank texts and empty paths and attributes
    are null. Raises InputError for a column that is of a wrong kind altogether.
    """
    if field.type == ATTRIBUTES:
        return _not_empty(_attributes(column, field.name))
    series: pl.Series = pl.Series(field.name, pl.from_arrow(column))
    if series.dtype.is_nested() != pa.types.is_list(field.type) and series.dtype not in (pl.String, pl.Null):
        raise InputError(f"The column {field.name} holds {series.dtype}, which is not {field.type}.")
    if series.dtype == pl.String:
        series = filled(series)
    if pa.types.is_list(field.type):
        of_text = pa.types.is_string(field.type.value_type)
        return _not_empty(_taxonomy(series, separator)) if of_text else _vector(series)
    if pa.types.is_timestamp(field.type):
        return _time(series)
    return _text(series) if pa.types.is_string(field.type) else _number(series, field.type)


def filled(texts: pl.Series) -> pl.Series:
    """The texts with those that are blank made null."""
    return texts.set(texts.str.strip_chars() == "", None)


def _text(series: pl.Series) -> Converted:
    if series.dtype.is_float():  # numeric ids beside nulls often arrive as 12.0
        whole = series.fill_nan(None).cast(pl.Float64)
        whole = whole.set(whole != whole.round(), None).cast(pl.Int64, strict=False).cast(pl.String)
        return whole, _lost(series, whole, "write it as text")
    return series.cast(pl.String), []


def _number(series: pl.Series, kind: pa.DataType) -> Converted:
    whole = pa.types.is_integer(kind)
    if series.dtype == pl.String:
        series = series.str.strip_chars()
    number = series.cast(pl.Float64, strict=False)
    faults = _lost(series, number, "write a whole number" if whole else "write a number")
    faults += _not_finite(number.name, ~number.cast(pl.Float64 if whole else pl.Float32).is_finite())
    number = number.set(~number.is_finite(), None)
    if not whole:
        return number.cast(pl.Float32), faults
    integer = number.set(number != number.round(), None).cast(pl.Int64, strict=False)
    return integer, faults + _lost(number, integer, "write a whole number")


def _time(series: pl.Series) -> Converted:
    advice = "write ISO 8601 such as 2026-01-31T12:00:00Z, or seconds since 1970"
    target = pl.Datetime("us", "UTC")
    if series.dtype == pl.String:
        try:
            parsed = series.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
        except pl.exceptions.ComputeError:  # it knows no format for any of them
            parsed = pl.Series(series.name, [None] * len(series), dtype=target)
        missed = np.flatnonzero((parsed.is_null() & series.is_not_null()).to_numpy())
        parsed = parsed.scatter(missed, pl.Series([_instant(series[int(at)]) for at in missed], dtype=target))
        return parsed, _lost(series, parsed, advice)
    if series.dtype.is_numeric():
        parsed = pl.Series(series.name, [_instant(value) for value in series], dtype=target)
        return parsed, _lost(series, parsed, advice)
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone:
        return series.dt.convert_time_zone("UTC").cast(target), []
    return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), []


def _instant(value: str | float | None) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        time = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _taxonomy(series: pl.Series, separator: str) -> Converted:
    kind = pl.List(pl.String)
    if series.dtype != pl.String:
        return _trimmed(series.cast(kind)), []
    as_json = series.str.starts_with("[").fill_null(False)
    paths = series.str.split(separator).cast(kind)
    if not as_json.any():
        return _trimmed(paths), []
    decoded = [_decoded(text, _names) if listed else None for text, listed in zip(series, as_json, strict=True)]
    paths = _trimmed(pl.Series(series.name, decoded, dtype=kind).zip_with(as_json, paths))
    return paths, _lost(series, paths, f"write a list of names, or names parted by '{separator}'")


def _trimmed(paths: pl.Series) -> pl.Series:
    names = paths.list.eval(pl.element().str.strip_chars())
    return names.list.eval(pl.element().filter(pl.element() != ""))


def _vector(series: pl.Series) -> Converted:
    kind = pl.List(pl.Float32)
    if series.dtype in (pl.String, pl.Null):
        vectors = pl.Series(series.name, [_decoded(text, _numbers) for text in series], dtype=kind)
    else:
        vectors = series.cast(kind, strict=False)
    finite = vectors.list.eval(pl.element().is_finite().fill_null(False)).list.all()
    return vectors, _lost(series, vectors, "write a list of numbers") + _not_finite(series.name, ~finite)


def _attributes(column: pa.Array, name: str) -> Converted:
    if pa.types.is_map(column.type) or pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        try:
            return pl.Series(name, pl.from_arrow(column.cast(ATTRIBUTES))), []
        except (pa.ArrowException, TypeError) as error:
            raise InputError(
                f"The column {name} holds {column.type}: write a map, a list of (name, value) or JSON."
            ) from error
    series = pl.Series(name, pl.from_arrow(column))
    if series.dtype == pl.Struct:
        series = series.struct.json_encode().set(series.is_null(), None)
    texts = filled(series.cast(pl.String))
    pairs = pa.array([_decoded(text, _pairs) for text in texts], ATTRIBUTES)
    converted = pl.Series(name, pl.from_arrow(pairs))
    return converted, _lost(texts, converted, 'write a JSON object such as {"colour": "red"}')


def _not_empty(converted: Converted) -> Converted:
    lists, faults = converted
    lists = lists.to_frame().select(pl.when(pl.first().list.len() > 0).then(pl.first())).to_series()
    return lists, faults


def _decoded(text: str | None, shape: Callable[[Any], Any]) -> Any:
    try:
        return None if text is None else shape(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _names(value: list[Any]) -> list[str]:
    return [_plain(name) for name in value if name is not None]


def _numbers(value: list[Any]) -> list[float]:
    return [float(number) for number in value]


def _pairs(value: Any) -> list[tuple[str, str]]:
    """(name, value) pairs of a JSON object, or of a list of objects with these keys; nulls are left out."""
    pairs = value.items() if isinstance(value, dict) else [(pair["name"], pair["value"]) for pair in value]
    return [
        (name, _plain(one))
        for name, many in pairs
        for one in (many if isinstance(many, list) else [many])
        if one is not None
    ]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lost(before: pl.Series, after: pl.Series, advice: str) -> list[Fault]:
    """What was there before converting and is null after it."""
    at = np.flatnonzero((before.is_not_null() & after.is_null()).to_numpy())
    return [Fault("unreadable value", before.name, at, advice)] if len(at) else []


def _not_finite(name: str, wrong: pl.Series) -> list[Fault]:
    at = np.flatnonzero(wrong.fill_null(False).to_numpy())
    return [Fault("not a finite number", name, at, "write a finite number or nothing")] if len(at) else []
