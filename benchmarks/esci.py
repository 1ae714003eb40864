"""ESCI, 150 queries: five folds over queries, test folds pooled, the trained encoder against the untouched MiniLM.

Once from ESCI's own grades alone ("minilm"), once starting from an encoder trained on Home Depot.
NDCG@10 over the whole catalogue of 6,764 products (gains 1 / 0.5 / 0); AUC of grade 2 against 0 pooled over the
pairs of a fold's queries and averaged over folds, with intervals from a bootstrap over queries.

    MOTHERLODE_DATA=... python benchmarks/esci.py minilm|FOLDER_OF_AN_ENCODER [key=value ...]
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl

from common import RUNS, write
from motherlode.atomic import fingerprint
from motherlode.evaluation.bootstrap import paired_bootstrap
from motherlode.evaluation.separation import auc
from motherlode.recipe import Recipe
from motherlode.stages.run import run
from motherlode.workspace import Workspace

FOLDS, RESAMPLES = 5, 2_000
SETTINGS = [
    "preset=small",
    "data.source=esci",
    f"split.folds={FOLDS}",
    "split.validation=0.15",
    # 120 training queries: smaller steps than Home Depot's, one pass; not tuned
    "fit.groups=32",
    "fit.epochs=1",
    "fit.lr=1e-4",
    "fit.validation_items=500",
]


def folder(base: str, overrides: list[str], fold: int) -> Path:
    return RUNS / f"esci_{fingerprint(base, overrides)}_{fold}"


def fold_run(base: str, overrides: list[str], fold: int) -> Workspace:
    """One fold, trained and measured; the vectors of the untouched encoder are made in the first fold alone."""
    first, here = folder(base, overrides, 0), folder(base, overrides, fold)
    if fold and not (here / "vectors").exists():
        shutil.copytree(first / "vectors", here / "vectors", copy_function=os.link)
    words = [*SETTINGS, f"split.fold={fold}", f"encoder.base={base}", *overrides]
    return run(Recipe.load(overrides=words), here, ("evaluate",), tell=lambda *what: print(fold, *what, flush=True))


def pooled_auc(pairs: pl.DataFrame, queries: np.ndarray) -> float:
    """Mean over folds of the AUC 2-0 over all pairs of a fold's queries, each query as often as drawn."""
    counts = pl.DataFrame({"query_id": queries}).group_by("query_id").len("times")
    drawn = pairs.join(counts, on="query_id").select(pl.all().exclude("times").repeat_by("times")).explode(pl.all())
    scores = []
    for _, fold in drawn.group_by("fold"):
        high, low = (fold.filter(pl.col("grade") == grade)["score"].to_numpy() for grade in (2, 0))
        found = auc(high, low)
        scores += [] if found is None else [found]
    return float(np.mean(scores))


def main(base: str, overrides: list[str]) -> None:
    per_query, pairs = [], []
    for fold in range(FOLDS):
        workspace = fold_run(base, overrides, fold)
        per_query.append(pl.read_parquet(workspace / "evaluate/per_query.parquet").with_columns(fold=fold))
        pairs.append(pl.read_parquet(workspace / "evaluate/pairs.parquet").with_columns(fold=fold))
    metrics, judged = pl.concat(per_query), pl.concat(pairs)
    baseline = minilm = {"metrics": metrics, "pairs": judged}
    if base != "minilm":  # untouched there is the encoder it started from: MiniLM comes from the other run
        plain = [folder("minilm", overrides, fold) for fold in range(FOLDS)]
        minilm = {
            "metrics": pl.concat([pl.read_parquet(path / "evaluate/per_query.parquet") for path in plain]),
            "pairs": pl.concat(
                [pl.read_parquet(path / "evaluate/pairs.parquet").with_columns(fold=i) for i, path in enumerate(plain)]
            ),
        }

    def ndcg(frame: pl.DataFrame, system: str) -> pl.DataFrame:
        return frame.filter(pl.col("system") == system).select("query_id", "ndcg@10").sort("query_id")

    before, after = ndcg(minilm["metrics"], "untouched"), ndcg(baseline["metrics"], "trained")
    assert before["query_id"].equals(after["query_id"])
    interval = paired_bootstrap(after["ndcg@10"].to_numpy()[:, None], before["ndcg@10"].to_numpy()[:, None])[0]
    sides = {
        "untouched": minilm["pairs"].filter(pl.col("system") == "untouched"),
        "trained": judged.filter(pl.col("system") == "trained"),
    }
    queries = after["query_id"].to_numpy()
    rng = np.random.default_rng(0)
    draws = [rng.choice(queries, len(queries)) for _ in range(RESAMPLES)]
    gains = [pooled_auc(sides["trained"], draw) - pooled_auc(sides["untouched"], draw) for draw in draws]
    aucs = {name: round(pooled_auc(pairs, queries), 4) for name, pairs in sides.items()}
    systems = sorted(set(metrics["system"]))
    write(
        "esci_" + ("alone" if base == "minilm" else "after_home_depot"),
        {
            "base": base if base == "minilm" else Path(base).parent.parent.name,
            "queries": len(queries),
            "folds": FOLDS,
            "gains": [0, 0.5, 1],
            "settings": SETTINGS[1:] + overrides,
            "ndcg@10": {name: round(float(ndcg(metrics, name)["ndcg@10"].mean()), 4) for name in systems}  # type: ignore[arg-type]
            | {"untouched minilm": round(float(before["ndcg@10"].mean()), 4)},  # type: ignore[arg-type]
            "ndcg@10 trained vs untouched minilm": {key: round(float(interval[key] or 0), 4) for key in interval},
            "auc_2_0": aucs,
            "auc_2_0 gain": {
                "delta": round(aucs["trained"] - aucs["untouched"], 4),
                "low": round(float(np.percentile(gains, 2.5)), 4),
                "high": round(float(np.percentile(gains, 97.5)), 4),
            },
        },
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "minilm", sys.argv[2:])
