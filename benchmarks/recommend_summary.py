"""The tables of a study of samplers, from the arms that have been run: every arm against the bars.

    MOTHERLODE_DATA=... python benchmarks/recommend_summary.py beauty|instruments|ml1m|...

Intervals are 95 %, from a bootstrap that draws users; what is compared is a user's mean over the seeds that both arms
have. Spread over seeds stands beside it. Writes results/recommend_<data>.json, and a page of pictures,
runs/recommend/<data>.html.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import write
from motherlode.evaluation.bootstrap import Interval, paired_bootstrap
from recommend import DEFAULTS, FOLDER, name_of
from recommend_material import DATA, Arm
from recommend_plan import AGAINST, FACTORISED, arms_of, is_control, is_semantic, trials_of
from recommend_study import value_of

FIGURES = ("recall@50", "recall@200", "ndcg@50")
SLICED = tuple(f"recall@200/{part}" for part in ("head", "torso", "tail", "cold"))
COLUMNS = (*FIGURES, *SLICED)
RESAMPLES = 1_000
SEEDS = range(20)
Gains = dict[str, dict[str, Interval]]  # arm -> figure -> interval


def line_of(data: str, arm: Arm) -> dict[str, Any] | None:
    path = FOLDER / f"{name_of(data, arm)}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def users_of(data: str, arm: Arm, seeds: list[int]) -> NDArray[np.float64]:
    """Metrics of every test user, means over seeds: float64 [Q, COLUMNS]."""
    tables = []
    for seed in seeds:
        with np.load(FOLDER / f"{name_of(data, arm | {'seed': seed})}.npz") as found:
            tables.append(np.stack([found[name].astype(np.float64) for name in COLUMNS], axis=1))
    return np.mean(tables, axis=0)


class Study:
    """The arms of a data set whose trials are there: what validation chose, and the lines of its seeds."""

    def __init__(self, data: str) -> None:
        self.data = data
        self.arms: dict[str, Arm] = {}
        self.lines: dict[str, dict[int, dict[str, Any]]] = {}
        self.worth: dict[str, dict[str, float]] = {}
        for name, change in arms_of(data).items():
            trials = [(trial, line_of(data, DEFAULTS | change | trial)) for trial in trials_of(data, name)]
            there = [(trial, line) for trial, line in trials if line is not None]
            if not there or (len(there) < len(trials) and change["sampler"] not in FACTORISED):
                continue
            best, _ = max(there, key=lambda one: value_of(one[1]))
            self.arms[name] = DEFAULTS | change | best
            self.worth[name] = {said(trial): round(value_of(line), 5) for trial, line in there if trial}
            lines = {seed: line_of(data, self.arms[name] | {"seed": seed}) for seed in SEEDS}
            self.lines[name] = {seed: line for seed, line in lines.items() if line is not None}

    def gains(self, base: str) -> Gains:
        """Every arm minus `base`, of the users' means over the seeds that both have: one bootstrap for all arms."""
        names = [name for name in self.arms if name != base and self.both(name, base)]
        if not names:
            return {}
        sides = [
            np.concatenate(
                [users_of(self.data, self.arms[one or name], self.both(name, base)) for name in names], axis=1
            )
            for one in (None, base)
        ]
        intervals = paired_bootstrap(*sides, resamples=RESAMPLES)
        width = len(COLUMNS)
        return {
            name: dict(zip(COLUMNS, intervals[place * width : (place + 1) * width], strict=True))
            for place, name in enumerate(names)
        }

    def both(self, name: str, base: str) -> list[int]:
        return sorted(self.lines[name].keys() & self.lines[base].keys())

    def each_seed(self, name: str, base: str, figure: str) -> str:
        """The relative gain of every seed by itself, in points."""
        pairs = [
            (self.lines[name][seed]["test"][figure], self.lines[base][seed]["test"][figure])
            for seed in self.both(name, base)
        ]
        return " ".join(f"{100 * (one / other - 1):+.1f}" for one, other in pairs)

    def row(self, name: str) -> dict[str, Any]:
        here = list(self.lines[name].values())
        facts = [line["facts"] for line in here]
        return {
            "arm": said({key: value for key, value in self.arms[name].items() if value != DEFAULTS[key]}),
            "seeds": " ".join(map(str, sorted(self.lines[name]))),
            "temperature": self.arms[name]["temperature"],
            "tried": self.worth[name],
            "validation": {key: _mean([one.get("validation", {}).get(key) for one in facts]) for key in FIGURES},
            "test": {key: _mean([line["test"].get(key) for line in here]) for key in COLUMNS},
            "spread": {key: round(float(np.std([line["test"][key] for line in here])), 5) for key in FIGURES},
            "cpu_seconds": _mean([one.get("cpu_seconds") for one in facts]),
            "encoded_items": _mean([one.get("encoded_items") for one in facts]),
            "steps": _mean([one.get("steps") for one in facts]),
        }

    def search(self) -> dict[str, Any]:
        """Of arms built of semantic parts, and of all others, the one that validation likes best at seed 0."""
        worth = {name: max(values.values()) for name, values in self.worth.items() if values and not is_control(name)}
        ours = {name: value for name, value in worth.items() if is_semantic(name)}
        others = {name: value for name, value in worth.items() if not is_semantic(name)}
        if not ours or not others:
            return {}
        one, other = (max(side, key=lambda name: side[name]) for side in (ours, others))
        found = self.gains(other).get(one, {})
        return {
            "semantic": one,
            "other": other,
            "gain": {key: shown(interval) for key, interval in found.items()},
            "recall@200, each seed": self.each_seed(one, other, "recall@200"),
        }


