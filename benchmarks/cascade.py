"""Cascades of real graders on Home Depot: before a cross-encoder of six layers one of one layer, or cheap signals.

All are trained on the strict split by query, calibrated and tuned on its validation queries, measured on its test
queries. Costs are CPU seconds a pair, measured here in turns over the same pairs. Two choices are shown: the least cost
that agrees with people as often as the larger grader alone does on validation, and the best agreement at half its cost.
The larger is the cross-encoder, then the cross-encoder and the signals stacked.

    MOTHERLODE_DATA=... python benchmarks/cascade.py [key=value ...]
"""

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from common import write
from graders import HOME_DEPOT, PROBABILITIES, answers, trained
from motherlode.atomic import fingerprint
from motherlode.evaluation.agreement import agreement_gain
from motherlode.grading.cascade_tuning import NEVER, curve, measure, route, tune
from motherlode.grading.cross_encoder import CrossEncoderGrader
from motherlode.grading.cross_encoder_fit import soft_targets
from motherlode.grading.features import FeaturesGrader
from motherlode.grading.grader import Grader, decide
from motherlode.grading.pairs import PairTexts
from motherlode.tables.tables import Tables
from motherlode.workspace import Workspace
from stacking import MEMBERS, TRUST, Stack

ROUNDS, PAIRS = 5, 512
LAYERS = {"one layer": ["grader.layers=1"], "six layers": []}
CASCADES = (("one layer", "six layers"), ("features", "six layers"), ("features", "stacked"))


def costs(graders: dict[str, Grader], workspace: Workspace) -> dict[str, float]:
    """CPU seconds a pair of each grader, in turns over the same pairs; medians."""
    test = pl.read_parquet(workspace / "grader/test.parquet").sample(PAIRS, seed=0)
    pairs = PairTexts(Tables(workspace / "tables")).pairs(test["query_id"], test["item_id"])
    seconds: dict[str, list[float]] = {name: [] for name in graders}
    for _ in range(ROUNDS):
        for name, grader in graders.items():
            began = time.process_time()
            grader.grade(pairs)
            seconds[name].append((time.process_time() - began) / len(pairs))
    return {name: float(np.median(spent)) for name, spent in seconds.items()}


def main(words: list[str]) -> None:
    spaces = {}
    for name, more in LAYERS.items():
        settings = [*HOME_DEPOT, *words, *more]
        spaces[name], _ = trained(settings, f"grader_home_depot_{fingerprint(settings)}")
    whole = spaces["six layers"]
    graders: dict[str, Grader] = {name: CrossEncoderGrader(space / "grader/best") for name, space in spaces.items()}
    graders["features"] = FeaturesGrader.load(whole / "features_grader/best")
    price = costs(graders, whole)
    price["stacked"] = price["features"] + price["six layers"]
    parts: dict[str, tuple[dict[str, np.ndarray], np.ndarray, Any]] = {}
    for part in ("validation", "test"):
        frame, found = answers(whole, part, MEMBERS)
        other = pl.read_parquet(spaces["one layer"] / f"grader/{part}.parquet")
        assert frame["item_id"].equals(other["item_id"])
        if part == "validation":
            ratings = frame["rating"].cast(float).fill_null(float("nan")).to_numpy()
            stack = Stack.fit(found, soft_targets(frame["grade"].to_numpy(), ratings, TRUST))
        known = {"six layers": found[0], "features": found[1], "one layer": other[PROBABILITIES].to_numpy()}
        known["stacked"] = stack.apply(found)
        parts[part] = known, frame["grade"].to_numpy().astype(int), frame["query_id"].to_numpy()
    tested, grades, _ = parts["test"]
    write(
        "cascade",
        {
            "settings": [*HOME_DEPOT, *words],
            "cpu seconds a pair": {name: _round(value, 6) for name, value in price.items()},
            "validation pairs": len(parts["validation"][1]),
            "test pairs": len(grades),
            "alone on test": {
                name: {
                    "agreement": _round(float((decide(tested[name]) == grades).mean())),
                    "relative_cost": _round(cost / price["six layers"]),
                }
                for name, cost in price.items()
            },
            "cascades, tuned on validation, on test": {
                " -> ".join(names): cascade(
                    [price[name] for name in names], *(_stages(part, names) for part in parts.values())
                )
                for names in CASCADES
            },
        },
    )


def cascade(price: list[float], validation: Any, test: Any) -> dict[str, Any]:
    """Both choices of thresholds of one cascade, on test, and its curve on validation."""
    stages, truth, _ = validation
    alone = measure(((NEVER,) * 3,), stages, truth, price)["agreement"]
    choices = {
        "as good as the larger alone": tune(stages, truth, price, target=alone),
        "half the larger's cost": tune(stages, truth, price, max_cost=price[-1] / 2),
    }
    return {name: _told(thresholds, *test, price) for name, thresholds in choices.items()} | {
        "curve on validation": [
            {key: _round(point[key]) for key in ("agreement", "relative_cost")} for point in curve(stages, truth, price)
        ]
    }


def _stages(part: tuple[dict[str, np.ndarray], np.ndarray, Any], names: Sequence[str]) -> Any:
    known, truth, queries = part
    return [known[name] for name in names], truth, queries


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


def _round(value: Any, digits: int = 4) -> Any:
    return round(float(value), digits) if value is not None else None


if __name__ == "__main__":
    main(sys.argv[1:])
