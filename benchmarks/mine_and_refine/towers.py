"""Table 4: one backbone for both towers or one each, 0, 2 or 4 levels of taxonomy in the item text, two losses.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/towers.py [shop | home_depot] [seeds=0,1,2]

Stage 1 of preset tiny, and circle loss after it on the same judgements (nothing is mined here), its learning rate
chosen on the first seed's validation among the same factors for tied and untied towers. Home Depot has no taxonomy.
The shop's paths have two to four levels, the last of which names the product.
"""

import sys
from typing import Any

import polars as pl
from by_query import RANKED, against, mean
from stage_1 import HOME_DEPOT, SEEDS, SHOP, Arm, Bench

from common import write

STUDY = {"shop": SHOP, "home_depot": HOME_DEPOT}
LEVELS = {"shop": (0, 2, 4), "home_depot": (2,)}
FACTORS = (0.3, 1.0)  # of Stage 1's learning rates, as in run.py
STAGE_1 = Arm("none")  # the same training as the other studies' arm without augmentation


def circle(bench: Bench, factor: float) -> Arm:
    """Circle loss from Stage 1's weights, for as many steps as run.py gives Stage 2."""
    chosen = bench.recipe.fit
    rates = {"lr": chosen.lr * factor, "head_lr": chosen.head_lr * factor}
    return Arm(f"circle x{factor}", fit={"loss": "circle", "steps": bench.study.steps, **rates}, start=STAGE_1)


def tuned(bench: Bench) -> dict[str, float]:
    """NDCG@10 on validation by factor."""
    return {str(factor): mean(bench.figures(circle(bench, factor)), "validation", "ndcg@10") for factor in FACTORS}


def main(words: list[str]) -> None:
    data = next(word for word in words if "=" not in word)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    seeds = [int(one) for one in given.get("seeds", ",".join(map(str, SEEDS))).split(",")]
    figures: dict[str, dict[int, pl.DataFrame]] = {}
    trials: dict[str, dict[str, float]] = {}
    for untied in (False, True):
        towers = "untied" if untied else "tied"
        for levels in LEVELS[data]:
            name = f"{towers}, {levels} levels" if len(LEVELS[data]) > 1 else towers
            for seed in seeds:
                # the settings that are Stage 1's own defaults go unsaid: then its figures are shared with other studies
                more = [
                    *(["encoder.untied=true"] if untied else []),
                    *([f"text.levels={levels}"] if levels != 2 else []),
                ]
                bench = Bench(STUDY[data], seed, *more)
                figures.setdefault(f"{name}, Stage 1", {})[seed] = bench.figures(STAGE_1)
                if name not in trials:
                    trials[name] = tuned(bench)
                factor = float(max(trials[name], key=lambda one: trials[name][one]))
                figures.setdefault(f"{name}, circle", {})[seed] = bench.figures(circle(bench, factor))
                for arm in (STAGE_1, *(circle(bench, one) for one in FACTORS)):
                    bench.forget(arm)
    arenas = ("test", "validation", *(("truth",) if data == "shop" else ()))
    found = {
        name: {
            f"against {base}": {arena: against(arm, figures[base], arena, RANKED) for arena in arenas}
            for base in bases(name, figures)
        }
        for name, arm in figures.items()
    }
    write(f"mine_and_refine_towers_{data}", {"seeds": seeds, "factors tried": trials, "arms": found})


def bases(name: str, figures: dict[str, Any]) -> list[str]:
    """What an arm stands against: its tied sibling, its sibling with 2 levels, its own Stage 1, and tied Stage 1."""
    first = next(iter(name for name in figures if "2 levels" in name or "levels" not in name))
    siblings = [
        name.replace("untied", "tied"),
        name.replace("0 levels", "2 levels").replace("4 levels", "2 levels"),
        name.replace("circle", "Stage 1"),
        first,
    ]
    return [one for one in dict.fromkeys(siblings) if one != name] or [name]


if __name__ == "__main__":
    if not [word for word in sys.argv[1:] if word in STUDY]:
        sys.exit(__doc__)
    main(sys.argv[1:])
