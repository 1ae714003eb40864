"""The study of samplers for recommending: trials on validation, then seeds, of every arm of a plan, resumably.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/recommend_study.py beauty|instruments|ml1m|retail|... \
        [group=main,few,...] [seeds=0,1,2] [arms=best]

Every arm gets the same trials: one training with seed 0 at each temperature (the factorisations: one for each pair of
weight and ridge; what varies one thing of another arm: that arm's temperature). The one with the largest product of
recall@50 and recall@200 on validation is kept (equal relative gains of both count the same); test is not looked at.
The arms are then trained with all seeds there. What is done is not done again; `recommend_summary.py` makes the
tables. `recommend_plan.py` holds the arms.
"""

import sys
from typing import Any

from motherlode.errors import MotherlodeError
from recommend import BASELINES, DEFAULTS, run
from recommend_material import DATA, Arm
from recommend_plan import BEST, GROUPS, arms_of, trials_of


def value_of(line: dict[str, Any]) -> float:
    """What trials are compared by."""
    found = line["facts"].get("validation", {})
    return float(found.get("recall@50", 0) * found.get("recall@200", 0))


def chosen(data: str, name: str) -> Arm:
    """The arm with the trial that validation prefers, each done with seed 0."""
    change = arms_of(data)[name]
    trials = trials_of(data, name)
    if len(trials) == 1:
        return DEFAULTS | change | trials[0]
    return DEFAULTS | change | max(trials, key=lambda trial: value_of(run(data, DEFAULTS | change | trial)))


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
    best = given.pop("arms", "") == "best"
    if given or words[0] not in DATA or not set(groups) <= GROUPS.keys():
        sys.exit(__doc__)
    names = BEST if best else [name for group in groups for name in GROUPS[group]]
    known = arms_of(words[0])
    for seed in seeds:
        for name in (one for one in names if one in known):
            if seed and known[name]["sampler"] in BASELINES:
                continue  # their seeds are not what is in question
            say(name, run(words[0], chosen(words[0], name) | {"seed": seed}))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1:])
    except MotherlodeError as error:
        sys.exit(f"recommend: {error}")
