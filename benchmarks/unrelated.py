"""Whose items join an instance as grade 0: validation NDCG@10 on Home Depot, static encoder, two seeds.

The choice behind the default of `fit.unrelated` and `fit.suspect_margin`. Validation queries only; pool: their
judged items and 5,000 others of the catalogue.

    MOTHERLODE_DATA=... python benchmarks/unrelated.py
"""

import statistics

from common import RUNS, write
from home_depot import STRICT
from motherlode.recipe import Recipe
from motherlode.stages.run import run

TRIALS = {
    "none (the paper as printed)": ["fit.unrelated=none"],
    "random": ["fit.unrelated=random"],
    "in_batch": ["fit.unrelated=in_batch"],
    "both": ["fit.unrelated=both"],
    "in_batch, suspects kept": ["fit.unrelated=in_batch", "fit.suspect_margin=null"],
    "in_batch, suspect margin 0": ["fit.unrelated=in_batch", "fit.suspect_margin=0"],
}
SEEDS = 2


def main() -> None:
    found: dict[str, list[float]] = {name: [] for name in TRIALS}
    for seed in range(SEEDS):
        for name, settings in TRIALS.items():
            recipe = Recipe.load(overrides=[*STRICT, *settings, f"seed={seed}"])
            made = run(recipe, RUNS / "unrelated", ("fit",))
            found[name].append(made.facts("fit")["best_score"])
            print(seed, name, found[name][-1], flush=True)
    write(
        "unrelated",
        {
            "validation_ndcg@10": {
                name: {"mean": round(statistics.mean(values), 4), "seeds": [round(value, 4) for value in values]}
                for name, values in found.items()
            }
        },
    )


if __name__ == "__main__":
    main()
