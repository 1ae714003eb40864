"""The study of samplers for recommending: trials on validation, then seeds, of every arm of a plan, resumably.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/recommend_study.py beauty|instruments|ml1m|... \
        [group=main,few,...] [seeds=0,1,2]

Every arm gets the same trials: one training with seed 0 at each temperature. The one with the largest product of
recall@50 and recall@200 on validation is kept (equal relative gains of both count the same); test is not looked at. The
arms are then trained with all seeds there. What is done is not done again; `recommend_summary.py` makes the tables.
"""

import sys
from typing import Any

from motherlode.errors import MotherlodeError
from recommend import BASELINES, DEFAULTS, run
from recommend_material import DATA, Arm

TEMPERATURES = (0.1, 0.2)
BASE, UNIFORM, PLAIN, RECIPE = (
    "in-batch + logQ",
    "10 uniform",
    "MNS, 1,024 uniform",
    "MNS, content and codes in the tower",
)
CODES, RANDOM = "MNS, codes in the tower", "MNS, random codes in the tower"
LITERAL = "ESANS as told: 6 easy + 4 hard, EDIS"
# the bars had one trial more than what is held against them, what came last had one less
FEWER = {CODES: (0.2,), RANDOM: (0.2,)}
EXTRA = {("instruments", BASE): (0.3,), ("instruments", PLAIN): (0.3,)}
CONTROL = "MNS, content and random codes in the tower"
AGAINST = (BASE, PLAIN, UNIFORM, CONTROL)  # what every arm is compared with
#: the content an item has beside its behaviour
VIEWS = {"instruments": "behaviour+codes", "ml1m": "behaviour+image"}
TEXT = "behaviour+text"  # of other sets
TEN: Arm = {"n": 10, "easy": 6, "hard": 4, "simple": 6, "hard_virtual": 4}
TOLD: Arm = {"sampler": "semantic", "virtual": "edis", "views": "all", **TEN}
MIXED: Arm = {"sampler": "mixed", "n": 1024}
TOWER: Arm = {"labels": 1, "content": 1, "views": "all"}  # codes and content in the item tower

#: group -> arm -> what it changes in `recommend.DEFAULTS`
GROUPS: dict[str, dict[str, Arm]] = {
    "main": {
        BASE: {"sampler": "in_batch_logq"},
        PLAIN: MIXED,
        RECIPE: MIXED | TOWER,
    },
    # codes that mean nothing; content stays
    "control": {CONTROL: MIXED | TOWER | {"codes": "random"}},
    # codes alone, where nothing else tells the tower what an item is like
    "codes": {
        CODES: MIXED | {"labels": 1, "views": "all"},
        RANDOM: MIXED | {"labels": 1, "views": "all", "codes": "random"},
    },
    # what each part is worth
    "parts": {
        "MNS, content and codes in the tower, primary cell twice": MIXED | TOWER | {"near_weight": 2.0},
        "MNS, content in the tower": MIXED | {"content": 1, "views": "all"},
        "in-batch + logQ, content and codes in the tower": TOWER | {"sampler": "in_batch_logq"},
    },
    # ten negatives an example, as in the sources' figure
    "few": {
        UNIFORM: {"sampler": "uniform", **TEN},
        LITERAL: TOLD,
        "ESANS as told, random codes": TOLD | {"codes": "random"},
    },
    "few_more": {
        "6 easy + 4 hard, no EDIS": {"sampler": "semantic", **TEN},
        "10 by popularity": {"sampler": "popularity", **TEN},
        "DNS, 10 of 32": {"sampler": "dynamic", "candidates": 32, "top": 10, **TEN},
        "AHNS, 10 of 32": {"sampler": "adaptive", "candidates": 32, **TEN},
        "10 uniform + MixGCF": {"sampler": "uniform", "virtual": "mixgcf", **TEN},
        "6 easy + 4 of the cluster, leaf kept": {"sampler": "flat_cluster", **TEN},
    },
    # ten negatives where the item tower sees content
    "few_content": {
        "10 uniform, content in the tower": {"sampler": "uniform", "content": 1, "views": "all", **TEN},
        "ESANS as told, content in the tower": TOLD | {"content": 1},
    },
    # all positives of the batch, and what semantic codes do to them
    "broad": {
        "in-batch": {"sampler": "in_batch"},
        "in-batch + logQ + ESANS as told": TOLD | {"sampler": "in_batch_logq+semantic"},
        "in-batch + logQ, leaf masked": {"sampler": "in_batch_logq", "leaf_mask": 1},
        "in-batch + logQ, random leaf masked": {"sampler": "in_batch_logq", "leaf_mask": 1, "codes": "random"},
    },
    "many": {
        "ESANS, 60 + 40 as weights on 1,024 shared": {"sampler": "semantic_weights", "n": 1024, "easy": 60, "hard": 40},
        "1,024 uniform shared": {"sampler": "uniform_shared", "n": 1024},
        "CBNS": {"sampler": "cross_batch"},
        "in-batch + logQ + BMNS": {"sampler": "in_batch_logq", "virtual": "bmns", "bmns": 256},
    },
    "reference": {
        "ALS": {"sampler": "als"},
        "item-kNN": {"sampler": "item_knn"},
        "popularity": {"sampler": "popularity_rank"},
        "full softmax": {"sampler": "full"},
    },
}


def arms_of(data: str) -> dict[str, Arm]:
    """Name of every arm -> what it changes, over all groups."""
    found = {name: dict(change) for group in GROUPS.values() for name, change in group.items()}
    for change in found.values():
        if change.get("views") == "all":
            change["views"] = VIEWS.get(data, TEXT)
    return found


def temperatures_of(data: str, name: str) -> tuple[float, ...]:
    return FEWER.get(name, TEMPERATURES) + EXTRA.get((data, name), ())


def value_of(line: dict[str, Any]) -> float:
    """What trials are compared by."""
    found = line["facts"]["validation"]
    return float(found["recall@50"] * found["recall@200"])


def chosen(data: str, name: str) -> Arm:
    """The arm at the temperature that validation prefers, each tried with seed 0."""
    change = arms_of(data)[name]
    if change["sampler"] in BASELINES:
        return DEFAULTS | change
    tried = {one: run(data, DEFAULTS | change | {"temperature": one}) for one in temperatures_of(data, name)}
    best = max(tried, key=lambda one: value_of(tried[one]))
    return DEFAULTS | change | {"temperature": best}


def say(name: str, line: dict[str, Any]) -> None:
    found, value = line["facts"].get("validation", {}), line["test"]
    shown = [f"{found[key]:.4f}" for key in ("recall@50", "recall@200") if key in found]
    shown += [f"{value[key]:.4f}" for key in ("recall@50", "recall@200", "ndcg@50")]
    arm = line["arm"]
    print(f"{line['data']} {name} seed {arm['seed']} temperature {arm['temperature']}: {' '.join(shown)}", flush=True)


def main(words: list[str]) -> None:
    given = dict(word.split("=", 1) for word in words[1:])
    groups = given.pop("group", ",".join(GROUPS)).split(",")
    seeds = [int(one) for one in given.pop("seeds", "0").split(",")]
    if given or words[0] not in DATA or not set(groups) <= GROUPS.keys():
        sys.exit(__doc__)
    names = [name for group in groups for name in GROUPS[group]]
    for seed in seeds:
        for name in names:
            say(name, run(words[0], chosen(words[0], name) | {"seed": seed}))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1:])
    except MotherlodeError as error:
        sys.exit(f"recommend: {error}")
