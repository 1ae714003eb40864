"""Stage `features_grader`: a grader from cheap signals learns the human grades in seconds, calibrated and measured."""

from typing import Any

from motherlode.recipe import Recipe
from motherlode.stages.learned_grader import OUTPUTS, Judged, measure
from motherlode.workspace import Stage, Workspace


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.grading.features import FeaturesGrader
    from motherlode.grading.features_fit import fit_features

    judged, folder = Judged(workspace, recipe), workspace / "features_grader"
    result = fit_features(
        *judged.training(),
        judged.pairs["validation"],
        judged.grades["validation"],
        folder / "best",
        origin=judged.origin,
        seed=recipe.seed,
    )
    return measure(judged, FeaturesGrader.load(folder / "best"), folder) | result


def settings(recipe: Recipe) -> dict[str, Any]:
    from motherlode.grading.features import LAYOUT
    from motherlode.grading.rubric import Rubric

    chosen = recipe.grader
    return {
        "seed": recipe.seed,
        "grader": {"soft_labels": chosen.soft_labels, "random": chosen.random},
        "rubric": Rubric.load(chosen.rubric).version,
        "layout": LAYOUT,
    }


STAGE = Stage("features_grader", ("data", "split"), settings, work, tuple(f"features_grader/{one}" for one in OUTPUTS))