def summary(data: str) -> tuple[dict[str, Any], dict[str, Gains]]:
    study = Study(data)
    rows = {name: study.row(name) for name in study.arms}
    against = {base: study.gains(base) for base in AGAINST if base in study.arms}
    for base, gains in against.items():
        for name, found in gains.items():
            rows[name][f"against {base}"] = {key: shown(interval) for key, interval in found.items()} | {
                "recall@200, each seed": study.each_seed(name, base, "recall@200")
            }
    one = next(iter(next(iter(study.lines.values())).values()))
    return {
        "data": data,
        "users": one["users"],
        "training events": one["events"],
        "arms": rows,
        "the best of semantic parts against the best of the rest": study.search(),
        "everything tried: validation recall@50 and @200, test recall@50, @200 and ndcg@50": tried(data),
    }, against


def tried(data: str) -> dict[str, str]:
    """Every training of this data set that was done, also those that no plan names: what the search looked at."""
    found = {}
    for path in sorted(FOLDER.glob(f"{data}_*.json")):
        line = json.loads(path.read_text(encoding="utf-8"))
        if line["data"] != data:
            continue
        arm = {key: value for key, value in line["arm"].items() if key in DEFAULTS and value != DEFAULTS[key]}
        validation = line["facts"].get("validation", {})
        values = [validation.get("recall@50"), validation.get("recall@200"), *(line["test"][key] for key in FIGURES)]
        found[said(arm)] = " ".join("-" if value is None else f"{value:.4f}" for value in values)
    return found


def page(data: str, against: dict[str, Gains]) -> Path:
    """Pictures of what every arm gains over the bars."""
    from motherlode.report.layout import grid, section
    from motherlode.report.markup import join
    from motherlode.report.pictures import forest
    from motherlode.report.shell import write_page

    sections = []
    for base, gains in against.items():
        panels = []
        for figure in (*FIGURES, "recall@200/tail"):
            rows = [(name, found[figure]["n"], found[figure]) for name, found in gains.items() if found[figure]["n"]]
            if rows:
                panels.append(forest(f"{figure}: gain", sorted(rows, key=lambda one: -(one[2]["delta"] or 0))))
        sections.append(section(f"Against {base}", "95 % intervals over users, seeds averaged.", grid(panels)))
    return write_page(FOLDER / f"{data}.html", f"Samplers: {data}", join(*sections), simulated=data == "shop")


def said(arm: Arm) -> str:
    """Settings as one writes them on the command line."""
    return " ".join(f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in arm.items())


def shown(found: Interval) -> str:
    """A relative gain and its interval; empty where there is none."""
    values = [found.get(key) for key in ("relative", "relative_low", "relative_high")]
    if any(value is None for value in values):
        return ""
    return "{:+.1%} [{:+.1%}, {:+.1%}]".format(*values)


def _mean(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return round(float(np.mean(found)), 5) if found else None


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in DATA or not Path(FOLDER).exists():
        sys.exit(__doc__)
    made, gained = summary(sys.argv[1])
    print(page(sys.argv[1], gained))
    write(f"recommend_{sys.argv[1]}", made)
