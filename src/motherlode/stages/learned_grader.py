"""What the stages that train a grader share: the judged parts, calibration on validation, figures on test."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import replacing, write_json
from motherlode.recipe import Recipe
from motherlode.tables.tables import parquet
from motherlode.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from motherlode.grading.grader import Grader, Pair

OUTPUTS = ("best", "calibration.json", "metrics.json", "test.parquet")


RANDOM_PAIRS = 2_000  # of test queries and random items: what a grader must reject


class Judged:
    """Judged pairs by part, as a grader reads them: `pairs`, `grades` (int64), `targets` of the training part.

    `random` pairs of training and validation count as grade 0, when learning and when calibrating. A shortlist holds
    next to no item that is plainly irrelevant, so a grader that has seen shortlists alone calls most of the catalogue a
    substitute. Ours.
    """

    def __init__(self, workspace: Workspace, recipe: Recipe) -> None:
        from motherlode.grading.cross_encoder_fit import soft_targets
        from motherlode.grading.pairs import PairTexts
        from motherlode.grading.rubric import Rubric
        from motherlode.tables.tables import Tables

        tables = Tables(workspace / "tables")
        self.parts, texts = judged_parts(workspace, tables), PairTexts(tables)
        self.pairs: dict[str, list[Pair]] = {
            name: texts.pairs(part["query_id"], part["item_id"]) for name, part in self.parts.items()
        }
        self.grades = {name: part["grade"].to_numpy().astype(np.int64) for name, part in self.parts.items()}
        ratings = self.parts["train"]["rating"].cast(float).fill_null(float("nan")).to_numpy()
        self.targets = soft_targets(self.grades["train"], ratings if recipe.grader.soft_labels else None)
        self.random = {
            name: texts.pairs(*self._random(tables, name, count, recipe.seed))
            for name, count in (
                ("train", round(recipe.grader.random * len(self.targets))),
                ("validation", round(recipe.grader.random * len(self.grades["validation"]))),
                ("test", RANDOM_PAIRS),
            )
        }
        self.origin = {"rubric": Rubric.load(recipe.grader.rubric).version, "data": tables.fingerprint()}

    def training(self) -> "tuple[list[Pair], np.ndarray]":
        """Pairs and targets float32 [n, 3] to learn from: the judged ones, then the random ones."""
        rejected = np.tile(np.eye(3, dtype=np.float32)[0], (len(self.random["train"]), 1))
        return self.pairs["train"] + self.random["train"], np.concatenate([self.targets, rejected])

    def _random(self, tables: Any, part: str, count: int, seed: int) -> "tuple[pl.Series, pl.Series]":
        """At most `count` pairs of the part's queries and random items, none of them judged."""
        import polars as pl

        keys = ["query_id", "item_id"]
        queries = self.parts[part]["query_id"].unique(maintain_order=True)
        items = tables.frame("catalogue", ["item_id"])["item_id"]
        rng = np.random.default_rng([seed, 4, len(part)])
        drawn = pl.DataFrame(
            {
                "query_id": queries[rng.integers(0, len(queries), count)],
                "item_id": items[rng.integers(0, len(items), count)],
            }
        ).unique(maintain_order=True)
        known = pl.concat([one.select(keys) for one in self.parts.values()])
        drawn = drawn.join(known, on=keys, how="anti", maintain_order="left")
        return drawn["query_id"], drawn["item_id"]


def judged_parts(workspace: Workspace, tables: Any) -> "dict[str, pl.DataFrame]":
    """Judged pairs (query_id, item_id, grade, rating) of train, validation and test."""
    import polars as pl

    from motherlode.stages.split import PARTS

    keys = ["query_id", "item_id"]
    rated = tables.frame("judgements", [*keys, "rating"]).unique(keys, keep="first")
    rows = parquet(workspace / "split.parquet").join(rated, on=keys, how="left", maintain_order="left")
    return {name: rows.filter(pl.col("part") == name).select(*keys, "grade", "rating") for name in PARTS}


def measure(judged: Judged, grader: "Grader", folder: Path) -> dict[str, Any]:
    """Calibrate on validation, measure on test, write both beside the weights; the facts of the stage's record."""
    from motherlode.evaluation.agreement import agreement, agreement_interval
    from motherlode.evaluation.calibration_error import calibration_error, reliability
    from motherlode.grading.calibration import Calibration
    from motherlode.grading.grader import decide
    from motherlode.grading.threshold_baseline import majority_baseline

    parts, grades = judged.parts, judged.grades
    raw = {name: grader.grade(judged.pairs[name]).probabilities for name in ("validation", "test")}
    apart = judged.random["validation"]  # without them the scores of plain misfits would be read as a shortlist's worst
    calibration = Calibration.fit(
        np.concatenate([raw["validation"], grader.grade(apart).probabilities]) if apart else raw["validation"],
        np.concatenate([grades["validation"], np.zeros(len(apart), np.int64)]),
        query_ids=[*parts["validation"]["query_id"], *(pair.query_id for pair in apart)],
    )
    calibration.save(folder / "calibration.json")
    measured = calibration.apply(raw["test"])
    predicted, random = decide(measured), grader.grade(judged.random["test"]).probabilities
    test = agreement(grades["test"], predicted)
    metrics = {
        "grader": vars(grader.judge),
        "calibration": calibration.kind,
        "test": test,
        "intervals": agreement_interval(grades["test"], predicted, query_ids=parts["test"]["query_id"]),
        "random_rejected": float((decide(calibration.apply(random)) == 0).mean()),
        "majority": agreement(grades["test"], majority_baseline(grades["train"], len(predicted))),
        "errors": {
            "before": calibration_error(raw["test"], grades["test"]),
            "after": calibration_error(measured, grades["test"]),
            "reliability": reliability(measured, grades["test"]),
        },
    }
    write_json(folder / "metrics.json", metrics)
    _write_graded(folder / "validation.parquet", parts["validation"], calibration.apply(raw["validation"]))
    _write_graded(folder / "test.parquet", parts["test"], measured)
    return {
        "random_rejected": metrics["random_rejected"],
        "judge": str(grader.judge),
        "pairs": len(judged.pairs["train"]),
        "calibration": calibration.kind,
        **{name: test[name] for name in ("accuracy", "within_1", "quadratic_kappa")},
    }


def _write_graded(path: Path, pairs: "pl.DataFrame", probabilities: np.ndarray) -> None:
    import polars as pl

    columns = [pl.Series(f"p{grade}", probabilities[:, grade]) for grade in range(3)]
    with replacing(path) as temporary:
        pairs.with_columns(columns).write_parquet(temporary)
