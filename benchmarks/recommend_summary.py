"""The tables of a study of samplers, from the arms that have been run: every arm against the bar and against uniform.

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
from motherlode.evaluation.bootstrap import paired_bootstrap
from recommend import BASELINES, DEFAULTS, FOLDER, name_of
from recommend_material import DATA, Arm
from recommend_study import AGAINST, arms_of, temperatures_of, value_of

FIGURES = ("recall@50", "recall@200", "ndcg@50")
SLICED = tuple(f"recall@200/{part}" for part in ("head", "torso", "tail"))
RESAMPLES = 1_000
SEEDS = range(20)


def line_of(data: str, arm: Arm) -> dict[str, Any] | None:
    path = FOLDER / f"{name_of(data, arm)}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def users_of(data: str, arm: Arm) -> NDArray[np.float64]:
    """Metrics of every test user: float64 [Q, figures]."""
    with np.load(FOLDER / f"{name_of(data, arm)}.npz") as found:
        return np.stack([found[name].astype(np.float64) for name in (*FIGURES, *SLICED)], axis=1)


def picked(data: str, name: str, change: Arm) -> tuple[Arm | None, dict[str, float]]:
    """The arm at the temperature that validation preferred of those tried, and what each was worth."""
    if change["sampler"] in BASELINES:
        return DEFAULTS | change, {}
    tried = {one: line_of(data, DEFAULTS | change | {"temperature": one}) for one in temperatures_of(data, name)}
    worth = {one: value_of(line) for one, line in tried.items() if line is not None}
    if len(worth) < len(tried):
        return None, {}  # not all trials are there yet
    best = max(worth, key=lambda one: worth[one])
    return DEFAULTS | change | {"temperature": best}, {f"{one:g}": round(value, 5) for one, value in worth.items()}


def seeds_of(data: str, arm: Arm) -> dict[int, dict[str, Any]]:
    found = {seed: line_of(data, arm | {"seed": seed}) for seed in SEEDS}
    return {seed: line for seed, line in found.items() if line is not None}


def compared(data: str, arm: Arm, base: Arm, seeds: list[int]) -> dict[str, Any]:
    """Arm minus base of the users' means over these seeds."""
    sides = [np.mean([users_of(data, one | {"seed": seed}) for seed in seeds], axis=0) for one in (arm, base)]
    intervals = paired_bootstrap(*sides, resamples=RESAMPLES)
    keys = ("delta", "low", "high", "relative", "relative_low", "relative_high", "n")
    found: dict[str, Any] = {
        name: {key: _round(interval[key]) for key in keys}
        for name, interval in zip((*FIGURES, *SLICED), intervals, strict=True)
    }
    return {"seeds": len(seeds)} | found


def summary(data: str) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    arms: dict[str, Arm] = {}
    lines: dict[str, dict[int, dict[str, Any]]] = {}
    worth: dict[str, dict[str, float]] = {}
    for name, change in arms_of(data).items():
        arm, values = picked(data, name, change)
        if arm is not None and (found := seeds_of(data, arm)):
            arms[name], lines[name], worth[name] = arm, found, values
    for name, arm in arms.items():
        here = list(lines[name].values())
        facts = [line["facts"] for line in here]
        validation = {key: _mean([one["validation"][key] for one in facts if "validation" in one]) for key in FIGURES}
        rows[name] = {
            "arm": {key: value for key, value in arm.items() if value != DEFAULTS[key]},
            "seeds": sorted(lines[name]),
            "temperature": arm["temperature"],
            "tried": worth[name],
            "validation": validation,
            "test": {key: _mean([line["test"][key] for line in here]) for key in (*FIGURES, *SLICED)},
            "spread": {key: _round(float(np.std([line["test"][key] for line in here]))) for key in FIGURES},
            "cpu_seconds": _mean([one.get("cpu_seconds") for one in facts]),
            "encoded_items": _mean([one.get("encoded_items") for one in facts]),
            "steps": _mean([one.get("steps") for one in facts]),
        }
        for base in AGAINST:
            if base in arms and base != name and (both := sorted(lines[name].keys() & lines[base].keys())):
                rows[name][f"against {base}"] = compared(data, arm, arms[base], both)
    one = next(iter(next(iter(lines.values())).values()))
    return {
        "data": data,
        "users": one["users"],
        "training events": one["events"],
        "arms": rows,
        "everything tried": tried(data),
    }


def tried(data: str) -> list[dict[str, Any]]:
    """Every training of this data set that was done, also those that no plan names: what the search looked at."""
    found = []
    for path in sorted(FOLDER.glob(f"{data}_*.json")):
        line = json.loads(path.read_text(encoding="utf-8"))
        arm = {key: value for key, value in line["arm"].items() if key in DEFAULTS and value != DEFAULTS[key]}
        validation = line["facts"].get("validation", {})
        sides = {"validation": validation, "test": line["test"]}
        found.append(
            {"arm": arm}
            | {side: {key: _round(one[key]) for key in FIGURES if key in one} for side, one in sides.items()}
        )
    return found


def page(found: dict[str, Any]) -> Path:
    """Pictures of what every arm gains over the bars."""
    from motherlode.report.layout import grid, section
    from motherlode.report.markup import join
    from motherlode.report.pictures import forest
    from motherlode.report.shell import write_page

    sections = []
    for base in AGAINST:
        rows = {name: row for name, row in found["arms"].items() if f"against {base}" in row}
        panels = []
        for figure in (*FIGURES, "recall@200/tail"):
            gains = [
                (name, row[f"against {base}"][figure]["n"], row[f"against {base}"][figure])
                for name, row in rows.items()
            ]
            panels.append(forest(f"{figure}: gain", sorted(gains, key=lambda one: -one[2]["delta"])))
        if rows:
            sections.append(section(f"Against {base}", "95 % intervals over users, seeds averaged.", grid(panels)))
    data = found["data"]
    return write_page(FOLDER / f"{data}.html", f"Samplers: {data}", join(*sections), simulated=data == "shop")


def _mean(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return _round(float(np.mean(found))) if found else None


def _round(value: float | int | None) -> float | int | None:
    return value if value is None or isinstance(value, int) else round(float(value), 5)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in DATA or not Path(FOLDER).exists():
        sys.exit(__doc__)
    made = summary(sys.argv[1])
    write(f"recommend_{sys.argv[1]}", made)
    print(page(made))
