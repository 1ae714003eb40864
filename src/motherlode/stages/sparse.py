"""Stage `sparse`: the term encoder of the index's third leg, trained on the graded groups or taken from a folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motherlode.atomic import file_fingerprint, fingerprint
from motherlode.recipe import Recipe
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.index.candidates import Candidates
    from motherlode.index.pool import PairScores
    from motherlode.sparse.term_encoder import TermEncoder
    from motherlode.sparse.term_vectors import TermVectors
    from motherlode.stages.retrieve import Part

TRAIN = "train"  # what `index.sparse` says for an encoder of this workspace's own
FOLDER = "sparse/best"
RAMP = 0.3  # share of training until FLOPS has its full weight, as in the paper: 1.5 of 5 epochs


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.sparse.encode import terms_fingerprint
    from motherlode.sparse.term_encoder import TermEncoder

    asked, folder = recipe.index.sparse, workspace / FOLDER
    if asked == TRAIN:
        _train(workspace, recipe)
    else:
        TermEncoder.load(str(asked)).save(folder, {"from": str(asked)})
    shutil.rmtree(workspace / "sparse/terms", ignore_errors=True)  # of the weights before
    encoder = TermEncoder.load(folder)
    return {"weights": terms_fingerprint(encoder), "terms": encoder.width}


def _train(workspace: Workspace, recipe: Recipe) -> None:
    from motherlode.sparse.fit import Rates, fit_terms, pieces_in
    from motherlode.sparse.objective import SparseSettings
    from motherlode.sparse.term_encoder import TermEncoder, TermSettings
    from motherlode.training.fit import FitSettings
    from motherlode.training.groups import GradedGroups

    chosen, shop = recipe.sparse, ShopTexts(workspace, recipe)
    base = chosen.base or recipe.encoder.base
    train, texts, queries = shop.pairs("train"), shop.texts(), shop.queries["text"].to_list()
    groups = GradedGroups.from_pairs(train.queries, train.items, train.grades)
    pieces = pieces_in(base, [*texts, *(queries[row] for row in groups.queries)])  # nothing of held-out queries
    windows = TermSettings(True, chosen.query_window, chosen.item_window)
    encoder = TermEncoder.start(
        base, texts, windows, pieces=pieces, max_tokens=recipe.encoder.max_tokens, seed=recipe.seed
    )
    fit_terms(
        encoder,
        queries,
        texts,
        groups,
        workspace / "sparse",
        FitSettings(steps=chosen.steps, keep="last", precision=chosen.precision, seed=recipe.seed),
        size=chosen.groups,
        rates=Rates(chosen.lr, chosen.head_lr),
        objective=SparseSettings(ramp=round(RAMP * chosen.steps)),
        fingerprint=fingerprint(workspace.inputs(STAGE, recipe)),
        provenance={"recipe": recipe.model_dump(mode="json")},
    )


def item_terms(workspace: Workspace, recipe: Recipe, shop: ShopTexts) -> tuple[TermEncoder, TermVectors]:
    """The stage's encoder and its weights of the whole catalogue, which are kept."""
    from motherlode.sparse.encode import encode_terms
    from motherlode.sparse.term_encoder import TermEncoder

    encoder = TermEncoder.load(workspace / FOLDER)
    half = recipe.sparse.precision == "bf16"
    folder = workspace / "sparse/terms"
    return encoder, encode_terms(encoder, shop.texts(), "document", folder, bf16=half, what="encoding terms of items")


def legs(
    workspace: Workspace, recipe: Recipe, shop: ShopTexts, parts: Mapping[str, Part]
) -> dict[str, dict[str, tuple[Candidates, PairScores]]]:
    """For each part the sparse leg's list of its queries, and how it scores pairs; nothing where there is none."""
    if not recipe.index.sparse:
        return {name: {} for name in parts}
    from motherlode.index.query_terms import served_terms
    from motherlode.index.sparse import SparseIndex
    from motherlode.sparse.encode import encode_terms

    encoder, items = item_terms(workspace, recipe, shop)
    index = SparseIndex.of(items)
    found: dict[str, dict[str, tuple[Candidates, PairScores]]] = {}
    for name, part in parts.items():
        queries = encode_terms(encoder, part.texts, "query", workspace / "sparse/terms")
        queries = served_terms(queries, recipe.index.sparse_terms)
        listed = part.known.drop(index.search(queries, part.depth + part.known.most), part.depth)
        found[name] = {"sparse": (listed, partial(index.score, queries))}
    return found


def settings(recipe: Recipe) -> dict[str, Any]:
    asked = recipe.index.sparse
    if asked == TRAIN:
        parts = {name: getattr(recipe, name).model_dump(mode="json") for name in ("text", "encoder", "sparse")}
        return {"seed": recipe.seed, **parts}
    found = Path(str(asked))
    return {"folder": file_fingerprint(found) if found.is_dir() else str(asked)}


STAGE = Stage("sparse", ("data", "split"), settings, work, (FOLDER,))


def also(stage: Stage, recipe: Recipe) -> Stage:
    """A stage that reads this one's output too where the recipe asks for a third leg."""
    from dataclasses import replace

    return replace(stage, needs=(*stage.needs, STAGE.name)) if recipe.index.sparse else stage
