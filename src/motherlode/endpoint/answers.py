"""Verdicts out of a model's words: whatever form they have, only what names a pair once and grades it is taken."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 200_000  # characters looked at: far more than any answer needs
LONGEST_REASON = 500
# a thought may begin in the prompt's template, and so only end here; or be cut off
THOUGHT = re.compile(r"\A.*</think(?:ing)?>|<think(?:ing)?>.*\Z", re.DOTALL)
GRADE = re.compile(r'"grade"\s*:\s*"?\s*([012])')
STATED = {"0": 0, "1": 1, "2": 2}
DECODER = json.JSONDecoder(object_pairs_hook=lambda pairs: _Pairs(pairs))


@dataclass(frozen=True)
class Verdict:
    """A grade, why (None where not said), and where in the text its digit stands (None where not found)."""

    grade: int
    reason: str | None
    position: int | None


class _Pairs(list[tuple[str, Any]]):
    """An object as it is written, so that a key given twice is seen."""


def read_verdicts(text: str, ids: Sequence[int]) -> tuple[dict[int, Verdict], str]:
    """The verdicts on the pairs with these ids, and what is wrong with the rest in words ("" where all are there).

    Objects with "id" and "grade" are looked for anywhere: in a whole document, in a fence, in prose, in what is left of
    a document cut short. A pair has a verdict only where exactly one object has its id, that object gives no key twice
    and its grade is 0, 1 or 2 (as number or text). Ids that were not asked for are passed over.
    """
    found: dict[int, list[Verdict | None]] = {}
    strangers = 0
    asked = set(ids)
    for start, end, pairs in _objects(text[:LONGEST]):
        counts = Counter(key for key, _ in pairs)
        one = dict(pairs)
        number = _number(one["id"])
        if number not in asked:
            strangers += 1
            continue
        grade = _grade(one["grade"])
        clean = grade is not None and max(counts.values()) == 1
        position = _position(text, start, end) if clean else None
        found.setdefault(number, []).append(Verdict(grade, _reason(one), position) if clean else None)  # type: ignore[arg-type]
    verdicts = {number: only for number, (only, *more) in found.items() if only is not None and not more}
    return verdicts, _wrong(ids, found, strangers)


def _objects(text: str) -> Iterator[tuple[int, int, _Pairs]]:
    """(start, end, keys and values) of every object with an id and a grade, outermost first, none inside another."""
    hidden = THOUGHT.sub(lambda thought: " " * len(thought[0]), text)  # same length: positions stay
    at = hidden.find("{")
    while at >= 0:
        try:
            value, end = DECODER.raw_decode(hidden, at)
        except (ValueError, RecursionError):
            value, end = None, at + 1
        if isinstance(value, _Pairs) and {"id", "grade"} <= {key for key, _ in value}:
            yield at, end, value
        else:
            end = at + 1  # it may hold some
        at = hidden.find("{", end)


def _number(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _grade(value: Any) -> int | None:
    if isinstance(value, str):
        return STATED.get(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool) and value in (0, 1, 2):
        return int(value)
    return None


def _reason(one: dict[str, Any]) -> str | None:
    """ "rule: reason" in one line, of what was said."""
    parts = [one.get(key) for key in ("rule", "reason")]
    said = [" ".join(part.split()) for part in parts if isinstance(part, str) and part.strip()]
    return ": ".join(said).encode(errors="replace").decode()[:LONGEST_REASON] or None


def _position(text: str, start: int, end: int) -> int | None:
    digits = [found.start(1) for found in GRADE.finditer(text, start, end)]
    return digits[0] if len(digits) == 1 else None


def _wrong(ids: Sequence[int], found: dict[int, list[Verdict | None]], strangers: int) -> str:
    if not found and not strangers:
        return "it held no verdict that could be read"
    lists = {
        "no verdict on": [number for number in ids if number not in found],
        "more than one verdict on": [number for number in ids if len(found.get(number, [])) > 1],
        "no grade 0, 1 or 2 for": [number for number in ids if found.get(number) == [None]],
    }
    parts = [f"{what} {_listed(which)}" for what, which in lists.items() if which]
    if strangers:
        parts.append("ids that were not asked for")
    return "; ".join(parts)


def _listed(ids: Iterable[int]) -> str:
    return ", ".join(str(number) for number in ids)
