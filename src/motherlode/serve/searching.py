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


@dataclass(frozen=True, eq=False)
class Waiting:
    """An ask, who waits for its answer, and until when."""

    ask: Ask
    future: asyncio.Future[tuple[bytes, Answering]]
    until: float


class Searching:
    """Answers asks about one index, in one thread of its own.

    The thread takes all asks that wait, up to `settings.batch`, and answers them together: queries that come
    while it works are encoded in one go, and one that comes alone waits for nobody. Every answer is made from one
    version, the one served when its batch began.
    """

    def __init__(self, live: Live, settings: Settings, metrics: Metrics) -> None:
        self.live = live
        self._settings, self._metrics = settings, metrics
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        self._ready = Lru(settings.cache_bytes)
        self._ready_of: Answering | None = None
        self._thread = Thread(target=self._work, name=f"search {live.name}", daemon=True)
        self._thread.start()

    async def ask(self, ask: Ask) -> bytes:
        """The answer (all but its first brace and what is of the request alone).

        Raises Refused: 429 where too many wait already, 503 where it is not answered in time, 404 or 409 where it
        cannot be.
        """
        answering = self.live.now
        if answering is not self._ready_of:  # answers of another version are of no use
            self._ready.clear()
            self._ready_of = answering
        held = self._ready.get(ask)
        self._metrics.cached(held is not None)
        if held is not None:
            return held
        if self._waiting.qsize() >= self._settings.waiting:
            self._metrics.shed()
            raise busy("searches")
        waiting = Waiting(ask, self._loop.create_future(), monotonic() + self._settings.search_timeout)
        self._waiting.put(waiting)
        try:
            async with asyncio.timeout(self._settings.search_timeout):
                answer, of = await waiting.future
        except TimeoutError:
            raise late(f"The search took longer than {self._settings.search_timeout:g} seconds.") from None
        if of is self._ready_of:
            self._ready.put(ask, answer)
        return answer

    def close(self) -> None:
        """Answer what waits, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            batch, last = self._next()
            now = monotonic()
            batch = [one for one in batch if not one.future.cancelled() and one.until > now]
            if batch:
                began = perf_counter()
                answering = self.live.now
                answers = _answers(answering, [one.ask for one in batch])
                self._metrics.searched(len(batch), perf_counter() - began)
                self._loop.call_soon_threadsafe(_deliver, batch, answers, answering)
            if last:
                return

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


def _deliver(batch: list[Waiting], answers: list[Answer], answering: Answering) -> None:
    for one, answer in zip(batch, answers, strict=True):
        if one.future.done():  # nobody waits any more
            continue
        if isinstance(answer, Exception):
            one.future.set_exception(answer)
        else:
            one.future.set_result((answer, answering))
