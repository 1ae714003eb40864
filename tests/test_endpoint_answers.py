"""Reading verdicts: from any form they can be in, and never one that was not given."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.endpoint.answers import read_verdicts
from motherlode.endpoint.probabilities import grade_probabilities
from motherlode.endpoint.reply import Token, UnreadableError, complaint, read_reply

IDS = [417, 203, 998]
WHOLE = '{"verdicts": [{"id": 417, "grade": 2}, {"id": 203, "grade": 0}, {"id": 998, "grade": 1}]}'
GRADES = {417: 2, 203: 0, 998: 1}


def grades(text: str, ids: list[int] = IDS) -> dict[int, int]:
    return {number: verdict.grade for number, verdict in read_verdicts(text, ids)[0].items()}


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"Sure! Here you are:\n\n```json\n{WHOLE}\n```\nLet me know {{if}} you need more.",
        f"```\n{json.dumps(json.loads(WHOLE), indent=4)}\n```",
        json.dumps(json.loads(WHOLE)["verdicts"]),
        "\n".join(json.dumps(one) for one in json.loads(WHOLE)["verdicts"]),
        f'<think>is 417 {{"id": 417, "grade": 0}}? no, it is</think>{WHOLE}',
        f'is 417 {{"id": 417, "grade": 0}}? no, it is </think>\n{WHOLE}',
        '[{"grade": "2", "id": "417"}, {"id": 203, "grade": 0.0}, '
        '{"id": 998, "grade": " 1 ", "note": {"id": 203, "grade": 2}}]',
        WHOLE.replace("}]}", '}, {"id": 555, "grade": 2}]}'),
    ],
    ids=["whole", "fence in prose", "indented", "list", "lines", "thought", "open thought", "texts", "a stranger"],
)
def test_every_form_gives_the_same_verdicts(text: str) -> None:
    assert grades(text) == GRADES


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (WHOLE[:-20], {417: 2, 203: 0}),
        (WHOLE[:50], {417: 2}),
        (WHOLE.replace("998", "203"), {417: 2}),
        (WHOLE.replace('"id": 998, "grade": 1', '"id": 417, "grade": 2'), {203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": 3'), {417: 2, 203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": -1'), {417: 2, 203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": 1.5'), {417: 2, 203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": true'), {417: 2, 203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": null'), {417: 2, 203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": [1]'), {417: 2, 203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": 1e999'), {417: 2, 203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": "1 or 2"'), {417: 2, 203: 0}),
        (WHOLE.replace('"grade": 1', '"grade": 1, "grade": 2'), {417: 2, 203: 0}),
        (WHOLE.replace('"id": 998', '"id": 998, "id": 203'), {417: 2}),
        ('{"verdicts": [{"id": 1, "grade": 2}, {"id": 2, "grade": 0}, {"id": 3, "grade": 1}]}', {}),
        (f"<think>{WHOLE}", {}),
        (f"{WHOLE} or rather {WHOLE}", {}),
        ("I cannot grade these.", {}),
        ("", {}),
        ("{" * 50_000, {}),
        ('{"a":' * 5_000, {}),
        ("[2, 0, 1]", {}),
    ],
)
def test_what_is_doubtful_is_no_verdict(text: str, left: dict[int, int]) -> None:
    verdicts, wrong = read_verdicts(text, IDS)
    assert {number: verdict.grade for number, verdict in verdicts.items()} == left
    assert wrong
    for number in IDS:  # whatever is wrong is named by its id, where there was something to read at all
        assert number not in left or f"{number}" not in wrong


def test_what_is_wrong_is_said() -> None:
    assert read_verdicts(WHOLE, IDS)[1] == ""
    assert read_verdicts(WHOLE, [*IDS, 111])[1] == "no verdict on 111"
    assert read_verdicts(WHOLE.replace("998", "203"), IDS)[1] == "no verdict on 998; more than one verdict on 203"
    assert read_verdicts(WHOLE.replace(": 2}", ": 7}"), IDS)[1] == "no grade 0, 1 or 2 for 417"
    assert read_verdicts("nonsense", IDS)[1] == "it held no verdict that could be read"


def test_reasons_come_with_their_rule_on_one_line() -> None:
    text = json.dumps([{"id": 417, "rule": "Hard constraints", "reason": "no\n vegan\tone", "grade": 0}])
    verdict = read_verdicts(text, [417])[0][417]
    assert verdict.reason == "Hard constraints: no vegan one"
    assert read_verdicts('[{"id": 417, "reason": 5, "grade": 0}]', [417])[0][417].reason is None


VALUES = st.one_of(
    st.integers(-2, 4),
    st.sampled_from(["0", "1", "2", " 2", "two", "", None, True, False, 1.0, 1.5, [], {}]),
    st.floats(allow_nan=False),
)
NUMBERS = st.one_of(st.sampled_from([*IDS, "417", 1, 2, 0, None, True, "x"]), st.integers())
OBJECTS = st.lists(st.tuples(NUMBERS, VALUES, st.text(max_size=20)), max_size=6)


@settings(max_examples=300)
@given(OBJECTS, st.text(max_size=30), st.text(max_size=30), st.integers(0, 400), st.booleans())
def test_a_verdict_is_always_one_that_stands_there_once(
    objects: list[tuple[Any, Any, str]], before: str, after: str, cut: int, shortened: bool
) -> None:
    written = [{"id": number, "reason": reason, "grade": grade} for number, grade, reason in objects]
    text = before + json.dumps({"verdicts": written}) + after
    text = text[:cut] if shortened else text
    stated: dict[int, list[int | None]] = {}
    for number, grade, _ in objects:
        if isinstance(number, str) and number.isdigit():
            number = int(number)
        if isinstance(number, bool) or number not in IDS:
            continue
        if isinstance(grade, str):
            meant = {"0": 0, "1": 1, "2": 2}.get(grade.strip())
        else:
            fits = isinstance(grade, int | float) and not isinstance(grade, bool) and grade in (0, 1, 2)
            meant = int(grade) if fits else None
        stated.setdefault(number, []).append(meant)
    found = grades(text)
    if shortened:
        # a shorter text holds fewer objects: a second one on a pair may be lost, but a grade is never another
        assert all(grade in stated[number] for number, grade in found.items())
    elif not set("{}<>") & set(before + after):
        assert found == {number: only[0] for number, only in stated.items() if len(only) == 1 and only[0] is not None}


@settings(max_examples=200)
@given(st.text(alphabet='{}[]":,0123456789idgrae <>think/\\\n', max_size=300))
def test_noise_is_survived_and_graded_only_in_range(text: str) -> None:
    assert set(grades(text, [1, 2, 10])) <= {1, 2, 10}


def spell(parts: list[str], alternatives: dict[int, dict[str, float]]) -> list[Token]:
    return [
        Token(part.encode(), {name: math.log(p) for name, p in alternatives.get(place, {part: 1.0}).items()})
        for place, part in enumerate(parts)
    ]


def test_probabilities_are_those_of_the_digits_token() -> None:
    parts = ['{"id": 417, "reason": "größer', ' 1", ', '"grade":', " 2", "}"]
    text = "".join(parts)
    position = read_verdicts(text, [417])[0][417].position
    assert position is not None and text[position] == "2"
    listed = {" 2": 0.6, " 1": 0.2, "2": 0.1, " 0": 0.04, "x": 0.03, " 12": 0.01, "2.5": 0.01}
    found = grade_probabilities(spell(parts, {3: listed}), text, position, 2)
    np.testing.assert_allclose(found, np.array([0.04, 0.2, 0.7]) / 0.94)


def test_a_grade_that_is_not_listed_gets_at_most_what_could_be_left() -> None:
    parts = ['[{"id": 1, "grade": ', "1", "}]"]
    text = "".join(parts)
    position = text.index("1}")
    few = grade_probabilities(spell(parts, {1: {"1": 0.7, "0": 0.2}}), text, position, 1)
    np.testing.assert_allclose(few, np.array([0.2, 0.7, 0.1]))
    sure = grade_probabilities(spell(parts, {1: {"1": 0.999, "0": 0.001}}), text, position, 1)
    np.testing.assert_allclose(sure, [0.001, 0.999, 0.0], atol=1e-12)


def test_no_probabilities_where_they_would_not_be_the_verdicts() -> None:
    parts = ['[{"id": 1, "grade": ', "1", "}]"]
    text = "".join(parts)
    position = text.index("1}")
    tokens = spell(parts, {1: {"1": 0.3, "2": 0.7}})
    assert grade_probabilities(tokens, text, position, 1) is None  # stated 1, more probably 2
    assert grade_probabilities(tokens[1:], text, position, 1) is None  # they spell something else
    assert grade_probabilities([], text, position, 1) is None
    assert grade_probabilities(spell(parts, {1: {"x": 0.9}}), text, position, 1) is None
    broken = [tokens[0], Token(b"1", {"1": float("nan")}), tokens[2]]
    assert grade_probabilities(broken, text, position, 1) is None


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '{"choices": []}', '{"choices": [5]}', '{"error": "x"}'])
def test_what_is_no_completion_is_said_to_be_none(body: str) -> None:
    with pytest.raises(UnreadableError):
        read_reply(body)


def test_odd_parts_of_a_reply_are_left_out() -> None:
    odd = {"message": {"content": None}, "logprobs": {"content": [{"token": 3}]}, "finish_reason": None}
    reply = read_reply(json.dumps({"choices": [odd], "usage": {"prompt_tokens": -1, "completion_tokens": True}}))
    assert (reply.text, reply.tokens, reply.tokens_in, reply.tokens_out) == ("", [], None, None)
    parts = {"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}
    assert read_reply(json.dumps({"choices": [parts]})).text == "ab"


def test_complaints_are_one_printable_line() -> None:
    assert complaint('{"error": {"message": "bad\\n\\u001b[31mfield", "code": 4}}') == "bad [31mfield"
    assert complaint("<html>" + "x" * 1000) == "<html>" + "x" * 294
    assert complaint("") == "no reason given"
