"""Grades that people give on the page, on their way into the workspace's ledger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from motherlode.atomic import fingerprint
from motherlode.errors import InputError
from motherlode.grading.grader import Graded, Judge
from motherlode.grading.ledger import Ledger
from motherlode.grading.rubric import Rubric

LEDGER = "ledger.sqlite"
RECIPE = "recipe.yaml"
SOURCE = "serve"
NEW = "served/"  # begins the id of a query that no table knows


class Grades:
    """Records verdicts under the judge "person/NAME"; the last word of a person on a pair is the one that counts."""

    def __init__(self, workspace: Path) -> None:
        """Raises MissingError or InputError where the rubric that the workspace's recipe names cannot be read."""
        self._workspace = workspace
        self._rubric = Rubric.load(_rubric(workspace)).version
        self._ledger = Ledger(workspace / LEDGER)

    def record(self, person: str, query: str, item_id: str, grade: int) -> str:
        """Keep a verdict, durably; the query's id.

        A query that the tables know has its id there, any other one "served/" and 16 hex digits over its text, which
        the verdict keeps as its reason: the ledger holds ids alone, and this text is nowhere else.
        """
        known = self._known(query)
        query_id = known or NEW + fingerprint(query)
        judge = Judge(f"person/{person}", "1", self._rubric)
        before = self._ledger.lookup(judge, [query_id], [item_id])
        if before.answered[0]:
            if int(np.argmax(before.probabilities[0])) == grade:
                return query_id
            self._ledger.withdraw(judge, query_id, item_id)
        verdict = Graded(np.eye(3)[[grade]], reasons=[None if known else query])
        self._ledger.record(judge, [query_id], [item_id], verdict, source=SOURCE)
        return query_id

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def _known(self, query: str) -> str | None:
        import polars as pl

        path = self._workspace / "tables" / "queries.parquet"
        if not path.exists():
            return None
        found = pl.scan_parquet(path).filter(pl.col("text") == query).select("query_id").head(1).collect()
        return str(found["query_id"][0]) if len(found) else None


def _rubric(workspace: Path) -> str | None:
    """The file that the recipe names as `grader.rubric`, None where it names none or there is no recipe."""
    path = workspace / RECIPE
    try:
        named = yaml.safe_load(path.read_text(encoding="utf-8"))["grader"]["rubric"]
    except (FileNotFoundError, KeyError, TypeError):
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read ({error}): mend it, or run any stage to write it again.") from error
    return str(named) if named else None
