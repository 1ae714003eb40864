"""Whether the thresholds still hold: fresh grades of what was shown, and how today's queries are scored."""

from typing import Any

import numpy as np

from motherlode.errors import MissingError
from motherlode.workspace import Workspace

SHOWN = 10  # results of a query whose scores are counted


def drift(workspace: Workspace, source: str = "serve") -> dict[str, Any]:
    """Compare the ledger's verdicts from `source` (people on the search page) with what the index's thresholds state.

    "precision": for each boundary `thresholds.drift.precision_alarm` of the freshly graded items scored at or above it;
    "scores": `thresholds.drift.compare` of the ten best cosines of the freshly asked queries with those of validation
    queries; "state": the worst of these. Verdicts on items the index no longer holds are left out. Raises MissingError
    where nothing was graded, or the index has no thresholds.
    """
    from motherlode.atomic import read_json
    from motherlode.grading.ledger import Ledger
    from motherlode.index.store import Index
    from motherlode.serve.strata import Strata
    from motherlode.thresholds.drift import compare, histogram, precision_alarm

    index = Index.open(workspace / "index")
    strata = Strata.load(workspace / "index")
    if strata is None:
        raise MissingError(f"{workspace / 'index'} has no thresholds: run `motherlode index -w {workspace.folder}`.")
    path = workspace / "ledger.sqlite"
    if not path.exists():
        raise MissingError(f"{path} does not exist, so nothing was graded: grade results on the search page first.")
    with Ledger(path) as ledger:
        fresh = _asked(workspace, ledger.verdicts(source=source))
    if not len(fresh):
        raise MissingError(f"{path} holds no verdict from '{source}': grade results on the search page first.")

    asked = sorted(set(fresh["text"].to_list()))
    vectors = index.encode(asked)
    rows = index.items.find(fresh["item_id"].unique().to_list())
    rows = rows[~np.isin(rows, index.dead)]
    place = {record["item_id"]: row for record, row in zip(index.records(rows.tolist()), rows.tolist(), strict=True)}
    fresh = fresh.filter(fresh["item_id"].is_in(list(place)))
    found, at = np.unique([place[item] for item in fresh["item_id"]], return_inverse=True)
    items = index.dense.vectors(found.astype(np.int64))[at]
    number = {text: at for at, text in enumerate(asked)}
    queries = vectors[[number[text] for text in fresh["text"]]]
    cosines, grades = (queries * items).sum(axis=1), fresh["grade"].to_numpy()

    precision = []
    for grade, boundary in strata.boundaries.items():
        if boundary.precision is not None:
            told = precision_alarm(boundary.precision, grades[cosines >= boundary.threshold] >= grade)
            precision.append({"grade": grade, "threshold": boundary.threshold, **told})
    reference = read_json(workspace / "thresholds/metrics.json")["scores"]
    tops = index.dense.search(vectors, SHOWN)
    scores = None
    if reference is not None:
        now = histogram(tops.scores[tops.rows >= 0], index.facts["weights"], reference["edges"])
        scores = compare(reference, now)
    states = [one["state"] for one in (*precision, *([scores] if scores else []))]
    state = next((one for one in ("alarm", "watch", "stable") if one in states), "unknown")
    return {"state": state, "graded": len(fresh), "queries": len(asked), "precision": precision, "scores": scores}


def _asked(workspace: Workspace, verdicts: Any) -> Any:
    """The verdicts with the text of their query: the tables', or the one the verdict keeps where no table has it."""
    import polars as pl

    known = pl.read_parquet(workspace / "tables/queries.parquet", columns=["query_id", "text"])
    texts = verdicts.join(known, on="query_id", how="left")
    return texts.with_columns(pl.coalesce("text", "reason").alias("text")).drop_nulls("text")
