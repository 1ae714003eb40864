"""Examples a CPU-second of the user-item two-tower, beside plain-torch loops and torch-rechub's YoutubeDNN.

    OMP_NUM_THREADS=1 python benchmarks/recommend_speed.py [items=100000] [rounds=8] [steps=4] [million=300]

One thread, everybody in turns within a round, medians over the rounds. All see the same generated events, batches of
1,024 examples, histories of 20, vectors of 64 and a user tower 64-128-64. First where a step's time goes, with semantic
negatives and interpolation and without; then the contenders; then bytes an item, and `million` steps over 1,000,000
items. torch-rechub takes part where it is installed.
"""

import gc
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from common import write
from motherlode.negatives import (
    Batch,
    Histories,
    InBatchLogQSampler,
    Interpolation,
    PopularitySampler,
    Sampler,
    SemanticSampler,
    SemanticWeightsSampler,
    UniformSampler,
)
from motherlode.recommend import ExampleBatches, RetrievalObjective, Sequences, TowerSettings, UserItemTwoTower
from motherlode.recommend.examples import Examples
from motherlode.training.memory import keep_freed_memory

DEFAULTS = {"items": 100_000, "rounds": 8, "steps": 4, "million": 300}
BATCH, WIDTH, LENGTH, USERS, NEGATIVES = 1024, 64, 30, 20_000, 100
PRIMARY, SECONDARY = 256, 16
Step = Callable[[Examples], None]


class World:
    """Events with a long-tailed popularity over N items, and random codes; speed does not hang on what they mean."""

    def __init__(self, n_items: int) -> None:
        rng = np.random.default_rng([n_items, 1])
        weight = np.cumsum(1 / (np.arange(n_items) + 50.0))
        items = rng.permutation(n_items)[np.searchsorted(weight, rng.random(USERS * LENGTH) * weight[-1])]
        self.train = Sequences.from_events(np.repeat(np.arange(USERS), LENGTH), items, n_items)
        self.n_items, self.batches = n_items, ExampleBatches(self.train, ordered=True, batch=BATCH)
        self.owned = Histories(self.train.indptr, self.train.items)
        self.frequencies = self.train.frequencies().astype(np.float64)
        centres = rng.standard_normal((PRIMARY, WIDTH))
        self.centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        self.primary, self.secondary = (
            rng.integers(PRIMARY, size=n_items),
            rng.integers(SECONDARY, size=n_items),
        )

    def semantic(self) -> SemanticSampler:
        return SemanticSampler(self.primary, self.secondary, self.centres, easy=6, hard=4)

    def objective(self, sampler: Sampler, virtual: Interpolation | None = None) -> RetrievalObjective:
        model = UserItemTwoTower(self.n_items, TowerSettings(WIDTH))
        return RetrievalObjective(model, sampler, self.owned, item_rate=lambda _: 0.03, virtual=virtual).train()


def ours(objective: RetrievalObjective) -> Step:
    optimiser = torch.optim.AdamW(objective.parameters(), lr=1e-3)

    def step(examples: Examples) -> None:
        objective(examples)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


class Plain(nn.Module):
    """The same towers as somebody would write them: one embedding table, the mean by EmbeddingBag, an MLP."""

    def __init__(self, n_items: int, sparse: bool) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(n_items, WIDTH) * WIDTH**-0.5)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 128), nn.GELU(), nn.Linear(128, WIDTH))
        self.sparse = sparse

    def items(self, rows: torch.Tensor) -> torch.Tensor:
        return F.normalize(F.embedding(rows, self.table, sparse=self.sparse), dim=-1)

    def forward(self, history: torch.Tensor) -> torch.Tensor:
        real = history >= 0
        starts = F.pad(real.sum(dim=1).cumsum(0)[:-1], (1, 0))
        pooled = F.embedding_bag(history[real], self.table, starts, mode="mean", sparse=self.sparse)
        return F.normalize(pooled + self.mlp(pooled), dim=1)


