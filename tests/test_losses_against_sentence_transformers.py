"""Losses that sentence-transformers has too: equal to them in the cases both cover."""

import math

import pytest
import torch
from sentence_transformers.cross_encoder import losses as cross_losses
from sentence_transformers.sentence_transformer import losses as library

from motherlode.losses import cosent, info_nce, kl_distillation, lambda_loss, margin_mse


@pytest.fixture
def vectors():
    torch.manual_seed(0)
    return [torch.nn.functional.normalize(torch.randn(6, 8), dim=1) for _ in range(4)]


def test_info_nce_in_batch_is_multiple_negatives_ranking(vectors):
    expected = library.MultipleNegativesRankingLoss(None, scale=20.0).compute_loss_from_embeddings(vectors, None)
    scores = vectors[0] @ torch.cat(vectors[1:]).T
    grades = torch.zeros(scores.shape, dtype=torch.int64).fill_diagonal_(2)
    ours = info_nce(scores, grades, torch.ones_like(scores) > 0, 1 / 20, reduction="mean")
    torch.testing.assert_close(ours, expected)


def test_cosent_on_one_row_of_pairs(vectors):
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    expected = library.CoSENTLoss(None).compute_loss_from_embeddings(vectors[:2], labels)
    scores = (vectors[0] * vectors[1]).sum(1)[None]
    torch.testing.assert_close(cosent(scores, labels[None], torch.ones(1, 6) > 0), expected)


def test_kl_distillation_but_for_the_square_of_the_temperature(vectors):
    teacher = torch.randn(6, 3)
    expected = library.DistillKLDivLoss(None, temperature=0.7).compute_loss_from_embeddings(vectors, teacher)
    scores = torch.stack([(vectors[0] * item).sum(1) for item in vectors[1:]], dim=1)
    mask = torch.ones_like(scores) > 0
    ours = kl_distillation(scores, teacher, mask, 0.7, teacher_temperature=0.7, reduction="mean")
    torch.testing.assert_close(ours * 0.7**2, expected)


def test_margin_mse_of_two_items(vectors):
    teacher = torch.randn(6, 2)
    expected = library.MarginMSELoss(None).compute_loss_from_embeddings(vectors[:3], teacher)
    scores = torch.stack([(vectors[0] * item).sum(1) for item in vectors[1:3]], dim=1)
    torch.testing.assert_close(margin_mse(scores, teacher, torch.ones(6, 2) > 0, reduction="mean"), expected)


class Scored:
    """What the library's loss asks of a cross-encoder, around scores that are known."""

    num_labels, device = 1, torch.device("cpu")

    def __init__(self, scores):
        self.scores = scores

    def preprocess(self, pairs, **_):
        return {"place": torch.tensor([int(document) for _, document in pairs])}

    def __call__(self, features):
        return {"scores": self.scores[features["place"]]}


def test_lambda_loss_with_lambda_rank_weights():
    scores = torch.tensor([0.3, 0.1, 0.5, 0.2, 0.45])
    grades = torch.tensor([[2, 1, 0, 0, 1]])
    gains = torch.tensor([0.0, 0.5, 1.0])
    theirs = cross_losses.LambdaLoss(Scored(scores), cross_losses.LambdaRankScheme(), sigma=20.0)
    documents = [str(place) for place in range(5)]
    # theirs is the mean over the pairs, its gains are 2^label - 1
    labels = torch.log2(1 + gains[grades[0]])
    pairs = sum(int(a > b) for a in grades[0] for b in grades[0])
    expected = theirs([["q"], [documents]], [labels]) * pairs
    assert pairs == 8
    assert not math.isclose(float(expected), 0)
    torch.testing.assert_close(lambda_loss(scores[None], grades, torch.ones(1, 5) > 0), expected)
