"""Stage `recommend_index`: item vectors, user tower and histories as one folder that answers `recommend`."""

from typing import Any

from motherlode.recipe import Recipe
from motherlode.workspace import Stage, Workspace, no_settings

FOLDER = "recommender"


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.recommend.sequences import read_sequences
    from motherlode.recommend.serving import Recommender
    from motherlode.recommend.towers import UserItemTwoTower
    from motherlode.stages.recommend import BEST
    from motherlode.tables.tables import Tables

    tables = Tables(workspace / "tables")
    sequences, user_ids = read_sequences(tables)
    catalogue = tables.frame("catalogue", ["item_id", "title"])
    made = Recommender.build(
        workspace / FOLDER,
        UserItemTwoTower.load(workspace / BEST),
        catalogue["item_id"].to_list(),
        catalogue["title"].to_list(),
        users=(user_ids, sequences),
        facts={
            "weights": workspace.facts("recommend")["weights"],
            "data": workspace.facts("data")["tables"],
            "recipe": recipe.model_dump(mode="json"),
        },
    )
    return {name: made.facts[name] for name in ("items", "served", "users", "dense")}


STAGE = Stage("recommend_index", ("data", "recommend"), no_settings, work, (FOLDER,))
