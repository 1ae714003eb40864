"""Slices by frequency, label, length and token overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.evaluation import Judged, slices


def test_head_torso_tail_of_distinct_frequencies_are_10_40_50_percent() -> None:
    frequencies = np.random.default_rng(0).permutation(100) + 1
    parts = slices.by_frequency(frequencies)
    assert {name: int(mask.sum()) for name, mask in parts.items()} == {"head": 10, "torso": 40, "tail": 50}
    assert frequencies[parts["head"]].min() == 91 and frequencies[parts["tail"]].max() == 50


@given(st.lists(st.integers(1, 6) | st.none(), max_size=40))
def test_every_known_query_has_one_part_and_equals_stay_together(values: list[int | None]) -> None:
    frequencies = np.array([np.nan if value is None else value for value in values], dtype=float)
    parts = slices.by_frequency(frequencies)
    known = {value for value in values if value is not None}
    if len(known) < 2:
        assert parts == {}
        return
    total = np.sum(list(parts.values()), axis=0)
    np.testing.assert_array_equal(total, ~np.isnan(frequencies))
    for value in known:
        assert sum(bool(mask[frequencies == value].any()) for mask in parts.values()) == 1
    order = [frequencies[parts[name]].mean() for name in ("head", "torso", "tail") if name in parts]
    assert order == sorted(order, reverse=True)


def test_a_large_group_of_equals_goes_where_its_middle_lies() -> None:
    parts = slices.by_frequency([9, *[5] * 3, *[1] * 6])  # middles of the groups: 5 %, 25 %, 70 %
    assert {name: mask.sum() for name, mask in parts.items()} == {"head": 1, "torso": 3, "tail": 6}


def test_unknown_frequencies_make_no_slices() -> None:
    assert slices.by_frequency(None) == {}
    assert slices.by_frequency([np.nan, np.nan]) == {}


def test_labels_and_flags() -> None:
    parts = slices.by_label(["us", None, "es", "us"], prefix="locale ")
    assert list(parts) == ["locale es", "locale us"]
    assert parts["locale us"].tolist() == [True, False, False, True]
    assert all(mask.dtype == bool for mask in parts.values())
    parts = slices.by_flag("unseen", [1, 0, 0])
    assert parts["unseen"].tolist() == [True, False, False]
    assert parts["not unseen"].tolist() == [False, True, True]
    assert list(slices.by_flag("misspelt", [0, 0])) == ["not misspelt"]


def test_length_counts_words() -> None:
    parts = slices.by_length(["red", "red wool  socks", "a b c d e", "two words"])
    assert parts["1-2 words"].tolist() == [True, False, False, True]
    assert parts["3-4 words"].tolist() == [False, True, False, False]
    assert parts["5+ words"].tolist() == [False, False, True, False]


def test_token_overlap_by_hand() -> None:
    judged = Judged.from_pairs([0, 0, 1, 2], [0, 1, 1, 0], [2, 0, 1, 0], n_queries=4)
    queries = ["Red wool SOCKS", "kettle", "!!", "socks"]
    overlap = slices.token_overlap(judged, queries, ["Socks, red: 2 pairs", "wool hat"])
    np.testing.assert_allclose(overlap, [2 / 3, 1 / 3, 0, np.nan])
    assert slices.overlapping_pairs(overlap)["overlap >= 70 %"].tolist() == [False] * 4
    parts = slices.by_overlap(judged, overlap)
    assert list(parts) == ["overlap < 70 %"]  # the query without a token and the one without a pair are in neither
    assert parts["overlap < 70 %"].tolist() == [True, True, False, False]


def test_overlap_of_exactly_seventy_percent_is_in() -> None:
    judged = Judged.from_pairs([0], [0], [2], n_queries=1)
    overlap = slices.token_overlap(judged, ["a b c d e f g h i j"], ["g f e d c b a"])
    assert overlap[0] == pytest.approx(0.7)
    assert slices.by_overlap(judged, overlap)["overlap >= 70 %"].all()
    assert slices.overlapping_pairs(overlap)["overlap >= 70 %"].all()
