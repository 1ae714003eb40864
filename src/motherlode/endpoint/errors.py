"""What can go wrong with an endpoint: what ends a job, and what only one request's caller needs to know."""

from motherlode.grading.budget import Interrupted


class EndpointError(Interrupted):
    """The server cannot be used, or was away for longer than the patience for it; the job may be run again."""


class DeclinedError(Exception):
    """The server will not take this request as it is (HTTP 400 and the like): sending it again would not help."""

    def __init__(self, text: str, too_long: bool) -> None:
        super().__init__(text)
        self.too_long = too_long


class GivenUpError(Exception):
    """This request fails again and again while the server answers others; `slow` where it timed out."""

    def __init__(self, text: str, slow: bool) -> None:
        super().__init__(text)
        self.slow = slow


class SpentError(Exception):
    """The budget does not allow this request, and no other is under way whose end could give something back."""
