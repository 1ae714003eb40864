"""The user-item two-tower under any sampler of negatives: full-catalogue recall of one arm, or of many, resumably.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/recommend.py beauty|ml1m|ml100k|instruments|retail|... \
        sampler=in_batch_logq seed=0 key=value ...

Commas make lists, and every combination is an arm: `sampler=uniform,in_batch_logq seed=0,1,2`. Samplers joined by +
work side by side. Besides the samplers there are the baselines popularity_rank, item_knn, als, ials and rg2 (weight=
and ridge= are theirs). `DEFAULTS` below names all keys. A budget is epochs=, steps=, encoded= (forward passes of the
item tower) or seconds= (of CPU).

Each arm leaves a JSON line in benchmarks/runs/recommend/<name>.json and its per-user metrics beside it as .npz, for
paired intervals. An arm that has its file is not run again; one that was killed goes on from its checkpoint.
"""

import itertools
import json
import shutil
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from motherlode.atomic import fingerprint, replacing, write_text
from motherlode.errors import MotherlodeError, SettingError
from motherlode.recommend.baselines import implicit_als, item_knn, matrix, popularity
from motherlode.recommend.budget import Budget
from motherlode.recommend.evaluate import Scorer, UserMetrics, evaluate
from motherlode.recommend.holdout import Holdout, Split, popularity_slices
from motherlode.recommend.least_squares import ials, rg2
from motherlode.recommend.towers import TowerSettings
from motherlode.recommend.train import Trained, TrainSettings, train
from recommend_material import DATA, FOLDER, Arm, Material, sampler, virtual

DEFAULTS: Arm = {
    # the data: how it is split (last, k_out, time; empty for the set's own), size of a generated shop, how many test
    # users are asked (0: all)
    "split": "", "k": 10, "split_seed": 0, "items": 100_000, "users": 50_000, "asked": 0,
    # the towers and their training
    "seed": 0, "width": 64, "window": 20, "pooling": "mean", "decay": 0.0, "hidden": 128, "item_hidden": 0,
    "content": 0, "labels": 0, "batch": 1024, "temperature": 0.1, "lr": 1e-3, "item_lr": 0.03, "patience": 8,
    "epochs": 0.0, "steps": 0.0, "encoded": 0.0, "seconds": 0.0,
    # who is a negative
    "sampler": "in_batch_logq", "n": 10, "eta": 0.0, "correct_positive": 1, "bank": 8192, "candidates": 32, "top": 1,
    "leaf_mask": 0, "leaf_weight": 1.0, "near_weight": 1.0, "swap": 0.0, "sharpness": 10.0,
    "easy": 6, "hard": 4, "cluster_temperature": 1.0, "easy_by": "semantic", "hard_by": "uniform",
    # codes: kmeans, vq, random or label, of views joined by +
    "codes": "kmeans", "views": "behaviour", "primary": 64, "secondary": 16, "codes_seed": 0,
    # virtual negatives: none, edis, mixgcf, mochi or bmns
    "virtual": "none", "simple": 6, "hard_virtual": 4, "strength": 0.5, "reading": "half_width", "renormalise": 1,
    "cap": 0.0, "detach": "positive", "same_cluster": 1, "omega": 1.0, "bmns": 2048,
    "beyond": 0, "shape": 0.0, "rising": 0,
    # factorisations by least squares: 0 for their own defaults
    "weight": 0.0, "ridge": 0.0, "cut": 0.0,
}  # fmt: skip
EPOCHS = {"ml1m": 0.5, "retail": 2.0, "retail_last": 2.0, "shop": 3.0}  # others 8
BASELINES = ("popularity_rank", "item_knn", "als", "ials", "rg2")


