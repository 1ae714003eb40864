"""A judge behind an endpoint: pairs in, several to a request, probabilities and reasons out."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import fingerprint
from motherlode.endpoint.answers import read_verdicts
from motherlode.endpoint.asking import TRIES, TRIES_OF_PARTS, Asking
from motherlode.endpoint.budget import Budget
from motherlode.endpoint.client import ChatClient, log, require_httpx
from motherlode.endpoint.dialect import Dialect
from motherlode.endpoint.errors import EndpointError
from motherlode.endpoint.probabilities import grade_probabilities, one_hot
from motherlode.endpoint.prompt import messages, pair_ids, schema, system_prompt, template_version
from motherlode.endpoint.reply import Reply
from motherlode.endpoint.settings import EndpointSettings
from motherlode.endpoint.tally import Tally
from motherlode.grading.budget import BudgetSpent
from motherlode.grading.grader import Graded, Judge, Pair

if TYPE_CHECKING:
    from motherlode.grading.rubric import Rubric

ROUNDS = 4  # requests one after another that a block holds: what a kill may cost, against the idle end of a block


class EndpointGrader:
    """A language model behind an OpenAI-compatible endpoint, as a judge by a rubric.

    Probabilities are those of the grade's token where the server tells them, else all on the stated grade: a model
    that says nothing of its doubt gets none made up for it, calibration softens it by what it is worth. The money of
    a request is shared by the pairs it asked for, those without a verdict too. One thread at a time.

    Attributes:
        tally: what was asked and what it cost so far.
    """

    def __init__(self, settings: EndpointSettings, rubric: Rubric) -> None:
        """Raises MissingError where httpx is not installed."""
        require_httpx()
        self.settings, self.tally = settings, Tally()
        self.system = system_prompt(rubric.text, settings.reasons)
        version = fingerprint(
            settings.model,
            template_version(settings.reasons),
            rubric.version,
            settings.temperature,
            settings.logprobs,
            settings.extra,
        )
        self._judge = Judge(settings.name or settings.model, version, rubric.version)
        client = ChatClient(settings, Budget(settings), self.tally)
        self._asking = Asking(settings, client, Dialect(settings.structured, settings.logprobs))

    @property
    def judge(self) -> Judge:
        """Its version covers model, prompt, rubric, temperature, reasons, schema and extra fields."""
        return self._judge

    @property
    def block(self) -> int:
        """Pairs for which all connections have work."""
        return self.settings.concurrency * self.settings.pairs_per_request * ROUNDS

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """Ask for verdicts; a pair without a usable answer after one repair is a row of NaN.

        Raises BudgetSpent when the budget ends and EndpointError when the server cannot be used or is away for longer
        than `patience`; both carry what was answered in `graded`.
        """
        sheet = _Sheet(pairs)
        try:
            spent = _run(self._grade(sheet))
        except EndpointError as error:
            error.graded = sheet.graded
            raise
        finally:
            self.tally.pairs += len(pairs)
            self.tally.answered += int(sheet.graded.answered.sum())
        if spent:
            used = self._asking.client.budget.spent()
            raise BudgetSpent(
                f"The budget of {self._judge.name} is spent: {used} used, and one more request could pass it.",
                sheet.graded,
            )
        return sheet.graded

    async def _grade(self, sheet: _Sheet) -> bool:
        """Fill the sheet, several requests at once; whether the budget ended before it was full."""
        size, count = self.settings.pairs_per_request, len(sheet.pairs)
        parts = [list(range(start, min(start + size, count))) for start in range(0, count, size)]
        return await self._asking.side_by_side(parts, lambda rows: self._ask(sheet, rows))

    async def _ask(self, sheet: _Sheet, rows: list[int], problem: str = "", tries: int = TRIES) -> None:
        """One request for these rows, and one more for those whose answer is unusable."""
        pairs = [sheet.pairs[row] for row in rows]
        ids = pair_ids(pairs)
        sent = messages(self.system, pairs, ids, problem)
        tokens = self.settings.request_tokens(len(rows))
        got = await self._asking.reply(sent, schema(self.settings.reasons), tokens, tries)
        if isinstance(got, str):
            await self._take_apart(sheet, rows, problem, got)
            return
        reply, money = got
        sheet.cost[rows] += money / len(rows)
        wrong = self._enter(sheet, dict(zip(ids, rows, strict=True)), reply)
        left = [row for row in rows if not sheet.answered(row)]
        if left and not problem:
            self.tally.repairs += 1
            await self._ask(sheet, left, wrong)

    async def _take_apart(self, sheet: _Sheet, rows: list[int], problem: str, why: str) -> None:
        """A request that the server cannot take: ask for its halves, down to the one pair that stays unanswered."""
        if len(rows) == 1:
            log.info("No verdict on query %s and item %s: %s", *sheet.names(rows[0]), why)
            self._asking.in_vain(why)
            return
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            await self._ask(sheet, part, problem, TRIES_OF_PARTS)

    def _enter(self, sheet: _Sheet, row_of: dict[int, int], reply: Reply) -> str:
        """Write down what the reply says; what is wrong with the rest."""
        verdicts, wrong = read_verdicts(reply.text, list(row_of))
        for number, verdict in verdicts.items():
            told = None
            if verdict.position is not None:
                told = grade_probabilities(reply.tokens, reply.text, verdict.position, verdict.grade)
            row = row_of[number]
            sheet.probabilities[row] = one_hot(verdict.grade) if told is None else told
            sheet.reasons[row] = verdict.reason and self._asking.client.hide(verdict.reason)
        if wrong and reply.finish == "length":
            wrong = f"it was cut off at the longest length allowed; {wrong}"
        return wrong


class _Sheet:
    """A block's pairs and what is known of them so far."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs
        self.probabilities = np.full((len(pairs), 3), np.nan)
        self.cost = np.zeros(len(pairs))
        self.reasons: list[str | None] = [None] * len(pairs)

    @property
    def graded(self) -> Graded:
        return Graded(self.probabilities, self.cost, self.reasons)

    def answered(self, row: int) -> bool:
        return not np.isnan(self.probabilities[row, 0])

    def names(self, row: int) -> tuple[str, str]:
        return self.pairs[row].query_id, self.pairs[row].item_id


def _run(work: Coroutine[Any, Any, bool]) -> bool:
    """Run it to its end, also from inside a running loop (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
