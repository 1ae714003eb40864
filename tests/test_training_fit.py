"""The fit loop: resumed equals uninterrupted bit for bit, two processes equal one, it learns, it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from motherlode.encoders.tokens import TokenStore
from motherlode.encoders.towers import two_tower
from motherlode.errors import SettingError
from motherlode.training import fit as fit_module
from motherlode.training.batches import GradedBatches
from motherlode.training.fit import FitSettings, fit
from motherlode.training.groups import Caps, GradedGroups
from motherlode.training.objective import GradedObjective, suspected

COLOURS, THINGS = ("red", "blue", "green", "black"), ("mug", "pan", "hose", "drill", "lamp", "chair")
ITEMS = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]


def objective(base: str = "static", **more) -> tuple[GradedObjective, GradedBatches]:
    """Queries name a thing in a colour: 2 is both, 1 the thing alone, 0 the colour alone."""
    torch.manual_seed(0)
    model = two_tower(base, ITEMS)
    pairs = [
        (q, i, 2 if q == i else 1 if q // 4 == i // 4 else 0)
        for q in range(len(ITEMS))
        for i in range(len(ITEMS))
        if q // 4 == i // 4 or q % 4 == i % 4
    ]
    groups = GradedGroups.from_pairs(*np.array(pairs).T)
    queries = [f"{text.split()[1]} {text.split()[0]}" for text in ITEMS]
    batches = GradedBatches(groups, size=6, caps=Caps(1, 3, 5), unrelated=more.pop("unrelated", "in_batch"), seed=3)
    stores = TokenStore(model, queries, "query"), TokenStore(model, ITEMS, "document")
    return GradedObjective(model, *stores, **more), batches


def train(folder: Path, base: str = "static", validate=None, epochs: int = 3, **more):
    module, batches = objective(base, **more)
    scores = iter(range(1, 100))
    result = fit(
        module,
        module.parameter_groups(1e-2, 1e-3, 0.01),
        batches,
        FitSettings(epochs=epochs, seed=5),
        folder,
        save=lambda path: torch.save(module.state_dict(), _made(path) / "state.pt"),
        validate=validate or (lambda: {"ndcg@10": float(next(scores))}),
        fingerprint="a",
    )
    return module, result


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def lines(folder: Path) -> list[dict]:
    kept = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in kept]


@pytest.mark.parametrize("base", ["static", "minilm"])  # minilm has dropout: the RNG state must come back too
def test_resumed_equals_uninterrupted_bit_for_bit(base, tmp_path, monkeypatch):
    whole, _ = train(tmp_path / "whole", base, epochs=2)
    plain = GradedObjective.forward
    calls = []

    def dying(self, batch):
        calls.append(1)
        if len(calls) == 7:  # in the second epoch, after the first checkpoint
            raise KeyboardInterrupt
        return plain(self, batch)

    monkeypatch.setattr(GradedObjective, "forward", dying)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", base, epochs=2)
    before = len(calls)
    resumed, result = train(tmp_path / "cut", base, epochs=2)
    assert len(calls) - before == 4  # epochs have four steps: the first epoch was not trained again
    assert result.steps == 8
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    cut = lines(tmp_path / "cut")
    assert [line["step"] for line in cut] == list(range(9))
    assert [line.get("loss") for line in cut] == [line.get("loss") for line in lines(tmp_path / "whole")]


def test_a_checkpoint_of_other_settings_is_not_continued(tmp_path):
    train(tmp_path, epochs=1)
    module, batches = objective()
    result = fit(
        module,
        module.parameter_groups(1e-2, 1e-3, 0.01),
        batches,
        FitSettings(epochs=1),
        tmp_path,
        save=_made,
        fingerprint="b",
    )
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]
    assert result.best_score is None


def test_it_learns_and_the_temperature_moves(tmp_path):
    module, batches = objective()
    with torch.no_grad():
        before = sum(float(module(batches(0, step))["loss"]) for step in range(4))
    module, _ = train(tmp_path, epochs=8)
    with torch.no_grad():
        after = sum(float(module(batches(0, step))["loss"]) for step in range(4))
    assert after < 0.5 * before
    temperatures = [line["temperature"] for line in lines(tmp_path)[1:]]
    assert len(set(temperatures)) > 10


def test_stops_early_and_keeps_the_best(tmp_path):
    given = iter([0.05, 0.1, 0.5, 0.4, 0.3, 0.2, 0.6])
    _, result = train(tmp_path, validate=lambda: {"ndcg@10": next(given)}, epochs=6)
    assert result.stopped_early
    assert (result.best_score, result.best_step, result.steps) == (0.5, 8, 20)


def test_training_that_harms_keeps_the_weights_it_began_with(tmp_path):
    given = iter([0.5, 0.4, 0.3, 0.2])
    _, result = train(tmp_path, validate=lambda: {"ndcg@10": next(given)}, epochs=6)
    assert (result.best_score, result.best_step, result.steps) == (0.5, 0, 12)
    begun, _ = objective()
    kept = torch.load(tmp_path / "best/state.pt", weights_only=True)
    assert all(torch.equal(kept[name], value) for name, value in begun.state_dict().items())


def test_bf16_without_hardware_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "_bf16_hardware", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    module, batches = objective()
    with pytest.raises(SettingError, match="bf16 needs hardware"):
        fit(module, [], batches, FitSettings(precision="bf16"), tmp_path, save=_made)


def test_one_process_may_train_in_both_precisions(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "_bf16_hardware", lambda: True)
    for precision in ("fp32", "bf16", "fp32"):
        module, batches = objective()
        groups = module.parameter_groups(1e-2, 1e-3, 0.01)
        settings = FitSettings(epochs=1, precision=precision)
        result = fit(module, groups, batches, settings, tmp_path / precision, save=lambda _: None)
        assert result.steps == len(batches)


def test_nothing_to_train_on_is_refused(tmp_path):
    module, _ = objective()
    empty = GradedGroups.from_pairs(np.array([0]), np.array([0]), np.array([0]))
    batches = GradedBatches(empty, size=4, caps=Caps(), unrelated="in_batch")
    with pytest.raises(SettingError, match="no graded group"):
        fit(module, module.parameter_groups(1e-3, 1e-3, 0.0), batches, FitSettings(), tmp_path, save=_made)


def test_suspects_are_assumed_negatives_above_the_best_positive():
    scores = torch.tensor([[0.5, 0.2, 0.65, 0.55, 0.9]])
    grades = torch.tensor([[2, 1, 0, 0, 0]])
    assumed = torch.tensor([[False, False, True, True, False]])
    found = suspected(scores, grades, torch.ones(1, 5, dtype=torch.bool), assumed, margin=0.1)
    assert found.tolist() == [[False, False, True, False, False]]


WORKER = """
import sys; sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from pathlib import Path
from test_training_fit import train
train(Path({folder!r}), unrelated="none", epochs=2)
"""


def test_two_processes_through_torchrun_train_as_one(tmp_path):
    """Instances without in-batch items do not see each other, so dividing the batch may change rounding only."""
    one, _ = train(tmp_path / "one", unrelated="none", epochs=2)
    program = tmp_path / "worker.py"
    program.write_text(WORKER.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "two")))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(program),
    ]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    # AdamW magnifies rounding where a gradient is nearly zero, so gradients and scores are compared, not weights
    norms = [[line["gradient_norm"] for line in lines(tmp_path / name)[1:]] for name in ("one", "two")]
    assert norms[1][0] == pytest.approx(norms[0][0], rel=1e-4)
    assert norms[1] == pytest.approx(norms[0], rel=0.02)
    queries, items = one.model.encode_query(ITEMS), one.model.encode_document(ITEMS)
    one.load_state_dict(torch.load(tmp_path / "two/best/state.pt", weights_only=True))
    found = one.model.encode_query(ITEMS) @ one.model.encode_document(ITEMS).T
    np.testing.assert_allclose(found, queries @ items.T, atol=0.02)  # any rotation of the space will do
