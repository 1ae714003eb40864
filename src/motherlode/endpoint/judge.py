"""A judge behind an endpoint: pairs in, several to a request, probabilities and reasons out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import fingerprint
from motherlode.endpoint.answers import read_verdicts
from motherlode.endpoint.budget import Budget
from motherlode.endpoint.client import ChatClient, log, require_httpx
from motherlode.endpoint.dialect import Dialect
from motherlode.endpoint.errors import DeclinedError, EndpointError, GivenUpError, SpentError
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
TRIES = 4  # of a request that the server answers badly while it is well
IN_VAIN = 3  # single pairs without an answer, and never one with: it is not the pairs' fault
TRIES_OF_PARTS = 2  # once a request has been taken apart to find the pair at fault


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
        self._dialect = Dialect(settings.structured, settings.logprobs)
        self._in_vain = 0
        self._client = ChatClient(settings, Budget(settings), self.tally)

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
            used = self._client.budget.spent()
            raise BudgetSpent(
                f"The budget of {self._judge.name} is spent: {used} used, and one more request could pass it.",
                sheet.graded,
            )
        return sheet.graded

    async def _grade(self, sheet: _Sheet) -> bool:
        """Fill the sheet, several requests at once; whether the budget ended before it was full."""
        size = self.settings.pairs_per_request
        waiting = deque(range(start, min(start + size, len(sheet.pairs))) for start in range(0, len(sheet.pairs), size))
        spent = False

        async def work() -> None:
            nonlocal spent
            while waiting and not spent:
                try:
                    await self._ask(sheet, list(waiting.popleft()))
                except SpentError:
                    spent = True  # those under way finish: they are paid for

        async with self._client:
            workers = [asyncio.create_task(work()) for _ in range(min(self.settings.concurrency, len(waiting)))]
            if not workers:
                return False
            try:
                await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            finally:  # one has failed, or somebody pressed ctrl-c
                for worker in workers:
                    worker.cancel()
                ends = await asyncio.gather(*workers, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return spent

    async def _ask(self, sheet: _Sheet, rows: list[int], problem: str = "", tries: int = TRIES) -> None:
        """One request for these rows, and one more for those whose answer is unusable."""
        pairs = [sheet.pairs[row] for row in rows]
        ids = pair_ids(pairs)
        sent = messages(self.system, pairs, ids, problem)
        tokens = self.settings.request_tokens(len(rows))
        while True:
            used = self._dialect
            body = {"model": self.settings.model, **used.body(sent, schema(self.settings.reasons), tokens)}
            if self.settings.temperature is not None:
                body["temperature"] = self.settings.temperature
            try:
                reply, money = await self._client.ask(body | self.settings.extra, tokens, tries)
                break
            except DeclinedError as declined:
                if not declined.too_long and self._phrase_anew(used, str(declined)):
                    continue
                why = str(declined)
            except GivenUpError as given_up:
                why = str(given_up)
                # some servers break (HTTP 500) on a field they do not know instead of declining it
                if not given_up.slow and not self._client.answered and self._phrase_anew(used, why):
                    continue
            await self._take_apart(sheet, rows, problem, why)
            return
        sheet.cost[rows] += money / len(rows)
        wrong = self._enter(sheet, dict(zip(ids, rows, strict=True)), reply)
        left = [row for row in rows if not sheet.answered(row)]
        if left and not problem:
            self.tally.repairs += 1
            await self._ask(sheet, left, wrong)

    def _phrase_anew(self, used: Dialect, complaint: str) -> bool:
        """Whether there is another way to ask after this complaint about the one used."""
        if self._dialect != used:
            return True  # found meanwhile, by another request
        given = self.settings.temperature
        if given is not None and "temperature" in complaint.lower():
            # never left out in silence: with another temperature it is another judge
            raise EndpointError(
                f"{self.settings.model} does not take temperature={given}: set another one, or none ({complaint})."
            )
        lesser = used.lesser(complaint, guess=not self._client.answered)
        if lesser is None:
            return False
        log.info("%s declines (%s): asking with %s", self.settings.url, complaint, lesser)
        self._dialect = lesser
        return True

    async def _take_apart(self, sheet: _Sheet, rows: list[int], problem: str, why: str) -> None:
        """A request that the server cannot take: ask for its halves, down to the one pair that stays unanswered."""
        if len(rows) == 1:
            log.info("No verdict on query %s and item %s: %s", *sheet.names(rows[0]), why)
            self._in_vain += 1
            if self._in_vain >= IN_VAIN and not self._client.answered:
                raise EndpointError(f"{self.settings.url} is there but answers none of our requests ({why}).")
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
            sheet.reasons[row] = verdict.reason and self._client.hide(verdict.reason)
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
