"""Stage `report`: one self-contained HTML page on what was trained and what it is worth."""

from typing import Any

from motherlode.atomic import read_json
from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace, no_settings


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode import __version__
    from motherlode.report.page import write
    from motherlode.stages.evaluate import BLENDS, LEXICAL, UNTOUCHED
    from motherlode.stages.refine import encoder_of

    data, fit, split = (workspace.facts(stage) for stage in ("data", "fit", "split"))
    source, last = data["source"], workspace.facts("evaluate")["last"]
    write(
        workspace / "evaluate",
        workspace / "report.html",
        title=f"{source.get('title', source.get('name', recipe.data.source))}: graded retrieval",
        facts={
            "dataset": source.get("title", source.get("name", recipe.data.source)),
            "simulated": bool(source.get("simulated", False)),
            "licence": source.get("licence", "not stated"),
            "encoder": recipe.encoder.base,
            "training groups": fit["groups"],
            "training pairs": fit["pairs"],
            "test queries": split["test"]["queries"],
            "best step": f"{fit['best_step']} of {fit['steps']}",
            "seed": recipe.seed,
            "weights": encoder_of(workspace)[1]["weights"],
            "tables": data["tables"],
            "motherlode": __version__,
        },
        fit_log=workspace / "fit/metrics.jsonl",
        systems={"before": UNTOUCHED, "after": last, "lexical": LEXICAL, "blend": BLENDS[last]},
        blends=read_json(workspace / "blend/metrics.json"),
        thresholds=read_json(workspace / "thresholds/metrics.json"),
    )
    return {}


STAGE = Stage("report", ("evaluate", "blend", "thresholds"), no_settings, work, ("report.html",))


def stage_for(recipe: Recipe) -> Stage:
    """The page of the recipe's journey."""
    if recipe.journey == "search":
        return STAGE
    from motherlode.stages import recommend_report

    return recommend_report.STAGE
