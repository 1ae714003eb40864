"""Names that a package offers and imports only when they are asked for: torch and its like cost seconds."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, home: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` (PEP 562): `home` says in which module below `package` each name lives."""

    def get(name: str) -> Any:
        if name in home:
            return getattr(import_module(f"{package}.{home[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
