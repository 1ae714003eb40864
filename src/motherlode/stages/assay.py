"""What is done with graders once they are there: grade pairs, tune a cascade, choose pairs for people, audit."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import replacing
from motherlode.errors import InputError, SettingError
from motherlode.recipe import Recipe
from motherlode.stages.graders import FOLDERS, grader, save_cascade
from motherlode.stages.learned_grader import judged_parts
from motherlode.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from motherlode.audit.settings import AuditSettings
    from motherlode.grading.job import GradeReport
    from motherlode.grading.ledger import Ledger
    from motherlode.tables.tables import Tables

LEDGER = "ledger.sqlite"
QUEUE = "review/queue.parquet"


def ledger(workspace: Workspace) -> "AbstractContextManager[Ledger]":
    """The workspace's ledger, made when it is not there."""
    from motherlode.grading.ledger import Ledger

    workspace.folder.mkdir(parents=True, exist_ok=True)
    return Ledger(workspace / LEDGER)


def grade(workspace: Workspace, recipe: Recipe, pairs: Path | str, word: str) -> "GradeReport":
    """Have a grader judge the pairs of a file (or a part: train, validation, test) through the ledger."""
    from motherlode.grading import job
    from motherlode.grading.pairs import PairTexts

    tables = _tables(workspace)
    if str(pairs) in ("train", "validation", "test"):
        rows = judged_parts(workspace, tables)[str(pairs)]
    else:
        rows = read_pairs(pairs)
    with ledger(workspace) as held:
        asked = grader(word, workspace, recipe, held)
        return job.grade(rows["query_id"], rows["item_id"], PairTexts(tables), asked, held, source=f"grade:{pairs}")


def cascade(
    workspace: Workspace,
    recipe: Recipe,
    words: Sequence[str],
    *,
    target: float | None = None,
    max_cost: float | None = None,
    people: float | None = None,
) -> dict[str, Any]:
    """Tune a cascade of graders, cheapest first, on the validation pairs, measure it on test, write cascade.json.

    The cost of a grader is the money it takes a pair where it takes any, else seconds of this processor; `people`
    is what a person's verdict costs, in the same unit, and puts them last. Without `target` or `max_cost` the target
    is the agreement of the last grader. All verdicts go through the ledger. Returns what cascade.json holds.

    Raises:
        SettingError: fewer than two members, or no thresholds reach the target.
    """
    from motherlode.grading.calibration import Calibration
    from motherlode.grading.cascade_tuning import NEVER, curve, measure, tune

    if len(words) + (people is not None) < 2:
        raise SettingError("A cascade needs two members or more: name another grader, or give --people a cost.")
    parts = judged_parts(workspace, _tables(workspace))
    truth = {name: parts[name]["grade"].to_numpy().astype(np.int64) for name in ("validation", "test")}
    members: list[dict[str, Any]] = []
    costs: list[float] = []
    graded: dict[str, list[np.ndarray]] = {name: [] for name in truth}
    for word in words:
        answers, cost = _answers(workspace, recipe, word, {name: parts[name] for name in graded})
        found = answers["validation"]
        calibration = Calibration()
        if word not in FOLDERS:  # what the workspace trained comes calibrated
            calibration = Calibration.fit(found, truth["validation"], query_ids=parts["validation"]["query_id"])
        members.append({"word": word, "cost": cost, "calibration": vars(calibration)})
        costs.append(cost)
        for name, probabilities in answers.items():
            graded[name].append(calibration.apply(probabilities))
    if people is not None:
        members.append({"word": "people", "cost": people, "calibration": vars(Calibration())})
        costs.append(people)
        for name in graded:
            graded[name].append(np.eye(3)[truth[name]])
    whole = ((NEVER,) * 3,) * (len(members) - 1)
    if target is None and max_cost is None:
        target = measure(whole, graded["validation"], truth["validation"], costs)["agreement"]
    thresholds = tune(graded["validation"], truth["validation"], costs, target=target, max_cost=max_cost)
    for member, cut in zip(members, (*thresholds, (0.0,) * 3), strict=True):
        member["thresholds"] = list(cut)
    facts = {
        "validation": measure(thresholds, graded["validation"], truth["validation"], costs),
        "test": measure(thresholds, graded["test"], truth["test"], costs),
        "strongest alone on test": measure(whole, graded["test"], truth["test"], [0.0] * (len(costs) - 1) + costs[-1:]),
        "curve": curve(graded["validation"], truth["validation"], costs),
        "target": target,
        "max_cost": max_cost,
    }
    save_cascade(workspace, members, **facts)
    return {"members": members, **facts}


