"""The rule, the mined table and the merge, against slow loops and the paper's sentences."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.mining.mined import COLUMNS, merge, read_mined, unjudged, write_mined
from motherlode.mining.miner import Mined
from motherlode.mining.selection import Rule, select
from motherlode.tables.schema import JUDGEMENTS

GRADES = st.tuples(st.integers(0, 4), st.integers(2, 31)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(-1, 2))
)
CAPS = st.one_of(st.none(), st.integers(0, 6))


def slow_select(grades: list[int], rule: Rule) -> list[bool]:
    """One query: a walk down the ranks for negatives, a walk up for positives."""
    k = len(grades)
    kept = [False] * k
    left = rule.negatives if rule.negatives is not None else k
    for rank in range(1, k + 1):
        if grades[rank - 1] == 0 and rank <= k / 2 and left and (rule.top_10 or rank > 10):
            kept[rank - 1], left = True, left - 1
    left = rule.positives if rule.positives is not None else k
    for rank in range(k, 0, -1):
        if grades[rank - 1] in ((1, 2) if rule.grade_1 else (2,)) and rank > k / 2 and left:
            kept[rank - 1], left = True, left - 1
    return kept


@given(GRADES, st.booleans(), st.booleans(), CAPS, CAPS)
def test_the_rule_is_that_of_a_slow_walk(grades, top_10, grade_1, negatives, positives):
    rule = Rule(top_10, grade_1, negatives, positives)
    expected = [slow_select(row, rule) for row in grades.tolist()]
    assert select(grades, rule).tolist() == expected


@given(GRADES)
def test_nothing_without_a_grade_is_ever_kept_and_halves_are_kept_apart(grades):
    kept = select(grades, Rule(negatives=None, positives=None))
    assert not kept[grades < 0].any()
    rank = np.broadcast_to(np.arange(1, grades.shape[1] + 1), grades.shape)
    assert (grades[kept & (rank <= grades.shape[1] / 2)] == 0).all()
    assert (grades[kept & (rank > grades.shape[1] / 2)] > 0).all()


def test_the_ends_of_the_halves_at_k_100():
    grades = np.zeros((1, 100), np.int8)
    assert np.flatnonzero(select(grades, Rule(negatives=None)))[[0, -1]].tolist() == [0, 49]
    assert np.flatnonzero(select(grades, Rule(negatives=None, top_10=False)))[0] == 10
    assert np.flatnonzero(select(grades + 2, Rule(positives=None))).tolist() == list(range(50, 100))
    assert np.flatnonzero(select(grades + 1, Rule())).tolist() == [95, 96, 97, 98, 99]
    assert not select(grades + 1, Rule(grade_1=False)).any()


def test_a_cap_below_zero_is_refused():
    with pytest.raises(SettingError, match="negatives = -1"):
        Rule(negatives=-1)


def mined(pairs: list[tuple[str, str, int]], judge: str = "g@1") -> pl.DataFrame:
    rows = [
        {
            "query_id": query,
            "item_id": item,
            "rank": 3,
            "score": 0.5,
            "miner": "neighbours",
            "weights": "w",
            "grade": grade,
            "confidence": 0.75,
            "judge": judge,
            "rubric": "r1",
        }
        for query, item, grade in pairs
    ]
    return pl.DataFrame(rows, schema=COLUMNS)


PAIRS = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from("abcd"), st.integers(0, 2)), unique_by=lambda pair: pair[:2]
)


@given(PAIRS, st.lists(PAIRS, max_size=3))
def test_merging_keeps_every_original_and_the_last_verdict_on_the_rest(originals, rounds):
    frame = pl.DataFrame(
        [(*pair, "human") for pair in originals], schema=["query_id", "item_id", "grade", "source"], orient="row"
    ).cast({"query_id": pl.String, "item_id": pl.String, "grade": pl.Int64, "source": pl.String})
    merged = merge(frame, [mined(pairs, f"g@{number}") for number, pairs in enumerate(rounds)])
    expected = {}
    for number, pairs in enumerate(rounds):
        expected |= {(query, item): (grade, "mined", f"g@{number}") for query, item, grade in pairs}
    expected |= {(query, item): (grade, "human", None) for query, item, grade in originals}
    found = {
        (row["query_id"], row["item_id"]): (row["grade"], row["source"], row["grader"]) for row in merged.to_dicts()
    }
    assert found == expected and len(merged) == len(expected)
    assert merged["grade"].to_list()[: len(originals)] == [grade for *_, grade in originals]
    assert merged.to_arrow().schema.names == JUDGEMENTS.names
    assert merged.schema == pl.from_arrow(JUDGEMENTS.empty_table()).schema


def test_merging_needs_ids_and_grades():
    with pytest.raises(InputError, match="no column grade"):
        merge(pl.DataFrame({"query_id": ["q"], "item_id": ["i"]}), [])


def test_the_table_comes_back_as_it_was_written(tmp_path: Path):
    frame = mined([("q", "a", 0), ("q", "b", 2)])
    write_mined(frame, tmp_path / "mined.parquet")
    assert read_mined(tmp_path / "mined.parquet").equals(frame)
    assert [path.name for path in tmp_path.iterdir()] == ["mined.parquet"]


def test_what_is_no_mined_table_is_refused(tmp_path: Path):
    path = tmp_path / "mined.parquet"
    with pytest.raises(MissingError, match="mine a round first"):
        read_mined(path)
    path.write_text("no parquet")
    with pytest.raises(InputError, match="no parquet file"):
        read_mined(path)
    mined([("q", "a", 0)]).drop("judge").write_parquet(path)
    with pytest.raises(InputError, match="no column judge"):
        read_mined(path)
    mined([("q", "a", 0), ("q", "b", 3)]).write_parquet(path)
    with pytest.raises(InputError, match=r"row 1, grade: 3 is not"):
        read_mined(path)


def test_a_rivals_negatives_are_marked_as_nobodys_verdict():
    found = Mined(np.array([[2, 0], [1, -1]]), np.array([[0.9, 0.8], [0.7, 0]], np.float32))
    frame = unjudged(found, pl.Series(["p", "q"]), pl.Series(["a", "b", "c"]), "naive", "w")
    assert frame.select("query_id", "item_id", "rank", "grade").rows() == [
        ("p", "c", 1, 0),
        ("p", "a", 2, 0),
        ("q", "b", 1, 0),
    ]
    assert frame["judge"].unique().to_list() == ["unjudged"] and frame.schema == pl.Schema(COLUMNS)
