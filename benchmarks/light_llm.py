"""A light language model as grader on Home Depot, as it comes and with a LoRA adapter trained on grades.

Test queries are never seen in training (strict split); the pairs of each part are a random sample of it. Verdicts go
through the ledger, so a killed run goes on where it was; speeds are taken from the first pairs of the test sample.

    MOTHERLODE_DATA=... python benchmarks/light_llm.py [base=smollm2] [train=2000] [validation=200] [test=1000]
        [epochs=1] [batch=8] [lr=0.001] [precision=fp32] [seed=0]
"""

import sys
import time
from typing import Any

import numpy as np
import polars as pl

from common import RUNS, home_depot, write
from motherlode.atomic import fingerprint
from motherlode.evaluation.agreement import agreement, agreement_gain, agreement_interval
from motherlode.evaluation.calibration_error import calibration_error
from motherlode.grading.causal_lm import CausalLMGrader
from motherlode.grading.causal_lm_fit import CausalLMSettings, fit_causal_lm
from motherlode.grading.cross_encoder_fit import soft_targets
from motherlode.grading.grader import decide
from motherlode.grading.job import grade
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.grading.rubric import Rubric
from motherlode.grading.threshold_baseline import majority_baseline
from motherlode.stages.learned_grader import judged_parts
from motherlode.tables.tables import Tables

DEFAULTS = {
    "base": "smollm2",
    "train": 2000,
    "validation": 200,
    "test": 1000,
    "epochs": 1,
    "batch": 8,
    "lr": 1e-3,
    "precision": "fp32",
    "seed": 0,
}
FIGURES = ("accuracy", "within_1", "macro_f1", "quadratic_kappa")
TIMED = 64  # pairs


def main(given: dict[str, Any]) -> None:
    workspace, _ = home_depot()
    tables, seed = Tables(workspace / "tables"), given["seed"]
    texts, rubric = PairTexts(tables), Rubric.load().version
    parts = {
        name: part.sample(min(given[name], len(part)), seed=seed, shuffle=True)
        for name, part in judged_parts(workspace, tables).items()
    }
    pairs = {name: texts.pairs(part["query_id"], part["item_id"]) for name, part in parts.items()}
    grades = {name: part["grade"].to_numpy().astype(np.int64) for name, part in parts.items()}
    ratings = parts["train"]["rating"].cast(float).fill_null(float("nan")).to_numpy()
    settings = CausalLMSettings(
        **{name: given[name] for name in ("base", "epochs", "batch", "lr", "precision")},
        validations_per_epoch=4,
        seed=seed,
    )
    folder = RUNS / f"light_llm_{fingerprint(given)}"
    systems: dict[str, Any] = {"majority": {"grades": majority_baseline(grades["train"], len(grades["test"]))}}
    systems["as it comes"] = measured(
        CausalLMGrader.zero_shot(given["base"], rubric=rubric, precision=given["precision"]),
        parts["test"],
        texts,
        folder,
    )
    began = time.process_time()
    result = fit_causal_lm(
        pairs["train"],
        soft_targets(grades["train"], ratings),
        pairs["validation"],
        grades["validation"],
        settings,
        folder,
        origin={"rubric": rubric, "data": tables.fingerprint()},
    )
    seconds = time.process_time() - began
    systems["trained"] = measured(CausalLMGrader.load(folder / "best"), parts["test"], texts, folder)
    truth, queries = grades["test"], parts["test"]["query_id"].to_numpy()
    gain = agreement_gain(truth, systems["trained"]["grades"], systems["majority"]["grades"], query_ids=queries)
    write(
        "light_llm",
        {
            "settings": vars(settings) | {name: len(part) for name, part in parts.items()},
            "fit": vars(result),
            "fit CPU seconds, of the last start alone": round(seconds),
            "systems": {name: figures(truth, found, queries) for name, found in systems.items()},
            "gain over majority": {name: rounded(gain[name]) for name in FIGURES},
        },
    )


def measured(grader: CausalLMGrader, test: pl.DataFrame, texts: PairTexts, folder: Any) -> dict[str, Any]:
    """Verdicts of the test pairs through the ledger, and pairs a CPU-second."""
    some = texts.pairs(test["query_id"][:TIMED], test["item_id"][:TIMED])
    grader.grade(some[:8])  # warm-up
    began = time.process_time()
    grader.grade(some)
    speed = len(some) / (time.process_time() - began)
    with Ledger(folder / "ledger.sqlite") as ledger:
        print(grade(test["query_id"], test["item_id"], texts, grader, ledger, source="benchmark"), flush=True)
        found = ledger.lookup(grader.judge, test["query_id"], test["item_id"]).probabilities
    return {"grades": decide(found), "probabilities": found, "pairs a CPU-second": round(speed, 2)}


def figures(truth: np.ndarray, found: dict[str, Any], queries: np.ndarray) -> dict[str, Any]:
    """The figures of one system with 95 % intervals over queries, its confusion, calibration and speed."""
    intervals = agreement_interval(truth, found["grades"], query_ids=queries)
    scores = {name: rounded(intervals[name]) for name in FIGURES}
    scores["confusion, truth in rows"] = agreement(truth, found["grades"])["confusion"]
    if "probabilities" in found:
        scores["calibration error"] = round(float(calibration_error(found["probabilities"], truth)["ece"]), 4)
        scores["pairs a CPU-second"] = found["pairs a CPU-second"]
    return scores


def rounded(interval: dict[str, Any]) -> dict[str, Any]:
    return {end: None if value is None else round(value, 4) for end, value in interval.items()}


if __name__ == "__main__":
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    main({name: type(default)(words.get(name, default)) for name, default in DEFAULTS.items()})
