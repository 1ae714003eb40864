"""The one fit loop: accelerate underneath, exact resume, validation with early stopping, a log of every step."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from motherlode.atomic import replacing, sweep
from motherlode.errors import SettingError
from motherlode.progress import bar
from motherlode.training.memory import keep_freed_memory

CHECKPOINT_SECONDS = 120  # most work a kill can cost, beside each validation


class Batches(Protocol):
    def __len__(self) -> int: ...

    def __call__(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Any: ...


@dataclass(frozen=True)
class FitSettings:
    """How long to train, how the rate moves, when to stop, what to keep.

    `steps`, where given, decides instead of `epochs`. `keep` is "best" (by validation) or "last": then validation is
    only logged, and training runs to its end.
    """

    epochs: int = 3
    steps: int | None = None
    warmup: float = 0.05
    clip: float = 1.0
    patience: int = 3
    validations_per_epoch: int = 1
    precision: str = "fp32"
    keep: str = "best"
    seed: int = 0


@dataclass(frozen=True)
class FitResult:
    """Where the best weights came from, and how long it took."""

    best_step: int
    best_score: float | None
    steps: int
    stopped_early: bool


def fit(
    module: nn.Module,
    parameters: list[dict[str, Any]],
    batches: Batches,
    settings: FitSettings,
    folder: Path | str,
    *,
    save: Callable[[Path], None],
    validate: Callable[[], dict[str, float]] | None = None,
    watch: str = "ndcg@10",
    fingerprint: str = "",
) -> FitResult:
    """Train `module` (its `forward(batch)` returns a dict with "loss"), the best weights going to `folder`/best.

    With `validate`, the weights training starts from are scored too, so the best are never worse than those; what
    is kept without it, or with keep="last", are the weights of the last step.

    Every step is a pure function of (weights, optimiser state, seed, step), all of which the checkpoint holds,
    so a killed run that is started again ends with the weights of an uninterrupted one, bit for bit on a CPU.
    A line of JSON a step goes to metrics.jsonl, and to TensorBoard where it is installed. Under torchrun the batch
    is divided among the processes and gradients are summed, as one process would.

    Args:
        parameters: AdamW parameter groups, each with its "lr" and "weight_decay".
        batches: `batches(epoch, step, rank, world)` gives what `module` takes; a pure function.
        save: writes the encoder into the folder it is given; called for each new best validation score.
        validate: scores the current weights; the value under `watch` decides on the best and on stopping.
        fingerprint: of all that shapes the run; a checkpoint made under another one is not continued.

    Raises:
        SettingError: bf16 on a processor without hardware for it, or no batch to train on.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    folder = Path(folder)
    if len(batches) == 0:
        raise SettingError("There is no graded group to train on: training needs a query with a grade above 0.")
    AcceleratorState._reset_state()  # else a second fit of this process could not have another precision
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=_precision(settings.precision))
    main, rank, world = accelerator.is_main_process, accelerator.process_index, accelerator.num_processes
    keep_freed_memory()
    total = settings.steps or settings.epochs * len(batches)
    optimiser = torch.optim.AdamW(parameters, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _linear(total, settings.warmup))
    module.train()
    prepared, optimiser = accelerator.prepare(module, optimiser)
    folder.mkdir(parents=True, exist_ok=True)
    if main:
        sweep(folder)
    state = _Progress()
    checkpoint, stored = folder / "checkpoint.pt", time.monotonic()
    if checkpoint.exists():
        state = _restore(checkpoint, module, optimiser, schedule, fingerprint) or state
    every = max(1, min(total, len(batches)) // settings.validations_per_epoch)
    best = settings.keep == "best" and validate is not None

    with (
        _Log(folder, state.step) if main else nullcontext() as log,
        bar("training", total, "steps", start=state.step) as advance,
    ):
        if state.step == 0 and validate is not None:
            # the weights training starts from: the curve begins there, and harm is never kept
            scores = _scores(module, validate)
            state.observe(scores[watch], settings.patience)
            if main and best:
                save(folder / "best")
            if log:
                log.write({"step": 0, **_validated(scores)})
        while state.step < total and not (state.stopped and best):
            began = time.perf_counter()
            epoch, step = divmod(state.step, len(batches))
            # dropout is a function of seed, step and process too: nothing random survives from step to step
            torch.manual_seed(int(np.random.SeedSequence([settings.seed, state.step, rank]).generate_state(1)[0]))
            batch = batches(epoch, step, rank, world)
            result = prepared(batch)
            # DDP averages over processes; the sum over all groups is what one process would have
            accelerator.backward(result["loss"] * world)
            norm = accelerator.clip_grad_norm_(module.parameters(), settings.clip)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            state.step += 1
            loss = float(result["loss"].detach())
            record: dict[str, float] = {
                "step": state.step,
                "epoch": epoch,
                "loss": loss,
                "lr": float(schedule.get_last_lr()[0]),
                "gradient_norm": float(norm),
                **{name: float(value) for name, value in result.items() if name != "loss"},
                "seconds": time.perf_counter() - began,
            }
            milestone = state.step % every == 0 or state.step == total
            if milestone:
                if validate is not None:
                    scores = _scores(module, validate)
                    record |= _validated(scores)
                    state.observe(scores[watch], settings.patience)
                    if not best:
                        state.best_score = scores[watch]
                if not best:
                    state.best_step = state.step
                if main and state.best_step == state.step:
                    save(folder / "best")
            if log:
                log.write(record)
            if main and (milestone or time.monotonic() - stored > CHECKPOINT_SECONDS):
                _store(checkpoint, module, optimiser, schedule, state, fingerprint)
                stored = time.monotonic()
            advance(1, loss=f"{loss:.3f}", best="-" if state.best_score is None else f"{state.best_score:.4f}")
    accelerator.wait_for_everyone()
    return FitResult(state.best_step, state.best_score, state.step, state.stopped and best)


def _scores(module: nn.Module, validate: Callable[[], dict[str, float]]) -> dict[str, float]:
    module.eval()
    with torch.no_grad():
        scores = validate()
    module.train()
    return scores


def _validated(scores: dict[str, float]) -> dict[str, float]:
    return {f"validation_{name}": value for name, value in scores.items()}


@dataclass
class _Progress:
    step: int = 0
    best_step: int = 0
    best_score: float | None = None
    waited: int = 0
    stopped: bool = False

    def observe(self, score: float, patience: int) -> None:
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_step, self.waited = score, self.step, 0
        else:
            self.waited += 1
            self.stopped = self.waited >= patience


class _Log(AbstractContextManager["_Log"]):
    """metrics.jsonl cut back to the checkpoint it resumes from, and TensorBoard beside it."""

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / "metrics.jsonl"
        kept = []
        if path.exists() and step:
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line)
                except ValueError:  # the line a kill cut short
                    break
        with replacing(path) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self.file = path.open("a", encoding="utf-8")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.board = None
        else:
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, record: dict[str, float]) -> None:
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()
        if self.board:
            for name, value in record.items():
                if name not in ("step", "epoch"):
                    self.board.add_scalar(name, value, record["step"])

    def __exit__(self, *_: object) -> None:
        self.file.close()
        if self.board:
            self.board.close()


