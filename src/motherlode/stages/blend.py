"""Stage `blend`: one list out of the legs, the way validation asks for, and what each way is worth on the test."""

from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import write_json
from motherlode.recipe import Recipe
from motherlode.stages import sparse
from motherlode.stages.refine import encoder_of
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.evaluation.judged import Judged
    from motherlode.index.candidates import Candidates

METRICS = ("ndcg@10", "recall@100")


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.encoders.encode import encode
    from motherlode.encoders.presets import load
    from motherlode.index import blends
    from motherlode.index.analysis import analyser
    from motherlode.index.blend_choice import choose
    from motherlode.index.candidates import best
    from motherlode.index.store import locale_of
    from motherlode.index.word_matches import Titles
    from motherlode.stages.retrieve import Part, lexical_index

    shop = ShopTexts(workspace, recipe)
    model = load(str(encoder_of(workspace)[0]))
    items = encode(model, shop.all_texts(), "document", workspace / "vectors", "encoding the catalogue")
    lexical = lexical_index(workspace, shop)
    names = shop.tables.frame("catalogue", ["title"])["title"].to_list()
    titles = Titles.build(names, analyser(locale_of(shop.tables)).analyze)
    parts = {name: Part(shop, name, recipe.evaluate.depth) for name in ("validation", "test")}
    third, pools = sparse.legs(workspace, recipe, shop, parts), {}
    for name, part in parts.items():
        queries = encode(model, part.texts, "query", workspace / "vectors", f"encoding queries ({name})")
        pools[name] = part.pool(np.asarray(queries), items, lexical, titles, third[name])

    choice = choose(pools["validation"], parts["validation"].judged)
    depth = recipe.evaluate.depth
    lists = {leg: best(*pools["test"].found(leg), depth) for leg in pools["test"].legs}
    lists |= {kind: blend.blend(pools["test"], depth) for kind, blend in choice.fitted.items()}
    blends.save(choice.blend, workspace / "blend/blend.json")
    report = {
        "chosen": choice.blend.kind,
        "why": choice.why,
        "validation": choice.tried,
        "test": compared(lists, parts["test"].judged, choice.blend.kind, recipe),
        "attention": getattr(choice.blend, "attention", None),
    }
    write_json(workspace / "blend/metrics.json", report)
    return {"chosen": choice.blend.kind, "why": choice.why}


def compared(lists: "dict[str, Candidates]", judged: "Judged", chosen: str, recipe: Recipe) -> dict[str, Any]:
    """Means of all systems, and paired 95 % intervals of the chosen one over each other."""
    from motherlode.evaluation.bootstrap import paired_bootstrap
    from motherlode.evaluation.ranking import ranking_metrics

    found = {name: ranking_metrics(judged, one.rows) for name, one in lists.items()}
    table = {name: np.stack([one[metric] for metric in METRICS], axis=1) for name, one in found.items()}
    means = {name: np.nanmean(values, axis=0).tolist() for name, values in table.items()}
    systems = {name: dict(zip(METRICS, values, strict=True)) for name, values in means.items()}
    against = {}
    for name, values in table.items():
        if name != chosen:
            intervals = paired_bootstrap(table[chosen], values, resamples=recipe.evaluate.resamples, seed=recipe.seed)
            against[name] = dict(zip(METRICS, intervals, strict=True))
    return {"queries": judged.n_queries, "systems": systems, "against": against}


def settings(recipe: Recipe) -> dict[str, Any]:
    third = {"sparse_terms": recipe.index.sparse_terms} if recipe.index.sparse else {}
    return {"seed": recipe.seed, "resamples": recipe.evaluate.resamples, "depth": recipe.evaluate.depth, **third}


OUTPUTS = ("blend/blend.json", "blend/metrics.json")
STAGE = Stage("blend", ("data", "split", "fit"), settings, work, OUTPUTS, after=("refine",))


def stage_for(recipe: Recipe) -> Stage:
    return sparse.also(STAGE, recipe)
