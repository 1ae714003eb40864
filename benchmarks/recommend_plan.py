"""The arms of the study of samplers: what each changes in `recommend.DEFAULTS`, and the trials it gets."""

from recommend import BASELINES
from recommend_material import Arm

TEMPERATURES = (0.1, 0.2)
BASE, UNIFORM, PLAIN = "in-batch + logQ", "10 uniform", "MNS, 1,024 uniform"
RECIPE, CONTROL = "MNS, content and codes in the tower", "MNS, content and random codes in the tower"
CONTENT = "MNS, content in the tower"
CODES, RANDOM = "MNS, codes in the tower", "MNS, random codes in the tower"
LITERAL, LITERAL_RANDOM = "ESANS as told: 6 easy + 4 hard, EDIS", "ESANS as told, random codes"
DNS = "DNS, 10 of 32"
BROAD, BROAD_RANDOM = "in-batch + logQ + ESANS as told", "in-batch + logQ + ESANS as told, random codes"
THREE, THREE_RANDOM = "MNS, three sets of codes in the tower", "MNS, three sets of random codes in the tower"
BOTH = "MNS, content and three sets of codes in the tower"
#: trained with further seeds
BEST = [BASE, PLAIN, THREE, THREE_RANDOM, CONTENT, RECIPE, UNIFORM, LITERAL, LITERAL_RANDOM, DNS, BOTH]
AGAINST = (BASE, PLAIN, CONTENT, UNIFORM)  # what every arm is compared with
# the bars had one trial more than what is held against them, two that came later had one less
FEWER = {(data, name): (0.2,) for data in ("instruments", "beauty") for name in (CODES, RANDOM)}
FEWER["beauty", CONTENT] = (0.2,)
EXTRA = {("instruments", BASE): (0.3,), ("instruments", PLAIN): (0.3,), ("beauty", BASE): (0.3,)}
# groups that vary one thing of an arm take that arm's temperature; so do the sets that came last, for every arm
VARIED, LAST, ONE = ("told", "search"), ("retail_last", "shop"), {"ml1m": (0.1,)}
#: trials of the factorisations: (weight, ridge) of each, 0 for their own default
FACTORISED = {
    "als": ((0.0, 0.0), (3.0, 0.0), (40.0, 0.0), (10.0, 1.0)),
    "ials": ((0.05, 0.003), (0.05, 0.03), (0.3, 0.003), (0.3, 0.03)),
    "rg2": ((0.1, 0.001), (0.1, 0.01), (0.5, 0.001), (0.5, 0.01)),
}
#: what the user tower sees where it is not the mean of the last 20: all, or all with the latest weighing more
RECENT: Arm = {"window": 200, "decay": 1.0}
LONG: dict[str, Arm] = {
    "ml1m": {"window": 200, "epochs": 2.0},
    "retail": {"window": 200},
    "retail_last": RECENT,
    "beauty_recent": RECENT,
    "instruments_recent": RECENT,
}
#: the views an item has
VIEWS = {
    "instruments": "behaviour+codes",
    "instruments_recent": "behaviour+codes",
    "ml1m": "behaviour+words+image",
    "shop": "behaviour+text+image",
}
TEXT = "behaviour+text"  # of other sets
#: of them what is not behaviour
ALONE = {"instruments": "codes", "instruments_recent": "codes", "ml1m": "words+image", "shop": "text+image"}
TEN: Arm = {"n": 10, "easy": 6, "hard": 4, "simple": 6, "hard_virtual": 4}
TOLD: Arm = {"sampler": "semantic", "virtual": "edis", "views": "all", **TEN}
MIXED: Arm = {"sampler": "mixed", "n": 1024}
TOWER: Arm = {"labels": 1, "content": 1, "views": "all"}  # codes and content in the item tower
SIMPLE: Arm = {"virtual": "edis", "simple": 10, "hard_virtual": 0}
HARD: Arm = {"sampler": "mixed+semantic", "easy": 0, "hard": 2, "simple": 0, "hard_virtual": 4}
NEAR: Arm = {"near_weight": 0.5, "leaf_weight": 0.5}
SEEN: Arm = MIXED | {"content": 1, "views": "all"}

