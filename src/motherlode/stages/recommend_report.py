"""Stage `report` of the journey to recommend: what was trained, what it is worth, and what the codes hold."""

from typing import Any

from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode import __version__
    from motherlode.atomic import read_json
    from motherlode.report.measured import read_log
    from motherlode.report.recommend import write_recommend
    from motherlode.stages import codes, recommend, recommend_evaluate, views
    from motherlode.tables.tables import Tables

    tables, sequences, trained = (
        Tables(workspace / "tables"),
        workspace.facts("sequences"),
        workspace.facts("recommend"),
    )
    source, evaluated = tables.source, workspace / recommend_evaluate.FOLDER
    title = source.get("title", source.get("name", recipe.data.source))
    catalogue = tables.frame("catalogue", ["item_id", "title"])
    write_recommend(
        workspace / "report.html",
        title=f"{title}: recommendations",
        metrics=read_json(evaluated / "metrics.json"),
        trained=recommend_evaluate.TRAINED,
        examples=read_json(evaluated / "examples.json"),
        log=read_log(workspace / recommend.FOLDER / "metrics.jsonl"),
        views=read_json(workspace / views.REPORT),
        described=read_json(workspace / codes.DESCRIBED),
        codes=codes.load_codes(workspace),
        titles=catalogue["title"].to_list(),
        facts={
            "dataset": title,
            "licence": source.get("licence", "not stated"),
            "sampler": recipe.recommend.sampler + (" outside the leaf" if recipe.recommend.negatives.leaf_mask else ""),
            "virtual negatives": recipe.recommend.virtual.kind,
            "split": recipe.sequences.split,
            "users": sequences["users"],
            "items": sequences["items"],
            "training events": sequences["training events"],
            "test users": sequences["test users"],
            "asked without history": sequences["asked without history"],
            "best step": f"{trained['best_step']} of {trained['steps']}",
            "parameters": trained["parameters"],
            "seed": recipe.seed,
            "weights": trained["weights"],
            "codebooks": workspace.facts("codes")["codebooks"],
            "tables": workspace.facts("data")["tables"],
            "motherlode": __version__,
        },
    )
    return {}


STAGE = Stage(
    "report",
    ("data", "sequences", "views", "codes", "recommend", "recommend_evaluate"),
    lambda _: {"journey": "recommend"},
    work,
    ("report.html",),
)
