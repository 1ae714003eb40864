"""What the routes ask: indexes by name, who may do what, and the work that goes on beside requests."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motherlode.errors import MotherlodeError, SettingError
from motherlode.serve.errors import Refused
from motherlode.serve.grades import Grades
from motherlode.serve.keys import Keys, Scope
from motherlode.serve.live import Live
from motherlode.serve.memory import give_back
from motherlode.serve.metrics import Metrics
from motherlode.serve.overview import filters, overview
from motherlode.serve.publishing import Publishing
from motherlode.serve.recommending import Recommending, none
from motherlode.serve.searching import Searching
from motherlode.serve.settings import Settings

if TYPE_CHECKING:
    from motherlode.serve.answering import Answering

LOG = logging.getLogger(__name__)
THRESHOLDS = "thresholds"  # folder of a workspace


class Desk:
    """Holds everything that serves; `begin` and `end` are the lifespan."""

    def __init__(self, settings: Settings) -> None:
        if not settings.indexes:
            raise SettingError("There is no index to serve: name a workspace or a folder.")
        self._settings = settings
        self.first = next(iter(settings.indexes))
        self.keys = Keys(settings.keys)
        self.metrics = Metrics()
        self.ready = False
        self._lives = {name: Live(name, folder, self._thresholds(name)) for name, folder in settings.indexes.items()}
        workspace = settings.workspace
        self._grades = Grades(workspace) if workspace else None
        self._recommending = Recommending(workspace) if workspace else None
        self._filters: tuple[Answering, dict[str, Any]] | None = None
        self._told: dict[str, Answering] = {}

    async def begin(self) -> None:
        """Start the threads and the look-out for new versions."""
        _limit_threads(self._settings.threads)
        self._searching = {name: Searching(live, self._settings, self.metrics) for name, live in self._lives.items()}
        self._publishing = {name: Publishing(live, self._settings, self.metrics) for name, live in self._lives.items()}
        self._look_out = asyncio.create_task(self._look())
        self.ready = True

    async def end(self) -> None:
        """Publish and answer what waits, then stop."""
        self.ready = False
        self._look_out.cancel()
        with suppress(asyncio.CancelledError):
            await self._look_out
        for publishing in self._publishing.values():
            await asyncio.to_thread(publishing.close)
        for searching in self._searching.values():
            await asyncio.to_thread(searching.close)
        if self._grades:
            self._grades.close()

    def may(self, scope: Any, given: str | None, wanted: Scope) -> None:
        """Refuse who may not, and note whose key was given. Reading is free until there is a read key."""
        if wanted == "read" and not self.keys.guard_reads:
            return
        key = self.keys.who(given) if given else None
        if key is None:
            if wanted == "write" and not self.keys.any:
                raise Refused(403, "no_keys", "Changes need a key, and none was made: make one with `motherlode key`.")
            raise Refused(401, "no_key", "This needs a key: send it as 'Authorization: Bearer KEY'.")
        scope["key"] = key.name
        if wanted == "write" and key.scope != "write":
            raise Refused(403, "read_only", "This key may read, not write.")

    def searching(self, name: str | None) -> Searching:
        """Who answers for an index. Raises Refused where there is none of this name."""
        return self._searching[self._named(name)]

    def publishing(self, name: str | None) -> Publishing:
        """Who changes an index."""
        return self._publishing[self._named(name)]

    def recommending(self, name: str | None) -> Recommending:
        """Who recommends from an index: the workspace's does for the first."""
        if self._named(name) != self.first or self._recommending is None:
            raise none(self._named(name))
        return self._recommending

    def grades(self, name: str | None) -> Grades:
        """Who takes grades."""
        if self._grades is None or self._named(name) != self.first:
            raise Refused(409, "no_ledger", f"The index '{self._named(name)}' has no workspace, so no ledger.")
        return self._grades

    def facts(self) -> dict[str, Any]:
        """What is served. Values to filter by are those of the first index."""
        now, held = self._lives[self.first].now, self._filters
        if held is None or held[0] is not now:
            held = self._filters = now, filters(now)
        return {
            "indexes": [overview(live.now) for live in self._lives.values()],
            "filters": held[1],
            "grading": self._grades is not None and (self.keys.any or self._settings.local),
        }

    async def _look(self) -> None:
        """Every little while: exchange what others have published, read keys again, tell which version is served."""
        while True:
            exchanged = False
            for name, live in self._lives.items():
                try:
                    await asyncio.to_thread(live.look)
                except (MotherlodeError, OSError) as error:  # served on as it was; the next look tries again
                    self.metrics.unreadable(name)
                    LOG.error("a new version of '%s' cannot be read: %s", name, error)
                exchanged |= self._exchanged(name)
            if exchanged:
                await asyncio.to_thread(give_back)
            try:
                self.keys.refresh()
            except MotherlodeError as error:  # the keys read before stay
                LOG.error("%s", error)
            await asyncio.sleep(self._settings.look_every)

    def _exchanged(self, name: str) -> bool:
        """Whether there is another version than at the last look; what is kept of that one is then let go."""
        now, before = self._searching[name].renewed(), self._told.get(name)
        if now is before:
            return False
        self.metrics.serves(name, now.version, now.index.facts["items"], before is not None)
        self._told[name], self._filters = now, None
        return before is not None

    def _named(self, name: str | None) -> str:
        name = name or self.first
        if name not in self._lives:
            raise Refused(404, "no_such_index", f"There is no index {name[:80]!r} here.")
        return name

    def _thresholds(self, name: str) -> Path | None:
        """Where a workspace keeps the thresholds of its index."""
        return self._settings.workspace / THRESHOLDS if self._settings.workspace and name == self.first else None


def _limit_threads(count: int) -> None:
    """More threads than cores make every search slower; faiss and torch would take all of them each."""
    import faiss
    import torch

    faiss.omp_set_num_threads(count)
    torch.set_num_threads(count)
