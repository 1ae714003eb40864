"""Whether verdicts are better spent in rounds: three of a third each, one of all, none; for as many steps.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/rounds.py STUDY [seeds=0,1,2]

STUDY is home_depot_static (after `run.py home_depot_static`) or shop. Every arm goes on from Stage 1 in FITS trainings
of the study's steps, each with a warm-up of its own; verdicts are bought in the order that a recipe has by default.
Every round mines under the weights of the training before and keeps what earlier rounds found. What is done is not
done again; `seeds=` writes the table alone.
"""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from arenas import Measured, measure
from material import FOLDER, Study
from miners import FACTOR, Side, gain, study_of
from run import fit, lighten

from common import write
from motherlode.atomic import read_json, write_json
from motherlode.grading.ledger import Ledger
from motherlode.mining.plan import RoundSettings
from motherlode.mining.round import mine_round
from motherlode.mining.selection import Rule

FITS = 3
CIRCLE: dict[str, Any] = {"loss": "circle", "gamma": 32.0}
#: loss, and the share of the verdicts that is bought before each training
ARMS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "train on": ({"loss": "supcon"}, (0, 0, 0)),
    "original, circle": (CIRCLE, (0, 0, 0)),
    "one round": (CIRCLE, (1, 0, 0)),
    "three rounds": (CIRCLE, (1 / 3, 1 / 3, 1 / 3)),
}
PART = "rounds"


def slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "_")


def chain(side: Side, name: str) -> None:
    """Mine and train FITS times, measuring after each."""
    base, judgements, earlier = side.stage_1, side.originals, list[pl.DataFrame]()
    place = side.folder / slug(name)
    if (place / str(FITS) / "arm.json").exists():
        return
    for number, share in enumerate(ARMS[name][1], 1):
        folder = place / str(number)
        if share:
            ground = side.under(base)
            ground = replace(ground, legs={"bm25": side.lexical().search(side.query_texts(), side.study.k).rows})
            settings = RoundSettings(side.study.k, Rule(), round(side.study.verdicts * share), "mixed", side.seed)
            with Ledger(place / "verdicts.sqlite") as ledger:
                found = mine_round(ground, side.texts, side.grader, ledger, folder / "mined", settings, tuple(earlier))
            earlier.append(found.mined)
            judgements = found.judgements
        if not (folder / "arm.json").exists():
            one(side, name, number, base, judgements)
        base = folder / "best"
    for number in range(1, FITS + 1):
        lighten(place / str(number))


def one(side: Side, name: str, number: int, base: Any, judgements: pl.DataFrame) -> None:
    """One training of a chain, measured."""
    folder = side.folder / slug(name) / str(number)
    fit(
        side, base, judgements, ARMS[name][0], FACTOR, folder,
        name=f"{name}, training {number}", steps=side.study.steps,
    )  # fmt: skip
    for arena, found in measure(side.shop, folder / "best", side.vectors, side.pool).items():
        found.save(folder / f"{arena}.npz")
    write_json(folder / "arm.json", {"arm": name, "training": number, "pairs": len(judgements)})


def table(study: Study) -> dict[str, Any]:
    """After each training: gains over as many trainings on the originals; and what the rounds found."""
    seeds = sorted((FOLDER / study.name / PART).glob("seed_*"))
    found: dict[str, Any] = {
        "steps": study.steps,
        "verdicts": study.verdicts,
        "arms": {},
        "rounds": {},
    }
    for name in ARMS:
        for number in range(1, FITS + 1):
            held = {
                title: {
                    int(seed.name.removeprefix("seed_")): _measured(seed / of / str(number))
                    for seed in seeds
                    if (seed / of / str(number) / "arm.json").exists()
                }
                for title, of in (("arm", slug(name)), ("base", slug("train on")))
            }
            found["arms"][f"{name}, training {number}"] = gain(held["arm"], held["base"])
        for seed in seeds:
            for path in sorted(seed.glob(f"{slug(name)}/*/mined/round.json")):
                told = read_json(path)
                keep = {key: told[key] for key in ("open", "bought", "false_negative_rate", "mined")}
                found["rounds"][f"{name}, {seed.name}, round {path.parts[-3]}"] = keep
    return found


def _measured(folder: Any) -> dict[str, Measured]:
    return {path.stem: Measured.load(path) for path in folder.glob("*.npz")}


def main(words: list[str]) -> None:
    study = study_of(words[0])
    given = dict(word.split("=", 1) for word in words[1:])
    for seed in (int(one) for one in given.get("seeds", "0,1,2").split(",") if one):
        side = Side(study, seed, PART)
        for name in ARMS:
            chain(side, name)
            print(f"{study.name} seed {seed} {name}: done", flush=True)
    write(f"rounds_{study.name}", {"study": study.name, **table(study)})


if __name__ == "__main__":
    np.seterr(invalid="ignore")
    if len(sys.argv) < 2 or sys.argv[1] not in ("home_depot_static", "shop"):
        sys.exit(__doc__)
    main(sys.argv[1:])
