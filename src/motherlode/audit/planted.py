"""How much of what is known to be wrong an audit found: for generated shops, whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.audit.settings import AuditSettings
from motherlode.shop.truth import Truth
from motherlode.tables.tables import Tables

POINTS = 100  # of a curve, at most


def planted(
    tables: Tables, settings: AuditSettings, sample: pl.DataFrame, rejudged: pl.DataFrame, decided: pl.DataFrame
) -> dict[str, Any] | None:
    """Precision and recall against the truth of a generated shop; None for any other tables. Simulated, all of it.

    errors: wrong labels in the sample. revealable: those that engagement can speak of, label 0 with truth 1 or 2 or
    label 2 with truth 0, on pairs with at least `looks` looks. precision, recall (of the revealable) and recall_all of
    the doubted labels and of the queue; error_rate in the sample before and after what people changed; removed: share
    of the revealable that are right now. curve: precision against recall of the revealable, by falling doubt.
    """
    if not (tables.folder / "truth" / "queries.parquet").exists():
        return None
    truth = Truth(tables.folder)
    true = truth.grade(sample["query_id"].to_list(), sample["item_id"].to_list())
    labels, looks = sample["label"].to_numpy(), sample["looks"].to_numpy()
    wrong = labels != true
    enough = looks >= settings.looks
    revealable = enough & (((labels == 0) & (true > 0)) | ((labels == 2) & (true == 0)))
    changed = decided.select("query_id", "item_id", now="decided")
    after = sample.join(changed, on=["query_id", "item_id"], how="left", maintain_order="left")
    still = after.select(pl.coalesce("now", "label"))["now"].to_numpy() != true
    by_engagement = settings.signal in ("engagement", "deciles")
    among = enough & (labels != 1) if by_engagement else np.ones(len(labels), dtype=bool)
    return {
        "errors": int(wrong.sum()),
        "revealable": int(revealable.sum()),
        "doubted": _found(_inside(sample, rejudged), wrong, revealable),
        "queue": _found(_inside(sample, decided), wrong, revealable),
        "error_rate": {"before": _share(wrong), "after": _share(still)},
        "removed": _share(~still[revealable]),
        "made_wrong": int((still & ~wrong).sum()),
        "curve": _curve(sample["doubt"].to_numpy()[among], wrong[among], revealable[among]),
    }


def _inside(sample: pl.DataFrame, part: pl.DataFrame) -> NDArray[np.bool_]:
    marked = part.select("query_id", "item_id", inside=True)
    joined = sample.join(marked, on=["query_id", "item_id"], how="left", maintain_order="left")
    return joined["inside"].fill_null(False).to_numpy()


def _found(chosen: NDArray[np.bool_], wrong: NDArray[np.bool_], revealable: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "n": int(chosen.sum()),
        "precision": _share(wrong[chosen]),
        "recall": _share(chosen[revealable]),
        "recall_all": _share(chosen[wrong]),
    }


def _curve(
    doubt: NDArray[np.float64], wrong: NDArray[np.bool_], revealable: NDArray[np.bool_]
) -> list[dict[str, float]]:
    """Precision at the places where the recall rises."""
    order = np.argsort(-doubt, kind="stable")
    precision = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    hits = np.flatnonzero(revealable[order])
    shown = np.unique(np.linspace(0, len(hits) - 1, POINTS).astype(np.int64)) if len(hits) else np.zeros(0, np.int64)
    return [
        {"recall": float((place + 1) / len(hits)), "precision": float(precision[hits[place]])}
        for place in shown.tolist()
    ]


def _share(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None
