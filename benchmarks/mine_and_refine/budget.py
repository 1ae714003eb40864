"""What verdicts buy: by how many there are, by the order they are bought in, by how often the judge is wrong.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/budget.py STUDY [seeds=0,1,2] [orders=...] [sizes=...]

STUDY is shop or home_depot_static. Every arm has a ledger of its own (on Home Depot the study's memory lies beneath, so
that a pair costs its processor time once), mines under Stage 1, and trains on what the rule keeps and all originals.
On the shop also judges of several accuracies. What is done is not done again; `seeds=` writes the table alone.
"""

import sys
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from arms import Arm
from material import FOLDER, Study
from miners import FACTOR, Side, gain, original, results, study_of
from run import ACCURACY, train

from common import write
from motherlode.atomic import read_json
from motherlode.grading.ledger import Ledger
from motherlode.mining.budget import ORDERS
from motherlode.mining.plan import RoundSettings
from motherlode.mining.round import mine_round
from motherlode.mining.selection import Rule

SIZES = {"shop": "10000,2500,40000,5000,20000", "home_depot_static": "20000,5000"}
CHOSEN = {"shop": ",".join(ORDERS), "home_depot_static": "random,rank,mixed"}
LOSS = "supcon"  # of the budgets' arms
ACCURACIES = (1.0, ACCURACY, 0.75, 0.6)
JUDGED = (("mined", "circle"), ("mined", "supcon"), ("random", "supcon"))  # data of `Material.judgements`, loss
KEPT = ("open", "bought", "false_negative_rate", "mined")


def bought(side: Side, order: str, size: int | None) -> pl.DataFrame:
    """All originals, and what a round keeps that may ask for `size` verdicts (None: all) in that order."""
    ground = replace(side.ground, legs={"bm25": side.lexical().search(side.query_texts(), side.study.k).rows})
    folder = side.folder / "budget" / name(order, size).replace(" ", "_")
    settings = RoundSettings(side.study.k, Rule(), size, order, side.seed)
    with Ledger(folder.with_suffix(".sqlite")) as ledger:
        return mine_round(ground, side.texts, side.grader, ledger, folder, settings).judgements


def name(order: str, size: int | None) -> str:
    return "all verdicts" if size is None else f"{order} {size}"


def part(accuracy: float = ACCURACY) -> str:
    """Where arms lie, a folder for every judge: what one was asked is never remembered for another's budget."""
    return "budgets" if accuracy == ACCURACY else f"budgets_{accuracy:g}"


def budgets(study: Study, seed: int, orders: list[str], sizes: list[int]) -> None:
    side = Side(study, seed, part())
    train(side, original(LOSS), FACTOR)
    wanted: list[tuple[str, int | None]] = [(order, size) for size in sizes for order in orders]
    if study.name == "shop":
        wanted.append(("random", None))
    for order, size in wanted:
        data = name(order, size)
        side.makers[data] = partial(bought, side, order, size)
        train(side, Arm(f"{data}, {LOSS}", data, {"loss": LOSS}), FACTOR)


def accuracies(study: Study, seed: int) -> None:
    for accuracy in ACCURACIES:
        side = Side(study, seed, part(accuracy), accuracy)
        for data, loss in JUDGED:
            train(side, Arm(f"{data} at {accuracy:g}, {loss}", data, {"loss": loss}), FACTOR)
    side = Side(study, seed, part())
    for loss in sorted({loss for _, loss in JUDGED}):
        train(side, original(loss), FACTOR)


def table(study: Study) -> dict[str, Any]:
    """Every arm's gain over as many steps on the originals with the same loss, and the rounds' counts."""
    arms = results(study, part())
    rounds: dict[str, dict[str, Any]] = {}
    for path in sorted((FOLDER / study.name / part()).glob("seed_*/budget/*/round.json")):
        told = read_json(path)
        rounds.setdefault(path.parent.name, {})[path.parts[-4]] = {key: told[key] for key in KEPT}
    control = arms[f"train on, {LOSS}"]
    curves = {
        arm: gain(seeds, control)
        for arm, seeds in arms.items()
        if arm.removesuffix(f", {LOSS}").replace(" ", "_") in rounds
    }
    found: dict[str, Any] = {
        "steps": study.steps,
        "loss": LOSS,
        "rounds": rounds,
        "train on": gain(control, control),
        "curves": curves,
    }
    if study.name == "shop":
        found["judges"] = {}
        for accuracy in ACCURACIES:
            for arm, seeds in results(study, part(accuracy)).items():
                if f" at {accuracy:g}, " in arm:
                    base = arms[f"train on, {arm.rpartition(', ')[2]}"]
                    found["judges"][arm] = gain(seeds, base)
    return found


def main(words: list[str]) -> None:
    study = study_of(words[0])
    given = dict(word.split("=", 1) for word in words[1:])
    seeds = [int(one) for one in given.get("seeds", "0,1,2").split(",") if one]
    orders = given.get("orders", CHOSEN[study.name]).split(",")
    sizes = [int(one) for one in given.get("sizes", SIZES[study.name]).split(",") if one]
    for seed in seeds:
        if study.name == "shop":
            accuracies(study, seed)
        budgets(study, seed, orders, sizes)
    write(f"verdict_budget_{study.name}", {"study": study.name, **table(study)})


if __name__ == "__main__":
    np.seterr(invalid="ignore")
    if len(sys.argv) < 2 or sys.argv[1] not in SIZES:
        sys.exit(__doc__)
    main(sys.argv[1:])
