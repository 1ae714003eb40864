"""Virtual negatives beside graded rows: points on the arcs they should lie on, masks, gradients, and in the Trainer."""

import copy
import math

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy.stats import kstest
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn import functional
from transformers.utils.logging import disable_progress_bar

from motherlode import losses
from motherlode.negatives import Interpolation
from motherlode.training.sentence_transformers_loss import SentenceTransformersLoss
from motherlode.training.sentence_transformers_virtual import SentenceTransformersVirtualLoss
from motherlode.training.virtual_columns import nearest_negatives, with_virtual

WORDS = ["red", "blue", "mug", "pan", "hose", "steel", "long", "small"]
LISTS = [
    ("red mug", "red mug small", "blue mug", "long hose", [2.0, 0.0, 0.0]),
    ("steel pan", "steel pan long", "long hose", "pan", [2.0, 0.0, 1.0]),
    ("long hose", "hose", "blue mug", "", [2.0, 0.0, math.nan]),
]


def unit(*shape, seed=0):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(drawn, dim=-1)


def widened(queries, items, grades, mask, hard, interpolation, group=None, seed=1):
    scores = queries @ items.T
    generator = torch.Generator().manual_seed(seed)
    return with_virtual(
        scores, grades, mask, queries, items, hard=hard, interpolation=interpolation, generator=generator, group=group
    )


def test_the_nearest_negatives_are_those_a_loop_finds():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 12, generator=generator)
    grades = torch.randint(0, 3, (20, 12), generator=generator)
    mask = torch.rand(20, 12, generator=generator) < 0.7
    mask[0], grades[1] = False, 2
    for most in (1, 3, 50):
        found = nearest_negatives(scores, grades, mask, most)
        for row in range(20):
            open_ = [c for c in range(12) if mask[row, c] and grades[row, c] == 0]
            best = sorted(open_, key=lambda c: -float(scores[row, c]))[:most]
            assert set(np.flatnonzero(found[row].numpy())) == set(best)


def test_simple_points_lie_on_the_arc_between_two_negatives_with_uniform_coefficients():
    # the query is the first negative itself, so that its score says how far along the arc a point lies
    items = torch.cat([unit(1, 8, seed=3), unit(1, 8, seed=4), unit(1, 8, seed=5)])
    grades, mask = torch.tensor([[0, 0, 2]]), torch.ones(1, 3, dtype=torch.bool)
    drawn = Interpolation(simple=4_000, hard=0)
    scores, wide, real = widened(items[:1], items, grades, mask, mask & (grades == 0), drawn)
    assert scores.shape == wide.shape == real.shape == (1, 4_003)
    assert real.all() and (wide[:, 3:] == 0).all() and torch.equal(scores[:, :3], items[:1] @ items.T)
    c = np.linspace(0, 1, 20_001)
    cosine = float(items[0] @ items[1])
    curve = (c + (1 - c) * cosine) / np.sqrt(c**2 + (1 - c) ** 2 + 2 * c * (1 - c) * cosine)
    coefficients = np.interp(scores[0, 3:].numpy(), curve, c)
    assert kstest(coefficients, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("beta", [-0.5, 0.3, 0.8])
def test_hard_points_mix_the_best_graded_item_with_a_hard_negative(beta):
    queries, items = unit(6, 8, seed=1), unit(9, 8, seed=2)
    grades = torch.zeros(6, 9, dtype=torch.int8)
    grades[:, 0], grades[:, 1] = 1, 2
    hard = torch.zeros(6, 9, dtype=torch.bool)
    hard[:, 5] = True
    mask = torch.ones_like(hard)
    mixed = Interpolation(simple=0, hard=2, strength=beta, reading="coefficient", max_cosine=2.0)
    scores, _, real = widened(queries, items, grades, mask, hard, mixed)
    for row in range(6):
        point = beta * items[1] + (1 - beta) * items[5]
        expected = float(queries[row] @ (point / point.norm()))
        assert real[row, 9:].all()
        assert scores[row, 9:].tolist() == pytest.approx([expected, expected], abs=1e-9)


def test_pairs_keep_to_their_cluster():
    items = torch.eye(4, dtype=torch.float64)
    query = functional.normalize(torch.tensor([[1.0, 0.5, 0, 0]], dtype=torch.float64), dim=1)
    grades, mask = torch.zeros(1, 4, dtype=torch.int8), torch.ones(1, 4, dtype=torch.bool)
    simple = Interpolation(simple=500, hard=0)
    inside = widened(query, items, grades, mask, mask, simple, torch.tensor([0, 0, 1, 1]))[0][0, 4:]
    across = widened(query, items, grades, mask, mask, simple)[0][0, 4:]
    between = lambda values: float(((values > 0.01) & (values < 0.4)).double().mean())  # noqa: E731
    assert between(inside) == 0.0 and between(across) > 0.05


def test_rows_that_lack_what_a_point_is_made_of_mask_it_and_nothing_else_changes():
    queries, items = unit(4, 8, seed=1), unit(7, 8, seed=2)
    grades = torch.zeros(4, 7, dtype=torch.int64)
    grades[:3, 0] = 2
    mask = torch.ones(4, 7, dtype=torch.bool)
    mask[2, 0] = False  # its positive does not belong to the row; the last row has none
    hard = torch.zeros_like(mask)
    hard[0, 3:6], hard[1, 4], hard[2, 3:6], hard[3, 3:6] = True, True, True, True
    scores, wide, real = widened(queries, items, grades, mask, hard, Interpolation(simple=2, hard=3, max_cosine=2.0))
    assert torch.equal(real[:, :7], mask) and torch.equal(wide[:, :7], grades)
    assert real[:, 7:9].all(dim=1).tolist() == [True, False, True, True]
    assert real[:, 7:9].any(dim=1).tolist() == [True, False, True, True]
    assert real[:2, 9:].any(dim=1).all() and not real[2:, 9:].any()
    for loss in (losses.graded_supcon, losses.multilevel_circle):
        assert torch.isfinite(loss(scores, wide, real, 0.1 if loss is losses.graded_supcon else 16.0))


def test_no_gradient_reaches_the_positive_through_its_own_virtual_negatives():
    queries, items = unit(3, 8, seed=1).requires_grad_(), unit(5, 8, seed=2).requires_grad_()
    grades = torch.tensor([[2, 0, 0, 0, 0]] * 3)
    mask = torch.ones(3, 5, dtype=torch.bool)
    scores, _, real = widened(queries, items, grades, mask, grades == 0, Interpolation(simple=3, hard=6))
    (scores[:, 5:] * real[:, 5:]).sum().backward()
    assert float(items.grad[0].abs().max()) == 0.0
    assert float(items.grad[1:].abs().max()) > 0 and float(queries.grad.abs().max()) > 0


@pytest.fixture
def model() -> SentenceTransformer:
    disable_progress_bar()
    tokens = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1} | {w: i + 2 for i, w in enumerate(WORDS)}, "[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    table = torch.randn(len(WORDS) + 2, 6, generator=torch.Generator().manual_seed(0))
    return SentenceTransformer(modules=[StaticEmbedding(tokens, embedding_weights=table)], device="cpu")


