"""A cascade of two real graders on Home Depot: a cross-encoder of one layer before the one of six.

Both are trained on the strict split by query, calibrated and tuned on its validation queries, measured on its test
queries. Costs are CPU seconds a pair, measured here in turns over the same pairs. Two choices are shown: the least cost
that agrees with people as often as the larger grader alone does on validation, and the best agreement at half its cost.

    MOTHERLODE_DATA=... python benchmarks/cascade.py [key=value ...]
"""

import sys
import time
from typing import Any

import numpy as np
import polars as pl

from common import RUNS, write
from graders import HOME_DEPOT, PROBABILITIES
from motherlode.atomic import fingerprint
from motherlode.evaluation.agreement import agreement_gain
from motherlode.grading.cascade_tuning import NEVER, curve, measure, route, tune
from motherlode.grading.cross_encoder import CrossEncoderGrader
from motherlode.grading.grader import decide
from motherlode.grading.pairs import PairTexts
from motherlode.recipe import Recipe
from motherlode.stages.run import run
from motherlode.tables.tables import Tables
from motherlode.workspace import Workspace

ROUNDS, PAIRS = 5, 512


def member(settings: list[str]) -> Workspace:
    """A trained grader's workspace."""
    name = f"grader_home_depot_{fingerprint(settings)}"
    recipe = Recipe.load(overrides=settings)
    return run(recipe, RUNS / name, ("grader",), tell=lambda *what: print(name, *what, flush=True))


def costs(workspaces: list[Workspace]) -> list[float]:
    """CPU seconds a pair of each grader, in turns over the same pairs; medians."""
    graders = [CrossEncoderGrader(workspace / "grader/best") for workspace in workspaces]
    test = pl.read_parquet(workspaces[0] / "grader/test.parquet").sample(PAIRS, seed=0)
    pairs = PairTexts(Tables(workspaces[0] / "tables")).pairs(test["query_id"], test["item_id"])
    seconds: list[list[float]] = [[] for _ in graders]
    for _ in range(ROUNDS):
        for grader, spent in zip(graders, seconds, strict=True):
            began = time.process_time()
            grader.grade(pairs)
            spent.append((time.process_time() - began) / len(pairs))
    return [float(np.median(spent)) for spent in seconds]


def main(words: list[str]) -> None:
    members = [member([*HOME_DEPOT, *words, *more]) for more in (["grader.layers=1"], [])]
    price = costs(members)
    found: dict[str, tuple[list[np.ndarray], np.ndarray, Any]] = {}
    for part in ("validation", "test"):
        frames = [pl.read_parquet(workspace / f"grader/{part}.parquet") for workspace in members]
        assert frames[0]["item_id"].equals(frames[1]["item_id"])
        stages = [frame[PROBABILITIES].to_numpy() for frame in frames]
        found[part] = stages, frames[0]["grade"].to_numpy().astype(int), frames[0]["query_id"].to_numpy()
    stages, truth, _ = found["validation"]
    alone = measure(((NEVER,) * 3,), stages, truth, price)["agreement"]
    choices = {
        "as good as the larger alone": tune(stages, truth, price, target=alone),
        "half the larger's cost": tune(stages, truth, price, max_cost=price[-1] / 2),
    }
    tested, grades, queries = found["test"]
    write(
        "cascade",
        {
            "settings": [*HOME_DEPOT, *words],
            "cpu seconds a pair, one and six layers": [round(value, 6) for value in price],
            "validation pairs": len(truth),
            "test pairs": len(grades),
            "alone on test": [
                {
                    "agreement": _round(float((decide(stage) == grades).mean())),
                    "relative_cost": _round(cost / price[-1]),
                }
                for stage, cost in zip(tested, price, strict=True)
            ],
            "chosen on validation, on test": {
                name: _told(thresholds, tested, grades, queries, price) for name, thresholds in choices.items()
            },
            "curve on validation": [
                {key: _round(point[key]) for key in ("agreement", "relative_cost")}
                for point in curve(stages, truth, price)
            ],
        },
    )


def _told(thresholds: Any, stages: list[np.ndarray], grades: np.ndarray, queries: Any, price: list[float]) -> Any:
    point = measure(thresholds, stages, grades, price)
    answering = route(stages, thresholds)
    predicted = decide(np.stack(stages)[answering, np.arange(len(grades))])
    gain = agreement_gain(grades, predicted, decide(stages[-1]), query_ids=queries)["accuracy"]
    figures = ("agreement", "within_1", "quadratic_kappa", "relative_cost")
    return {key: _round(point[key]) for key in figures} | {
        "shares": [_round(share) for share in point["shares"]],
        "agreement minus the larger's": {end: _round(value) for end, value in gain.items()},
    }


def _round(value: Any) -> Any:
    return round(float(value), 4) if value is not None else None


if __name__ == "__main__":
    main(sys.argv[1:])
