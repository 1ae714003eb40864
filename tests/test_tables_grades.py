"""Grade maps against the definition written out by hand."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import SettingError
from motherlode.tables.grades import GradeMap


def test_default_reads_the_esci_letters_and_the_grades_themselves():
    values = pl.Series(["E", "S", "C", "I", "0", "1", " 2 ", "1.0", "3", "-1", "e", "1.5", "nan", None])
    assert GradeMap()(values).to_list() == [2, 1, 1, 0, 0, 1, 2, 1, None, None, None, None, None, None]


@pytest.mark.parametrize("values", [pl.Series([0, 1, 2, 3]), pl.Series([0.0, 1.0, 2.0, math.nan])])
def test_default_reads_numbers(values):
    assert GradeMap()(values).to_list() == [0, 1, 2, None]


def test_own_labels_replace_the_letters_and_may_be_digits():
    grades = GradeMap(labels={"Exact": 2, "1": 2})
    assert grades(pl.Series(["Exact", "1", "E", "0"])).to_list() == [2, 2, None, 0]


@given(st.lists(st.floats(-5, 5) | st.none(), max_size=30))
def test_cuts_count_how_many_are_reached(values):
    expected = [None if v is None else sum(v >= cut for cut in (1.75, 2.67)) for v in values]
    assert GradeMap(cuts=(1.75, 2.67))(pl.Series(values, dtype=pl.Float64)).to_list() == expected


def test_cuts_reject_what_is_no_number():
    assert GradeMap(cuts=(1.0, 2.0))(pl.Series(["1.0", "E", "nan"])).to_list() == [1, None, None]


@pytest.mark.parametrize("wrong", [{"cuts": (2.0, 1.0)}, {"cuts": (1.0,)}, {"labels": {"X": 3}}])
def test_impossible_maps_are_refused(wrong):
    with pytest.raises(SettingError):
        GradeMap(**wrong)
