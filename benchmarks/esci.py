"""ESCI, 150 queries: five folds over queries, test folds pooled, the trained encoder against the untouched MiniLM.

`alone` trains on ESCI's own grades; `transfer` takes an encoder trained on Home Depot as it is; `half` the average of
its weights and the untouched ones; `after` trains the encoder on ESCI; `after_half` trains that average on it.
NDCG@10 over the whole catalogue of 6,764 products (gains 1 / 0.5 / 0); AUC of grade 2 against 0 pooled over the
pairs of a fold's queries and averaged over folds, with intervals from a bootstrap over queries.

    MOTHERLODE_DATA=... python benchmarks/esci.py alone  [key=value ...]
    ... benchmarks/esci.py transfer | half | after | after_half FOLDER  [key=value ...]
"""

import os
import shutil
import sys
from dataclasses import dataclass
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
    # 100 training queries: small steps, and half way back to the weights it began with (as WiSE-FT advises);
    # set once, tuned on nothing
    "fit.groups=16",
    "fit.epochs=2",
    "fit.lr=3e-5",
    "fit.merge=0.5",
    "fit.validation_items=500",
]


@dataclass(frozen=True)
class Frames:
    """NDCG@10 of each query (in id order), and the scored judged pairs with their fold."""

    metrics: pl.DataFrame
    pairs: pl.DataFrame


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


def untrained(base: str, overrides: list[str], share: float = 1.0) -> Frames:
    """An encoder as it is, or `share` of it and the rest of the untouched MiniLM, on the test part of every fold."""
    from motherlode.encoders.encode import encode
    from motherlode.encoders.merge import merged, snapshot
    from motherlode.encoders.towers import two_tower
    from motherlode.evaluation.ranking import ranking_metrics
    from motherlode.stages.retrieve import Part
    from motherlode.stages.shop_texts import ShopTexts

    metrics, pairs = [], []
    for fold in range(FOLDS):
        recipe = Recipe.load(overrides=[*SETTINGS, f"split.fold={fold}", *overrides])
        workspace = run(recipe, RUNS / f"esci_split_{fold}", ("split",))
        shop = ShopTexts(workspace, recipe)
        part = Part(shop, "test", recipe.evaluate.depth)
        model = two_tower(base, shop.texts())
        start = snapshot(two_tower("minilm", shop.texts())) if share < 1 else {}
        with merged(model, start, share):
            items = encode(model, shop.all_texts(), "document", RUNS / "esci_vectors")
            found = part.dense(base, np.asarray(encode(model, part.texts, "query", RUNS / "esci_vectors")), items)
        ids = part.frame["query_id"]
        ndcg = ranking_metrics(part.judged, found.items)["ndcg@10"]
        metrics.append(pl.DataFrame({"query_id": ids, "ndcg@10": ndcg}))
        scored = {"query_id": ids[part.judged.query_rows], "grade": part.judged.grades, "score": found.judged_scores}
        pairs.append(pl.DataFrame(scored).with_columns(fold=fold))
    return Frames(pl.concat(metrics).sort("query_id"), pl.concat(pairs))


def half_way(base: str) -> str:
    """The folder of an encoder half way between `base` and the untouched MiniLM, made once."""
    from motherlode.encoders.merge import merged, snapshot
    from motherlode.encoders.towers import two_tower

    there = RUNS / f"half_way_{fingerprint(base)}"
    if not there.exists():
        model = two_tower(base, [])
        with merged(model, snapshot(two_tower("minilm", [])), 0.5):
            model.save(str(there))
    return str(there)


def trained(base: str, overrides: list[str]) -> dict[str, Frames]:
    """All systems of the trained folds, test folds pooled."""
    per_query, pairs = [], []
    for fold in range(FOLDS):
        made = fold_run(base, overrides, fold)
        per_query.append(pl.read_parquet(made / "evaluate/per_query.parquet"))
        pairs.append(pl.read_parquet(made / "evaluate/pairs.parquet").with_columns(fold=fold))
    metrics, judged = pl.concat(per_query), pl.concat(pairs)
    return {
        system: Frames(
            metrics.filter(pl.col("system") == system).select("query_id", "ndcg@10").sort("query_id"),
            judged.filter(pl.col("system") == system).select("query_id", "grade", "score", "fold"),
        )
        for system in metrics["system"].unique(maintain_order=True)
    }


def main(name: str, systems: dict[str, Frames], after: str, overrides: list[str]) -> None:
    """Compare the system `after` with the untouched MiniLM."""
    systems = systems | {"untouched minilm": untrained("minilm", overrides)}
    before, found = systems["untouched minilm"], systems[after]
    assert before.metrics["query_id"].equals(found.metrics["query_id"])
    columns = [side.metrics["ndcg@10"].to_numpy()[:, None] for side in (found, before)]
    interval = paired_bootstrap(columns[0], columns[1])[0]
    queries = before.metrics["query_id"].to_numpy()
    rng = np.random.default_rng(0)
    draws = [rng.choice(queries, len(queries)) for _ in range(RESAMPLES)]
    gains = [pooled_auc(found.pairs, draw) - pooled_auc(before.pairs, draw) for draw in draws]
    aucs = {side: pooled_auc(systems[side].pairs, queries) for side in ("untouched minilm", after)}
    write(
        f"esci_{name}",
        {
            "queries": len(queries),
            "folds": FOLDS,
            "gains": [0, 0.5, 1],
            "settings": SETTINGS[1:] + overrides,
            "system": after,
            "ndcg@10": {
                system: round(float(np.nanmean(frames.metrics["ndcg@10"].to_numpy())), 4)
                for system, frames in systems.items()
            },
            "ndcg@10 vs untouched minilm": {key: round(float(interval[key] or 0), 4) for key in interval},
            "auc_2_0": {side: round(value, 4) for side, value in aucs.items()},
            "auc_2_0 gain": {
                "delta": round(aucs[after] - aucs["untouched minilm"], 4),
                "low": round(float(np.percentile(gains, 2.5)), 4),
                "high": round(float(np.percentile(gains, 97.5)), 4),
            },
        },
    )


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    words = [word for word in rest if "=" in word]
    start = [word for word in rest if "=" not in word]
    if mode == "alone":
        main("alone", trained("minilm", words), "trained", words)
    elif mode == "transfer":
        main("transfer", {"trained on home depot": untrained(start[0], words)}, "trained on home depot", words)
    elif mode == "half":
        found = untrained(start[0], words, share=0.5)
        main("half", {"half way to home depot": found}, "half way to home depot", words)
    elif mode == "after":
        main("after_home_depot", trained(start[0], words), "trained", words)
    elif mode == "after_half":
        main("after_half", trained(half_way(start[0]), words), "trained", words)
    else:
        sys.exit(__doc__)
