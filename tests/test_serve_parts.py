"""What serving is put together from: filters as they are written, keys, ready answers, log lines."""

import io
import json
import logging
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError, MotherlodeError, SettingError
from motherlode.grading.ledger import Ledger
from motherlode.grading.rubric import COMMERCE, Rubric
from motherlode.index.filters import Filter
from motherlode.serve import keys
from motherlode.serve.asks import filter_of
from motherlode.serve.grades import Grades
from motherlode.serve.logs import FIELDS, Lines
from motherlode.serve.lru import OVERHEAD, Lru


def test_filters_as_they_are_written() -> None:
    assert filter_of([]) == Filter()
    assert filter_of(["brand:Acme", "brand: Be:hr ", "taxonomy:Home/Doors\\/Windows/", "price:10..50.5"]) == Filter(
        ("Home", "Doors/Windows"), ("Acme", "Be:hr"), (10.0, 50.5)
    )
    assert filter_of(["price:..50"]).price == (None, 50.0) and filter_of(["Price: 0.. "]).price == (0.0, None)
    assert filter_of(["colour:red", "size:L", "colour:blue"]).attributes == (
        ("colour", ("red", "blue")),
        ("size", ("L",)),
    )


@pytest.mark.parametrize(
    "wrong",
    [["red"], ["brand:"], [":x"], ["price:.."], ["price:cheap"], ["price:1e400.."], ["price:1..2", "price:3..4"],
     ["taxonomy:a", "taxonomy:b"], ["price:5..1"]],
)  # fmt: skip
def test_filters_that_cannot_be(wrong: list[str]) -> None:
    with pytest.raises((InputError, SettingError)):
        filter_of(wrong)


@given(st.lists(st.text(), max_size=5))
def test_any_filter_is_taken_or_refused_in_words(conditions: list[str]) -> None:
    try:
        filter_of(conditions)
    except MotherlodeError as error:
        assert str(error).endswith(".")


def test_keys_are_kept_as_digests(tmp_path) -> None:
    path = tmp_path / "serve/keys.json"
    held = keys.Keys(path)
    assert not held.any and held.who("") is None
    writer = keys.make(path, "shop", "write")
    held.refresh()
    assert writer not in path.read_text() and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert held.who(writer) == keys.read(path)[0] and held.who(writer).name == "shop" and not held.guard_reads
    for other in (writer[:-1], writer + "x", writer.upper(), "", "\udcff", "x" * 10_000):
        assert held.who(other) is None
    reader = keys.make(path, "till", "read")
    held.refresh()
    assert held.guard_reads and held.who(reader).scope == "read" and reader != writer
    keys.remove(path, "shop")
    held.refresh()
    assert held.who(writer) is None and held.who(reader)
    for name in ("till", "", "../x", "A", "a" * 41, "a\n"):
        with pytest.raises(SettingError):
            keys.make(path, name, "read")
    with pytest.raises(SettingError):
        keys.remove(path, "nobody")
    path.write_text('{"keys": [{"name": "x", "scope": "all", "sha256": "00"}]}')
    with pytest.raises(InputError):
        held.refresh()
    assert held.who(reader)  # a damaged file locks nobody out, and lets nobody in


def test_grades_go_by_the_rubric_of_the_recipe(tmp_path) -> None:
    def given() -> set[str]:
        grades = Grades(tmp_path)
        grades.record("me", "red", "i1", 2)
        grades.close()
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            return set(ledger.verdicts()["rubric"])

    shipped = Rubric.load().version
    assert given() == {shipped}
    own = tmp_path / "own.md"
    own.write_text(COMMERCE.read_text(encoding="utf-8") + "\nAnd be kind.\n", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(f"grader:\n  rubric: {own}\n", encoding="utf-8")
    assert given() == {shipped, Rubric.load(own).version} and Rubric.load(own).version != shipped
    own.unlink()
    with pytest.raises(MissingError, match=r"own\.md"):
        Grades(tmp_path)
    (tmp_path / "recipe.yaml").write_text("grader: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        Grades(tmp_path)


def test_ready_answers_are_bounded_by_their_bytes() -> None:
    held = Lru(10 * (100 + OVERHEAD))
    for number in range(25):
        held.put(number, b"x" * 100)
        held.get(0)  # asked for again and again, so that it stays
    assert len(held) == 10 and held.get(0) and held.get(24) and held.get(1) is None
    held.put(0, b"y" * 100)
    assert len(held) == 10 and held.get(0) == b"y" * 100
    held.put("large", b"x" * 10_000)
    assert held.get("large") is None and len(held) == 10
    held.clear()
    assert len(held) == 0 and held.get(0) is None


def test_a_log_line_is_json_without_what_an_error_quotes() -> None:
    stream, logger = io.StringIO(), logging.getLogger("motherlode.serve.test")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines())
    logger.handlers, logger.propagate = [handler], False
    logger.error("one\nline", extra={FIELDS: {"status": 500}})
    try:
        raise ValueError("the secret query")
    except ValueError:
        logger.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == "one\nline" and first["status"] == 500 and first["level"] == "error"
    assert second["error"] == "ValueError" and "test_serve_parts.py" in second["at"][0]
    assert "secret" not in stream.getvalue()