def choose(workspace: Workspace, word: str, budget: int) -> Path:
    """Write the queue of the `budget` pairs, of those a grader has judged, whose human verdicts matter most.

    Ranks are those of the trained encoder's search on test queries where it has been measured, else the grader's own.
    """
    import polars as pl

    from motherlode.grading import escalation

    with ledger(workspace) as held:
        judges = [judge for judge in held.judges() if judge.name == word]
        if not judges:
            names = ", ".join(sorted({judge.name for judge in held.judges()})) or "none yet"
            raise InputError(f"The ledger holds no verdict of '{word}' (judges there: {names}).")
        verdicts = held.verdicts(judges[-1])
    keys = ["query_id", "item_id"]
    top = workspace / "evaluate/top.parquet"
    if top.exists():
        shown = pl.read_parquet(top).filter(pl.col("system") == "trained").select(*keys, "rank")
        ranked = verdicts.join(shown, on=keys, how="left")
    else:
        expected = pl.col("p1") + 2 * pl.col("p2")
        ranked = verdicts.with_columns(rank=expected.rank("ordinal", descending=True).over("query_id"))
    chosen = escalation.choose(ranked, budget)
    queue = chosen.select(
        *keys,
        verdict="grade",
        verdict_source=pl.lit(str(judges[-1])),
        reason="reason" if "reason" in chosen.columns else pl.lit(None, pl.String),
        priority="score",
    )
    with replacing(workspace / QUEUE) as temporary:
        queue.write_parquet(temporary)
    return workspace / QUEUE


def audit(workspace: Workspace, recipe: Recipe, word: str, settings: "AuditSettings") -> dict[str, Any]:
    """Audit the labels by engagement with a stronger judge; run again once people have worked through the queue."""
    import polars as pl

    from motherlode.audit.audit import run_audit

    probabilities = None
    if settings.signal not in ("engagement", "deciles"):
        # pairs the grader did not learn from: the only ones whose probabilities say something about their labels
        held_out = [workspace / f"grader/{part}.parquet" for part in ("validation", "test")]
        if not all(path.exists() for path in held_out):
            raise SettingError(
                f"signal={settings.signal} needs a trained grader: train one with `motherlode grader` first."
            )
        probabilities = pl.concat([pl.read_parquet(path) for path in held_out])
    with ledger(workspace) as held:
        judge = grader(word, workspace, recipe, held)
        return run_audit(_tables(workspace), held, judge, settings, workspace / "audit", probabilities=probabilities)


def read_pairs(path: Path | str) -> "pl.DataFrame":
    """query_id and item_id from .parquet, .csv or .jsonl. Raises InputError for anything else."""
    from motherlode.review.queue import read_queue

    return read_queue(path).select("query_id", "item_id")


def _answers(
    workspace: Workspace, recipe: Recipe, word: str, parts: "dict[str, pl.DataFrame]"
) -> tuple[dict[str, np.ndarray], float]:
    """Probabilities of each part's pairs through the ledger, and what one pair costs: money, else CPU seconds."""
    from motherlode.grading import job
    from motherlode.grading.pairs import PairTexts

    texts, asked = PairTexts(_tables(workspace)), grader(word, workspace, recipe)
    answers, money = {}, 0.0
    with ledger(workspace) as held:
        for name, part in parts.items():
            job.grade(part["query_id"], part["item_id"], texts, asked, held, source="cascade")
            found = held.lookup(asked.judge, part["query_id"], part["item_id"])
            answers[name], money = found.probabilities, max(money, float(np.mean(found.cost)))
    if money > 0:
        return answers, money
    some = next(iter(parts.values()))[:256]
    sample = texts.pairs(some["query_id"], some["item_id"])
    began = time.process_time()
    asked.grade(sample)
    return answers, (time.process_time() - began) / len(sample)


def _tables(workspace: Workspace) -> "Tables":
    from motherlode.tables.tables import Tables

    return Tables(workspace / "tables")
