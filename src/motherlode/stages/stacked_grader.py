"""Stage `stacked_grader`: how to weigh the cross-encoder and the features, learnt on validation, measured on test."""

from typing import Any

from motherlode.recipe import Recipe
from motherlode.stages.learned_grader import OUTPUTS, Judged, measure
from motherlode.workspace import Stage, Workspace

MEMBERS = ("cross-encoder", "features")
STACK = "stack.json"
TRUST = 0.8  # share of the grade in a target beside the raters' mean; ours, chosen on Home Depot's validation queries


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    import numpy as np

    from motherlode.grading.cross_encoder_fit import soft_targets
    from motherlode.grading.stacked import Stack, StackedGrader
    from motherlode.stages.graders import grader

    judged, folder = Judged(workspace, recipe), workspace / "stacked_grader"
    members = [grader(word, workspace, recipe) for word in MEMBERS]
    apart = judged.random["validation"]
    answers = [member.grade(judged.pairs["validation"] + apart).probabilities for member in members]
    ratings = judged.parts["validation"]["rating"].cast(float).fill_null(float("nan")).to_numpy()
    targets = soft_targets(judged.grades["validation"], ratings if recipe.grader.soft_labels else None, TRUST)
    rejected = np.tile(np.eye(3, dtype=np.float32)[0], (len(apart), 1))
    stack = Stack.fit(answers, np.concatenate([targets, rejected]))
    stack.save(folder / STACK)
    return measure(judged, StackedGrader(members, stack), folder)


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed, "grader": {"soft_labels": recipe.grader.soft_labels, "random": recipe.grader.random}}


STAGE = Stage(
    "stacked_grader",
    ("data", "split", "grader", "features_grader"),
    settings,
    work,
    tuple(f"stacked_grader/{name}" for name in (STACK, *OUTPUTS[1:])),
)