def _linear(total: int, warmup: float) -> Callable[[int], float]:
    """Rise over the first share of the steps, then fall to zero at the last."""
    rise = max(1, round(total * warmup))
    return lambda step: min((step + 1) / rise, max(0.0, (total - step) / max(1, total - rise)))


def _precision(name: str) -> str:
    if name == "fp32":
        return "no"
    if not torch.cuda.is_available() and not _bf16_hardware():
        raise SettingError(
            "fit.precision=bf16 needs hardware that this processor lacks (it would run many times slower than "
            "fp32): use fit.precision=fp32."
        )
    return name


def _bf16_hardware() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _store(path: Path, module: nn.Module, optimiser: Any, schedule: Any, state: _Progress, mark: str) -> None:
    with replacing(path) as temporary:
        torch.save(
            {
                "fingerprint": mark,
                "progress": vars(state).copy(),
                "module": module.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
            },
            temporary,
        )


def _restore(path: Path, module: nn.Module, optimiser: Any, schedule: Any, mark: str) -> _Progress | None:
    saved = torch.load(path, weights_only=True, map_location="cpu")
    if saved["fingerprint"] != mark:
        path.unlink(missing_ok=True)  # another process of the run may have been first
        return None
    module.load_state_dict(saved["module"])
    optimiser.load_state_dict(saved["optimiser"])
    schedule.load_state_dict(saved["schedule"])
    return _Progress(**saved["progress"])
