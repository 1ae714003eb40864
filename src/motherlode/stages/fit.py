"""Stage `fit`: train the two-tower encoder on the graded groups of the training part."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import fingerprint, replacing_folder, write_json
from motherlode.recipe import Recipe
from motherlode.stages.shop_texts import Pairs, ShopTexts
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from motherlode.encoders.tokens import TokenStore

POOL = 100_000  # catalogue items that random negatives are drawn from, at most
ENCODE_AT_ONCE = 4_096  # texts of one block while validating


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.encoders.fingerprint import weights_fingerprint
    from motherlode.encoders.merge import merged, snapshot
    from motherlode.encoders.tokens import TokenStore
    from motherlode.encoders.towers import two_tower
    from motherlode.training.batches import GradedBatches
    from motherlode.training.fit import FitSettings, fit
    from motherlode.training.groups import Caps, GradedGroups
    from motherlode.training.objective import GradedObjective

    shop, chosen, seed = ShopTexts(workspace, recipe), recipe.fit, recipe.seed
    train, validation = shop.pairs("train"), shop.pairs("validation")
    rows, pool = _items_to_hold(len(shop.item_ids), train, validation, chosen.validation_items, seed)
    texts, text_of_row = np.unique(np.array(shop.texts(rows), dtype=object), return_inverse=True)
    number = lambda items: text_of_row[np.searchsorted(rows, items)]  # noqa: E731
    query_texts, text_of_query = np.unique(np.array(shop.queries["text"].to_list(), dtype=object), return_inverse=True)

    encoder = recipe.encoder
    model = two_tower(encoder.base, list(texts), dim=encoder.dim, untied=encoder.untied, max_tokens=encoder.max_tokens)
    provenance = {
        "data": shop.tables.fingerprint(),
        "seed": seed,
        "base": encoder.base,
        "recipe": recipe.model_dump(mode="json"),
    }
    save(model, workspace / "fit/untouched", provenance)
    start = snapshot(model) if chosen.merge < 1 else {}
    queries = TokenStore(model, list(query_texts), "query")
    items = TokenStore(model, list(texts), "document")
    groups = GradedGroups.from_pairs(text_of_query[train.queries], number(train.items), train.grades)
    batches = GradedBatches(
        groups,
        size=chosen.groups,
        caps=Caps(chosen.grade_2, chosen.grade_1, chosen.grade_0),
        unrelated=chosen.unrelated,
        random_items=chosen.random_items,
        pool=np.unique(number(pool)),
        seed=seed,
    )
    objective = GradedObjective(
        model,
        queries,
        items,
        temperature=chosen.temperature,
        reduction=chosen.reduction,
        suspect_margin=chosen.suspect_margin,
    )
    extra = pool[: chosen.validation_items]
    score = _validation(
        queries,
        items,
        text_of_query[validation.queries],
        number(validation.items),
        validation.grades,
        number(extra),
    )

    # what is validated and kept is the merged encoder, training goes on from the unmerged weights
    def keep(folder: Path) -> None:
        with merged(model, start, chosen.merge):
            save(model, folder, provenance)

    def validate() -> dict[str, float]:
        with merged(model, start, chosen.merge):
            return score()

    result = fit(
        objective,
        objective.parameter_groups(chosen.lr, chosen.head_lr, chosen.weight_decay),
        batches,
        FitSettings(
            epochs=chosen.epochs,
            warmup=chosen.warmup,
            clip=chosen.clip,
            patience=chosen.patience,
            validations_per_epoch=chosen.validations_per_epoch,
            precision=chosen.precision,
            seed=seed,
        ),
        workspace / "fit",
        save=keep,
        validate=validate,
        fingerprint=fingerprint(workspace.inputs(STAGE, recipe)),
    )
    from motherlode.encoders.presets import load

    best = load(str(workspace / "fit/best"))
    return {
        "weights": weights_fingerprint(best),
        "dim": best.get_embedding_dimension(),
        "groups": len(batches.members),
        "pairs": len(train.grades),
        **vars(result),
    }


def save(model: "SentenceTransformer", folder: Path, provenance: dict[str, Any]) -> None:
    """Write the encoder as a standard sentence-transformers folder, and beside it where it came from."""
    from motherlode.encoders.fingerprint import weights_fingerprint

    with replacing_folder(folder) as temporary:
        model.save(str(temporary), create_model_card=False)
        write_json(temporary / "motherlode.json", {"weights": weights_fingerprint(model), **provenance})


def _items_to_hold(
    count: int, train: Pairs, validation: Pairs, validation_items: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Catalogue rows training needs in memory (sorted), and the random pool among them in random order."""
    rng = np.random.default_rng([seed, 1])
    pool = rng.choice(count, min(count, max(POOL, validation_items)), replace=False)
    return np.unique(np.concatenate([train.items, validation.items, pool])), pool


def _validation(  # type: ignore[no-untyped-def]
    queries: "TokenStore",
    items: "TokenStore",
    query_texts: np.ndarray,
    item_texts: np.ndarray,
    grades: np.ndarray,
    extra: np.ndarray,
):
    """A function that scores the current weights: validation queries against judged and some other items."""
    from motherlode.evaluation.judged import Judged
    from motherlode.evaluation.ranking import ranking_metrics
    from motherlode.evaluation.run import top_k
    from motherlode.training.groups import GradedGroups

    groups = GradedGroups.from_pairs(query_texts, item_texts, grades)  # one row a distinct text
    pool, columns = np.unique(np.concatenate([groups.items, extra]), return_inverse=True)
    judged = Judged(groups.indptr, columns[: len(groups.items)], groups.grades)

    def vectors(store: "TokenStore", rows: np.ndarray) -> np.ndarray:
        order = np.argsort(store.lengths[rows], kind="stable")
        parts = [
            store.vectors(rows[order[begin : begin + ENCODE_AT_ONCE]]).cpu().numpy()
            for begin in range(0, len(rows), ENCODE_AT_ONCE)
        ]
        result = np.empty((len(rows), parts[0].shape[1]), np.float32)
        result[order] = np.concatenate(parts)
        return result

    def validate() -> dict[str, float]:
        scores = vectors(queries, groups.queries) @ vectors(items, pool).T
        found, _ = top_k(scores, min(100, len(pool)))
        metrics = ranking_metrics(judged, found, cutoffs=(10, 100))
        return {name: float(np.nanmean(metrics[name])) for name in ("ndcg@10", "recall@100")}

    return validate


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed} | {
        name: getattr(recipe, name).model_dump(mode="json") for name in ("text", "encoder", "fit")
    }


STAGE = Stage("fit", ("data", "split"), settings, work, ("fit/best", "fit/untouched", "fit/metrics.jsonl"))
