"""Do semantic and virtual negatives help search? Stage 1 with cluster-aware unrelated items, Stage 2 with EDIS.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/semantic.py [seeds=0,1,2] [report]

Home Depot, static encoder, strict split by query. Stage 1: codes of the items' own vectors under the untouched encoder;
every arm for as many steps as Stage 1 takes, its learning rate chosen on the first seed's validation among the same
factors, the test asked once. Stage 2: circle and SupCon from `run.py home_depot_static`'s Stage 1 and mined judgements
(needed first), without and with virtual negatives. What is done is not done again; `report` only writes the tables.
"""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from by_query import against, mean, rounded
from semantic_bench import HOME_DEPOT, METRICS, PRIMARY, SECONDARY, Arm, SemanticBench

from common import write
from motherlode.evaluation.separation import auc
from motherlode.negatives import Interpolation

SEEDS = (0, 1, 2)
FACTORS = {1: (0.5, 1.0), 2: (0.3,)}  # of Stage 1's learning rates; 0.3 is what run.py's trials chose over 1 for both
RESAMPLES = 500  # of AUCs
TIERS: dict[str, Any] = {"fit": {"unrelated": "in_batch"}, "easy": 4, "hard": 4, "leaf": True}
ALONE: dict[str, Any] = {"fit": {"unrelated": "random"}, "easy": 4, "hard": 4, "leaf": True, "own": True}
STAGE_1 = (
    Arm("in-batch", fit={"unrelated": "in_batch"}),
    Arm("in-batch + tiers", codes="untouched", **TIERS),
    Arm("in-batch + tiers, random codes", codes="random", like="in-batch + tiers", **TIERS),
    Arm("tiers alone", codes="untouched", **ALONE),
    Arm("in-batch + 1,024 random", fit={"unrelated": "both"}),
    Arm("1,024 random", fit={"unrelated": "random"}, like="in-batch + 1,024 random"),
    Arm("tiers alone, random codes", codes="random", like="tiers alone", **ALONE),
    Arm("in-batch + tiers, codes refreshed half-way", codes="refreshed", like="in-batch + tiers", **TIERS),
    Arm("in-batch, leaf masked", fit={"unrelated": "in_batch"}, codes="untouched", leaf=True, like="in-batch"),
    Arm(
        "in-batch, batches by cluster",
        fit={"unrelated": "in_batch"},
        codes="untouched",
        leaf=True,
        clustered=True,
        like="in-batch",
    ),
)
SIMPLE, HARD = Interpolation(simple=8, hard=0), Interpolation(simple=0, hard=8)
COPIES = replace(HARD, strength=0.0, reading="coefficient")  # the control: hard negatives once more, not mixed
STAGE_2 = tuple(
    Arm(f"{loss}{name}", stage=2, fit={"loss": loss}, virtual=virtual, like=loss if virtual else None)
    for loss in ("circle", "supcon")
    for name, virtual in (("", None), (" + simple", SIMPLE), (" + hard", HARD), (" + copies", COPIES))
)
ORDER = ((*STAGE_1[:3], *STAGE_2), STAGE_1[3:])  # the main comparisons of all seeds first
BASES = {
    "in-batch + tiers": ("in-batch + tiers, random codes", "in-batch + 1,024 random"),
    "tiers alone": ("tiers alone, random codes", "1,024 random"),
    "in-batch + tiers, codes refreshed half-way": ("in-batch + tiers",),
    **{f"{loss} + {name}": (f"{loss} + copies",) for loss in ("circle", "supcon") for name in ("simple", "hard")},
}  # besides the first arm of each group


def main(words: list[str]) -> None:
    given = dict(word.split("=", 1) for word in words if "=" in word)
    seeds = [int(one) for one in given.get("seeds", ",".join(map(str, SEEDS))).split(",")]
    benches = {seed: SemanticBench(HOME_DEPOT, seed) for seed in seeds}
    if "report" not in words:
        chosen: dict[str, float] = {}
        for bench, arm in [(bench, arm) for arms in ORDER for bench in benches.values() for arm in arms]:
            of = arm.like or arm.name
            factors = FACTORS[arm.stage] if of not in chosen else (chosen[of],)
            chosen[arm.name] = float(bench.result(arm, factors)["factor"])
    stages = {"stage 1": _tables(benches, STAGE_1), "stage 2": _tables(benches, STAGE_2)}
    where = {f"seed {seed}": neighbours(bench) for seed, bench in benches.items() if bench.read(STAGE_1[1])}
    write(
        "semantic_search",
        {
            "data": "home_depot",
            "encoder": "static",
            "codes": [PRIMARY, SECONDARY],
            "same query's items": where,
            **stages,
        },
    )


