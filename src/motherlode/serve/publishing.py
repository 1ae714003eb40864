"""Changes on their way into an index: gathered, published together, answered when they can be found.

A change is answered after the version that holds it is whole on disk and served here. So what was answered is never
lost when the process dies, and a search sent here after the answer finds it. A change without an answer (the
connection broke, the process was killed) may or may not be there; sending it again is safe, since a change says what
is to be, not what to do. Other worker processes find the version at their next look; answers name their version.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, perf_counter, sleep
from typing import Any

import numpy as np

from motherlode.errors import InputError, MissingError
from motherlode.index.changes import checked_ids, checked_items
from motherlode.index.store import Index
from motherlode.serve.errors import Refused, busy, late
from motherlode.serve.live import Live
from motherlode.serve.metrics import Metrics
from motherlode.serve.settings import BATCH_ITEMS, Settings

LOG = logging.getLogger(__name__)
AGAIN = 0.05  # seconds until the next attempt while another process writes
MOST_WAITING = 64  # changes


@dataclass(frozen=True, eq=False)
class Change:
    """Items to add or replace and ids to drop, and who waits for the version that has them."""

    items: Sequence[Mapping[str, Any]]
    dropped: Sequence[str]
    future: asyncio.Future[int]


class Publishing:
    """Publishes changes of one index from one thread, at most every `settings.publish_every` seconds."""

    def __init__(self, live: Live, settings: Settings, metrics: Metrics) -> None:
        self._live, self._settings, self._metrics = live, settings, metrics
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[Change | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"publish {live.name}", daemon=True)
        self._thread.start()

    async def change(self, items: Sequence[Mapping[str, Any]] = (), dropped: Sequence[str] = ()) -> int:
        """The version in which these items are as given and these ids are gone; it is on disk and served here.

        Raises InputError for what the catalogue cannot hold, Refused where too much waits or it is not published in
        time: then it may still come, and may be sent again.
        """
        items, dropped = checked_items(items), checked_ids(dropped)
        if self._waiting.qsize() >= MOST_WAITING:
            self._metrics.shed()
            raise busy("changes")
        change = Change(items, dropped, self._loop.create_future())
        self._waiting.put(change)
        try:
            async with asyncio.timeout(self._settings.write_timeout):
                return await change.future
        except TimeoutError:
            raise late("The change is not published yet; it may come later, and sending it again is safe.") from None

    def close(self) -> None:
        """Publish what waits, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        next_time, last = 0.0, False
        while not last:
            first = self._waiting.get()
            if first is None:
                return
            changes = [first]
            while not last and sum(len(one.items) + len(one.dropped) for one in changes) < 4 * BATCH_ITEMS:
                try:
                    another = self._waiting.get(timeout=max(next_time - monotonic(), 0.001))
                except Empty:
                    break
                if another is None:
                    last = True
                else:
                    changes.append(another)
            next_time = monotonic() + self._settings.publish_every
            self._publish(changes)

    def _publish(self, changes: list[Change]) -> None:
        outcome: int | Exception
        strange: dict[int, Exception] = {}
        began = perf_counter()
        try:
            outcome = self._published(changes, strange)
            self._metrics.published(perf_counter() - began)
        except Exception as error:  # whatever it is, somebody waits for an answer
            LOG.exception("a change could not be published")
            failed = Refused(503, "unpublished", "The change could not be published: try again.")
            # without its frames: they hold the index that was opened, and would keep it until a full collection
            outcome = error.with_traceback(None) if isinstance(error, Refused) else failed
        outcomes = [strange.get(number, outcome) for number in range(len(changes))]
        self._loop.call_soon_threadsafe(_deliver, changes, outcomes)

    def _published(self, changes: list[Change], strange: dict[int, Exception]) -> int:
        """Write them on top of whatever is current; again while other processes write, as long as anybody waits.

        A change with an item of which the encoder knows no word is left out, and `strange` says so by its number.
        """
        until = monotonic() + self._settings.write_timeout
        while True:
            try:
                index = Index.open(self._live.folder)
                self._live.look()
                encoders = self._live.now.encoders
                if encoders.weights != index.facts["weights"]:
                    continue  # a new model came between the two
                for number, one in enumerate(changes):  # in the order they came: the last word on an id wins
                    if one.items:
                        vectors = encoders.items(one.items, index.folder / "encoder")
                        empty = np.flatnonzero(~(np.linalg.norm(vectors, axis=1) > 0.5))  # true for NaN too
                        if len(empty):
                            strange[number] = _unknown(one.items[empty[0]])
                            continue
                        index.upsert(one.items, vectors)
                    if one.dropped:
                        index.delete(one.dropped)
                published = index.publish()
                self._live.adopt(published)
                return int(published.facts["version"])
            except (InputError, MissingError, FileNotFoundError) as error:
                why = str(error)
            if monotonic() > until:  # out here, so that it does not refer to the frames of the other
                raise Refused(503, "unpublished", f"The change could not be published: {why}")
            sleep(AGAIN)


def _unknown(item: Mapping[str, Any]) -> Refused:
    name = str(item["item_id"])[:80]
    return Refused(422, "invalid", f"The encoder knows no word of item {name!r}: give it a title in words.")


def _deliver(changes: list[Change], outcomes: list[int | Exception]) -> None:
    for one, outcome in zip(changes, outcomes, strict=True):
        if one.future.done():
            continue
        if isinstance(outcome, Exception):
            one.future.set_exception(outcome)
        else:
            one.future.set_result(outcome)
