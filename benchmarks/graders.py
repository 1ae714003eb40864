"""The cross-encoder grader on queries it never saw: Home Depot (strict split), ESCI (five folds, folds pooled).

Beside it two baselines: the commonest grade, and the best thresholds on the best blend of BM25 and the untouched
MiniLM's cosine (blend and thresholds exact on the training pairs). Home Depot's raters give a ceiling: see
motherlode.grading.rater_ceiling for what it assumes. Intervals are 95 %, from a bootstrap over queries.

    MOTHERLODE_DATA=... python benchmarks/graders.py [stacked] home_depot | esci [FOLDER]  [key=value ...]

With a FOLDER training starts from a grader trained before (such as Home Depot's) instead of from MiniLM. `stacked`,
with the words the cross-encoder was trained with, puts the grader from cheap signals, and both stacked, beside it.
"""

import sys
from typing import Any

import numpy as np
import polars as pl
import yaml

from common import RUNS, write
from motherlode.atomic import fingerprint, read_json
from motherlode.encoders.encode import encode
from motherlode.encoders.presets import load
from motherlode.evaluation.agreement import agreement, agreement_gain, agreement_interval
from motherlode.evaluation.calibration_error import calibration_error
from motherlode.grading.cross_encoder_fit import soft_targets
from motherlode.grading.grader import decide
from motherlode.grading.rater_ceiling import rater_ceiling
from motherlode.grading.threshold_baseline import majority_baseline, threshold_baseline
from motherlode.recipe import Recipe
from motherlode.stages import features_grader
from motherlode.stages.graders import FOLDERS
from motherlode.stages.learned_grader import judged_parts
from motherlode.stages.retrieve import lexical_index
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Workspace
from stacking import MEMBERS, TRUST, Stack

HOME_DEPOT = ["data.source=homedepot", "split.unseen=1", "split.test=0.15", "split.validation=0.07"]
ESCI = ["data.source=esci", "split.folds=5", "split.validation=0.15"]
PROBABILITIES = ["p0", "p1", "p2"]
FIGURES = ("accuracy", "within_1", "macro_f1", "quadratic_kappa")


def search_scores(workspace: Workspace, recipe: Recipe) -> pl.DataFrame:
    """BM25 and the untouched MiniLM's cosine of every judged pair: query_id, item_id, bm25, cosine."""
    shop = ShopTexts(workspace, recipe)
    lexical, model = lexical_index(workspace, shop), load("minilm")
    texts, queries = shop.all_texts(), shop.queries["text"].to_list()
    vectors = [
        np.asarray(encode(model, part, task, RUNS / "minilm_vectors"))
        for part, task in ((queries, "query"), (texts, "document"))
    ]
    found = []
    for name in ("train", "validation", "test"):
        pairs = shop.pairs(name)
        order = np.argsort(pairs.queries, kind="stable")
        query, item = pairs.queries[order], pairs.items[order]
        rows, counts = np.unique(query, return_counts=True)
        bm25 = lexical.score([queries[row] for row in rows], np.concatenate([[0], np.cumsum(counts)]), item)
        cosine = np.einsum("nd,nd->n", vectors[0][query], vectors[1][item])
        found.append(
            pl.DataFrame(
                {
                    "query_id": shop.queries["query_id"][query],
                    "item_id": shop.item_ids[item],
                    "bm25": np.asarray(bm25, float),
                    "cosine": np.asarray(cosine, float),
                }
            )
        )
    return pl.concat(found)


def fold(settings: list[str], name: str) -> pl.DataFrame:
    """Train and grade one split; test pairs with the grader's probabilities and both baselines' grades."""
    recipe = Recipe.load(overrides=settings)
    workspace = run(recipe, RUNS / name, ("grader",), tell=lambda *what: print(name, *what, flush=True))
    parts, scores = judged_parts(workspace, ShopTexts(workspace, recipe).tables), search_scores(workspace, recipe)
    train = parts["train"].join(scores, on=["query_id", "item_id"])
    test = pl.read_parquet(workspace / "grader/test.parquet").join(scores, on=["query_id", "item_id"])
    columns = ["bm25", "cosine"]
    thresholds = threshold_baseline(train[columns].to_numpy(), train["grade"].to_numpy(), test[columns].to_numpy())
    return test.with_columns(
        predicted=pl.Series(decide(test[PROBABILITIES].to_numpy())),
        thresholds=pl.Series(thresholds),
        majority=pl.Series(majority_baseline(train["grade"].to_numpy(), len(test))),
    )


def trained(settings: list[str], name: str) -> tuple[Workspace, Recipe]:
    """The workspace of a cross-encoder, trained unless it is there, with the grader from features beside it."""
    workspace, recipe = Workspace(RUNS / name), Recipe.load(overrides=settings)
    if not (workspace / "grader/metrics.json").exists():  # one trained by an older version is as good
        run(recipe, workspace, ("grader",), tell=lambda *what: print(name, *what, flush=True))
    if "random" not in yaml.safe_load((workspace / "recipe.yaml").read_text())["grader"]:
        recipe = Recipe.load(overrides=[*settings, "grader.random=0"])  # what it has learnt from
    workspace.run(features_grader.STAGE, recipe)
    return workspace, recipe


