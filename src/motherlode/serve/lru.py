"""Ready-made answers, the ones asked for last kept: bounded by their bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

OVERHEAD = 500  # bytes an entry costs besides its answer, roughly


class Lru:
    """Key -> bytes; the least recently used go where all together would be larger than `most`. For one thread."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._answers: OrderedDict[Hashable, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Hashable) -> bytes | None:
        """The answer, which is then the one used last; None where it is not held."""
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: Hashable, answer: bytes) -> None:
        """Keep an answer, unless it alone is too large."""
        before = self._answers.pop(key, None)
        if before is not None:
            self._held -= len(before) + OVERHEAD
        if len(answer) + OVERHEAD > self._most:
            return
        self._answers[key] = answer
        self._held += len(answer) + OVERHEAD
        while self._held > self._most:
            _, dropped = self._answers.popitem(last=False)
            self._held -= len(dropped) + OVERHEAD

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()
        self._held = 0
