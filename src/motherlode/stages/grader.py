"""Stage `grader`: a cross-encoder learns the human grades, is calibrated on validation and measured on test."""

from typing import Any

from motherlode.recipe import Recipe
from motherlode.stages.learned_grader import OUTPUTS, Judged, measure
from motherlode.workspace import Stage, Workspace


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.grading.cross_encoder import CrossEncoderGrader
    from motherlode.grading.cross_encoder_fit import CrossEncoderSettings, fit_cross_encoder

    judged, folder = Judged(workspace, recipe), workspace / "grader"
    result = fit_cross_encoder(
        *judged.training(),
        judged.pairs["validation"],
        judged.grades["validation"],
        CrossEncoderSettings(**recipe.grader.model_dump(exclude={"rubric", "soft_labels", "random"}), seed=recipe.seed),
        folder,
        origin=judged.origin,
    )
    return measure(judged, CrossEncoderGrader(folder / "best"), folder) | vars(result)


def settings(recipe: Recipe) -> dict[str, Any]:
    from motherlode.grading.rubric import Rubric

    chosen = recipe.grader
    rubric = Rubric.load(chosen.rubric).version
    return {"seed": recipe.seed, "grader": chosen.model_dump(mode="json"), "rubric": rubric}


STAGE = Stage("grader", ("data", "split"), settings, work, tuple(f"grader/{name}" for name in OUTPUTS), version=2)
