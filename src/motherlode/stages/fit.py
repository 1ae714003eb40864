"""Stage `fit`: train the two-tower encoder on the graded groups of the training part (Stage 1)."""

from typing import Any

from motherlode.atomic import fingerprint
from motherlode.recipe import Recipe
from motherlode.stages.fit_encoder import Material, fit_encoder
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Stage, Workspace


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    shop = ShopTexts(workspace, recipe)
    texts, train = shop.queries["text"].to_list(), shop.pairs("train")
    if recipe.fit.misspelt:
        texts, train = shop.misspelt_variants(texts, train, recipe.fit.misspelt, recipe.seed)
    return fit_encoder(
        Material(shop, texts, train, shop.pairs("validation")),
        recipe.encoder,
        recipe.fit,
        workspace / "fit",
        seed=recipe.seed,
        key=fingerprint(workspace.inputs(STAGE, recipe)),
        provenance={"recipe": recipe.model_dump(mode="json")},
        untouched=True,
    )


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed} | {
        name: getattr(recipe, name).model_dump(mode="json") for name in ("text", "encoder", "fit")
    }


STAGE = Stage("fit", ("data", "split"), settings, work, ("fit/best", "fit/untouched", "fit/metrics.jsonl"))
