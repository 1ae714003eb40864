"""The six typed tables: reading, checking, grade mapping, splitting."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"motherlode.tables.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