def plain(n_items: int, optimiser: str, negatives: str) -> Step:
    model, rng = Plain(n_items, optimiser != "Adam"), np.random.default_rng(3)
    makers: dict[str, Any] = {
        "Adam": torch.optim.Adam,
        "SparseAdam": torch.optim.SparseAdam,
        "Adagrad": torch.optim.Adagrad,
        "SGD": torch.optim.SGD,
    }
    table = makers[optimiser]([model.table], lr=1e-2)
    dense = torch.optim.AdamW(model.mlp.parameters(), lr=1e-3)

    def step(examples: Examples) -> None:
        users = model(torch.from_numpy(examples.history))
        positives = model.items(torch.from_numpy(examples.targets))
        if negatives == "in_batch":
            logits, labels = users @ positives.T, torch.arange(len(users))
        else:
            shape = (NEGATIVES,) if negatives == "shared" else (len(users), NEGATIVES)
            drawn = model.items(torch.from_numpy(rng.integers(n_items, size=shape)))
            against = users @ drawn.T if negatives == "shared" else torch.bmm(drawn, users[:, :, None])[:, :, 0]
            logits = torch.cat([(users * positives).sum(dim=1, keepdim=True), against], dim=1)
            labels = torch.zeros(len(users), dtype=torch.int64)
        F.cross_entropy(logits / 0.1, labels).backward()
        for one in (table, dense):
            one.step()
            one.zero_grad()

    return step


def rechub(n_items: int) -> Step | None:
    """torch-rechub's YoutubeDNN in its own MatchTrainer (list-wise, its default Adam), 100 uniform an example."""
    try:
        from torch_rechub.basic.features import SequenceFeature, SparseFeature
        from torch_rechub.models.matching import YoutubeDNN
        from torch_rechub.trainers import MatchTrainer
    except ImportError:
        return None
    from torch_rechub.trainers import match_trainer

    # its progress bar is no part of the step
    match_trainer.tqdm.tqdm = lambda batches, **_: _Quiet(batches)
    rows = n_items + 1  # 0 pads
    same = {"vocab_size": rows, "embed_dim": WIDTH, "shared_with": "item"}
    model = YoutubeDNN(
        [SequenceFeature("history", pooling="mean", padding_idx=0, **same)],
        [SparseFeature("item", vocab_size=rows, embed_dim=WIDTH)],
        [SequenceFeature("negatives", pooling="concat", **same)],
        {"dims": [128, WIDTH]},
        temperature=0.1,
    )
    trainer, rng = MatchTrainer(model, mode=2), np.random.default_rng(3)

    def step(examples: Examples) -> None:
        drawn = rng.integers(1, rows, size=(len(examples), NEGATIVES))
        arrays = {"history": examples.history + 1, "item": examples.targets + 1, "negatives": drawn}
        features = {name: torch.from_numpy(array) for name, array in arrays.items()}
        trainer.train_one_epoch([(features, torch.zeros(len(examples)))])

    return step


class _Quiet(list[Any]):
    def set_postfix(self, **_: Any) -> None:
        """Shown nowhere."""


def turns(world: World, contenders: dict[str, Step], rounds: int, steps: int) -> dict[str, list[float]]:
    """CPU-seconds a step of each contender: one number a round, after one round of warm-up."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        examples = [world.batches(0, (number * steps + k) % len(world.batches)) for k in range(steps)]
        for name, step in contenders.items():
            began = time.process_time()
            for one in examples:
                step(one)
            spent[name].append((time.process_time() - began) / steps)
    return {name: seconds[1:] for name, seconds in spent.items()}


def split(world: World, rounds: int, steps: int) -> dict[str, Any]:
    """Where the time of a step with semantic negatives and interpolation goes: the same draws with and without."""
    objective = world.objective(world.semantic(), Interpolation())
    step, sampler = ours(objective), world.semantic()

    def whole(virtual: Interpolation | None) -> Step:
        def run(examples: Examples) -> None:
            objective.virtual = virtual
            step(examples)

        return run

    def sampling(examples: Examples) -> None:
        owned = world.owned.take(examples.users)
        sampler(np.random.default_rng([0, examples.number]), Batch(examples.targets, owned))

    parts = {"step": whole(Interpolation()), "step_without_virtual": whole(None), "sampling": sampling}
    spent = turns(world, parts, 2 * rounds, steps)
    median = {name: statistics.median(seconds) for name, seconds in spent.items()}
    edis = statistics.median(a - b for a, b in zip(spent["step"], spent["step_without_virtual"], strict=True))
    return {
        "ms": {name: round(1000 * value, 2) for name, value in {**median, "interpolation": edis}.items()},
        "sampling_share": round(median["sampling"] / median["step"], 4),
        "interpolation_share": round(edis / median["step"], 4),
        "negatives": "6 easy, 4 hard an example; 6 simple, 4 hard virtual",
    }


def memory(objective: RetrievalObjective) -> dict[str, float]:
    """Bytes an item that training holds: the table with its moments, the sampler's arrays, the scratch."""
    sampler, n = objective.sampler, objective.model.n_items
    assert isinstance(sampler, SemanticSampler)
    held = {id(array): array.nbytes for array in vars(sampler.tiers).values() if isinstance(array, np.ndarray)}
    table = sum(buffer.nbytes for buffer in objective.model.buffers())
    return {
        "model_and_optimiser": round(table / n, 1),
        "semantic_sampler": round(sum(held.values()) / n, 1),
        "scratch": objective._place.nbytes / n,
    }


