"""Curves of the recipe as told, one thing changed at a time, and of samplers over catalogues: one command, resumable.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/recommend_curves.py instruments|ml1m|shop|... \
        [curve=sizes,parts,strength,negatives,budget,window,catalogue] [seeds=0]

Every point is an arm of recommend.py at one temperature, 0.2, which validation preferred for nearly all arms of the
study (of `window` 0.1 on the sets of long histories, for the same reason): no trials of its own. `catalogue` is for
the generated shop. What is done is not done again. Without curve= only the tables are made. Writes
results/recommend_curves_<data>.json and pictures, runs/recommend/curves_<data>.html.
"""

import sys
from pathlib import Path
from typing import Any

from common import write
from motherlode.errors import MotherlodeError
from motherlode.evaluation.bootstrap import paired_bootstrap
from recommend import DEFAULTS, FOLDER, name_of, run
from recommend_material import DATA, Arm
from recommend_plan import (
    BASE,
    BROAD,
    BROAD_RANDOM,
    DNS,
    LITERAL,
    LITERAL_RANDOM,
    LONG,
    PLAIN,
    THREE,
    THREE_RANDOM,
    UNIFORM,
    arms_of,
)
from recommend_summary import COLUMNS, FIGURES, RESAMPLES, line_of, said, shown, users_of

TEMPERATURE = 0.2
SHOWN = (*FIGURES, "recall@200/head", "recall@200/tail")
SPENT = ("steps", "cpu_seconds", "encoded_items")
Points = dict[str, Arm]


def curves(data: str) -> dict[str, Points]:
    """Name of a curve -> label of a point -> arm."""
    named = arms_of(data)
    told = named[LITERAL]
    found: dict[str, Points] = {
        "sizes": {"K_p 64, K_s 16 (as told)": told}
        | {f"K_p {size}": told | {"primary": size} for size in (16, 256)}
        | {f"K_s {size}": told | {"secondary": size} for size in (4, 64)},
        "parts": {
            "whole": told,
            "no virtual ones": told | {"virtual": "none"},
            "no simple interpolation": told | {"simple": 0},
            "no hard interpolation": told | {"hard_virtual": 0},
            "no hard tier": told | {"easy": 10, "hard": 0, "hard_virtual": 0},
            "no easy tier": told | {"easy": 0, "hard": 10},
            "no second level": told | {"sampler": "flat_cluster"},
            "hardness rising": told | {"rising": 600},
            "learned codes (vq)": told | {"codes": "vq"},
        },
        "strength": {
            f"{reading} {value:g}": told | {"reading": reading, "strength": value}
            for reading, values in {
                "half_width": (0.0, 0.5, 1.0),
                "coefficient": (0.3, 0.7, 1.3),
                "hard_share": (0.1, 0.8),
            }.items()
            for value in values
        },
        "negatives": {
            f"{kind} {n}": arm
            for n in (10, 50, 200, 1_000)
            for kind, arm in {
                "uniform": {"sampler": "uniform" if n < 100 else "uniform_shared", "n": n},
                "semantic": told | _weighted(n),
                "random codes": told | _weighted(n) | {"codes": "random"},
            }.items()
        },
        "budget": {
            f"{name}, {label}": named[name] | change
            for name in (BASE, PLAIN, UNIFORM, DNS, LITERAL)
            for label, change in {
                "equal steps": {},
                "equal encoded items": {"encoded": 1e6},
                "equal CPU time": {"seconds": 15.0},
            }.items()
        },
    }
    seen = named[BASE] | ({"temperature": 0.1} if data in LONG else {})
    found["window"] = {f"mean of {events}": seen | {"window": events, "decay": 0.0} for events in (5, 10, 20, 50, 200)}
    if DATA[data] != "k_out":  # which draws histories in no order
        decays = (0.5, 1.0, 1.5)
        found["window"] |= {f"200, decay {decay:g}": seen | {"window": 200, "decay": decay} for decay in decays}
    if data == "shop":
        found["catalogue"] = {
            f"{items:,} items, {users:,} users: {name}": named[name]
            | {"items": items, "users": users, "asked": 10_000 if items == 1_000_000 else 0}
            for items, users in ((10_000, 20_000), (10_000, 80_000), (100_000, 50_000), (1_000_000, 100_000))
            for name in (BASE, BROAD, BROAD_RANDOM, PLAIN, THREE, THREE_RANDOM, UNIFORM, LITERAL, LITERAL_RANDOM)
        }
    return found