def arms(words: list[str]) -> Iterator[Arm]:
    """Every combination of the values given, the other keys at their defaults."""
    given: dict[str, list[Any]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if key not in DEFAULTS or not equals:
            raise SettingError(f"'{word}' is no key=value; the keys are {', '.join(DEFAULTS)}.")
        try:
            given[key] = [type(DEFAULTS[key])(value) for value in text.split(",")]
        except ValueError as error:
            raise SettingError(f"'{word}' does not hold {type(DEFAULTS[key]).__name__} values.") from error
    for values in itertools.product(*given.values()):
        yield DEFAULTS | dict(zip(given, values, strict=True))


def name_of(data: str, arm: Arm) -> str:
    """The same arm has the same name, also after a key with a default was added."""
    changed = {key: value for key, value in arm.items() if value != DEFAULTS[key]}
    return f"{data}_{arm['sampler']}_{arm['seed']}_{fingerprint(data, changed)}"


def budget(data: str, arm: Arm) -> Budget:
    """The one unit that is given, else the data set's epochs."""
    units = {"epochs": "epochs", "steps": "steps", "encoded": "items", "seconds": "seconds"}
    given = [Budget(unit, arm[key]) for key, unit in units.items() if arm[key]]
    if len(given) > 1:
        raise SettingError("Give one of epochs, steps, encoded and seconds.")
    return given[0] if given else Budget("epochs", EPOCHS.get(data, 8.0))


def fitted(data: str, arm: Arm, material: Material, folder: Path) -> Trained:
    """The arm trained in `folder`."""
    item_hidden = (arm["item_hidden"],) * (arm["item_hidden"] > 0)
    towers = TowerSettings(
        arm["width"], arm["window"], arm["pooling"], (arm["hidden"],), item_hidden, decay=arm["decay"]
    )
    settings = TrainSettings(
        budget(data, arm),
        batch=arm["batch"],
        temperature=arm["temperature"],
        lr=arm["lr"],
        item_lr=arm["item_lr"],
        patience=arm["patience"],
        omega=arm["omega"],
        seed=arm["seed"],
    )
    return train(
        material.split,
        towers,
        sampler(arm, material),
        settings,
        folder,
        content=material.content(),
        labels=material.labels(),
        virtual=virtual(arm),
        mark=arm,
    )


def trained(data: str, arm: Arm, material: Material, folder: Path) -> tuple[UserMetrics, dict[str, Any]]:
    found = fitted(data, arm, material, folder)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    sums = {"encoded_items": sum(line["encoded_items"] for line in steps), "final_loss": steps[-1]["loss"]}
    chosen = next(line for line in lines if line["step"] == found.facts["best_step"])
    sums["validation"] = {
        key.removeprefix("validation_"): value for key, value in chosen.items() if key.startswith("validation_")
    }
    rate = found.facts["steps"] * found.facts["examples_a_step"] / found.facts["cpu_seconds"]
    return found.test, {**found.facts, **sums, "examples_a_cpu_second": rate}


def baseline(arm: Arm, split: Split) -> tuple[UserMetrics, UserMetrics]:
    """One of BASELINES, fitted on what trains and asked about validation and about test."""
    train, kind = split.train, arm["sampler"]
    given = {key: arm[key] for key in ("weight", "ridge", "cut") if arm[key]}
    size = {"factors": arm["width"], "seed": arm["seed"]}
    if kind in ("ials", "rg2"):
        given = {("pull" if (key, kind) == ("weight", "rg2") else key): value for key, value in given.items()}
        model = ials(**given, **size) if kind == "ials" else rg2(train.n_items, **given, **size)
        items = model.fit(matrix(train))[1]

        def asked(holdout: Holdout) -> Scorer:
            return model.scorer_of(items, holdout)

    elif kind == "als":
        names = {"weight": "alpha", "ridge": "regularisation"}
        told = {names[key]: value for key, value in given.items()}

        def asked(holdout: Holdout) -> Scorer:
            return implicit_als(train, holdout, **size, **told)

    else:
        asked = partial({"popularity_rank": popularity, "item_knn": item_knn}[kind], train)
    slices = popularity_slices(split.frequencies)
    return tuple(evaluate(one, asked(one), slices=slices) for one in (split.validation, split.test))


def run(data: str, arm: Arm) -> dict[str, Any]:
    """One arm: trained unless it has been, its line written and returned."""
    name = name_of(data, arm)
    path, folder = FOLDER / f"{name}.json", FOLDER / "checkpoints" / name
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    began = time.process_time()
    material = Material(data, arm)
    split = material.split
    if arm["sampler"] in BASELINES:
        validation, test = baseline(arm, split)
        facts: dict[str, Any] = {"validation": validation.means}
    else:
        test, facts = trained(data, arm, material, folder)
    facts["all_cpu_seconds"] = time.process_time() - began
    line = {
        "data": data,
        "arm": arm,
        "users": len(split.test),
        "events": len(split.train.items),
        "test": test.means,
        "facts": facts,
    }
    with replacing(FOLDER / f"{name}.npz") as temporary, temporary.open("wb") as file:
        kept: dict[str, Any] = {key: values.astype(np.float32) for key, values in test.per_user.items()}
        np.savez_compressed(file, **kept)
    write_text(path, json.dumps(line) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    return line


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in DATA:
        sys.exit(__doc__)
    try:
        for arm in arms(sys.argv[2:]):
            print(json.dumps(run(sys.argv[1], arm)), flush=True)
    except MotherlodeError as error:
        sys.exit(f"recommend: {error}")


if __name__ == "__main__":
    main()
