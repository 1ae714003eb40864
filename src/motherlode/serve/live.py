"""The version of an index that is being served, exchanged for the next one while searches go on."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import RLock

from motherlode.errors import InputError, MissingError
from motherlode.index import versions
from motherlode.index.store import Index
from motherlode.serve.answering import Answering
from motherlode.serve.encoding import Encoders
from motherlode.serve.keys import stamp_of
from motherlode.serve.strata import FILE, Strata

LOG = logging.getLogger(__name__)
ATTEMPTS = 5  # to open a version that others replace meanwhile
WARM = ["warm"]  # encoded once before the first search, which then does not wait for it


class Live:
    """`now` answers; `look` and `adopt` replace it when there is another version, from any thread.

    A search that began with the old version ends with it: its files are open and stay readable though their names
    may be gone. The encoder is kept as long as its fingerprint stays, so a change of items costs no model.
    """

    def __init__(self, name: str, folder: Path, thresholds: Path | None = None) -> None:
        """Open the current version; thresholds lie in `folder`, or else in the other folder given.

        Raises MissingError or InputError where there is none that can be read.
        """
        self.name, self.folder = name, Path(folder)
        self._thresholds = (self.folder, *([thresholds] if thresholds else []))
        self._lock = RLock()
        self._stamp = self._seen()
        self.now = self._opened()

    def look(self) -> bool:
        """Serve what `folder` holds now if it is not what is served; whether anything was exchanged.

        Raises MissingError or InputError where the new one cannot be read; the old one is served on.
        """
        with self._lock:
            stamp = self._seen()
            if stamp == self._stamp:
                return False
            self.now = self._opened()
            self._stamp = stamp
            return True

    def adopt(self, index: Index) -> None:
        """Serve a version that was just published here, unless there is a newer one already."""
        with self._lock:
            stamp = self._seen()
            if versions.current(self.folder) == index.folder:
                self.now = self._with(index)
                self._stamp = stamp
            else:
                self.look()

    def _seen(self) -> tuple[tuple[int, int] | None, ...]:
        """Changes whenever a version or thresholds are published; both files are replaced, never written into."""
        files = [self.folder / versions.CURRENT, *(folder / FILE for folder in self._thresholds)]
        return tuple(stamp_of(path) for path in files)

    def _opened(self) -> Answering:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._with(Index.open(self.folder))
            except (InputError, MissingError, FileNotFoundError):
                continue  # it went while it was being opened, if the next attempt succeeds
        return self._with(Index.open(self.folder))

    def _with(self, index: Index) -> Answering:
        held: Answering | None = getattr(self, "now", None)
        if held and held.encoders.weights == index.facts["weights"]:
            encoders = held.encoders
        else:
            encoders = Encoders(index.folder / "encoder", index.facts)
        answering = Answering(self.name, index, encoders, self._strata(index.facts["weights"], held))
        answering.index.legs(WARM, 1, "hybrid", None, encoders.queries(WARM))
        return answering

    def _strata(self, weights: str, held: Answering | None) -> Strata | None:
        """The thresholds of this encoder: another's cosines mean something else."""
        try:
            found = [strata for strata in map(Strata.load, self._thresholds) if strata]
        except InputError as error:
            if held is None:
                raise
            LOG.error("%s", error)  # a damaged file is no reason not to serve new items
            found = [held.strata] if held.strata else []
        return next((strata for strata in found if strata.weights in (None, weights)), None)
