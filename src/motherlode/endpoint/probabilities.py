"""Probabilities over the grades from the alternatives to the one token that spells a grade."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from motherlode.endpoint.reply import Token


def grade_probabilities(tokens: Sequence[Token], text: str, position: int, grade: int) -> NDArray[np.float64] | None:
    """p(g) = mass of the alternatives that spell g, renormalised over g = 0, 1, 2; float64[3].

    `position` is where the digit stands in `text`. A grade that is not listed gets the least it could be told apart
    from: min(least listed probability, what the list leaves over); nought would claim a certainty nobody stated.
    None where the tokens do not spell the text, the list holds no grade, or another grade is more probable than
    the one stated: the verdict is what was stated.
    """
    found = _token_at(tokens, text, position)
    if found is None:
        return None
    token, before = found
    mass = np.zeros(3)
    for spelt, logprob in token.alternatives.items():
        digit = _digit(spelt, before)
        if digit is not None and logprob <= 1e-6:  # not true of NaN
            mass[digit] += math.exp(min(logprob, 0.0))
    if not mass.any():
        return None
    listed = [math.exp(min(value, 0.0)) for value in token.alternatives.values() if value == value]
    mass[mass == 0] = min(min(listed), max(0.0, 1 - sum(listed)))
    probabilities = mass / mass.sum()
    return probabilities if probabilities[grade] == probabilities.max() else None


def one_hot(grade: int) -> NDArray[np.float64]:
    """All on one grade: what a judge that says nothing of its doubt has stated; softening is for calibration."""
    return np.eye(3)[grade]


def _token_at(tokens: Sequence[Token], text: str, position: int) -> tuple[Token, str] | None:
    """The token that covers the character at `position`, and what it spells before that character."""
    joined, wanted = b"".join(token.spelt for token in tokens), text.encode()
    offset = joined.rfind(wanted)  # the tokens may begin with a thought that the text leaves out
    if not tokens or offset < 0:
        return None
    place = offset + len(text[:position].encode())
    start = 0
    for token in tokens:
        if start <= place < start + len(token.spelt):
            return token, token.spelt[: place - start].decode(errors="replace")
        start += len(token.spelt)
    return None


def _digit(spelt: str, before: str) -> int | None:
    """The grade that an alternative spells, where it spells one and nothing but punctuation beside it."""
    core = spelt.removeprefix(before).strip(' \t\n"')
    if core[:1] in ("0", "1", "2") and not any(sign.isalnum() or sign == "." for sign in core[1:]):
        return int(core[0])
    return None
