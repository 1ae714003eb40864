"""Putting requests to a server: several at once, in a dialect that it turns out to speak, until the budget ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from motherlode.endpoint.client import ChatClient, log
from motherlode.endpoint.dialect import Dialect
from motherlode.endpoint.errors import DeclinedError, EndpointError, GivenUpError, SpentError
from motherlode.endpoint.reply import Reply
from motherlode.endpoint.settings import EndpointSettings

TRIES = 4  # of a request that the server answers badly while it is well
TRIES_OF_PARTS = 2  # once a request has been taken apart to find what is at fault in it
IN_VAIN = 3  # single things without an answer, and never one with: it is not their fault


class Asking:
    """A client, and what has been found out about its server."""

    def __init__(self, settings: EndpointSettings, client: ChatClient, dialect: Dialect) -> None:
        self.settings, self.client = settings, client
        self._dialect, self._in_vain = dialect, 0

    async def side_by_side(self, parts: Sequence[list[int]], ask: Callable[[list[int]], Awaitable[None]]) -> bool:
        """Ask for each part, `settings.concurrency` at a time; whether the budget ended before all were asked.

        Whatever else `ask` raises ends all of them.
        """
        waiting, spent = deque(parts), False
        if not waiting:
            return False

        async def work() -> None:
            nonlocal spent
            while waiting and not spent:
                try:
                    await ask(waiting.popleft())
                except SpentError:
                    spent = True  # those under way finish: they are paid for

        async with self.client:
            workers = [asyncio.create_task(work()) for _ in range(min(self.settings.concurrency, len(waiting)))]
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

    async def reply(
        self, sent: list[dict[str, str]], shape: dict[str, Any], tokens: int, tries: int
    ) -> tuple[Reply, float] | str:
        """The reply to these messages in this JSON shape and what it cost, or why the server cannot take them."""
        while True:
            used = self._dialect
            body = {"model": self.settings.model, **used.body(sent, shape, tokens)}
            if self.settings.temperature is not None:
                body["temperature"] = self.settings.temperature
            try:
                return await self.client.ask(body | self.settings.extra, tokens, tries)
            except DeclinedError as declined:
                if declined.too_long or not self._phrase_anew(used, str(declined)):
                    return str(declined)
            except GivenUpError as given_up:
                # some servers break (HTTP 500) on a field they do not know instead of declining it
                if given_up.slow or self.client.answered or not self._phrase_anew(used, str(given_up)):
                    return str(given_up)

    def in_vain(self, why: str) -> None:
        """Note that a single thing stays without an answer. Raises EndpointError where nothing ever had one."""
        self._in_vain += 1
        if self._in_vain >= IN_VAIN and not self.client.answered:
            raise EndpointError(f"{self.settings.url} is there but answers none of our requests ({why}).")

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
        lesser = used.lesser(complaint, guess=not self.client.answered)
        if lesser is None:
            return False
        log.info("%s declines (%s): asking with %s", self.settings.url, complaint, lesser)
        self._dialect = lesser
        return True
