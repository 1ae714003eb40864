"""What a training loop costs beside the step itself: bare torch, our fit on accelerate, transformers.Trainer.

The same batches, static encoder (the shortest step, so overhead shows most), one thread, CPU seconds a step,
stretches of the three in turn. Both cost the same; the fit loop stands on accelerate because it asks for nothing but
a step, so that batches can be a pure function of its number and resuming needs no data loader wound forward.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/trainer_overhead.py
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.utils.data import IterableDataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from common import StepClock, home_depot, training_pairs, write
from motherlode.encoders.tokens import TokenStore
from motherlode.encoders.towers import two_tower
from motherlode.training.batches import Batch, GradedBatches
from motherlode.training.fit import FitSettings, fit
from motherlode.training.groups import Caps, GradedGroups
from motherlode.training.objective import GradedObjective

STEPS, STRETCHES = 30, 5


class Stretch(IterableDataset):  # type: ignore[type-arg]
    """The first batches of an epoch, marking the clock as each is asked for; iterating gives their numbers."""

    def __init__(self, batches: GradedBatches, clock: StepClock) -> None:
        self.batches, self.clock = batches, clock

    def __len__(self) -> int:
        return STEPS + 1

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        self.clock.mark()
        return self.batches(epoch, step, rank, world)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))


def groups(objective: GradedObjective) -> list[dict[str, object]]:
    return objective.parameter_groups(1e-4, 1e-4, 0.01)


def bare(objective: GradedObjective, stretch: Stretch) -> None:
    optimiser = torch.optim.AdamW(groups(objective), fused=True)
    for step in range(len(stretch)):
        objective(stretch(0, step))["loss"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    stretch.clock.mark()


def ours(objective: GradedObjective, stretch: Stretch) -> None:
    def at_end() -> dict[str, float]:
        if stretch.clock.marks:
            stretch.clock.mark()
        return {"ndcg@10": 0.0}

    with tempfile.TemporaryDirectory() as folder:
        settings = FitSettings(epochs=1)
        fit(objective, groups(objective), stretch, settings, Path(folder), save=lambda _: None, validate=at_end)


def theirs(objective: GradedObjective, stretch: Stretch) -> None:
    class End(TrainerCallback):
        def on_train_end(self, *_: object, **__: object) -> None:
            stretch.clock.mark()

    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = objective

        def forward(self, step: torch.Tensor) -> dict[str, torch.Tensor]:
            return self.inner(stretch(0, int(step)))

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=len(stretch),
            per_device_train_batch_size=1,
            save_strategy="no",
            report_to="none",
            logging_steps=1,
            disable_tqdm=True,
            use_cpu=True,
            remove_unused_columns=False,
        )
        optimiser = torch.optim.AdamW(groups(objective), fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda _: 1.0)
        Trainer(
            Step(),
            arguments,
            data_collator=lambda steps: {"step": torch.tensor(steps)},
            train_dataset=stretch,
            optimizers=(optimiser, schedule),
            callbacks=[End()],
        ).train()


LOOPS: dict[str, Callable[[GradedObjective, Stretch], None]] = {
    "bare torch loop": bare,
    "motherlode fit (accelerate)": ours,
    "transformers.Trainer": theirs,
}


def main() -> None:
    torch.set_num_threads(1)
    queries, items, pairs = training_pairs(*home_depot())
    model = two_tower("static", items)
    stores = TokenStore(model, queries, "query"), TokenStore(model, items, "document")
    objective = GradedObjective(model, *stores, suspect_margin=0.1)
    judged = GradedGroups.from_pairs(pairs.queries, pairs.items, pairs.grades)
    batches = GradedBatches(judged, size=128, caps=Caps(), unrelated="in_batch")
    found: dict[str, list[float]] = {name: [] for name in LOOPS}
    for _ in range(STRETCHES):
        for name, loop in LOOPS.items():
            clock = StepClock()
            loop(objective, Stretch(batches, clock))
            found[name].append(1000 * clock.seconds() / clock.steps())
            print(f"{name}: {found[name][-1]:.1f} CPU-ms a step", flush=True)
    write("trainer_overhead", {"cpu_ms_a_step": {name: round(statistics.median(ms), 1) for name, ms in found.items()}})


if __name__ == "__main__":
    main()
