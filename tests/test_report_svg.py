"""Blocks the pictures are made of: densities, ticks, scales, escaping, numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.report.formats import change, metric_name, plain, signed
from motherlode.report.markup import Markup, el, join
from motherlode.report.pictures import _smooth, curve, ridges
from motherlode.report.svg import density, linear, ticks


def test_density_equals_the_sum_of_kernels() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.3, 0.05, 400), rng.normal(0.7, 0.1, 300)])
    grid = np.linspace(-0.2, 1.2, 400)
    spread = min(values.std(), (np.percentile(values, 75) - np.percentile(values, 25)) / 1.34)
    width = 0.9 * spread * len(values) ** -0.2
    slow = [np.mean(np.exp(-0.5 * ((x - values) / width) ** 2)) / (width * np.sqrt(2 * np.pi)) for x in grid]
    assert density(values, grid) == pytest.approx(np.array(slow), abs=0.02)
    assert density(values, grid).sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-3)


def test_density_of_one_repeated_value_is_a_finite_peak() -> None:
    grid = np.linspace(0, 1, 101)
    found = density(np.full(50, 0.5), grid)
    assert grid[found.argmax()] == pytest.approx(0.5) and np.isfinite(found).all()


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_rise_and_lie_inside(low: float, width: float) -> None:
    high = low + width
    found = ticks(low, high)
    slack = 1e-6 * width
    assert all(low - slack <= tick <= high + slack for tick in found)
    steps = np.diff(found)
    if len(steps):
        assert (steps > 0).all() and steps == pytest.approx(np.full(len(steps), steps[0]), rel=1e-3)
        digits = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-4)
        assert min(abs(digits - round_one) for round_one in (1, 2, 5)) < 0.01
    assert len(found) <= 9


def test_scale_maps_ends_and_survives_an_empty_range() -> None:
    scale = linear(2, 4, 10, 30)
    assert (scale(2), scale(3), scale(4)) == (10, 20, 30)
    assert linear(1, 1, 10, 30)(1) == 20


def test_markup_escapes_everything_that_is_not_markup() -> None:
    found = el("p", "<b>", el("i", 'x & "y"'), None, [1, "<"], class_="a", data_value='"><script>')
    assert found == (
        '<p class="a" data-value="&quot;&gt;&lt;script&gt;">&lt;b&gt;<i>x &amp; &quot;y&quot;</i>1&lt;</p>'
    )
    assert join(Markup("<b>"), "<b>") == "<b>&lt;b&gt;"


def test_numbers_and_names() -> None:
    assert plain(0.3216) == "0.322" and plain(None) == "–" and plain(1204) == "1,204" and plain(-0.5) == "−0.500"
    assert signed(0.0412) == "+0.041" and signed(-0.02) == "−0.020"
    delta = {
        "delta": 0.066,
        "low": 0.05,
        "high": 0.08,
        "relative": 0.26,
        "relative_low": 0.22,
        "relative_high": 0.302,
    }
    assert change(delta) == "+26.0\u00a0% [22.0,\u00a030.2]"
    assert change(delta | {"relative_low": None}) == "+0.066 [0.050,\u00a00.080]"
    assert change(delta | {"relative_low": None, "low": None}) == "+0.066"
    assert change(None) == change({"delta": None}) == ""
    assert metric_name("ndcg@10") == "NDCG@10"
    assert metric_name("judged_recall_grade2@100") == "Recall@100, grade 2, judged pool"
    assert metric_name("worst_margin_2_0") == "Worst margin 2 v 0"


def test_running_mean_equals_a_loop() -> None:
    values = np.random.default_rng(1).random(200)
    expected = [values[max(0, at - 5) : at + 6].mean() for at in range(200)]
    assert _smooth(values) == pytest.approx(np.array(expected))


def test_pictures_survive_flat_and_missing_values() -> None:
    flat = curve("Loss", np.arange(3.0), np.ones(3))
    long = curve("Loss", np.arange(5000.0), np.random.default_rng(0).random(5000))
    assert "nan" not in flat and len(long) < 20_000
    one_grade = ridges("x", np.array([0.1, 0.2], dtype=np.float32), np.array([2, 2], dtype=np.int8), (0.1, 0.2), {})
    assert one_grade.count("<path") == 1 and "Grade 0, irrelevant: 0 pairs" in one_grade