def _tables(benches: dict[int, SemanticBench], arms: tuple[Arm, ...]) -> dict[str, Any]:
    """Means, learning rates and gains of every arm that was run, over its group's first arm and those it answers to."""
    figures: dict[str, dict[int, pl.DataFrame]] = {}
    pairs: dict[str, dict[int, pl.DataFrame]] = {}
    facts = {}
    for arm in arms:
        for seed, bench in benches.items():
            if (read := bench.read(arm)) is not None:
                figures.setdefault(arm.name, {})[seed], pairs.setdefault(arm.name, {})[seed] = read
                facts.setdefault(arm.name, bench.result(arm, ()))
    found: dict[str, Any] = {}
    first: dict[Any, str] = {}  # arm of each loss that comes before its others
    for arm in arms:
        if (name := arm.name) not in figures:
            continue
        base_of_loss = first.setdefault(arm.fit.get("loss"), name)
        means = {key: rounded(np.mean([mean(one, "test", key) for one in figures[name].values()])) for key in METRICS}
        kept = ("factor", "validation ndcg@10", "virtual columns used", "cpu_seconds")
        found[name] = {
            "seeds": sorted(figures[name]),
            "first seed": {key: facts[name][key] for key in kept if key in facts[name]},
            "mean": means | {"auc_2_0": rounded(np.mean([_auc(one) for one in pairs[name].values()]))},
            "against": {
                base: against(figures[name], figures[base], "test", METRICS)
                | {"auc_2_0": auc_gain(pairs[name], pairs[base])}
                for base in dict.fromkeys((base_of_loss, *BASES.get(name, ())))
                if base != name and base in figures and figures[base].keys() & figures[name].keys()
            },
        }
    return found


def auc_gain(arm: dict[int, pl.DataFrame], base: dict[int, pl.DataFrame]) -> dict[str, float | list[float] | None]:
    """AUC of grade 2 over 0 of a seed's judged test pairs, averaged over seeds; queries drawn with all their seeds."""
    seeds = sorted(arm.keys() & base.keys())
    sides = [[_Weighted(side[seed]) for seed in seeds] for side in (arm, base)]
    ids = np.unique(np.concatenate([arm[seed]["query"].unique().to_numpy() for seed in seeds]))
    each = [[_auc(side[seed]) for seed in seeds] for side in (arm, base)]
    rng, gains = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        counts = np.bincount(rng.integers(0, len(ids), len(ids)), minlength=len(ids))
        ends = [np.mean([one.of(ids, counts) for one in side]) for side in sides]
        gains.append(ends[0] - ends[1])
    low, high = np.percentile(gains, [2.5, 97.5])
    return {
        "mean": rounded(np.mean(each[0])),
        "base": rounded(np.mean(each[1])),
        "delta": rounded(np.mean(each[0]) - np.mean(each[1])),
        "low": rounded(low),
        "high": rounded(high),
        "by seed": [float(rounded(one - other) or 0) for one, other in zip(*each, strict=True)],
    }


def _auc(pairs: pl.DataFrame) -> float:
    scores, grades = pairs["score"].to_numpy(), pairs["grade"].to_numpy()
    return float(auc(scores[grades == 2], scores[grades == 0]) or np.nan)


class _Weighted:
    """AUC of grade 2 over 0 when every query counts a given number of times: sorted once."""

    def __init__(self, pairs: pl.DataFrame) -> None:
        kept = pairs.filter(pl.col("grade").is_in([0, 2]))
        self.queries, self.good = kept["query"].to_numpy(), kept["grade"].to_numpy() == 2
        self.level = np.unique(kept["score"].to_numpy(), return_inverse=True)[1]
        self.rows: np.ndarray | None = None

    def of(self, ids: np.ndarray, counts: np.ndarray) -> float:
        if self.rows is None:
            self.rows = np.searchsorted(ids, self.queries)
        weight = counts[self.rows].astype(np.float64)
        good, bad = (np.bincount(self.level, weight * side) for side in (self.good, ~self.good))
        below = np.cumsum(bad) - bad / 2  # a tie counts half
        return float(good @ below / (good.sum() * bad.sum()))


def neighbours(bench: SemanticBench) -> dict[str, dict[str, float]]:
    """Where the other judged items of a query lie, seen from each of its items of grade 2, by their grade.

    leaf: in the same leaf. cell: in the same primary cell but another leaf, where the hard tier draws. random: any two
    items of the catalogue.
    """
    codes = bench.codes("untouched", bench.untouched)
    pairs, of_item = bench.train_pairs, bench._items[1]
    frame = pl.DataFrame({"query": pairs.queries, "item": of_item[pairs.items], "grade": pairs.grades})
    both = frame.filter(pl.col("grade") == 2).join(frame, on="query").filter(pl.col("item") != pl.col("item_right"))
    one, other, grade = (both[name].to_numpy() for name in ("item", "item_right", "grade_right"))
    rng = np.random.default_rng(bench.seed)
    found = {f"grade {g}": _shares(codes, one[grade == g], other[grade == g]) for g in (2, 1, 0)}
    return found | {"random": _shares(codes, *rng.integers(0, len(codes.primary), (2, 1_000_000)))}


def _shares(codes: Any, one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    leaf = codes.leaf[one] == codes.leaf[other]
    cell = (codes.primary[one] == codes.primary[other]) & ~leaf
    return {"leaf": round(float(leaf.mean()), 5), "cell": round(float(cell.mean()), 5)}


if __name__ == "__main__":
    np.seterr(invalid="ignore")
    main(sys.argv[1:])
