"""How fast people work: from the times of their verdicts, without their breaks."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from itertools import pairwise
from statistics import median

PAUSE = 300.0  # seconds: who has given no verdict for so long is at rest
WINDOW = 50  # verdicts looked back upon
ENOUGH = 3  # gaps before a pace is told


class Pace:
    """Seconds a verdict takes each person: the median gap between their latest verdicts, breaks left out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))

    def tick(self, person: str) -> None:
        """A verdict was given now."""
        self._times[person].append(self._clock())

    def seconds(self, person: str) -> float | None:
        """Seconds a verdict; None before it can be told."""
        times = list(self._times[person])
        gaps = [later - earlier for earlier, later in pairwise(times)]
        gaps = [gap for gap in gaps if gap < PAUSE]
        return median(gaps) if len(gaps) >= ENOUGH else None

    def left(self, person: str, own: int, all_left: int) -> float | None:
        """Seconds until all is done: `own` verdicts by this person alone, or `all_left` by all who are at work.

        min(own · s_p, all_left / Σ_q 1/s_q) over the people q who gave a verdict within PAUSE; None where the
        person's pace is not known.
        """
        pace = self.seconds(person)
        if pace is None:
            return None
        now = self._clock()
        at_work = [name for name, times in self._times.items() if name == person or (times and now - times[-1] < PAUSE)]
        rates = [1 / max(seconds, 0.1) for name in at_work if (seconds := self.seconds(name)) is not None]
        return min(own * pace, all_left / sum(rates))
