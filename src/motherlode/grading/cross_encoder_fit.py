"""Train a cross-encoder on graded pairs: ordinal loss, soft labels where raters disagree."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from motherlode.atomic import fingerprint as fingerprint_of
from motherlode.atomic import replacing_folder, write_json
from motherlode.evaluation.agreement import agreement
from motherlode.grading.cross_encoder import PairTokens, fingerprint, load, probabilities
from motherlode.grading.grader import Pair, decide
from motherlode.grading.pair_batches import PairBatches
from motherlode.losses.ordinal import ordinal_cross_entropy
from motherlode.training.fit import FitResult, FitSettings, fit

CHUNK_TOKENS = {"cpu": 512, "cuda": 32_768}  # small chunks stay in a processor's cache
HEAD = ("classifier", "pooler", "score")  # what is new or nearly so learns at its own rate


@dataclass(frozen=True)
class CrossEncoderSettings:
    """How a cross-encoder is trained. All values are ours."""

    base: str = "minilm"
    layers: int | None = None
    max_tokens: int = 128
    epochs: int = 3
    batch: int = 64
    lr: float = 1e-4
    head_lr: float = 1e-3
    weight_decay: float = 0.01
    patience: int = 3
    validations_per_epoch: int = 2
    precision: str = "fp32"
    seed: int = 0


def soft_targets(grades: np.ndarray, ratings: np.ndarray | None = None, trust: float = 0.5) -> np.ndarray:
    """Targets float32 [n, 3] from grades and, where known, the raters' mean on the scale of the grades.

    A mean of 1.33 says that a third of the raters' weight lies on grade 2 and two thirds on grade 1; half of the target
    (`1 - trust`) is that, half the grade itself, which a shop's cut points may have set apart from the mean. Without a
    rating (NaN) the grade is the target. Ours.
    """
    hard = np.eye(3, dtype=np.float32)[grades]
    if ratings is None:
        return hard
    known = np.isfinite(ratings)
    mean = np.where(known, np.clip(ratings, 0, 2), 0.0)[:, None]
    soft = np.clip(1 - np.abs(mean - np.arange(3)), 0, None).astype(np.float32)
    return np.where(known[:, None], trust * hard + (1 - trust) * soft, hard)


def fit_cross_encoder(
    train: Sequence[Pair],
    targets: np.ndarray,
    validation: Sequence[Pair],
    validation_grades: np.ndarray,
    settings: CrossEncoderSettings,
    folder: Path | str,
    *,
    origin: dict[str, Any],
) -> FitResult:
    """Train on pairs with float targets [n, 3] (or grades [n]); the best weights on validation go to `folder`/best.

    The folder is a standard one: `sentence_transformers.CrossEncoder(folder)` loads it without motherlode. A killed
    run goes on where it was. `origin` (rubric version, data hash ...) is written beside the weights.
    """
    torch.manual_seed(settings.seed)  # the head starts at random
    model, tokenizer = load(settings.base, layers=settings.layers)
    targets = np.eye(3, dtype=np.float32)[targets] if np.ndim(targets) == 1 else np.asarray(targets, np.float32)
    module = _Objective(model, PairTokens(tokenizer, train, settings.max_tokens), targets, settings.batch)
    held_out = PairTokens(tokenizer, validation, settings.max_tokens)
    facts = {**origin, **vars(settings)}

    def save(to: Path) -> None:
        with replacing_folder(to) as temporary:
            model.save_pretrained(str(temporary))
            tokenizer.save_pretrained(str(temporary))
            write_json(
                temporary / "motherlode.json", {"weights": fingerprint(model, tokenizer, settings.max_tokens), **facts}
            )

    def validate() -> dict[str, float]:
        found = probabilities(model, held_out)
        scores = agreement(validation_grades, decide(found))
        loss = ordinal_cross_entropy(torch.from_numpy(np.log(found)), torch.from_numpy(validation_grades).long())
        return {"score": -float(loss)} | {
            name: float(scores[name]) for name in ("accuracy", "within_1", "quadratic_kappa")
        }

    return fit(
        module,
        _parameter_groups(model, settings),
        PairBatches(len(train), settings.batch, settings.seed),
        FitSettings(
            epochs=settings.epochs,
            patience=settings.patience,
            validations_per_epoch=settings.validations_per_epoch,
            precision=settings.precision,
            seed=settings.seed,
        ),
        folder,
        save=save,
        validate=validate,
        watch="score",
        fingerprint=fingerprint_of(facts, hashlib.blake2b(targets.tobytes()).hexdigest()),
    )


class _Objective(nn.Module):
    """Loss of a batch over its full size (so that shares of processes add up), read in chunks of like length."""

    def __init__(self, model: nn.Module, tokens: PairTokens, targets: np.ndarray, size: int) -> None:
        super().__init__()
        self.model, self.tokens, self.size = model, tokens, size
        self.targets = torch.from_numpy(targets)

    def forward(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        device = next(self.model.parameters()).device
        losses = []
        for chunk in self.tokens.chunks(rows, CHUNK_TOKENS[device.type]):
            logits = self.model(**self.tokens.padded(chunk, device)).logits
            targets = self.targets[torch.from_numpy(chunk)].to(device)
            losses.append(ordinal_cross_entropy(logits, targets, reduction="sum"))
        return {"loss": torch.stack(losses).sum() / self.size}


def _parameter_groups(model: nn.Module, settings: CrossEncoderSettings) -> list[dict[str, Any]]:
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        new, plain = any(part in name.split(".") for part in HEAD), parameter.dim() < 2
        groups.setdefault((new, plain), []).append(parameter)
    return [
        {
            "params": members,
            "lr": settings.head_lr if new else settings.lr,
            "weight_decay": 0.0 if plain else settings.weight_decay,
        }
        for (new, plain), members in groups.items()
    ]