GROUPS: dict[str, dict[str, Arm]] = {
    "main": {BASE: {"sampler": "in_batch_logq"}, PLAIN: MIXED, RECIPE: MIXED | TOWER},
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
        CONTENT: SEEN,
        "in-batch + logQ, content and codes in the tower": TOWER | {"sampler": "in_batch_logq"},
    },
    # ten negatives an example, as in the sources' figure
    "few": {UNIFORM: {"sampler": "uniform", **TEN}, LITERAL: TOLD, LITERAL_RANDOM: TOLD | {"codes": "random"}},
    "few_more": {
        "6 easy + 4 hard, no EDIS": {"sampler": "semantic", **TEN},
        "10 by popularity": {"sampler": "popularity", **TEN},
        DNS: {"sampler": "dynamic", "candidates": 32, "top": 10, **TEN},
        "AHNS, 10 of 32": {"sampler": "adaptive", "candidates": 32, **TEN},
        "10 uniform + MixGCF": {"sampler": "uniform", "virtual": "mixgcf", **TEN},
        "6 easy + 4 of the cluster, leaf kept": {"sampler": "flat_cluster", **TEN},
    },
    "rivals": {
        "DNS(20, 32), 10": {"sampler": "dynamic", "candidates": 32, "top": 20, **TEN},
        "SimANS, 10 of 32": {"sampler": "ambiguous", "candidates": 32, **TEN},
        "FairNeg, 10": {"sampler": "fair", "views": "all", **TEN},
        "ClusterNS: in-batch, 10 of the next cluster": {"sampler": "cluster", "views": "all", **TEN},
        "10 uniform + MoCHi": {"sampler": "uniform", "virtual": "mochi", **TEN},
        "10 uniform + SynCo": {"sampler": "uniform", "virtual": "mochi", "beyond": 4, **TEN},
        "20 uniform (10 more encoded)": {"sampler": "uniform", **TEN, "n": 20},
        "10 uniform + simple interpolation": {"sampler": "uniform", **TEN, **SIMPLE},
    },
    # the recipe told, one thing changed
    "told": {
        "ESANS as told, category labels as codes": TOLD | {"codes": "label"},
        "ESANS as told, leaf kept": TOLD | {"sampler": "flat_cluster"},
        "ESANS as told, mixed across clusters": TOLD | {"same_cluster": 0},
        "ESANS as told, not renormalised": TOLD | {"renormalise": 0},
        "ESANS as told, behaviour alone": TOLD | {"views": "behaviour"},
        "ESANS as told, content alone": TOLD | {"views": "alone"},
        "ESANS, easy tier uniform": TOLD | {"easy_by": "uniform"},
        "ESANS, 9 uniform + 1 hard, EDIS": TOLD | {"easy_by": "uniform", "easy": 9, "hard": 1},
    },
    # ten negatives where the item tower sees content
    "few_content": {
        "10 uniform, content in the tower": {"sampler": "uniform", "content": 1, "views": "all", **TEN},
        "ESANS as told, content in the tower": TOLD | {"content": 1},
    },
    # all positives of the batch, and what semantic codes do to them
    "broad": {
        "in-batch": {"sampler": "in_batch"},
        BROAD: TOLD | {"sampler": "in_batch_logq+semantic"},
        BROAD_RANDOM: TOLD | {"sampler": "in_batch_logq+semantic", "codes": "random"},
        "in-batch + logQ, leaf masked": {"sampler": "in_batch_logq", "leaf_mask": 1},
        "in-batch + logQ, random leaf masked": {"sampler": "in_batch_logq", "leaf_mask": 1, "codes": "random"},
    },
    "many": {
        "ESANS, 60 + 40 as weights on 1,024 shared": {"sampler": "semantic_weights", "n": 1024, "easy": 60, "hard": 40},
        "1,024 uniform shared": {"sampler": "uniform_shared", "n": 1024},
        "CBNS": {"sampler": "cross_batch"},
        "in-batch + logQ + BMNS": {"sampler": "in_batch_logq", "virtual": "bmns", "bmns": 256},
    },
    # semantic tiers, leaf mask and EDIS on the strongest base
    "search": {
        "MNS, content, near half": SEEN | NEAR,
        "MNS, content, random near half": SEEN | NEAR | {"codes": "random"},
        "MNS, content, leaf half": SEEN | {"leaf_weight": 0.5},
        "MNS, content, leaf masked": SEEN | {"leaf_mask": 1},
        "MNS, content, near twice": SEEN | {"near_weight": 2.0, "leaf_weight": 2.0},
        "MNS, content, leaf mates a tenth": SEEN | {"swap": 0.1},
        "MNS, content, 2 hard, EDIS": SEEN | HARD | {"virtual": "edis"},
        "MNS, content side by side": SEEN | {"content": 2},
        THREE: MIXED | {"labels": 3, "views": "all"},
        "MNS, three sets of codes in the tower, leaf masked": MIXED | {"labels": 3, "views": "all", "leaf_mask": 1},
        BOTH: SEEN | {"labels": 3},
        "MNS, content and three sets of random codes in the tower": SEEN | {"labels": 3, "codes": "random"},
        "MNS, leaf masked": MIXED | {"leaf_mask": 1, "views": "all"},
        THREE_RANDOM: MIXED | {"labels": 3, "views": "all", "codes": "random"},
    },
    "reference": {
        "ALS": {"sampler": "als"},
        "iALS, scaled ridges": {"sampler": "ials"},
        "RG2": {"sampler": "rg2"},
        "RGx": {"sampler": "rg2", "cut": 0.3},
        "item-kNN": {"sampler": "item_knn"},
        "popularity": {"sampler": "popularity_rank"},
        "full softmax": {"sampler": "full"},
    },
}  # fmt: skip
NO_LABELS = ("retail", "retail_last")  # catalogues without categories


