"""Stage `thresholds`: score thresholds between the grades, chosen on validation, and what they hold on the test."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import write_json
from motherlode.recipe import Recipe
from motherlode.stages.refine import encoder_of
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.stages.retrieve import Part
    from motherlode.thresholds.boundary import Boundary

LOST = 0.1  # share of answerable queries that refusing may cost


@dataclass(frozen=True)
class Scored:
    """Pairs of a part with grade and cosine, random ones among them, and the best cosines of each query's list."""

    part: "Part"
    queries: np.ndarray
    grades: np.ndarray
    cosines: np.ndarray
    top: np.ndarray


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.encoders.encode import encode
    from motherlode.encoders.presets import load
    from motherlode.serve.strata import fit_strata
    from motherlode.stages.retrieve import Part
    from motherlode.thresholds.drift import histogram

    shop = ShopTexts(workspace, recipe)
    folder, facts = encoder_of(workspace)
    model = load(str(folder))
    items = encode(model, shop.all_texts(), "document", workspace / "vectors", "encoding the catalogue")
    sides = {}
    for name in ("validation", "test"):
        part = Part(shop, name, recipe.evaluate.depth)
        queries = np.asarray(encode(model, part.texts, "query", workspace / "vectors", f"encoding queries ({name})"))
        sides[name] = scored(part, queries, items, recipe)
    fit, test = sides["validation"], sides["test"]
    strata = fit_strata(
        fit.cosines, fit.grades, fit.queries, precision=recipe.thresholds.precision, weights=facts["weights"]
    )
    strata.save(workspace / "thresholds")
    scores = fit.top[np.isfinite(fit.top)]
    report = {
        "precision": recipe.thresholds.precision,
        "random": recipe.thresholds.random,
        "boundaries": [held(boundary, test) for boundary in strata.boundaries.values()],
        "guarantees": [guarantee(grade, fit, test, recipe) for grade in (1, 2)],
        "refusing": [refusal(grade, fit, test) for grade in (1, 2)],
        "scores": histogram(scores, facts["weights"]) if len(scores) else None,
    }
    write_json(workspace / "thresholds/metrics.json", report)
    return {f"grade {boundary.grade}": boundary.threshold for boundary in strata.boundaries.values()}


def scored(part: "Part", queries: np.ndarray, items: np.ndarray, recipe: Recipe) -> Scored:
    """The judged pairs of a part, and random items of the same queries that are not judged, as grade 0."""
    from motherlode.index.dense import DenseIndex

    judged, count = part.judged, len(items)
    rng = np.random.default_rng([recipe.seed, judged.n_queries, count])
    drawn = rng.choice(judged.query_rows, round(recipe.thresholds.random * len(judged.items)))
    pairs = np.unique(drawn * count + rng.integers(0, count, len(drawn)))
    pairs = pairs[~np.isin(pairs, judged.query_rows * count + judged.items)]
    owners, rows = pairs // count, pairs % count
    starts = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=judged.n_queries))]).astype(np.int64)
    strange = DenseIndex(items, {}, None).score(queries, starts, rows)
    found = part.dense("dense", queries, items)
    assert found.judged_scores is not None
    return Scored(
        part,
        np.concatenate([judged.query_rows, owners]),
        np.concatenate([judged.grades, np.zeros(len(owners), dtype=np.int8)]),
        np.concatenate([found.judged_scores, strange]).astype(np.float64),
        np.where(found.items[:, :10] >= 0, found.scores[:, :10], np.nan),
    )


def held(boundary: "Boundary", test: Scored) -> dict[str, Any]:
    """A boundary as it was on validation, on the test, and on each slice of the test."""
    from motherlode.thresholds.boundary import measured

    slices = {}
    for name, mask in test.part.slices.items():
        pairs = mask[test.queries]
        slices[name] = measured(
            boundary.grade, boundary.threshold, name, test.cosines[pairs], test.grades[pairs]
        ).to_json()
    whole = measured(boundary.grade, boundary.threshold, boundary.how, test.cosines, test.grades)
    return {"validation": boundary.to_json(), "test": whole.to_json(), "slices": slices}


def guarantee(grade: int, fit: Scored, test: Scored, recipe: Recipe) -> dict[str, Any]:
    """The conformal threshold for the share asked for, and the share that it has on the test and under shifts."""
    from motherlode.thresholds.conformal import risk_control
    from motherlode.thresholds.coverage import Shown, coverage, under_shift

    made = risk_control(
        fit.cosines,
        fit.grades,
        fit.queries,
        grade=grade,
        share=recipe.thresholds.precision,
        n_queries=fit.part.judged.n_queries,
    )
    shown = Shown(test.cosines, test.grades >= grade, test.queries, test.part.judged.n_queries)
    shifted = under_shift(shown, made.threshold, test.part.slices) if made.threshold is not None else {}
    return {**made.to_json(), "test": coverage(shown, made.threshold), "shifted": shifted}


def refusal(grade: int, fit: Scored, test: Scored) -> dict[str, Any]:
    """Refusing a query whose best score is low: the threshold from validation, measured on the test.

    Whether a list holds anything of the grade is known of judged items alone; of a query without any it is taken as
    no. Every second query is emptied of its judged items of the grade, so that there is something to refuse.
    """
    from motherlode.errors import InputError
    from motherlode.thresholds.rejection import refuse_below, rejection

    (best, has), (best_test, has_test) = (_best(side, grade) for side in (fit, test))
    try:
        threshold = refuse_below(best, has, LOST)
    except InputError as error:
        return {"grade": grade, "cannot": str(error)}
    return {"grade": grade, **asdict(rejection(best_test, has_test, threshold))}


def _best(side: Scored, grade: int) -> tuple[np.ndarray, np.ndarray]:
    """Best judged cosine of each query that has an item of the grade, every second one without these, and which."""
    best = np.full(side.part.judged.n_queries, -np.inf)
    emptied = np.arange(len(best)) % 2 == 1
    kept = ~(emptied[side.queries] & (side.grades >= grade))
    np.maximum.at(best, side.queries[kept], side.cosines[kept])
    known = side.part.judged.count(grade) > 0
    return best[known], ~emptied[known]


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed, "depth": recipe.evaluate.depth, **recipe.thresholds.model_dump(mode="json")}


OUTPUTS = ("thresholds/thresholds.json", "thresholds/metrics.json")
STAGE = Stage("thresholds", ("data", "split", "fit"), settings, work, OUTPUTS, after=("refine",))
