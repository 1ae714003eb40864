"""How fast requests may follow each other: limits a minute, and waiting when the server says so."""

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pace:
    """Evenly spaced requests within limits on requests and tokens a minute.

    A request of t tokens takes the interval max(60 / requests_per_minute, 60 t / tokens_per_minute) to itself, so
    that any minute holds at most requests_per_minute of them, and the tokens of all but its last one are within
    theirs. Evenly rather than in bursts, because providers enforce a limit of 60 a minute as one a second.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._a_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._a_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._next = self._closed_until = -float("inf")

    async def turn(self, tokens: int) -> None:
        """Wait until a request of this many tokens may go."""
        start = max(self._clock(), self._next)
        self._next = start + max(self._a_request, tokens * self._a_token)
        # closed anew while waiting: wait again
        while (wait := max(start, self._closed_until) - self._clock()) > 0:
            await self._sleep(wait)

    def close(self, seconds: float) -> None:
        """Nobody goes for so long: the server asked for it."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)