def _weighted(n: int) -> Arm:
    """Easy and hard negatives in the shares told, n in all, as weights on a pool that the batch shares."""
    counts = {"easy": round(0.6 * n), "hard": round(0.4 * n)}
    return {"sampler": "semantic_weights", "virtual": "none", "n": 1_024, **counts}


def arm_at(change: Arm, seed: int) -> Arm:
    return DEFAULTS | {"temperature": TEMPERATURE} | change | {"seed": seed}


def summary(data: str, seeds: list[int]) -> dict[str, Any]:
    """The points that are there: means over the seeds, and what they took."""
    found: dict[str, Any] = {}
    for curve, points in curves(data).items():
        for label, change in points.items():
            lines = [line for seed in seeds if (line := line_of(data, arm_at(change, seed))) is not None]
            if not lines:
                continue
            test = {key: sum(line["test"][key] or 0.0 for line in lines) / len(lines) for key in SHOWN}
            facts = [line["facts"] for line in lines]
            found.setdefault(curve, {})[label] = {
                "arm": said({key: value for key, value in (DEFAULTS | change).items() if value != DEFAULTS[key]}),
                "seeds": len(lines),
                "events": lines[0]["events"],
                **{key: round(value, 5) for key, value in test.items()},
                **{key: round(sum(one[key] for one in facts) / len(facts), 1) for key in SPENT},
            }
            if curve == "catalogue":
                found[curve][label]["over"] = over(data, points, label, seeds)
        if 2 * len(found.get(curve, ())) < len(points):
            found.pop(curve, None)  # it was not run: these are points that other curves and studies share with it
    return found


def over(data: str, points: Points, label: str, seeds: list[int]) -> dict[str, dict[str, str]]:
    """What a point of the curve `catalogue` gains over others of the same shop: relative, 95 %, drawing users."""
    shop, _, name = label.partition(": ")
    found = {}
    for base in (BASE, UNIFORM):
        arms = [arm_at(points[f"{shop}: {one}"], seeds[0]) for one in (name, base)]
        both = [seed for seed in seeds if all(line_of(data, arm | {"seed": seed}) for arm in arms)]
        if name != base and both:
            intervals = paired_bootstrap(*(users_of(data, arm, both) for arm in arms), resamples=RESAMPLES)
            found[base] = {key: shown(one) for key, one in zip(COLUMNS, intervals, strict=True) if key in SHOWN}
    return found


def page(data: str, found: dict[str, Any]) -> Path:
    """A picture a curve and figure."""
    from motherlode.report.layout import grid, section
    from motherlode.report.markup import join
    from motherlode.report.pictures import bars
    from motherlode.report.shell import write_page

    sections = []
    for curve, points in found.items():
        panels = [
            bars(figure, [(label, _bar(point[figure]), "") for label, point in points.items()]) for figure in SHOWN
        ]
        sections.append(section(curve, "One seed a point unless the table says more.", grid(panels)))
    return write_page(FOLDER / f"curves_{data}.html", f"Curves: {data}", join(*sections), simulated=data == "shop")


def _bar(value: float) -> dict[str, float | None]:
    return {"mean": value, "low": None, "high": None}


def main(words: list[str]) -> None:
    given = dict(word.split("=", 1) for word in words[1:])
    asked = given.pop("curve", "")
    seeds = [int(one) for one in given.pop("seeds", "0").split(",")]
    if not words or words[0] not in DATA or given:
        sys.exit(__doc__)
    data = words[0]
    chosen = [name for name in asked.split(",") if name]
    for curve in chosen:
        for label, change in curves(data)[curve].items():
            for seed in seeds:
                arm = arm_at(change, seed)
                line = run(data, arm)
                shown = " ".join(f"{line['test'][key]:.4f}" for key in FIGURES)
                print(f"{data} {curve}: {label}, seed {seed}: {shown} {name_of(data, arm)}", flush=True)
    found = summary(data, seeds)
    print(page(data, found))
    write(f"recommend_curves_{data}", {"data": data, "temperature": TEMPERATURE, "curves": found})


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MotherlodeError as error:
        sys.exit(f"recommend: {error}")
