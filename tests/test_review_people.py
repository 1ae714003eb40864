"""Names are one person's each; agreement between people is what scikit-learn says it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from motherlode.errors import InputError
from motherlode.review.pace import PAUSE, Pace
from motherlode.review.people import agreements, judge_of, name_of

GRADES = st.dictionaries(st.sampled_from(["anna", "ben", "chloé"]), st.integers(0, 2))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (" Anna ", "anna"),
        ("anna.b-c_2", "anna.b-c_2"),
        ("7", "7"),
        ("Chloe\u0301", "chloé"),
        ("李", "李"),
        ("a" * 40, "a" * 40),
    ],
)
def test_names_are_kept_in_one_form(given: str, name: str) -> None:
    assert name_of(given) == name
    assert str(judge_of(name, "r")) == f"person/{name}@1"


@pytest.mark.parametrize("given", ["", "  ", "a/b", "../x", "a b", "-a", "a.", "a" * 41, "a\nb", "<b>", "a\0"])
def test_other_names_are_refused(given: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        name_of(given)


@given(st.lists(GRADES, max_size=30))
def test_agreement_equals_the_slow_count(judged: list[dict[str, int]]) -> None:
    expected = {}
    for first, second in [("anna", "ben"), ("anna", "chloé"), ("ben", "chloé")]:
        both = [(grades[first], grades[second]) for grades in judged if first in grades and second in grades]
        if both:
            expected[first, second] = both
    counts = {people: np.zeros((3, 3), np.int64) for people in [("ben", "chloé"), ("anna", "chloé"), ("anna", "ben")]}
    for people, both in expected.items():
        for one, other in both:
            counts[people][one, other] += 1
    told = agreements(counts)
    assert [one["people"] for one in told] == sorted(one["people"] for one in told)
    found = {tuple(one["people"]): one for one in told}
    assert set(found) == set(expected)
    for people, both in expected.items():
        one = found[people]
        assert one["n"] == len(both)
        assert one["accuracy"] == pytest.approx(sum(a == b for a, b in both) / len(both))
        assert one["within_1"] == pytest.approx(sum(abs(a - b) < 2 for a, b in both) / len(both))
        if len({grade for pair in both for grade in pair}) == 1:
            assert one["quadratic_kappa"] is None
        else:
            ones, others = zip(*both, strict=True)
            kappa = cohen_kappa_score(ones, others, weights="quadratic", labels=[0, 1, 2])
            assert one["quadratic_kappa"] == pytest.approx(kappa, abs=1e-12)


def test_pace_leaves_breaks_out_and_shares_the_work() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.seconds("anna") is None and pace.left("anna", 10, 10) is None
    for step in (0, 4, 4, PAUSE + 1, 6, 4):
        now[0] += step
        pace.tick("anna")
    assert pace.seconds("anna") == 4  # the median of 4, 4, 6, 4
    assert pace.left("anna", 30, 40) == 120  # alone: a second person's share is not hers to do
    for step in (2, 2, 2, 2):
        now[0] += step
        pace.tick("ben")
    assert pace.left("anna", 30, 40) == pytest.approx(40 / (1 / 4 + 1 / 2))
    now[0] += PAUSE + 1  # ben has gone
    pace.tick("anna")
    assert pace.left("anna", 30, 40) == 120
