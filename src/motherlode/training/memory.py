"""Stop glibc from handing freed blocks back to the kernel between steps."""

import ctypes
import sys

M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1


def keep_freed_memory() -> None:
    """Make large freed blocks reusable at once: activations of every step then cost no new page faults.

    A training step on a CPU allocates and frees gigabytes; by default glibc maps and unmaps each large block,
    and the page faults take a sixth of the time. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
