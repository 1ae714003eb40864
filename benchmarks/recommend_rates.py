"""How false and how hard the negatives of each tier are: the share of draws that are held-out positives of the user.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/recommend_rates.py beauty|instruments|... [key=value ...]

A two-tower is trained as `recommend.py` would with these keys (in-batch + logQ by default). With its vectors, samplers
draw for the examples of one epoch of training, whose users' validation and test targets are the held-out positives.
Hardness is the mean share of 1,000 uniform items that the user scores below the negative. DNS, which keeps the best of
its candidates, is drawn at several numbers of them; its rate at the hardness of another tier lies between two.
Writes results/recommend_rates_<data>.json.
"""

import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from common import write
from motherlode.errors import MotherlodeError
from motherlode.negatives import DynamicSampler, InBatchSampler, SemanticSampler, UniformSampler
from motherlode.negatives.batch import Batch, Histories
from motherlode.negatives.diagnostics import by_tier, false_negative_rate, hardness
from motherlode.negatives.flat_cluster import flat_cluster_sampler
from motherlode.negatives.sampler import Sampler
from motherlode.recommend.examples import ExampleBatches
from motherlode.recommend.holdout import Split
from motherlode.recommend.towers import UserItemTwoTower
from recommend import arms, fitted
from recommend_material import DATA, Material

CANDIDATES = (2, 3, 4, 6, 8, 12, 16, 24, 32)
REFERENCE = 1_000
ROUNDS = 4  # draws of each sampler for every example


def held_out(split: Split) -> Histories:
    """Validation and test targets of every user."""
    owner = [part.users[part.targets.users] for part in (split.validation, split.test)]
    items = [part.targets.items for part in (split.validation, split.test)]
    user, item = np.concatenate(owner), np.concatenate(items)
    order = np.argsort(user, kind="stable")
    counts = np.bincount(user, minlength=split.train.n_users)
    return Histories(np.concatenate([[0], np.cumsum(counts)]), item[order])


def samplers(material: Material) -> dict[str, Sampler]:
    codes, n_items = material.codes(), material.split.train.n_items
    found: dict[str, Sampler] = {
        "uniform": UniformSampler(n_items, 8),
        "semantic": SemanticSampler(codes.primary, codes.secondary, codes.primary_centres, easy=8, hard=8),
        "leaf kept": flat_cluster_sampler(codes.primary, codes.primary_centres, easy=0, hard=8),
        "in-batch": InBatchSampler(),
    }
    return found | {f"DNS {n}": DynamicSampler(n_items, n, 1, 1) for n in CANDIDATES}


def measure(material: Material, model: UserItemTwoTower, seed: int = 0) -> dict[str, dict[str, float]]:
    """tier -> draws, share of held-out positives, hardness."""
    split = material.split
    owned, outside = Histories(split.train.indptr, split.train.items), held_out(split)
    batches = ExampleBatches(split.train, ordered=split.ordered, window=model.settings.window, seed=seed)
    items = model.encode_items()
    sums: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(3))
    named = samplers(material)
    for step in range(len(batches)):
        examples, rng = batches(0, step), np.random.default_rng([seed, step])
        users = model.encode_users(examples.history)
        batch = Batch(examples.targets, owned.take(examples.users), users, items.__getitem__)
        reference = users @ items[rng.integers(len(items), size=REFERENCE)].T
        outside_here = outside.take(examples.users)
        for name, sampler in named.items():
            for _ in range(1 if name in ("semantic", "leaf kept", "uniform", "in-batch") else ROUNDS):
                for pool in sampler.draw(rng, batch).pools:
                    if pool.rows.ndim == 1:
                        scores = users @ items[pool.rows].T
                    else:
                        scores = np.einsum("bd,bnd->bn", users, items[pool.rows])
                    false, hard = false_negative_rate(pool, outside_here), hardness(pool, scores, reference)
                    for tier, drawn in by_tier(pool).items():
                        if count := int(drawn.sum()):
                            key = name if len(pool.tiers) == 1 else f"{name} {tier}"
                            sums[key] += count * np.array([1, false[tier], hard[tier]])
    return {
        name: {"draws": int(found[0]), "false": found[1] / found[0], "hardness": found[2] / found[0]}
        for name, found in sums.items()
    }


def against_dns(found: dict[str, dict[str, float]], tier: str) -> dict[str, Any]:
    """The rate of a tier over that of DNS at the same hardness, on the line between the two nearest numbers."""
    dns = sorted((one["hardness"], one["false"]) for name, one in found.items() if name.startswith("DNS"))
    hard = np.array([0.5, *(one[0] for one in dns)])
    false = np.array([found["uniform"]["false"], *(one[1] for one in dns)])
    at = float(np.interp(found[tier]["hardness"], hard, false))
    inside = bool(hard[0] <= found[tier]["hardness"] <= hard[-1])
    return {"dns_rate": at, "ratio": found[tier]["false"] / at, "within_the_curve": inside}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in DATA:
        sys.exit(__doc__)
    try:
        (arm,) = arms(sys.argv[2:])
    except MotherlodeError as error:
        sys.exit(f"recommend_rates: {error}")
    material = Material(sys.argv[1], arm)
    with TemporaryDirectory() as folder:
        model = fitted(sys.argv[1], arm, material, Path(folder)).model
    found = measure(material, model)
    tiers = [name for name in found if not name.startswith(("DNS", "uniform"))]
    write(
        f"recommend_rates_{sys.argv[1]}",
        {"data": sys.argv[1], "tiers": found, "against DNS": {tier: against_dns(found, tier) for tier in tiers}},
    )


if __name__ == "__main__":
    main()
