"""Train a LoRA adapter of a causal language model on graded pairs: cross-entropy over the three grade tokens."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from motherlode.atomic import fingerprint, replacing_folder, write_json
from motherlode.evaluation.agreement import agreement
from motherlode.grading.causal_lm import (
    INSTRUCTION,
    ITEM_TOKENS,
    GradeLM,
    GradePrompt,
    calm,
    chunks,
    load_base,
    need_peft,
    probabilities,
)
from motherlode.grading.grader import Pair, decide
from motherlode.grading.pair_batches import PairBatches
from motherlode.training.fit import FitResult, FitSettings, fit

CHUNK_TOKENS = {"cpu": 1_024, "cuda": 16_384}


@dataclass(frozen=True)
class CausalLMSettings:
    """How an adapter is trained. All values are ours, and not tuned.

    `alpha` / `rank` scales the adapter (Hu et al. 2021, LoRA); it sits on every linear layer but the output.
    `precision` bf16 holds the base in bf16, the adapter in fp32. `gradient_checkpointing` trades time for memory.
    """

    base: str = "smollm2"
    rank: int = 16
    alpha: float = 32
    dropout: float = 0.0
    instruction: str = INSTRUCTION
    item_tokens: int = ITEM_TOKENS
    epochs: int = 2
    batch: int = 8
    lr: float = 1e-3
    weight_decay: float = 0.0
    patience: int = 3
    validations_per_epoch: int = 2
    precision: str = "fp32"
    gradient_checkpointing: bool = False
    seed: int = 0


def fit_causal_lm(
    train: Sequence[Pair],
    targets: np.ndarray,
    validation: Sequence[Pair],
    validation_grades: np.ndarray,
    settings: CausalLMSettings,
    folder: Path | str,
    *,
    origin: Mapping[str, Any],
) -> FitResult:
    """Train on pairs with float targets [n, 3] (or grades [n]); the best adapter on validation goes to `folder`/best.

        loss = - mean over pairs of sum_g target_g log softmax(logits of the tokens 0, 1, 2)_g

    The folder is one of peft's, with motherlode.json beside the adapter; base weights are neither in it nor in the
    checkpoint. A killed run goes on where it was. `origin` (rubric version, data hash ...) is written beside them.

    Raises:
        MissingError: peft or the base is not there.
        SettingError: bf16 without hardware for it, or a base whose tokenizer has no single tokens for the grades.
    """
    base = load_base(settings.base, settings.precision)
    prompt = GradePrompt(base.tokenizer, settings.instruction, settings.item_tokens)
    lm = GradeLM(base.model, prompt)
    add_adapter(lm, settings)
    targets = np.eye(3, dtype=np.float32)[targets] if np.ndim(targets) == 1 else np.asarray(targets, np.float32)
    rests, held_out = prompt.encode(train), prompt.encode(validation)
    objective = GradeObjective(lm, rests, targets, settings.batch)
    facts = {
        **origin,
        **vars(settings),
        "base_fingerprint": base.fingerprint,
        "prompt": prompt.version,
        "pairs": _hash(rests, targets),
    }

    def save(to: Path) -> None:
        with replacing_folder(to) as temporary:
            lm.model.save_pretrained(str(temporary), save_embedding_layers=False)
            (temporary / "README.md").unlink(missing_ok=True)  # a form nobody filled in
            write_json(temporary / "motherlode.json", facts)

    def validate() -> dict[str, float]:
        found = probabilities(lm, held_out)
        scores = agreement(validation_grades, decide(found))
        truth = found[np.arange(len(found)), validation_grades]
        return {"log_likelihood": float(np.log(np.maximum(truth, 1e-12)).mean())} | {
            name: float(scores[name] or 0) for name in ("accuracy", "within_1", "quadratic_kappa")
        }

    trained = [parameter for parameter in lm.parameters() if parameter.requires_grad]
    return fit(
        objective,
        [{"params": trained, "lr": settings.lr, "weight_decay": settings.weight_decay}],
        PairBatches(len(rests), settings.batch, settings.seed),
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
        watch="log_likelihood",
        fingerprint=fingerprint(facts, _hash(held_out, np.asarray(validation_grades))),
    )


def add_adapter(lm: GradeLM, settings: CausalLMSettings) -> None:
    """Put a fresh LoRA adapter on every linear layer but the output; all else is frozen. MissingError without peft."""
    peft = need_peft()
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear",
    )
    with torch.random.fork_rng(devices=[]), calm():
        torch.manual_seed(settings.seed)  # peft draws the first factor from the global state
        lm.model = peft.get_peft_model(lm.model, config)
        if settings.gradient_checkpointing:
            lm.recomputes = True
            lm.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


class GradeObjective(nn.Module):
    """Loss of a batch over its full size (so that shares of processes add up), read in chunks of like length."""

    def __init__(self, lm: GradeLM, rests: Sequence[np.ndarray], targets: np.ndarray, size: int) -> None:
        super().__init__()
        self.lm, self.rests, self.size = lm, rests, size
        self.lengths = np.array([len(rest) for rest in rests])
        self.targets = torch.from_numpy(targets)

    def forward(self, rows: np.ndarray) -> dict[str, Tensor]:
        device = self.lm.device
        losses = []
        for chunk in chunks(self.lengths[rows], CHUNK_TOKENS[device.type]):
            logits = self.lm([self.rests[row] for row in rows[chunk]])
            targets = self.targets[torch.from_numpy(rows[chunk])].to(device)
            losses.append(nn.functional.cross_entropy(logits, targets, reduction="sum"))
        return {"loss": torch.stack(losses).sum() / self.size}

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:  # type: ignore[override]
        """What is trained, alone: a checkpoint of a large model stays the size of its adapter."""
        return {name: value.detach() for name, value in self.named_parameters() if value.requires_grad}

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        """Put back what `state_dict` gave; KeyError where a trained parameter is missing."""
        with torch.no_grad():
            for name, value in self.state_dict().items():
                value.copy_(state_dict[name])


def _hash(rests: Sequence[np.ndarray], targets: np.ndarray) -> str:
    digest = hashlib.blake2b(targets.tobytes(), digest_size=8)
    for rest in rests:
        digest.update(f"{len(rest)}:".encode() + rest.tobytes())
    return digest.hexdigest()
