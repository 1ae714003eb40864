"""Stage `index`: the catalogue under the trained encoder, and BM25 beside it, as one folder to search."""

from typing import Any

from motherlode.recipe import Recipe
from motherlode.stages.refine import encoder_of
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Stage, Workspace, no_settings


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.encoders.encode import encode
    from motherlode.encoders.presets import load
    from motherlode.index.store import Index

    shop = ShopTexts(workspace, recipe)
    encoder, facts = encoder_of(workspace)
    model = load(str(encoder))
    vectors = encode(model, shop.all_texts(), "document", workspace / "vectors", "encoding the catalogue")
    built = Index.build(
        shop.tables,
        str(vectors.filename),
        encoder,
        workspace / "index",
        alpha=workspace.facts("evaluate")["alphas"][workspace.facts("evaluate")["last"]],
        facts={"weights": facts["weights"], "recipe": recipe.model_dump(mode="json")},
    )
    return {"items": built.facts["items"], "dense": built.facts["dense"], "alpha": built.facts["alpha"]}


STAGE = Stage("index", ("data", "fit", "evaluate"), no_settings, work, ("index/current",), after=("refine",))
