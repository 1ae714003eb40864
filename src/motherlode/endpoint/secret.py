"""The key to an endpoint: read from the environment when a request is sent, and struck out of whatever comes back."""

import os
import re

from motherlode.errors import SettingError

HIDDEN = "[key]"
SHORTEST = 8  # "EMPTY", "none" and other stand-ins for servers that want no key are no secrets


class Secret:
    """A key by the name of its environment variable; the value is looked up at each use and held nowhere."""

    def __init__(self, variable: str) -> None:
        self.variable = variable

    def headers(self) -> dict[str, str]:
        """The header that proves who asks; none where the variable is not set.

        Raises SettingError where the variable holds what no key can (a blank or a line end inside, an accent).
        """
        value = self._value()
        # looked at here, because a library that refuses a header quotes it
        if not re.fullmatch(r"[!-~]*", value):
            raise SettingError(f"The environment variable {self.variable} holds no key: set it to the key alone.")
        return {"Authorization": f"Bearer {value}"} if value else {}

    def hide(self, text: str) -> str:
        """The text without the key."""
        value = self._value()
        return text.replace(value, HIDDEN) if len(value) >= SHORTEST else text

    def __repr__(self) -> str:
        return f"Secret({self.variable})"

    def _value(self) -> str:
        return os.environ.get(self.variable, "").strip()