def answers(workspace: Workspace, part: str, words: tuple[str, ...]) -> tuple[pl.DataFrame, list[np.ndarray]]:
    """The part's judged pairs, and the calibrated probabilities of each grader the workspace has trained."""
    frames = [pl.read_parquet(workspace / f"{FOLDERS[word]}/{part}.parquet") for word in words]
    assert all(frame["item_id"].equals(frames[0]["item_id"]) for frame in frames)
    return frames[0], [frame[PROBABILITIES].to_numpy() for frame in frames]


def stacked_fold(settings: list[str], name: str) -> pl.DataFrame:
    """Test pairs of one split with the grades of features, cross-encoder and both stacked."""
    workspace, _ = trained(settings, name)
    held_out, known = answers(workspace, "validation", MEMBERS)
    ratings = held_out["rating"].cast(float).fill_null(float("nan")).to_numpy()
    stack = Stack.fit(known, soft_targets(held_out["grade"].to_numpy(), ratings, TRUST))
    test, found = answers(workspace, "test", MEMBERS)
    systems = {"cross-encoder": found[0], "features": found[1], "stacked": stack.apply(found)}
    return test.with_columns(pl.Series(name, decide(one)) for name, one in systems.items())


def stacked_report(name: str, settings: list[str], pairs: pl.DataFrame) -> None:
    """Write the figures of all pairs together, each grader beside the cross-encoder alone."""
    truth, queries = pairs["grade"].to_numpy().astype(int), pairs["query_id"].to_numpy()
    systems, gains = {}, {}
    for system in ("cross-encoder", "features", "stacked"):
        grades = pairs[system].to_numpy()
        systems[system] = _rounded(agreement_interval(truth, grades, query_ids=queries))
        gains[system] = _rounded(agreement_gain(truth, grades, pairs["cross-encoder"].to_numpy(), query_ids=queries))
    write(
        name,
        {
            "settings": settings,
            "pairs": len(pairs),
            "queries": len(np.unique(queries)),
            "systems": systems,
            "gain over the cross-encoder": {system: gains[system] for system in ("features", "stacked")},
        },
    )


def _rounded(found: dict[str, Any]) -> dict[str, Any]:
    return {key: {end: _round(value) for end, value in found[key].items()} for key in FIGURES}


def report(name: str, settings: list[str], pairs: pl.DataFrame, **more: Any) -> None:
    """Write the figures of all pairs together."""
    truth, queries = pairs["grade"].to_numpy().astype(int), pairs["query_id"].to_numpy()
    figures = {}
    for system in ("majority", "thresholds", "predicted"):
        found = agreement_interval(truth, pairs[system].to_numpy(), query_ids=queries)
        figures[system] = {key: {end: _round(value) for end, value in found[key].items()} for key in FIGURES}
    gain = agreement_gain(truth, pairs["predicted"].to_numpy(), pairs["thresholds"].to_numpy(), query_ids=queries)
    probabilities = pairs[PROBABILITIES].to_numpy()
    careful = _least_expected_miss(probabilities)
    write(
        name,
        {
            "settings": settings,
            "pairs": len(pairs),
            "queries": len(np.unique(queries)),
            "systems": figures,
            "gain over thresholds": {key: {end: _round(value) for end, value in gain[key].items()} for key in FIGURES},
            "confusion, truth in rows": agreement(truth, pairs["predicted"].to_numpy())["confusion"],
            "deciding by least expected miss": {
                key: _round(value) for key, value in agreement(truth, careful).items() if key in FIGURES
            },
            "calibration error": _round(calibration_error(probabilities, truth)["ece"]),
            **more,
        },
    )


def _least_expected_miss(probabilities: np.ndarray) -> np.ndarray:
    """The median grade: the least expected distance from the truth."""
    return (np.cumsum(probabilities, axis=1) < 0.5).sum(axis=1).clip(max=2).astype(np.int8)


def _round(value: Any) -> Any:
    return round(float(value), 4) if value is not None else None


if __name__ == "__main__":
    stacking = sys.argv[1:2] == ["stacked"]
    mode, *rest = sys.argv[1 + stacking :] or [""]
    words = [word for word in rest if "=" in word]
    start = [f"grader.base={word}" for word in rest if "=" not in word]
    if mode == "home_depot":
        given = [*HOME_DEPOT, *start, *words]
        name = f"grader_home_depot_{fingerprint(given)}"
        if stacking:
            stacked_report("grader_stacked_home_depot", given, stacked_fold(given, name))
            sys.exit()
        found = fold(given, name)
        metrics = read_json(RUNS / name / "grader/metrics.json")
        rated = Workspace(RUNS / name)
        averages = pl.read_parquet(rated / "tables/judgements.parquet")["rating"].to_numpy() + 1
        report(
            "grader_home_depot_further" if start else "grader_home_depot",
            given,
            found,
            ceiling=rater_ceiling(averages),
            random_rejected=metrics["random_rejected"],
        )
    elif mode == "esci":
        given = [*ESCI, *start, *words]
        names = [f"grader_esci_{fingerprint(given)}_{at}" for at in range(5)]
        if stacking:
            folds = [stacked_fold([*given, f"split.fold={at}"], name) for at, name in enumerate(names)]
            stacked_report("grader_stacked_esci", given, pl.concat(folds))
            sys.exit()
        folds = [fold([*given, f"split.fold={at}"], name) for at, name in enumerate(names)]
        report("grader_esci_after_home_depot" if start else "grader_esci", given, pl.concat(folds))
    else:
        sys.exit(__doc__)
