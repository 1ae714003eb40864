"""What glibc is told, so that a server which exchanges versions for weeks does not grow; nothing with other libraries.

Versions come and go in several threads and leave holes between what stays. glibc keeps such pages, and what one
exchange needs beyond the holes that fit is added to them: for hours, ever more slowly.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

ARENAS, MOST_ARENAS = -8, 2  # glibc's M_ARENA_MAX


def few_arenas() -> None:
    """Let threads share glibc's heaps: with one each, what every new version leaves behind adds up over hours."""
    with suppress(OSError, AttributeError):  # another C library
        _libc().mallopt(ARENAS, MOST_ARENAS)


def give_back() -> None:
    """Give whole free pages back to the system, those between what is held included: about a millisecond."""
    with suppress(OSError, AttributeError):
        _libc().malloc_trim(0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL("libc.so.6")
