"""Stage `check`: what the tables hold and what is wrong with them, as a report a person can read."""

from typing import Any

from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace, no_settings


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:  # noqa: ARG001 (every stage takes both)
    from motherlode.atomic import write_json
    from motherlode.tables.check import check_tables

    report = check_tables(workspace / "tables")
    write_json(workspace / "check.json", report.as_dict())
    return {"counts": report.counts, "rows": report.rows}


STAGE = Stage("check", ("data",), no_settings, work, ("check.json",))
