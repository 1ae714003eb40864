"""Queues are read as they are meant, and what is wrong with one is named with its file, row and field."""

from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError
from motherlode.review.queue import COLUMNS, Earlier, check_queue, entries, read_queue
from review_case import SECRET, make_queue


@pytest.mark.parametrize("form", [".parquet", ".csv", ".jsonl"])
def test_the_three_forms_of_file_say_the_same(tmp_path: Path, form: str) -> None:
    queue = make_queue(7).with_columns(label=pl.when(pl.col("label") > 0).then("label"))
    path = tmp_path / f"queue{form}"
    {".parquet": queue.write_parquet, ".csv": queue.write_csv, ".jsonl": queue.write_ndjson}[form](path)
    read = read_queue(path)
    assert dict(read.schema) == {name: kind() for name, kind in COLUMNS.items()}
    assert read["label"].to_list() == [None, 1, 2, None, 1, 2, None]
    assert read["reason"].to_list() == [SECRET] * 7
    assert read["priority"].to_list() == pytest.approx([1 - n / 1000 for n in range(7)])


def test_ids_alone_make_a_queue() -> None:
    queue = check_queue(pl.DataFrame({"item_id": ["a", "b"], "query_id": ["x", "x"], "note": [1, 2]}))
    assert queue.columns == list(COLUMNS)
    assert [(one.query_id, one.item_id, one.earlier) for one in entries(queue)] == [("x", "a", ()), ("x", "b", ())]


def test_numbers_as_ids_become_texts_and_an_empty_queue_is_one() -> None:
    queue = check_queue(pl.DataFrame({"query_id": [1], "item_id": [2]}))
    assert (entries(queue)[0].query_id, entries(queue)[0].item_id) == ("1", "2")
    assert entries(check_queue(make_queue(3).clear())) == []


def test_earlier_verdicts_are_told_by_role() -> None:
    assert entries(check_queue(make_queue(2)))[1].earlier == (
        Earlier("label", "crowd", 1, None),
        Earlier("judge", "judge-x@1", 2, SECRET),
    )


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, -3.0])), min_size=1, max_size=12))
def test_priority_orders_and_rows_break_ties(priorities: list[float | None]) -> None:
    ids = [f"i{n}" for n in range(len(priorities))]
    frame = pl.DataFrame(
        {"query_id": ["q"] * len(ids), "item_id": ids, "priority": pl.Series(priorities, dtype=pl.Float64)}
    )
    rows = [int(one.item_id[1:]) for one in entries(check_queue(frame))]
    assert sorted(rows) == list(range(len(ids)))
    for first, second in pairwise(rows):
        mine, other = priorities[first], priorities[second]
        if mine is None:
            assert other is None and first < second
        elif other is not None:
            assert mine > other or (mine == other and first < second)


def test_keys_follow_the_pair_not_the_row() -> None:
    queue = check_queue(make_queue(20))
    keys = {(one.query_id, one.item_id): one.key for one in entries(queue)}
    again = {
        (one.query_id, one.item_id): one.key for one in entries(queue.reverse().drop("priority").pipe(check_queue))
    }
    assert keys == again and len(set(keys.values())) == 20
    swapped = check_queue(pl.DataFrame({"query_id": ["i1"], "item_id": ["q1"]}))
    assert entries(swapped)[0].key not in keys.values()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_id": None}, r"queue.csv, row 2: item_id is empty"),
        ({"label": 3}, r"queue.csv, row 2, label: '3' is not a grade 0, 1 or 2"),
        ({"verdict": "E"}, r"queue.csv, row 2, verdict: 'E' is not a grade 0, 1 or 2"),
        ({"priority": "soon"}, r"queue.csv, row 2, priority: 'soon' is not a number"),
        ({"query_id": "q0", "item_id": "i0"}, r"queue.csv, row 2: the pair \(q0, i0\) is there already"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    rows = make_queue(3).to_dicts()
    rows[1] |= change
    texts = [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]
    pl.DataFrame(texts).write_csv(tmp_path / "queue.csv")
    with pytest.raises(InputError, match=message):
        read_queue(tmp_path / "queue.csv")


def test_files_that_are_no_queue(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="There is no file"):
        read_queue(tmp_path / "queue.parquet")
    with pytest.raises(InputError, match=r"ends in \.parquet, \.csv, \.jsonl"):
        read_queue(tmp_path / "queue.txt")
    (tmp_path / "queue.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_queue(tmp_path / "queue.parquet")
    make_queue(2).drop("item_id").write_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="has no column item_id"):
        read_queue(tmp_path / "other.parquet")
