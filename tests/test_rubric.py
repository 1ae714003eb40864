"""Rubrics: what a file must hold, and when its version changes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError
from motherlode.grading.rubric import COMMERCE, Rubric

GOOD = """---
name: shoes
version: "1.10"
---
# Shoes

## Grade 2: relevant
What was asked for.

## Grade 1
A substitute.

### GRADE 0, irrelevant
The rest.
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rubric.md"


def load(file: Path, text: str) -> Rubric:
    file.write_text(text, encoding="utf-8")
    return Rubric.load(file)


def test_the_shipped_rubric_covers_what_a_judge_meets() -> None:
    rubric = Rubric.load()
    assert rubric.name == "commerce" and rubric.version.startswith(f"{rubric.stated}-") and rubric.locale == "en"
    text = rubric.text.lower()
    for subject in (
        "substitutes",
        "complements",
        "hard constraints",
        "broad queries",
        "misspelt queries",
        "queries in other languages",
        "examples",
    ):
        assert f"\n## {subject}" in text
    for named in ("diet", "size", "compatibility", "brand"):
        assert named in text
    rows = [line.split("|")[1:-1] for line in rubric.text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 12
    assert {int(row[2]) for row in rows} == {0, 1, 2} and all(len(row) == 4 and row[3].strip() for row in rows)


def test_reading(file: Path) -> None:
    rubric = load(file, GOOD)
    assert (rubric.name, rubric.stated, rubric.locale) == ("shoes", "1.10", None)  # not the number 1.1
    assert rubric.grades == {2: "What was asked for.", 1: "A substitute.", 0: "The rest."}
    assert rubric.text.startswith("# Shoes") and "version" not in rubric.text


def test_an_edit_changes_the_version_and_a_line_end_does_not(file: Path) -> None:
    first = load(file, GOOD)
    edited = load(file, GOOD.replace("A substitute.", "A substitute or complement."))
    assert edited.stated == first.stated and edited.version != first.version
    restated = load(file, GOOD.replace("1.10", "2"))
    assert restated.version != first.version and restated.version.split("-")[1] == first.version.split("-")[1]
    file.write_bytes(("\ufeff" + GOOD.replace("\n", "  \r\n")).encode())
    assert Rubric.load(file) == first


@given(st.integers(0, len(GOOD.partition("# Shoes")[2]) - 1), st.sampled_from("abcXYZ"))
def test_every_letter_of_the_text_counts(tmp_path_factory: pytest.TempPathFactory, at: int, letter: str) -> None:
    front, shoes, rest = GOOD.partition("# Shoes")
    file = tmp_path_factory.mktemp("rubric") / "rubric.md"
    if rest[at].isalpha() and rest[at] != letter and "Grade" not in rest[max(0, at - 5) : at + 6].title():
        changed = load(file, front + shoes + rest[:at] + letter + rest[at + 1 :])
        assert changed.version != load(file, GOOD).version


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version: ", "edition: ", "states no version"),
        ('"1.10"', '""', "states no version"),
        ("name: shoes\n", "", "states no name"),
        ("name: shoes", "name: shoes\nauthor: anna", "states 'author'"),
        ("name: shoes", "name: [", "is no YAML"),
        ("---\n# Shoes", "# Shoes", "front matter"),
        ("## Grade 1\nA substitute.\n", "", "describe grade 1"),
        ("A substitute.\n", "", "describe grade 1"),
        ("## Grade 1\n", "## Grade 2\n", "describe grade 2"),
        ("## Grade 1\n", "## Grade 3\nPerfect.\n## Grade 1\n", "describes grade 3"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(file: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError, match=told) as error:
        load(file, GOOD.replace(old, new))
    assert str(file) in str(error.value)


def test_no_file_and_no_text(file: Path) -> None:
    with pytest.raises(MissingError, match=COMMERCE.name):
        Rubric.load(file)
    file.write_bytes(b"---\nname: \xff\n---\n")
    with pytest.raises(InputError, match="UTF-8"):
        Rubric.load(file)