def arms_of(data: str) -> dict[str, Arm]:
    """Name of every arm -> what it changes, over all groups."""
    found = {name: dict(change) for group in GROUPS.values() for name, change in group.items()}
    for change in found.values():
        if change["sampler"] not in BASELINES:
            change |= LONG.get(data, {})
        if change.get("views") in ("all", "alone"):
            named, other = (VIEWS, TEXT) if change["views"] == "all" else (ALONE, "text")
            change["views"] = named.get(data, other)
    return {name: change for name, change in found.items() if change.get("codes") != "label" or data not in NO_LABELS}


def trials_of(data: str, name: str) -> list[Arm]:
    """What an arm is tried with, each with seed 0."""
    sampler = arms_of(data)[name]["sampler"]
    if sampler in FACTORISED:
        return [{"weight": weight, "ridge": ridge} for weight, ridge in FACTORISED[sampler]]
    if sampler in ("item_knn", "popularity_rank"):
        return [{}]
    few = (
        ONE.get(data, (0.2,))
        if data in LAST or any(name in GROUPS[group] for group in VARIED)
        else FEWER.get((data, name), TEMPERATURES)
    )
    return [{"temperature": one} for one in few + EXTRA.get((data, name), ())]


def is_control(name: str) -> bool:
    """Whether an arm is there to be beaten by another of the same make: codes that mean nothing."""
    return "random" in name


def is_semantic(name: str) -> bool:
    """Whether an arm is made of semantic parts: tiers, leaf mask, interpolation inside cells, codes in the tower."""
    return any(name in GROUPS[group] and name not in RIVALS for group in SEMANTIC) or name in (LITERAL, CODES, RECIPE)


SEMANTIC = ("told", "search", "parts", "codes", "broad", "many", "few_content")
RIVALS = (
    CONTENT, "MNS, content side by side", "in-batch", "CBNS", "1,024 uniform shared", "in-batch + logQ + BMNS",
    "10 uniform, content in the tower",
)  # fmt: skip
