"""Stage `light_llm`: a small language model learns the human grades through LoRA, calibrated and measured likewise."""

from typing import Any

from motherlode.recipe import Recipe
from motherlode.stages.learned_grader import OUTPUTS, Judged, measure
from motherlode.workspace import Stage, Workspace

VALIDATION = 500  # pairs looked at while training: a language model reads few of them a second


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    import numpy as np

    from motherlode.grading.causal_lm import CausalLMGrader
    from motherlode.grading.causal_lm_fit import CausalLMSettings, fit_causal_lm

    judged, folder, chosen = Judged(workspace, recipe), workspace / "light_llm", recipe.light_llm
    pairs, targets = judged.training()
    count = len(pairs)
    rows = np.sort(np.random.default_rng([recipe.seed, 2]).permutation(count)[: chosen.pairs or count])
    held_out = np.random.default_rng([recipe.seed, 3]).permutation(len(judged.pairs["validation"]))[:VALIDATION]
    result = fit_causal_lm(
        [pairs[row] for row in rows],
        targets[rows],
        [judged.pairs["validation"][row] for row in held_out],
        judged.grades["validation"][held_out],
        CausalLMSettings(**chosen.model_dump(exclude={"pairs"}), seed=recipe.seed),
        folder,
        origin=judged.origin,
    )
    return measure(judged, CausalLMGrader.load(folder / "best"), folder) | vars(result) | {"pairs": len(rows)}


def settings(recipe: Recipe) -> dict[str, Any]:
    from motherlode.grading.rubric import Rubric

    return {
        "seed": recipe.seed,
        "light_llm": recipe.light_llm.model_dump(mode="json"),
        "soft_labels": recipe.grader.soft_labels,
        "random": recipe.grader.random,
        "rubric": Rubric.load(recipe.grader.rubric).version,
    }


STAGE = Stage("light_llm", ("data", "split"), settings, work, tuple(f"light_llm/{name}" for name in OUTPUTS), version=2)
