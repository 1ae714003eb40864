"""What both training stages share: an encoder trained on graded pairs, the best weights kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import replacing_folder, write_json
from motherlode.recipe import Encoder, Fit
from motherlode.stages.shop_texts import Pairs, ShopTexts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from motherlode.encoders.tokens import TokenStore
    from motherlode.training.criterion import Criterion

POOL = 100_000  # catalogue items that random negatives are drawn from, at most
ENCODE_AT_ONCE = 4_096  # texts of one block while validating


@dataclass(frozen=True)
class Material:
    """What an encoder is trained on and chosen by.

    Attributes:
        shop: the texts of items.
        queries: query texts; `train` and `validation` number them.
        train: graded pairs to learn from.
        validation: graded pairs that decide on the best weights.
    """

    shop: ShopTexts
    queries: Sequence[str]
    train: Pairs
    validation: Pairs


def fit_encoder(
    material: Material,
    encoder: Encoder,
    chosen: Fit,
    folder: Path,
    *,
    seed: int,
    key: str,
    provenance: dict[str, Any],
    loss: "Criterion | None" = None,
    untouched: bool = False,
) -> dict[str, Any]:
    """Train `encoder` and keep the best weights in `folder`/best; killed, it goes on when called again.

    Args:
        material: texts and graded pairs.
        encoder: what training starts from.
        chosen: how to train.
        folder: of this training alone.
        seed: of everything drawn.
        key: of all that shapes the training; a checkpoint made under another one is not continued.
        provenance: written beside the weights.
        loss: instead of the one that `chosen.loss` names.
        untouched: also write the encoder as it was before training to `folder`/untouched.

    Returns facts: weights (fingerprint of the best), dim, groups, pairs, and those of `training.fit.FitResult`.
    """
    from motherlode.encoders.fingerprint import weights_fingerprint
    from motherlode.encoders.merge import merged, snapshot
    from motherlode.encoders.tokens import TokenStore
    from motherlode.encoders.towers import two_tower
    from motherlode.training.batches import GradedBatches
    from motherlode.training.criterion import criterion
    from motherlode.training.fit import FitSettings, fit
    from motherlode.training.groups import Caps, GradedGroups
    from motherlode.training.objective import GradedObjective

    shop, train, validation = material.shop, material.train, material.validation
    rows, pool = _items_to_hold(len(shop.item_ids), train, validation, chosen.validation_items, seed)
    texts, text_of_row = np.unique(np.array(shop.texts(rows), dtype=object), return_inverse=True)
    number = lambda items: text_of_row[np.searchsorted(rows, items)]  # noqa: E731
    query_texts, text_of_query = np.unique(np.array(list(material.queries), dtype=object), return_inverse=True)

    model = two_tower(encoder.base, list(texts), dim=encoder.dim, untied=encoder.untied, max_tokens=encoder.max_tokens)
    provenance = {"data": shop.tables.fingerprint(), "seed": seed, "base": encoder.base, **provenance}
    if untouched:
        save(model, folder / "untouched", provenance)
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
        loss=loss or criterion(chosen.loss, gamma=chosen.gamma, supcon=chosen.supcon, reduction=chosen.reduction),
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
    def keep(best: Path) -> None:
        with merged(model, start, chosen.merge):
            save(model, best, provenance)

    def validate() -> dict[str, float]:
        with merged(model, start, chosen.merge):
            return score()

    result = fit(
        objective,
        objective.parameter_groups(chosen.lr, chosen.head_lr, chosen.weight_decay),
        batches,
        FitSettings(
            epochs=chosen.epochs,
            steps=chosen.steps,
            keep=chosen.keep,
            warmup=chosen.warmup,
            clip=chosen.clip,
            patience=chosen.patience,
            validations_per_epoch=chosen.validations_per_epoch,
            precision=chosen.precision,
            seed=seed,
        ),
        folder,
        save=keep,
        validate=validate,
        fingerprint=key,
    )
    from motherlode.encoders.presets import load

    best = load(str(folder / "best"))
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
