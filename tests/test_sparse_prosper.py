"""The parts of PROSPER against slow loops written from their formulas, and what each must leave alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motherlode.losses import graded_supcon, info_nce
from motherlode.sparse.pooling import max_over_tokens
from motherlode.sparse.prosper import (
    flops,
    focusing_window,
    literal_residual,
    quadratic_ramp,
    saturated,
    sparse_scores,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng([seed, *shape]).normal(size=shape)).float()


def sparse(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.relu(drawn(*shape, seed=seed))


def test_saturated_weights():
    logits = drawn(4, 7)
    expected = [[math.log(1 + max(0.0, float(x))) for x in row] for row in logits]
    np.testing.assert_allclose(saturated(logits), expected, rtol=1e-6)


def test_saturation_and_pooling_change_places():
    logits = drawn(3, 5, 9)
    torch.testing.assert_close(saturated(logits).amax(dim=1), saturated(logits.amax(dim=1)))


def test_literal_residual_against_the_formula():
    weights, estimate = sparse(5, 8), drawn(5, 8, seed=1)
    literal = drawn(5, 8, seed=2) > 0
    found = literal_residual(weights, estimate, literal)
    for row in range(5):
        most = max(float(x) for x in estimate[row])
        for term in range(8):
            extra = most - float(estimate[row, term]) if literal[row, term] else 0.0
            assert float(found[row, term]) == pytest.approx(float(weights[row, term]) + extra, abs=1e-6)
    assert (found >= weights).all()
    assert torch.equal(found[~literal], weights[~literal])


def test_literal_residual_gives_the_under_weighted_term_more():
    found = literal_residual(torch.zeros(1, 3), torch.tensor([[2.0, 0.5, -1.0]]), torch.ones(1, 3, dtype=torch.bool))
    assert found.tolist() == [[0.0, 1.5, 3.0]]


@given(st.integers(1, 12), st.integers(0, 50))
def test_window_keeps_the_greatest_and_is_none_for_sparse_rows(k: int, seed: int):
    weights = sparse(6, 10, seed=seed)
    found = focusing_window(weights, k)
    for before, after in zip(weights.numpy(), found.numpy(), strict=True):
        expected = np.where(before >= np.sort(before)[::-1][min(k, 10) - 1], before, 0)
        np.testing.assert_array_equal(after, expected)  # normal draws hold no ties but zeros
        assert (after > 0).sum() == min(k, (before > 0).sum())


def test_window_keeps_no_more_than_k_of_equals():
    assert int((focusing_window(torch.ones(2, 9), 4) > 0).sum()) == 8


def test_window_gives_gradients_to_kept_weights_alone():
    weights = (sparse(4, 9) + 0.1).requires_grad_()
    found = focusing_window(weights, 3)
    found.sum().backward()
    assert torch.equal(weights.grad > 0, found > 0)


@pytest.mark.parametrize("norm", ["none", "query", "both"])
def test_scores_against_loops(norm):
    queries, items = sparse(3, 11), sparse(5, 11, seed=1)
    found = sparse_scores(queries, items, norm).double()
    for i, query in enumerate(queries.double()):
        for j, item in enumerate(items.double()):
            score = sum(a * b for a, b in zip(query.tolist(), item.tolist(), strict=True))
            score /= math.sqrt(sum(a * a for a in query.tolist())) if norm != "none" else 1
            score /= math.sqrt(sum(b * b for b in item.tolist())) if norm == "both" else 1
            assert float(found[i, j]) == pytest.approx(score, rel=1e-5)


def test_query_norm_forgets_the_query_length_and_keeps_the_items():
    queries, items = sparse(2, 11), sparse(5, 11, seed=1)
    torch.testing.assert_close(sparse_scores(3 * queries, items), sparse_scores(queries, items))
    torch.testing.assert_close(sparse_scores(queries, 3 * items), 3 * sparse_scores(queries, items))
    assert torch.equal(sparse_scores(torch.zeros(1, 11), items), torch.zeros(1, 5))


def test_scores_stay_exact_under_autocast():
    queries, items = sparse(4, 40), sparse(5, 40, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sparse_scores(queries, items), sparse_scores(queries.clone(), items.clone()))
        assert sparse_scores(queries, items).dtype == torch.float32
    torch.testing.assert_close(
        sparse_scores(queries, items), torch.nn.functional.normalize(queries, dim=1) @ items.T, rtol=1e-6, atol=1e-6
    )


def test_flops_is_the_expected_work_of_a_search():
    weights = sparse(6, 4)
    expected = sum((sum(float(w) for w in weights[:, v]) / 6) ** 2 for v in range(4))
    assert float(flops(weights)) == pytest.approx(expected, rel=1e-6)
    # over 0/1 weights it is the mean number of terms that two texts, drawn at random, share
    held = (weights > 0).float()
    pairs = [float((a * b).sum()) for a in held for b in held]
    assert float(flops(held)) == pytest.approx(np.mean(pairs))


def test_flops_prefers_spread_terms():
    crowded = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    spread = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert flops(spread) < flops(crowded)


def test_ramp_is_quadratic_and_ends():
    assert [quadratic_ramp(step, 4) for step in range(6)] == [0, 1 / 16, 1 / 4, 9 / 16, 1, 1]
    assert quadratic_ramp(0, 0) == 1


def test_supcon_on_one_positive_is_the_papers_info_nce():
    scores = drawn(4, 9)
    grades = torch.zeros(4, 9, dtype=torch.int8)
    grades[torch.arange(4), torch.arange(4)] = 2
    mask = torch.ones(4, 9, dtype=torch.bool)
    torch.testing.assert_close(
        graded_supcon(scores, grades, mask, 1.0, "mean"), info_nce(scores, grades, mask, 1.0, reduction="mean")
    )


def test_max_over_tokens_has_the_value_and_gradient_of_a_product_and_a_maximum():
    states, table = drawn(4, 6, 5).requires_grad_(), drawn(13, 5, seed=1).requires_grad_()
    mask = torch.arange(6)[None, :] < torch.tensor([6, 1, 3, 4])[:, None]
    far = drawn(4, 13, seed=2)
    (saturated(max_over_tokens(states, mask, table) - 0.5) * far).sum().backward()
    found = states.grad.clone(), table.grad.clone()
    states.grad = table.grad = None
    plain = (states @ table.T).masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)
    torch.testing.assert_close(max_over_tokens(states, mask, table), plain)
    (saturated(plain - 0.5) * far).sum().backward()
    torch.testing.assert_close(found[0], states.grad)
    torch.testing.assert_close(found[1], table.grad)
    assert found[0][~mask].abs().sum() == 0
