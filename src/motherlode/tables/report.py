"""What a check of the tables found, as numbers and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = 3  # problems kept of each kind

# Rows with these are kept, or were written once already: worth knowing, no reason to refuse.
WARNINGS = ("repeated judgement", "more clicks than impressions")


@dataclass(frozen=True)
class Problem:
    """One row that is wrong: where it stands, in which field, how, and what to do."""

    kind: str
    table: str
    place: str
    field: str
    value: str
    advice: str

    def __str__(self) -> str:
        value = f" ({self.value})" if self.value else ""
        return f"{self.place}, {self.field}: {self.kind}{value}; {self.advice}"


@dataclass
class CheckReport:
    """Rows read and kept per table, rows per kind of problem or warning, examples, and coverage."""

    read: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unused: dict[str, list[str]] = field(default_factory=dict)  # columns of the files that no table has
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CheckReport:
        """What `as_dict` gave."""
        return cls(**{**values, "problems": [Problem(**problem) for problem in values["problems"]]})

    def summary(self) -> str:
        """The kinds of problems with their counts, in one line; empty where there are none."""
        return ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())

    def print(self, console: Console) -> None:
        """What was read, what is wrong, what was done, and how far the tables cover each other."""
        from rich.table import Table

        tables = Table("table", "rows read", "rows kept", "share of rows without a field")
        for kind, count in self.read.items():
            missing = self.facts["missing"].get(kind, {})
            gaps = ", ".join(f"{name} {share:.0%}" for name, share in missing.items() if share)
            tables.add_row(kind, f"{count:,}", f"{self.rows[kind]:,}", gaps)
        console.print(tables)
        for kind, count in (self.counts | self.warnings).items():
            note = " (warning)" if kind in WARNINGS else ""
            console.print(f"{count:,} x {kind}{note}", style="yellow" if note else "red", highlight=False)
            for problem in self.problems:
                if problem.kind == kind:
                    console.print(f"  {problem}", markup=False, highlight=False)
        if not self.counts:
            console.print("No problems.", style="green")
        for kind, names in self.unused.items():
            console.print(f"{kind}: columns not used: {', '.join(names)}", markup=False, highlight=False)
        for name, value in self.facts.items():
            if name != "missing":
                console.print(f"{name.replace('_', ' ')}: {_shown(value)}", highlight=False)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {share:.1%}" for name, share in value.items())
    return f"{value:,}"
