"""Stage `index`: the catalogue under the trained encoder, BM25 and a third leg where asked, as one folder to search."""

from shutil import copy
from typing import Any

from motherlode.recipe import Recipe
from motherlode.stages import sparse
from motherlode.stages.refine import encoder_of
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Stage, Workspace, no_settings


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.encoders.encode import encode
    from motherlode.encoders.presets import load
    from motherlode.encoders.vector_cache import prune
    from motherlode.index import blends
    from motherlode.index.publishing import SparsePlan
    from motherlode.index.query_convex import QueryConvex
    from motherlode.index.store import Index

    shop = ShopTexts(workspace, recipe)
    mix = blends.load(workspace / "blend/blend.json")
    known = workspace.facts("evaluate")
    encoder, facts = encoder_of(workspace)
    model = load(str(encoder))
    vectors = encode(model, shop.all_texts(), "document", workspace / "vectors", "encoding the catalogue")
    third = None
    if recipe.index.sparse:
        terms = sparse.item_terms(workspace, recipe, shop)[1]
        third = SparsePlan.of(workspace / sparse.FOLDER, terms, recipe.text.levels, recipe.index.sparse_terms)
    built = Index.build(
        shop.tables,
        str(vectors.filename),
        encoder,
        workspace / "index",
        alpha=mix.alpha if isinstance(mix, QueryConvex) else known["alphas"][known["last"]],
        mix=mix,
        facts={"weights": facts["weights"], "recipe": recipe.model_dump(mode="json")},
        sparse=third,
    )
    prune(workspace / "vectors", known["encoders"])
    copy(workspace / "thresholds/thresholds.json", workspace / "index")
    return {
        "items": built.facts["items"],
        **{leg: built.facts[leg] for leg in ("dense", "sparse") if leg in built.facts},
        "alpha": built.facts["alpha"],
        "blend": mix.kind,
    }


def unsound(workspace: Workspace) -> str:
    """Which file of the version that is served is gone or cut short: others than the stage's own get published."""
    from motherlode.atomic import read_json
    from motherlode.errors import MotherlodeError
    from motherlode.index import versions

    try:
        version = versions.current(workspace / "index")
        sizes = {version / name: size for name, size in read_json(version / "index.json")["files"].items()}
    except (MotherlodeError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return "index/current leads to no index"
    harmed = [path for path, size in sizes.items() if not path.is_file() or path.stat().st_size != size]
    return f"{harmed[0].relative_to(workspace.folder).as_posix()} is gone or damaged" if harmed else ""


OUTPUTS = ("index/thresholds.json",)  # of `current` and what it leads to see `unsound`: publishing replaces both
NEEDS = ("data", "fit", "evaluate", "blend", "thresholds")
STAGE = Stage("index", NEEDS, no_settings, work, OUTPUTS, after=("refine",), unsound=unsound)


def stage_for(recipe: Recipe) -> Stage:
    return sparse.also(STAGE, recipe)
