"""Validate tables, and import them into the canonical folder: refuse what is wrong, or set it aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from pathlib import Path

import numpy as np
import polars as pl

from motherlode.atomic import replacing_folder
from motherlode.errors import InputError, SettingError
from motherlode.progress import bar
from motherlode.tables.coverage import Coverage
from motherlode.tables.find import Found, find
from motherlode.tables.grades import GradeMap
from motherlode.tables.hashing import mix
from motherlode.tables.raw import Fault
from motherlode.tables.read import Batch, read
from motherlode.tables.rejects import Rejects
from motherlode.tables.report import EXAMPLES, WARNINGS, CheckReport, Problem
from motherlode.tables.rules import by_row
from motherlode.tables.schema import SCHEMAS
from motherlode.tables.seen import Seen
from motherlode.tables.tables import TableWriter


def import_tables(
    source: Path | str,
    out: Path | str,
    *,
    strict: bool = True,
    grades: GradeMap | None = None,
    columns: Mapping[str, str] | None = None,
    separator: str = " > ",
) -> CheckReport:
    """Validate whatever tables `source` holds and write them to the folder `out`, whole or not at all.

    Strict: any problem raises InputError with the first one and the counts, and nothing is written.
    Otherwise rows with a problem go to `<table>.rejects.jsonl` in `out` and the rest is written.
    `columns`, `grades` and `separator` are as in `read`; a key of `columns` that no file has raises
    SettingError.
    """
    found = find(source)
    refuse_foreign(out)
    with replacing_folder(out) as folder:
        return check_files(found, folder, strict=strict, grades=grades, columns=columns, separator=separator)


def check_tables(folder: Path | str) -> CheckReport:
    """Validate a canonical folder (or any that `import_tables` reads as it is) without writing anything."""
    return check_files(find(folder), None, strict=False)


def check_files(
    found: Iterable[Found],
    out: Path | None,
    *,
    strict: bool,
    grades: GradeMap | None = None,
    columns: Mapping[str, str] | None = None,
    separator: str = " > ",
) -> CheckReport:
    """Validate the files in order and, with `out`, write the canonical tables there (also in place)."""
    checker = _Checker()
    columns = dict(columns or {})
    for kind in SCHEMAS:
        files = [one for one in found if one.kind == kind]
        if not files:
            continue
        batches = chain.from_iterable(
            _titled(read(kind, one.path, {**one.columns, **columns}, grades, separator), one) for one in files
        )
        checker.table(kind, batches, out, keep_rejects=not strict)
        if kind == "catalogue" and not checker.report.read[kind]:
            raise InputError(f"{files[0].path} holds no items: a catalogue needs at least one row.")
    checker.require_found(columns)
    report = checker.finish()
    if strict and report.counts:
        first = next(problem for problem in report.problems if problem.kind not in WARNINGS)
        raise InputError(
            f"{first}. In all: {report.summary()}. Nothing was written: mend these rows, or import with "
            "strict=False to set them aside."
        )
    return report


def refuse_foreign(out: Path | str) -> None:
    """Raise InputError where writing the folder `out` would remove files that are no tables."""
    out = Path(out)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "catalogue.parquet").exists())):
        raise InputError(f"{out} exists and is no folder of tables: choose another place for them.")


def _titled(batches: Iterator[Batch], found: Found) -> Iterator[Batch]:
    """BEIR documents may have a text and no title: then the text is the title."""
    for batch in batches:
        if found.kind == "catalogue" and found.columns:
            title = pl.coalesce("title", "description")
            yield replace(batch, frame=batch.frame.with_columns(title=title))
        else:
            yield batch


class _Checker:
    """What has been met so far: the known ids, the judged pairs, the report."""

    def __init__(self) -> None:
        self.report = CheckReport()
        self.coverage = Coverage()
        self.items, self.queries = Seen(), Seen()
        self.judged, self.viewed = Seen(), Seen()
        self.lengths: dict[str, int] = {}  # of the vectors of each view
        self.found: set[str] = set()

    def table(self, kind: str, batches: Iterable[Batch], out: Path | None, *, keep_rejects: bool) -> None:
        """Check one table and, with `out`, write what is right there and what is not beside it."""
        report = self.report
        report.read[kind] = report.rows[kind] = 0
        with ExitStack() as stack:
            advance = stack.enter_context(bar(f"Checking {kind}", unit="rows"))
            writer = stack.enter_context(TableWriter(out, kind)) if out else None
            rejects = Rejects(out / f"{kind}.rejects.jsonl") if out and keep_rejects else None
            if rejects:
                stack.callback(rejects.close)
            for batch in batches:
                self.found.update(name for found in batch.found for name in (found, f"{kind}.{found}"))
                frame = self._check(batch, rejects)
                self.coverage.add(kind, frame)
                report.read[kind] += len(batch.rows)
                report.rows[kind] += frame.height
                report.unused[kind] = sorted({*report.unused.get(kind, []), *batch.unused})
                if writer:
                    writer.write(frame.to_arrow())
                advance(len(batch.rows))

    def require_found(self, columns: Mapping[str, str]) -> None:
        """Raise SettingError for a rename of a column that no file has."""
        absent = [name for name in columns if name not in self.found]
        if absent:
            raise SettingError(f"No file has the column '{absent[0]}' that `columns` renames: correct its name.")

    def finish(self) -> CheckReport:
        self.report.unused = {kind: names for kind, names in self.report.unused.items() if names}
        self.report.facts = self.coverage.facts(self.report.rows)
        return self.report

    def _check(self, batch: Batch, rejects: Rejects | None) -> pl.DataFrame:
        """The rows without a problem. A row counts once, under the first thing wrong with it."""
        alive = np.ones(len(batch.rows), dtype=bool)
        examples: list[tuple[int, Problem]] = []
        for fault in chain(batch.faults, by_row(batch.kind, batch.frame), self._across(batch, alive)):
            at = fault.at[alive[fault.at]]
            if not len(at):
                continue
            warning = fault.kind in WARNINGS
            counts = self.report.warnings if warning else self.report.counts
            wanted = max(0, EXAMPLES - counts.get(fault.kind, 0))
            counts[fault.kind] = counts.get(fault.kind, 0) + len(at)
            examples += [(position, _problem(batch, fault, position)) for position in at[:wanted]]
            if fault.kind != "more clicks than impressions":
                alive[at] = False
            if rejects and not warning:
                rejects.write(batch, fault, at)
        self.report.problems += [problem for _, problem in sorted(examples, key=itemgetter(0))]
        return batch.frame.filter(pl.Series(alive))

    def _across(self, batch: Batch, alive: np.ndarray) -> Iterator[Fault]:
        """Faults seen only by looking at other rows; `alive` falls as the caller takes each of them in."""
        kind, frame = batch.kind, batch.frame
        if kind in ("catalogue", "queries"):
            field, known = ("item_id", self.items) if kind == "catalogue" else ("query_id", self.queries)
            at = np.flatnonzero(alive)
            met = known.add(_keys(frame[field])[at])
            yield Fault(f"duplicate {field.replace('_', ' ')}", field, at[met >= 0], "keep one of the rows")
            return
        if kind != "features" and "query_id" in frame.columns:
            yield _unknown("query", frame["query_id"], self.queries)
        yield _unknown("item", frame["item_id"], self.items)
        if kind == "judgements":
            yield from self._pairs(frame, alive)
        if kind == "features":
            yield from self._vectors(frame, alive)

    def _pairs(self, frame: pl.DataFrame, alive: np.ndarray) -> Iterator[Fault]:
        at = np.flatnonzero(alive)
        grade = frame["grade"].fill_null(-1).to_numpy()[at]
        met = self.judged.add(mix(_keys(frame["query_id"]), _keys(frame["item_id"]))[at], grade)
        yield Fault("repeated judgement", "item_id", at[met == grade], "dropped; the pair has it already")
        conflict = at[(met >= 0) & (met != grade)]
        yield Fault("conflicting judgement", "grade", conflict, "the pair has another grade too: keep one")

    def _vectors(self, frame: pl.DataFrame, alive: np.ndarray) -> Iterator[Fault]:
        at = np.flatnonzero(alive)
        lengths = frame["vector"].list.len().to_numpy()
        views = frame["view"].to_numpy()
        for position in at:
            self.lengths.setdefault(views[position], lengths[position])
        wrong = [position for position in at if lengths[position] != self.lengths[views[position]]]
        yield Fault("vector of another length", "vector", np.array(wrong, dtype=np.int64), "one length a view")
        at = np.flatnonzero(alive)
        met = self.viewed.add(mix(_keys(frame["item_id"]), _keys(frame["view"]))[at])
        yield Fault("duplicate vector", "view", at[met >= 0], "keep one vector an item and view")


def _problem(batch: Batch, fault: Fault, position: int) -> Problem:
    value = batch.value(fault.field, position)
    return Problem(fault.kind, batch.kind, batch.place(position), fault.field, value, fault.advice)


def _unknown(what: str, ids: pl.Series, known: Seen) -> Fault:
    at = np.flatnonzero(known.find(_keys(ids)) < 0)
    table = "catalogue" if what == "item" else "queries"
    return Fault(f"unknown {what}", f"{what}_id", at, f"add it to the {table}, or leave the row out")


def _keys(ids: pl.Series) -> np.ndarray:
    """uint64[n], the same for equal ids within one process."""
    return ids.hash(seed=0).to_numpy()
