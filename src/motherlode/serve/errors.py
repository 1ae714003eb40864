"""What the server refuses, and with which status."""

from __future__ import annotations

from motherlode.errors import MotherlodeError


class Refused(MotherlodeError):
    """A request that is not answered as asked: HTTP status, a code for programs, a sentence for people."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


def busy(what: str) -> Refused:
    """Load is shed: come again in a second."""
    return Refused(429, "busy", f"Too many {what} are waiting: try again in a second.", 1)


def late(message: str) -> Refused:
    """Not in time."""
    return Refused(503, "timeout", message, 1)


def unexpected() -> Refused:
    """What should not happen did."""
    return Refused(500, "internal", "Something went wrong here: the log says what.")