def million(steps: int) -> dict[str, Any]:
    """Steps over 1,000,000 items."""
    began = time.process_time()
    world = World(1_000_000)
    objective = world.objective(world.semantic(), Interpolation())
    step, made = ours(objective), time.process_time() - began
    seconds, wall = [], time.monotonic()
    for number in range(steps):
        examples = world.batches(*divmod(number, len(world.batches)))
        began = time.process_time()
        step(examples)
        seconds.append(time.process_time() - began)
    return {
        "steps": steps,
        "examples_a_cpu_second": round(BATCH / statistics.median(seconds)),
        "set_up_cpu_seconds": round(made, 1),
        "wall_seconds": round(time.monotonic() - wall, 1),
        "bytes_an_item": memory(objective),
        "largest_resident_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def contenders(world: World) -> Iterator[tuple[str, Step]]:
    n, frequencies = world.n_items, world.frequencies
    samplers: dict[str, tuple[Sampler, Interpolation | None]] = {
        "in_batch_logq": (InBatchLogQSampler(frequencies), None),
        "uniform_100": (UniformSampler(n, NEGATIVES), None),
        "popularity_100": (PopularitySampler(frequencies, NEGATIVES), None),
        "uniform_100_shared": (UniformSampler(n, NEGATIVES, shared=True), None),
        "semantic_weights_on_100_shared": (
            SemanticWeightsSampler(world.semantic(), UniformSampler(n, NEGATIVES, shared=True)),
            None,
        ),
        "semantic_10": (world.semantic(), None),
        "semantic_10_interpolation_10": (world.semantic(), Interpolation()),
    }
    for name, (sampler, virtual) in samplers.items():
        yield f"motherlode/{name}", ours(world.objective(sampler, virtual))
    kinds = [(o, "in_batch") for o in ("Adam", "SparseAdam", "Adagrad", "SGD")]
    for optimiser, negatives in [*kinds, ("SparseAdam", "uniform"), ("SGD", "uniform"), ("SparseAdam", "shared")]:
        yield f"torch/{negatives}_{optimiser}", plain(n, optimiser, negatives)
    step = rechub(n)
    if step is not None:
        yield "torch-rechub/YoutubeDNN_uniform_100", step


def main() -> None:
    given = dict(DEFAULTS)
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key not in DEFAULTS or not value.isdigit():
            sys.exit(__doc__)
        given[key] = int(value)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()  # as the fit loop does; for all contenders alike
    world = World(given["items"])
    found: dict[str, Any] = {"items": given["items"], "batch": BATCH, "threads": 1}
    found["step"] = split(world, given["rounds"], given["steps"])
    print(found["step"], flush=True)
    found["bytes_an_item"] = memory(world.objective(world.semantic()))
    spent = turns(world, dict(contenders(world)), given["rounds"], given["steps"])
    rates = {name: round(BATCH / statistics.median(seconds)) for name, seconds in spent.items()}
    found["examples_a_cpu_second"] = rates
    best = {
        kind: max(v for k, v in rates.items() if k.startswith(f"torch/{kind}_")) for kind in ("in_batch", "uniform")
    }
    found["times_plain_torch"] = {
        "in_batch": round(rates["motherlode/in_batch_logq"] / best["in_batch"], 2),
        "uniform_100": round(rates["motherlode/uniform_100"] / best["uniform"], 2),
    }
    rival = rates.get("torch-rechub/YoutubeDNN_uniform_100")
    if rival:
        found["times_torch_rechub"] = {
            name: round(rates[f"motherlode/{name}"] / rival, 2)
            for name in ("uniform_100", "uniform_100_shared", "semantic_weights_on_100_shared")
        }
    print(rates, flush=True)
    del world
    gc.collect()
    found["load_average"] = [round(value, 1) for value in os.getloadavg()]  # a busy machine makes CPU-seconds dearer
    if given["million"]:
        found["million"] = million(given["million"])
    write("recommend_speed", found)


if __name__ == "__main__":
    main()
