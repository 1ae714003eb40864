"""Stage `recommend`: train the user-item two-tower on the training events with the sampler of the recipe."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import file_fingerprint, fingerprint
from motherlode.recipe import Recipe
from motherlode.stages.samplers import needs_codes
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.recommend.towers import TowerSettings
    from motherlode.semantics.views import Views

FOLDER = "recommend"
BEST = f"{FOLDER}/best"
WINDOWS = {"mean": 200, "attention": 20, "gru": 20}  # events of the user tower: the mean's cost next to nothing
DECAYS = {"last": 1.0}  # what comes next hangs on the latest events, what comes at all on every one of them


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.recommend.budget import Budget
    from motherlode.recommend.train import TrainSettings, train
    from motherlode.stages.codes import load_codes
    from motherlode.stages.samplers import sampler, virtual
    from motherlode.stages.sequences import load_split
    from motherlode.stages.views import load_views

    chosen, split = recipe.recommend, load_split(workspace)
    found = train(
        split,
        towers_of(recipe),
        sampler(recipe, split.frequencies, lambda: load_codes(workspace)),
        TrainSettings(
            Budget(chosen.unit, chosen.budget),
            batch=chosen.batch,
            temperature=chosen.temperature,
            lr=chosen.lr,
            item_lr=chosen.item_lr,
            weight_decay=chosen.weight_decay,
            warmup=chosen.warmup,
            patience=chosen.patience,
            watch=chosen.watch,
            omega=chosen.virtual.omega,
            seed=recipe.seed,
        ),
        workspace / FOLDER,
        labels=labels_of(workspace, chosen.code_sets) if chosen.code_sets else None,
        content=content_of(load_views(workspace)) if chosen.content else None,
        virtual=virtual(recipe),
        mark=fingerprint(workspace.inputs(stage_for(recipe), recipe)),
    )
    kept = ("best_step", "best_score", "steps", "stopped_early", "examples_a_step")
    return {
        **{name: found.facts[name] for name in kept},
        "weights": file_fingerprint(workspace / BEST / "model.safetensors"),
        "width": chosen.width,
        "window": found.model.settings.window,
        "decay": found.model.settings.decay,
        "parameters": sum(value.numel() for value in found.model.parameters()) + found.model.table.weight.numel(),
    }


def towers_of(recipe: Recipe) -> "TowerSettings":
    """The shape of the towers, what the recipe leaves open filled in by its split and pooling."""
    from motherlode.recommend.towers import TowerSettings

    chosen, decay = recipe.recommend, recipe.recommend.decay
    if decay is None:
        decay = DECAYS.get(recipe.sequences.split, 0.0) if chosen.pooling == "mean" else 0.0
    window = chosen.window or WINDOWS[chosen.pooling]
    return TowerSettings(chosen.width, window, chosen.pooling, chosen.user_hidden, chosen.item_hidden, decay)


def content_of(views: "Views") -> np.ndarray:
    """The mean of the views an item has: float32 [N, d], NaN where it has none."""
    mean = np.concatenate([block.mean() for _, block in views.blocks()])
    mean[~views.any_present()] = np.nan
    return mean


def labels_of(workspace: Workspace, sets: int) -> dict[str, np.ndarray]:
    """The codes of the workspace and further sets of them, as labels of its items: name -> int64 [N]."""
    from motherlode.semantics.codebooks import CascadedCodebooks
    from motherlode.semantics.label_sets import code_labels
    from motherlode.stages.codes import BOOKS, load_codes
    from motherlode.stages.views import load_views

    return code_labels(load_codes(workspace), load_views(workspace), CascadedCodebooks.load(workspace / BOOKS), sets)


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed, "recommend": recipe.recommend.model_dump(mode="json", exclude={"baselines"})}


STAGE = Stage("recommend", ("data", "sequences"), settings, work, (BEST, f"{FOLDER}/metrics.jsonl"))


def stage_for(recipe: Recipe) -> Stage:
    """The stage as this recipe has it: views and codes are needed only where the towers or the sampler read them."""
    seen = recipe.recommend.content or recipe.recommend.code_sets > 0
    more = ("views",) * seen + ("codes",) * needs_codes(recipe)
    return replace(STAGE, needs=(*STAGE.needs, *more))
