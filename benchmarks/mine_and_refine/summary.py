"""The tables of a study, from the arms that have been run: every arm against "train on", Stage 1 and its siblings.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/summary.py STUDY

Intervals are 95 %, from a bootstrap that draws queries and keeps all seeds of a query together: what is compared is the
mean over seeds. Spread over seeds is given beside it. AUCs are over all judged pairs of a seed, averaged over seeds.
"""

import sys
from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
from arenas import RANKED, Measured
from material import FOLDER

from common import write
from motherlode.atomic import read_json
from motherlode.evaluation.bootstrap import paired_bootstrap

SHOWN = ("ndcg@10", "ndcg@100", "recall@100")
CONTROL = "train on"
AUCS = ((2, 0), (2, 1), (1, 0))
RESAMPLES = 100  # of the AUCs: each is a sort of all pairs


def gather(study: str) -> dict[str, dict[str, dict[int, Measured]]]:
    """arena -> arm -> seed -> what was measured. Trials of tuning are left out."""
    folds: dict[str, dict[str, dict[int, list[Measured]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for path in sorted((FOLDER / study).glob("seed_*/**/arms/*/arm.json")):
        name, seed = read_json(path)["arm"], int(path.relative_to(FOLDER / study).parts[0].removeprefix("seed_"))
        if name.startswith("tune "):
            continue
        for arena in path.parent.glob("*.npz"):
            folds[arena.stem][name][seed].append(Measured.load(arena))
    most = {arena: max(len(one) for arm in arms.values() for one in arm.values()) for arena, arms in folds.items()}
    return {
        arena: {
            name: {seed: together(tuple(parts)) for seed, parts in seeds.items() if len(parts) == most[arena]}
            for name, seeds in arms.items()
        }
        for arena, arms in folds.items()
    }


@cache
def together(folds: tuple[Measured, ...]) -> Measured:
    """The queries of all folds as those of one test."""
    starts = np.cumsum([0, *(len(fold.metrics) for fold in folds)])
    return Measured(
        np.concatenate([fold.metrics for fold in folds]),
        np.concatenate([fold.queries + start for fold, start in zip(folds, starts[:-1], strict=True)]),
        np.concatenate([fold.grades for fold in folds]),
        np.concatenate([fold.scores for fold in folds]),
    )


def compared(arm: dict[int, Measured], base: dict[int, Measured], separated: bool) -> dict[str, Any]:
    """Arm minus base over the seeds both have: ranking metrics with intervals, and where asked AUCs."""
    seeds = sorted(arm.keys() & base.keys())
    column = {name: RANKED.index(name) for name in SHOWN}
    each = {
        name: [_round(np.nanmean(arm[seed].metrics[:, at]) - np.nanmean(base[seed].metrics[:, at])) for seed in seeds]
        for name, at in column.items()
    }
    if len({len(arm[seed].metrics) for seed in seeds}) > 1:
        # every seed is another shop with other queries: all of them are one test
        arm, base = ({0: together(tuple(side[seed] for seed in seeds))} for side in (arm, base))
    found: dict[str, Any] = {"seeds": len(seeds)}
    seeds = sorted(arm.keys() & base.keys())
    values, against = (np.mean([side[seed].metrics for seed in seeds], axis=0) for side in (arm, base))
    columns = list(column.values())
    for name, interval in zip(SHOWN, paired_bootstrap(values[:, columns], against[:, columns]), strict=True):
        keys = ("delta", "low", "high", "relative", "relative_low", "relative_high")
        found[name] = {key: _round(interval[key]) for key in keys} | {"by seed": each[name]}
    return found | (aucs(arm, base, seeds) if separated else {})


def aucs(arm: dict[int, Measured], base: dict[int, Measured], seeds: list[int]) -> dict[str, Any]:
    """Gains in pooled AUC with intervals over queries."""
    gains = np.mean([drawn(arm[seed]) - drawn(base[seed]) for seed in seeds], axis=0)
    low, high = np.nanpercentile(gains[1:], [2.5, 97.5], axis=0)
    return {
        f"auc_{one}_{other}": {"delta": _round(gains[0, at]), "low": _round(low[at]), "high": _round(high[at])}
        for at, (one, other) in enumerate(AUCS)
    }


@cache
def drawn(measured: Measured) -> np.ndarray:
    """Pooled AUCs [1 + RESAMPLES, pairs of grades]: of all queries, and of as many drawn with replacement.

    A drawn query's pairs count as often as it was drawn; scores are sorted once, equal ones count half.
    """
    order = np.argsort(measured.scores, kind="stable")
    scores, grades, queries = (one[order] for one in (measured.scores, measured.grades, measured.queries))
    ties = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    count, rng = len(measured.metrics), np.random.default_rng(0)
    draws = [np.ones(count)]
    draws += [np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(RESAMPLES)]
    found = np.empty((len(draws), len(AUCS)))
    for row, times in enumerate(draws):
        weights = times[queries].astype(float)
        of = {grade: np.add.reduceat(weights * (grades == grade), ties) for grade in (0, 1, 2)}
        for at, (high, low) in enumerate(AUCS):
            below = np.cumsum(of[low]) - of[low] / 2
            total = of[high].sum() * of[low].sum()
            found[row, at] = (of[high] * below).sum() / total if total else np.nan
    return found


def siblings(name: str) -> list[str]:
    """The arms of the same loss that mined nothing: on the originals alone, and with as many random verdicts."""
    prefix = next((one for one in ("mined, ", "mixed, ", "ranked, ", "circle, gamma") if name.startswith(one)), None)
    if prefix is None:
        return []
    loss = name if prefix == "circle, gamma" else name.removeprefix(prefix)
    return [f"original, {loss}", f"random verdicts, {loss}"]


def summary(study: str) -> dict[str, Any]:
    tables = {}
    for arena, arms in gather(study).items():
        rows = {}
        for name, seeds in arms.items():
            if not seeds:
                continue  # not all folds are there yet
            facts = [one.facts() for one in seeds.values()]
            means = {key: _mean([fact[key] for fact in facts]) for key in facts[0]}
            rows[name] = {"seeds": sorted(seeds), "mean": means}
            for base in (CONTROL, "stage 1", "untouched", *siblings(name)):
                if name != base and base in arms and arms[base].keys() & seeds.keys():
                    rows[name][f"against {base}"] = compared(seeds, arms[base], base not in ("stage 1", "untouched"))
        tables[arena] = rows
    return tables


def facts(study: str) -> dict[str, Any]:
    """What mining found and which learning rates were chosen."""
    rounds = {
        path.parent.parent.relative_to(FOLDER / study).as_posix(): read_json(path)
        for path in sorted((FOLDER / study).glob("seed_*/**/mined/round.json"))
    }
    keep = ("neighbours", "open", "bought", "remembered", "naive", "false_negatives", "false_negatives_2")
    keep += ("false_negative_rate", "false_by_decile", "naive_by_decile", "grades_by_decile", "mined", "judge")
    tuned = {path.stem: read_json(path) for path in (FOLDER / study).glob("tuned/*.json")}
    return {"mined": {seed: {key: one[key] for key in keep} for seed, one in rounds.items()}, "tuned": tuned}


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else _round(float(np.mean([value for value in values if value is not None])))


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (FOLDER / sys.argv[1]).exists():
        sys.exit(__doc__)
    chosen = sys.argv[1]
    write(f"mine_and_refine_{chosen}", {"study": chosen, **facts(chosen), "arenas": summary(chosen)})
