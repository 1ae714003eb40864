"""The six typed tables: reading, checking, grade mapping, splitting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motherlode.lazy import lazily

if TYPE_CHECKING:
    from motherlode.tables.check import check_tables, import_tables
    from motherlode.tables.grades import GradeMap
    from motherlode.tables.report import CheckReport
    from motherlode.tables.tables import Tables, TableWriter, write_source

__all__ = [
    "CheckReport",
    "GradeMap",
    "TableWriter",
    "Tables",
    "check_tables",
    "import_tables",
    "write_source",
]

_HOME = {
    "CheckReport": "report",
    "GradeMap": "grades",
    "TableWriter": "tables",
    "Tables": "tables",
    "check_tables": "check",
    "import_tables": "check",
    "write_source": "tables",
}

__getattr__ = lazily(__name__, _HOME)
