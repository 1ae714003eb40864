"""The cross-encoder grader: real MiniLM weights (its first layer), real training, standard folders."""

from pathlib import Path

import numpy as np
import pytest
import torch

from motherlode.errors import MissingError
from motherlode.grading import cross_encoder_fit
from motherlode.grading.cross_encoder import CrossEncoderGrader, PairTokens, load, probabilities
from motherlode.grading.cross_encoder_fit import CrossEncoderSettings, fit_cross_encoder, soft_targets
from motherlode.grading.grader import Pair

COLOURS, THINGS = ("red", "blue", "green", "black"), ("chair", "lamp", "rug")
SETTINGS = CrossEncoderSettings(epochs=3, batch=16, lr=2e-4, max_tokens=16)


def pairs() -> tuple[list[Pair], np.ndarray]:
    """Grade 2: thing and colour fit; 1: the thing alone; 0: another thing."""
    made, grades = [], []
    for colour in COLOURS:
        for thing in THINGS:
            for other in COLOURS:
                for good in THINGS:
                    made.append(Pair(f"{colour} {thing}", f"{other} {good}", f"{colour} {thing}", f"{other} {good}"))
                    grades.append(0 if thing != good else 2 if colour == other else 1)
    return made, np.array(grades)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cross")
    made, grades = pairs()
    fit_cross_encoder(made, grades, made, grades, SETTINGS, folder, origin={"rubric": "r1", "data": "d"})
    return folder


def test_learns_and_says_where_it_came_from(trained: Path) -> None:
    made, grades = pairs()
    grader = CrossEncoderGrader(trained / "best")
    found = grader.grade(made)
    assert found.probabilities.shape == (len(made), 3)
    np.testing.assert_allclose(found.probabilities.sum(1), 1)
    majority = (grades == 0).mean()
    assert (found.probabilities.argmax(1) == grades).mean() > majority + 0.2
    assert grader.judge.rubric == "r1" and grader.judge.version == grader.origin["weights"]
    assert grader.origin["data"] == "d" and grader.origin["seed"] == 0


def test_loads_in_sentence_transformers_without_us(trained: Path) -> None:
    from sentence_transformers import CrossEncoder

    made, _ = pairs()
    stock = CrossEncoder(str(trained / "best"), max_length=SETTINGS.max_tokens, device="cpu")
    theirs = stock.predict([(p.query, p.item) for p in made[:20]], apply_softmax=True, show_progress_bar=False)
    ours = CrossEncoderGrader(trained / "best").grade(made[:20]).probabilities
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_resumed_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, grades = (some[:64] for some in pairs())
    settings = CrossEncoderSettings(layers=1, epochs=3, batch=16, max_tokens=16)
    calls, forward = 0, cross_encoder_fit._Objective.forward

    def dies(self, rows):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return forward(self, rows)

    def train(folder: Path) -> None:
        fit_cross_encoder(made, grades, made, grades, settings, folder, origin={"rubric": "r1"})

    with monkeypatch.context() as patch:
        patch.setattr(cross_encoder_fit._Objective, "forward", dies)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed")
    train(tmp_path / "killed")
    train(tmp_path / "whole")
    resumed, whole = CrossEncoderGrader(tmp_path / "killed/best"), CrossEncoderGrader(tmp_path / "whole/best")
    assert resumed.judge == whole.judge  # a hash over every weight
    steps = (tmp_path / "killed/metrics.jsonl").read_text().splitlines()
    assert len(steps) == 1 + 12


def test_order_and_company_do_not_matter() -> None:
    torch.manual_seed(0)
    model, tokenizer = load("minilm", layers=1)
    model.eval()
    made = [*pairs()[0][:30], Pair("q", "i", "a very long query " * 9, "and an item that goes on " * 9)]
    tokens = PairTokens(tokenizer, made, 64)
    assert tokens.lengths.max() == 64
    every = probabilities(model, tokens)
    np.testing.assert_allclose(probabilities(model, tokens, np.array([30, 3, 7])), every[[30, 3, 7]], atol=1e-6)
    alone = [probabilities(model, PairTokens(tokenizer, [pair], 64))[0] for pair in made[-3:]]
    np.testing.assert_allclose(alone, every[-3:], atol=1e-6)


def test_soft_targets() -> None:
    grades, ratings = np.array([2, 1, 0, 1, 2]), np.array([5 / 3, 4 / 3, 2 / 3, np.nan, 2.0])
    expected = [[0, 1 / 6, 5 / 6], [0, 5 / 6, 1 / 6], [2 / 3, 1 / 3, 0], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(soft_targets(grades, ratings), expected, atol=1e-6)
    np.testing.assert_array_equal(soft_targets(grades), np.eye(3)[grades])
    assert (soft_targets(grades, ratings).argmax(1) == grades).all()


def test_missing_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="holds no cross-encoder"):
        CrossEncoderGrader(tmp_path)
    with pytest.raises(MissingError, match="nowhere"):
        load("nowhere")
