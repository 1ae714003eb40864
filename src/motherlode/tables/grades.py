"""From whatever a judgement says (a label, an average, an integer) to a grade 0, 1 or 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from motherlode.errors import SettingError

if TYPE_CHECKING:
    import polars as pl

# Exact, Substitute, Complement, Irrelevant of the Amazon Shopping Queries set (Reddy et al. 2022,
# arXiv:2206.06588): grade 1 is "a substitute or a complement".
ESCI: Mapping[str, int] = {"E": 2, "S": 1, "C": 1, "I": 0}


@dataclass(frozen=True)
class GradeMap:
    """How values become grades: by label, by cut points, or as they are.

    With `cuts` = (c1, c2) the grade of a number v is [v >= c1] + [v >= c2]; labels are then not used.
    Without, a value found in `labels` takes its grade, and the numbers 0, 1, 2 (also as text) stay.
    Raises SettingError for grades outside 0..2 and cuts that do not rise.
    """

    labels: Mapping[str, int] = field(default_factory=lambda: dict(ESCI))
    cuts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        wrong = [label for label, grade in self.labels.items() if grade not in (0, 1, 2)]
        if wrong:
            raise SettingError(f"Label '{wrong[0]}' maps to {self.labels[wrong[0]]}: grades are 0, 1 and 2.")
        rising = all(low < high for low, high in pairwise(self.cuts))
        if len(self.cuts) not in (0, 2) or not rising:
            raise SettingError(f"Grade cuts {self.cuts} must be two numbers, the lower one first.")

    def __call__(self, values: pl.Series) -> pl.Series:
        """Grades (Int8), null where the value is null or has no grade."""
        import polars as pl

        text = values.cast(pl.String).str.strip_chars()
        number = text.cast(pl.Float64, strict=False)
        number = number.set(number.is_nan().fill_null(False), None)
        if self.cuts:
            low, high = self.cuts
            return (number >= low).cast(pl.Int8) + (number >= high).cast(pl.Int8)
        labelled = text.replace_strict(dict(self.labels), default=None, return_dtype=pl.Int8)
        whole = number.set(~number.is_in([0.0, 1.0, 2.0]).fill_null(False), None).cast(pl.Int8)
        return labelled.fill_null(whole)
