"""Readers of public data sets into the canonical tables: `names()`, `info(name)` and `load(name, out)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motherlode.datasets.registry import info, load, names

__all__ = ["info", "load", "names"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from motherlode.datasets import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
