"""Train the grader from features: a small network, ordinal loss, the epoch that validation likes best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motherlode.errors import InputError
from motherlode.evaluation.agreement import agreement
from motherlode.evaluation.calibration_error import log_loss
from motherlode.grading.features import CLIP, FeaturesGrader, Signals
from motherlode.grading.grader import Judge, Pair, decide
from motherlode.grading.pair_batches import PairBatches
from motherlode.losses.ordinal import ordinal_cross_entropy

# ours, chosen on Home Depot's validation queries
HIDDEN, EPOCHS, BATCH, RATE, DECAY, DROPOUT = 64, 12, 128, 2e-3, 0.02, 0.1
FEWEST = 30  # training pairs


def fit_features(
    train: Sequence[Pair],
    targets: NDArray[np.floating] | NDArray[np.integer],
    validation: Sequence[Pair],
    validation_grades: NDArray[np.integer],
    folder: Path | str,
    *,
    origin: Mapping[str, Any],
    seed: int = 0,
) -> dict[str, Any]:
    """Train on pairs with float targets [n, 3] (or grades [n]); the grader goes to `folder`. Returns facts of the fit.

    Rarity of words and pieces is counted over the distinct items of the training pairs. AdamW, the rate rising over
    a tenth of the steps and falling along a cosine; after each epoch the log loss on validation decides whether its
    weights are the ones to keep. The same seed gives the same weights on the same machine.

    Raises:
        InputError: fewer than 30 training pairs.
        MissingError: the package that holds MiniLM's word pieces is not installed.
    """
    if len(train) < FEWEST:
        raise InputError(f"{len(train)} training pairs are too few to learn grades from: give {FEWEST} or more.")
    targets = np.eye(3, dtype=np.float32)[targets] if np.ndim(targets) == 1 else np.asarray(targets, np.float32)
    signals = Signals.of([pair.item for pair in train])
    values, held_out = signals(train), signals(validation)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.where(spread > 1e-6, spread, 1).astype(np.float32)
    inputs = torch.from_numpy(np.clip((values - mean) / scale, -CLIP, CLIP))
    best: dict[str, Any] = {"loss": np.inf}
    for epoch, weights in enumerate(_epochs(inputs, torch.from_numpy(targets), seed)):
        arrays = {"mean": mean, "scale": scale} | weights
        found = FeaturesGrader(signals, arrays, Judge("", "", "")).probabilities(held_out)
        loss = log_loss(found, validation_grades)
        if loss < best["loss"]:
            best = {"loss": loss, "epoch": epoch + 1, "arrays": arrays, "found": found}
    FeaturesGrader.save(folder, signals, best["arrays"], dict(origin) | {"seed": seed, "epoch": best["epoch"]})
    scores = agreement(validation_grades, decide(best["found"]))
    return {
        "best_epoch": best["epoch"],
        "validation_log_loss": float(best["loss"]),
        "validation_accuracy": scores["accuracy"],
    }


def _epochs(inputs: Tensor, targets: Tensor, seed: int) -> Any:
    """The network's arrays after each epoch."""
    rng = torch.Generator().manual_seed(seed)
    sizes = (inputs.shape[1], HIDDEN, HIDDEN, 3)
    weights: dict[str, Tensor] = {}
    for layer, (wide, narrow) in enumerate(pairwise(sizes), start=1):
        drawn = torch.randn((wide, narrow), generator=rng) * (2 / wide) ** 0.5
        weights[f"w{layer}"] = drawn.requires_grad_()
        weights[f"b{layer}"] = torch.zeros(narrow, requires_grad=True)
    batches = PairBatches(len(inputs), BATCH, seed)
    optimiser = torch.optim.AdamW(weights.values(), RATE, weight_decay=DECAY)
    steps = EPOCHS * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1, pct_start=0.1)
    for epoch in range(EPOCHS):
        for step in range(len(batches)):
            rows = torch.from_numpy(batches(epoch, step))
            hidden = inputs[rows]
            for layer in (1, 2):
                hidden = torch.relu(hidden @ weights[f"w{layer}"] + weights[f"b{layer}"])
                kept = torch.rand(hidden.shape, generator=rng) >= DROPOUT
                hidden = hidden * kept / (1 - DROPOUT)
            loss = ordinal_cross_entropy(hidden @ weights["w3"] + weights["b3"], targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        yield {name: value.detach().numpy().copy() for name, value in weights.items()}
