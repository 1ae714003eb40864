"""A look before a large job: does the judge answer, does it agree with people, what will it cost and how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from motherlode.endpoint.judge import EndpointGrader
from motherlode.errors import InputError
from motherlode.evaluation.agreement import agreement, agreement_interval
from motherlode.grading.budget import BudgetSpent
from motherlode.grading.grader import Graded, Judge, Pair, decide

if TYPE_CHECKING:
    from motherlode.grading.ledger import Ledger


@dataclass(frozen=True)
class Floors:
    """What a judge must reach to be let at a large job; the defaults are ours."""

    parsed: float = 0.98
    accuracy: float = 0.7
    within_1: float = 0.95
    money: float | None = None
    hours: float | None = None


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Attributes:
        judge: who was looked at.
        pairs: of the golden sample.
        parsed: share of them with a usable answer after one repair; repaired: requests that needed one.
        agreement: `evaluation.agreement` with the golden grades, over the answered pairs.
        interval: of accuracy, within_1, macro_f1 and quadratic_kappa, drawn by query.
        job: pairs of the large job; tokens, money, seconds: what it would take at this rate.
        probabilities: whether the server tells them for the grade's token.
        against: why not; empty where it may go.
    """

    judge: Judge
    pairs: int
    parsed: float
    repaired: int
    agreement: dict[str, Any]
    interval: dict[str, dict[str, Any]]
    job: int
    tokens: float
    money: float
    seconds: float
    probabilities: bool
    against: tuple[str, ...] = ()

    @property
    def go(self) -> bool:
        """Whether nothing speaks against the job."""
        return not self.against

    def facts(self) -> dict[str, Any]:
        """All of it as plain values, for a file."""
        return {**asdict(self), "go": self.go}

    def __str__(self) -> str:
        lines = [
            f"{self.judge} on {self.pairs:,} golden pairs: {self.parsed:.1%} answered, {self.repaired:,} repairs, "
            f"probabilities {'read from the grade token' if self.probabilities else 'not offered'}"
        ]
        for measure, found in self.interval.items():
            if found["value"] is not None:
                lines.append(f"  {measure:<16} {found['value']:.3f}  [{found['low']:.3f}, {found['high']:.3f}]")
        cost = f"{self.money:,.2f} in money, " if self.money else ""
        lines.append(f"{self.job:,} pairs: about {cost}{self.tokens:,.0f} tokens, {self.seconds / 3600:,.1f} hours")
        lines += ["GO"] if self.go else [f"NO GO: {reason}" for reason in self.against]
        return "\n".join(lines)


def preflight(
    grader: EndpointGrader,
    golden: Sequence[Pair],
    grades: ArrayLike,
    job: int,
    *,
    floors: Floors | None = None,
    ledger: Ledger | None = None,
) -> Preflight:
    """Have the judge grade a golden sample, and reckon what `job` pairs would take.

    The sample should be drawn as the job's pairs are, a hundred or more. With a ledger its verdicts are recorded, so
    that a job need not pay for them again. tokens and money grow with the pairs; seconds are the largest of (requests x
    mean seconds of one / concurrency), and what the limits on requests and on tokens a minute allow.
    Raises InputError for an empty sample or grades that are not 0, 1, 2; EndpointError where the server cannot be used.
    """
    floors = floors or Floors()
    truth = np.asarray(grades)
    if not golden or truth.shape != (len(golden),) or not np.isin(truth, (0, 1, 2)).all():
        raise InputError(f"The golden sample has {len(golden)} pairs and {truth.size} grades: give each a 0, 1 or 2.")
    before = replace(grader.tally)
    spent = ""
    try:
        graded = grader.grade(golden)
    except BudgetSpent as error:
        graded, spent = error.graded, str(error)
    if ledger is not None:
        queries, items = [pair.query_id for pair in golden], [pair.item_id for pair in golden]
        ledger.record(grader.judge, queries, items, graded, source="preflight")
    predicted, answered = decide(graded.probabilities), graded.answered
    found = agreement(truth, predicted)
    query_ids = np.array([pair.query_id for pair in golden])
    interval = (
        agreement_interval(truth[answered], predicted[answered], query_ids=query_ids[answered])
        if answered.any()
        else {}
    )
    tokens, money, seconds = _reckon(grader, before, len(golden), job)
    report = Preflight(
        judge=grader.judge,
        pairs=len(golden),
        parsed=float(answered.mean()),
        repaired=grader.tally.repairs - before.repairs,
        agreement=found,
        interval=interval,
        job=job,
        tokens=tokens,
        money=money,
        seconds=seconds,
        probabilities=_soft(graded),
    )
    against = ([spent] if spent else []) + _against(report, truth, floors)
    return replace(report, against=tuple(against))


def _reckon(grader: EndpointGrader, before: Any, pairs: int, job: int) -> tuple[float, float, float]:
    """(tokens, money, seconds) of a job, from what the sample took."""
    tally, settings = grader.tally, grader.settings
    scale = job / pairs
    tokens_in, tokens_out = tally.tokens_in - before.tokens_in, tally.tokens_out - before.tokens_out
    requests = tally.requests - before.requests
    took = scale * (tally.seconds - before.seconds) / settings.concurrency
    if settings.requests_per_minute:
        took = max(took, 60 * scale * requests / settings.requests_per_minute)
    if settings.tokens_per_minute:
        # a limit is charged with the longest answer that may come, as providers do
        most = tokens_in + requests * settings.request_tokens(settings.pairs_per_request)
        took = max(took, 60 * scale * most / settings.tokens_per_minute)
    return scale * (tokens_in + tokens_out), scale * (tally.money - before.money), took


def _against(report: Preflight, truth: np.ndarray, floors: Floors) -> list[str]:
    reasons = []
    if report.parsed < floors.parsed:
        reasons.append(f"{report.parsed:.1%} of the pairs got a usable answer, less than {floors.parsed:.1%}")
    for measure, floor in (("accuracy", floors.accuracy), ("within_1", floors.within_1)):
        value = report.agreement[measure]
        if value is None or value < floor:
            shown = "unknown" if value is None else f"{value:.3f}"
            reasons.append(f"{measure} is {shown}, less than {floor:.3f}")
    most = float(np.bincount(truth).max() / len(truth))
    if report.agreement["accuracy"] is not None and report.agreement["accuracy"] <= most:
        reasons.append(f"saying the most frequent grade every time would be right on {most:.1%} of the sample")
    if floors.money is not None and report.money > floors.money:
        reasons.append(f"it would cost about {report.money:,.2f}, more than {floors.money:,.2f}")
    if floors.hours is not None and report.seconds > 3600 * floors.hours:
        reasons.append(f"it would take about {report.seconds / 3600:,.1f} hours, more than {floors.hours:,.1f}")
    return reasons


def _soft(graded: Graded) -> bool:
    told = graded.probabilities[graded.answered]
    return bool(len(told) and (told.max(axis=1) < 1).any())
