"""Training the sparse leg through the house's fit loop: the loss it says, exact resume, it learns, it thins out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from motherlode.encoders.presets import load
from motherlode.errors import SettingError
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.index.sparse import SparseIndex
from motherlode.sparse.encode import encode_terms
from motherlode.sparse.objective import SparseObjective, SparseSettings, Stepped, SteppedBatches
from motherlode.sparse.term_encoder import TermEncoder, TermSettings
from motherlode.training import fit as fit_module
from motherlode.training.batches import GradedBatches
from motherlode.training.criterion import criterion
from motherlode.training.fit import FitSettings, fit
from motherlode.training.groups import Caps, GradedGroups

COLOURS, THINGS = ("red", "blue", "green", "black"), ("mug", "pan", "hose", "drill", "lamp", "chair")
ITEMS = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
FOREIGN = ("cup", "skillet", "tube", "borer", "lantern", "stool")  # queries share no word with the items' things
QUERIES = [f"{FOREIGN[THINGS.index(text.split()[1])]} {text.split()[0]}" for text in ITEMS]
PAIRS = np.array(
    [
        (q, i, 2 if q == i else 1 if q // 4 == i // 4 else 0)
        for q in range(len(ITEMS))
        for i in range(len(ITEMS))
        if q // 4 == i // 4 or q % 4 == i % 4
    ]
)


def objective(settings: SparseSettings | None = None, terms: TermSettings | None = None, seed: int = 0):
    tokenizer = load("minilm").tokenizer._tokenizer
    pieces = np.unique(np.concatenate([one.ids for one in tokenizer.encode_batch(ITEMS + QUERIES)]))
    pieces = np.union1d(pieces, np.arange(2000, 2300))
    encoder = TermEncoder.start("static", ITEMS + QUERIES, terms, pieces=pieces, seed=seed)
    batches = GradedBatches(GradedGroups.from_pairs(*PAIRS.T), size=6, caps=Caps(1, 3, 5), unrelated="in_batch", seed=3)
    stores = encoder.store(QUERIES, "query"), encoder.store(ITEMS, "document")
    return SparseObjective(encoder, *stores, settings), SteppedBatches(batches)


def train(folder: Path, settings: SparseSettings | None = None, epochs: int = 4, lr: float = 1e-2):
    module, batches = objective(settings)
    fit(
        module,
        module.parameter_groups(lr, 1e-2, 0.0),
        batches,
        FitSettings(epochs=epochs, seed=5, keep="last"),
        folder,
        save=module.encoder.save,
        fingerprint="a",
    )
    return module


def test_batches_know_their_step():
    _, batches = objective()
    steps = [batches(epoch, step).step for epoch in range(3) for step in range(len(batches))]
    assert steps == list(range(3 * len(batches)))
    inner = batches.batches(2, 1)
    np.testing.assert_array_equal(batches(2, 1).batch.items, inner.items)


@pytest.mark.parametrize("norm", ["none", "query", "both"])
def test_the_loss_is_what_it_says(norm):
    settings = SparseSettings(norm, 0.3, 0.2, ramp=10, temperature=0.5)
    module, batches = objective(settings, TermSettings(True, 9, 15))
    batch = batches(0, 0).batch
    with torch.no_grad():
        encoder = module.encoder
        q = encoder.store(QUERIES, "query").vectors(batch.queries, forward=encoder).double()
        d = encoder.store(ITEMS, "document").vectors(batch.items, forward=encoder).double()
        assert ((q[:, 1] > 0).sum(dim=1) <= 9).all() and ((d[:, 1] > 0).sum(dim=1) <= 15).all()
        left = q[:, 1] / q[:, 1].norm(dim=1, keepdim=True) if norm != "none" else q[:, 1]
        right = d[:, 1] / d[:, 1].norm(dim=1, keepdim=True) if norm == "both" else d[:, 1]
        scores = (left @ right.T).numpy() / 0.5
        loss = 0.0
        for row in range(len(scores)):  # graded SupCon, from its equation
            held = batch.mask[row]
            grades = batch.grades[row].astype(float)
            lse = np.log(np.exp(scores[row, held]).sum())
            good = held & (grades > max(0, grades[held].min()))
            loss -= (grades[good] * (scores[row, good] - lse)).sum() / grades[good].sum()
        loss /= len(scores)
        press = [float((of[:, 0].mean(dim=0) ** 2).sum()) for of in (q, d)]
        for step, share in ((0, 0.0), (5, 0.25), (10, 1.0), (40, 1.0)):
            result = module(Stepped(step, batch))
            extra = share * (0.3 * press[0] + 0.2 * press[1])
            assert float(result["loss"]) == pytest.approx(loss + extra, rel=1e-4)
            assert float(result["flops"]) == pytest.approx(extra, rel=1e-4, abs=1e-9)


def test_any_house_loss_serves():
    module, batches = objective()
    module.loss = criterion("cosent", reduction="mean")
    module(batches(0, 0))["loss"].backward()
    assert module.encoder.bias.grad.abs().sum() > 0


def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole", SparseSettings(ramp=7), epochs=2)
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0)
    forward, calls = SparseObjective.forward, []

    def killed(self, stepped):
        calls.append(stepped.step)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return forward(self, stepped)

    monkeypatch.setattr(SparseObjective, "forward", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "part", SparseSettings(ramp=7), epochs=2)
    again = train(tmp_path / "part", SparseSettings(ramp=7), epochs=2)
    assert calls[5] == calls[6] == 5  # it went on in the middle of the ramp
    for (name, one), other in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_it_learns_words_that_items_do_not_hold(tmp_path):
    """Foreign words for things: no literal match tells a mug from a pan, so only expansion can find it."""
    judged = Judged.from_pairs(*PAIRS.T, len(QUERIES))

    def ndcg(encoder: TermEncoder, name: str) -> float:
        queries = encode_terms(encoder, QUERIES, "query", tmp_path / "terms")
        items = encode_terms(encoder, ITEMS, "document", tmp_path / "terms")
        found = SparseIndex.build(items, tmp_path / name).search(queries, 10)
        return float(np.nanmean(ranking_metrics(judged, found.rows, (10,))["ndcg@10"]))

    before = ndcg(objective()[0].encoder, "before")
    train(tmp_path / "fit")
    after = ndcg(TermEncoder.load(tmp_path / "fit/best"), "after")
    assert after > before + 0.15


def test_flops_falls_under_its_own_pressure(tmp_path):
    def flops_of(settings: SparseSettings, name: str) -> float:
        encoder = train(tmp_path / name, settings).encoder.eval()
        found = encode_terms(encoder, ITEMS, "document", tmp_path / "terms")
        means = np.bincount(found.terms, weights=found.weights) / len(ITEMS)
        return float((means**2).sum())

    assert flops_of(SparseSettings("query", 0.3, 0.3), "with") < flops_of(SparseSettings("query", 0, 0), "without")


def test_settings_that_cannot_be():
    with pytest.raises(SettingError, match="temperature"):
        objective(SparseSettings(temperature=0))
    with pytest.raises(SettingError, match="negative"):
        objective(SparseSettings(flops_item=-1))
