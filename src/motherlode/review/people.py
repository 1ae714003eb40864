"""The people who judge: what they may be called, and how far each two of them agree."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.evaluation.agreement import agreement
from motherlode.grading.grader import Judge

PERSON = "person/"
FIGURES = ("n", "accuracy", "within_1", "quadratic_kappa")
NAME = re.compile(r"[^\W_](?:[\w.-]{0,38}[^\W_])?")  # letters and digits of any script, . _ - inside


def name_of(given: str) -> str:
    """The name in the form the ledger keeps: NFC, lower case, without blanks around.

    Raises InputError unless it is 1 to 40 letters, digits, dots, hyphens and underscores, with a letter or digit
    at both ends.
    """
    name = unicodedata.normalize("NFC", given.strip()).casefold()
    if not NAME.fullmatch(name):
        raise InputError(
            f"The name {given[:60]!r} cannot be used: write 1 to 40 letters or digits; dots, hyphens and underscores "
            "may stand between them."
        )
    return name


def judge_of(name: str, rubric: str) -> Judge:
    """The person as a judge of the ledger."""
    return Judge(PERSON + name, "1", rubric)


def agreements(shared: Mapping[tuple[str, str], NDArray[np.int64]]) -> list[dict[str, Any]]:
    """How far each two people agree, from the confusion counts [3, 3] of those who share a pair (a's grade in rows).

    One dict for each two, sorted by their names: people [a, b], n shared pairs, accuracy, within_1, quadratic_kappa
    (None where it has no meaning, as when all grades are one).
    """
    found = []
    for people, counts in sorted(shared.items(), key=itemgetter(0)):
        if counts.any():
            ones, others = np.repeat(np.indices(counts.shape).reshape(2, -1), counts.ravel(), axis=1)
            figures = agreement(ones, others)
            found.append({"people": list(people)} | {name: figures[name] for name in FIGURES})
    return found