def lists() -> Dataset:
    names = ("query", "item_1", "item_2", "item_3", "label")
    return Dataset.from_dict(dict(zip(names, map(list, zip(*LISTS, strict=True)), strict=True)))


def features(model, data):
    return [dict(model.preprocess(list(data[name]))) for name in data.column_names if name != "label"]


def test_the_wrapper_adds_points_of_the_models_own_vectors_while_training_alone(model):
    data = lists()
    labels = torch.tensor(data["label"])
    virtual = Interpolation(simple=1, hard=0)
    plain = SentenceTransformersLoss(model, losses.multilevel_circle, in_batch=True)
    mixed = SentenceTransformersVirtualLoss(model, losses.multilevel_circle, virtual=virtual, most=2, in_batch=True)
    given = plain.rows(features(model, data), labels)
    scores, grades, mask = mixed.rows(features(model, data), labels)
    width = given[0].shape[1]
    torch.testing.assert_close(scores[:, :width], given[0])
    assert torch.equal(mask[:, :width], given[2]) and scores.shape[1] == width + 1
    texts = [tuple(text) for text in zip(*(data[f"item_{k}"] for k in (1, 2, 3)), strict=True)]
    distinct = list(dict.fromkeys(text for column in zip(*texts, strict=True) for text in column))
    vectors = model.encode(distinct, normalize_embeddings=True).astype(np.float64)
    near, share = nearest_negatives(*given, 2), np.linspace(0, 1, 20_001)[:, None]
    for row, query in enumerate(data["query"]):
        one, other = vectors[np.flatnonzero(near[row].numpy())]
        points = share * one + (1 - share) * other
        arc = points @ model.encode([query], normalize_embeddings=True)[0] / np.linalg.norm(points, axis=1)
        assert np.abs(arc - float(scores[row, -1].detach())).min() < 1e-3
        assert bool(mask[row, -1]) and float(grades[row, -1]) == 0
    again = mixed.rows(features(model, data), labels)[0]
    assert torch.equal(again[:, :width], scores[:, :width]) and not torch.equal(again[:, width:], scores[:, width:])
    value = float(mixed(features(model, data), labels).detach())
    mixed.eval()
    assert torch.equal(mixed.rows(features(model, data), labels)[0], given[0])
    assert value != float(mixed(features(model, data), labels).detach())
    assert "simple=1" in mixed.get_config_dict()["virtual"]


def test_the_library_trains_through_the_wrapper_and_other_draws_give_other_weights(model, tmp_path):
    made = []
    for seed in (0, 0, 1):
        twin = copy.deepcopy(model)
        loss = SentenceTransformersVirtualLoss(
            twin,
            losses.graded_supcon,
            virtual=Interpolation(simple=4, hard=4),
            seed=seed,
            in_batch=True,
            temperature=0.1,
        )
        arguments = SentenceTransformerTrainingArguments(
            str(tmp_path), max_steps=4, per_device_train_batch_size=3, learning_rate=0.01, report_to=[],
            save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
        )  # fmt: skip
        SentenceTransformerTrainer(model=twin, args=arguments, train_dataset=lists(), loss=loss).train()
        made.append(twin[0].embedding.weight.detach())
        assert loss.step == 4
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert not torch.equal(made[0], model[0].embedding.weight)
