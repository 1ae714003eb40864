"""Graded pairs trained per CPU-second: our fit loop against sentence-transformers' Trainer.

Same MiniLM weights, same real Home Depot texts, the same number of judged pairs a step, one thread, fp32,
fused AdamW; short stretches in turn, each in a process of its own, so that neither profits from the other's
allocator settings. Theirs: MultipleNegativesRankingLoss over
(query, relevant item) pairs in random batches. Ours: graded groups, Stage 1 as `fit` runs it.
Target: 2.5x.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/throughput.py [stretches]
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from transformers import TrainerCallback

from common import StepClock, home_depot, training_pairs, write
from motherlode.encoders.presets import load
from motherlode.encoders.tokens import TokenStore
from motherlode.encoders.towers import two_tower
from motherlode.stages.shop_texts import Pairs
from motherlode.training.batches import GradedBatches
from motherlode.training.fit import FitSettings, fit
from motherlode.training.groups import Caps, GradedGroups
from motherlode.training.objective import GradedObjective

GROUPS, PAIRS, STEPS = 40, 256, 4  # 40 groups of Home Depot hold about 256 judged pairs


class Ours:
    def __init__(self, queries: list[str], items: list[str], pairs: Pairs, stretch: int) -> None:
        model = two_tower("minilm", items)
        groups = GradedGroups.from_pairs(pairs.queries, pairs.items, pairs.grades)
        self.batches = GradedBatches(groups, size=GROUPS, caps=Caps(), unrelated="in_batch")
        stores = TokenStore(model, queries, "query"), TokenStore(model, items, "document")
        self.objective = GradedObjective(model, *stores, suspect_margin=0.1)
        self.stretch = stretch

    def run(self) -> float:
        clock, counted, first = StepClock(), [], self.stretch * (STEPS + 1)

        class Stretch:
            def __len__(self) -> int:
                return STEPS + 1

            def __call__(inner, epoch: int, step: int, rank: int = 0, world: int = 1):  # type: ignore[no-untyped-def] # noqa: ARG002
                clock.mark()
                batch = self.batches(0, first + step)
                counted.append(batch.judged)
                return batch

        def at_end() -> dict[str, float]:
            """The last step's end, before the checkpoint; the call before the first step counts for nothing."""
            if counted:
                clock.mark()
            return {"ndcg@10": 0.0}

        groups = self.objective.parameter_groups(1e-5, 1e-5, 0.01)
        with tempfile.TemporaryDirectory() as folder:
            settings = FitSettings(epochs=1)
            fit(self.objective, groups, Stretch(), settings, Path(folder), save=lambda _: None, validate=at_end)
        return sum(counted[1:]) / clock.seconds()


class Theirs:
    def __init__(self, queries: list[str], items: list[str], pairs: Pairs, stretch: int) -> None:
        self.model: SentenceTransformer = load("minilm")
        self.model.max_seq_length = 64
        relevant = np.flatnonzero(pairs.grades > 0)
        order = np.random.default_rng(0).permutation(relevant)
        self.columns = {
            "anchor": [queries[row] for row in pairs.queries[order]],
            "positive": [items[row] for row in pairs.items[order]],
        }
        self.stretch = stretch

    def run(self) -> float:
        clock = StepClock()
        begin = self.stretch * (STEPS + 1) * PAIRS
        some = {name: column[begin : begin + (STEPS + 1) * PAIRS] for name, column in self.columns.items()}

        class Marks(TrainerCallback):
            def on_step_begin(self, *_: object, **__: object) -> None:
                clock.mark()

            def on_train_end(self, *_: object, **__: object) -> None:
                clock.mark()

        with tempfile.TemporaryDirectory() as folder:
            arguments = SentenceTransformerTrainingArguments(
                folder,
                per_device_train_batch_size=PAIRS,
                num_train_epochs=1,
                learning_rate=1e-5,
                optim="adamw_torch_fused",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            )
            trainer = SentenceTransformerTrainer(
                self.model,
                arguments,
                train_dataset=Dataset.from_dict(some),
                loss=MultipleNegativesRankingLoss(self.model),
                callbacks=[Marks()],
            )
            trainer.train()
        return PAIRS * clock.steps() / clock.seconds()


ARMS = {"sentence-transformers Trainer": Theirs, "motherlode fit": Ours}


def stretch(arm: str, number: int) -> float:
    """One stretch in a process of its own."""
    command = [sys.executable, __file__, "arm", arm, str(number)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main(stretches: int) -> None:
    found: dict[str, list[float]] = {name: [] for name in ARMS}
    for number in range(stretches):
        for name in ARMS:
            found[name].append(stretch(name, number))
            print(f"{name}: {found[name][-1]:.1f} graded pairs per CPU-second", flush=True)
    ratios = [ours / theirs for theirs, ours in zip(*found.values(), strict=True)]
    write(
        "throughput",
        {
            "pairs_a_step": PAIRS,
            "steps_a_stretch": STEPS,
            "stretches": stretches,
            "pairs_per_cpu_second": {name: round(statistics.median(v), 2) for name, v in found.items()},
            "ratio": {
                "median": round(statistics.median(ratios), 2),
                "min": round(min(ratios), 2),
                "max": round(max(ratios), 2),
            },
            "target": 2.5,
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["arm"]:
        torch.set_num_threads(1)
        print(ARMS[sys.argv[2]](*training_pairs(*home_depot()), int(sys.argv[3])).run())
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
