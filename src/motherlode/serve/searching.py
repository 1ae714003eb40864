"""From many requests at once to one thread that searches: batches, time-outs, refusal, ready-made answers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, perf_counter

from motherlode.serve.answering import Answer, Answering
from motherlode.serve.asks import Ask
from motherlode.serve.errors import busy, late
from motherlode.serve.live import Live
from motherlode.serve.lru import Lru
from motherlode.serve.metrics import Metrics
from motherlode.serve.settings import Settings

LOG = logging.getLogger(__name__)
QUICK = 0.003  # seconds of a search that the event loop may be kept busy with; ours


@dataclass(frozen=True, eq=False)
class Waiting:
    """An ask, who waits for its answer, and until when."""

    ask: Ask
    future: asyncio.Future[tuple[bytes, Answering]]
    until: float


class Searching:
    """Answers asks about one index, in one thread of its own or, where that is quick, on the spot.

    The thread takes all asks that wait, up to `settings.batch`, and answers them together: queries that come
    while it works are encoded in one go, and one that comes alone waits for nobody. Every answer is made from one
    version, the one served when its batch began. Where one of the last two searches was quick and nobody else is
    searching, the hand-over would cost more than it is worth: such an ask is answered by the event loop itself. One
    alone may have been slow because another process had the processor; two in a row are slow themselves.
    """

    def __init__(self, live: Live, settings: Settings, metrics: Metrics) -> None:
        self.live = live
        self._settings, self._metrics = settings, metrics
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        self._under_way = 0  # asks that the thread has not answered, or that this turn of the loop has
        self._quick, self._slow_once = False, True  # whether the last two searches allow the event loop to search
        self._ready = Lru(settings.cache_bytes)
        self._ready_of: Answering | None = None
        self._thread = Thread(target=self._work, name=f"search {live.name}", daemon=True)
        self._thread.start()

    async def ask(self, ask: Ask) -> bytes:
        """The answer (all but its first brace and what is of the request alone).

        Raises Refused: 429 where too many wait already, 503 where it is not answered in time, 404 or 409 where it
        cannot be.
        """
        answering = self.renewed()
        held = self._ready.get(ask)
        self._metrics.cached(held is not None)
        if held is not None:
            return held
        alone = self._quick and not self._under_way
        answer, of = self._at_once(ask, answering) if alone else await self._in_turn(ask)
        if of is self._ready_of:
            self._ready.put(ask, answer)
        return answer

    def renewed(self) -> Answering:
        """The version served now; what is kept of another is let go."""
        answering = self.live.now
        if answering is not self._ready_of:
            self._ready.clear()
            self._ready_of, self._quick, self._slow_once = answering, False, True
        return answering

    def close(self) -> None:
        """Answer what waits, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _at_once(self, ask: Ask, answering: Answering) -> tuple[bytes, Answering]:
        self._under_way += 1
        self._loop.call_soon(self._over, 1)  # what else came in this turn goes to the thread, together
        (answer,), seconds = self._answered(answering, [ask])
        self._took(seconds)
        if isinstance(answer, Exception):
            try:
                raise answer
            finally:
                del answer, answering  # or the error and this frame would hold each other, and the version
        return answer, answering

    async def _in_turn(self, ask: Ask) -> tuple[bytes, Answering]:
        if self._waiting.qsize() >= self._settings.waiting:
            self._metrics.shed()
            raise busy("searches")
        seconds = self._settings.search_timeout
        waiting = Waiting(ask, self._loop.create_future(), monotonic() + seconds)
        self._under_way += 1
        self._waiting.put(waiting)
        timer = self._loop.call_later(seconds, _expire, waiting.future, seconds)
        try:
            return await waiting.future
        finally:
            timer.cancel()

    def _over(self, count: int) -> None:
        self._under_way -= count

    def _took(self, seconds: float) -> None:
        slow = seconds >= QUICK
        self._quick, self._slow_once = not (slow and self._slow_once), slow

    def _work(self) -> None:
        last = False
        while not last:
            taken, last = self._next()
            if taken:
                self._answer(taken)
            taken = []  # while it waits for the next it keeps nothing: a version that was exchanged can go

    def _answer(self, taken: list[Waiting]) -> None:
        now = monotonic()
        batch = [one for one in taken if not one.future.done() and one.until > now]
        answering = self.live.now
        answers, seconds = self._answered(answering, [one.ask for one in batch]) if batch else ([], 0.0)
        self._loop.call_soon_threadsafe(self._deliver, len(taken), batch, answers, answering, seconds)

    def _answered(self, answering: Answering, asks: list[Ask]) -> tuple[list[Answer], float]:
        """The answers, and the seconds they took."""
        began = perf_counter()
        answers = _answers(answering, asks)
        seconds = perf_counter() - began
        self._metrics.searched(len(asks), seconds)
        return answers, seconds

    def _deliver(
        self, taken: int, batch: list[Waiting], answers: list[Answer], answering: Answering, seconds: float
    ) -> None:
        self._over(taken)
        if answering is self._ready_of:
            self._took(seconds)
        for one, answer in zip(batch, answers, strict=True):
            if one.future.done():  # nobody waits any more
                continue
            if isinstance(answer, Exception):
                one.future.set_exception(answer)
            else:
                one.future.set_result((answer, answering))

    def _next(self) -> tuple[list[Waiting], bool]:
        """The asks to answer next, and whether no others will come."""
        first = self._waiting.get()
        if first is None:
            return [], True
        batch = [first]
        try:
            while len(batch) < self._settings.batch:
                another = self._waiting.get_nowait()
                if another is None:
                    return batch, True
                batch.append(another)
        except Empty:
            pass
        return batch, False


def _answers(answering: Answering, asks: list[Ask]) -> list[Answer]:
    """All together; where that fails, one by one, so that an ask that cannot be answered fails alone."""
    try:
        return answering.answers(asks)
    except Exception as error:  # whatever it is, somebody waits for an answer
        if len(asks) > 1:
            return [answer for ask in asks for answer in _answers(answering, [ask])]
        LOG.exception("a search failed")
        return [error]


def _expire(future: asyncio.Future[tuple[bytes, Answering]], seconds: float) -> None:
    if not future.done():
        future.set_exception(late(f"The search took longer than {seconds:g} seconds."))
