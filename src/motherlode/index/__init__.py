"""Dense and lexical retrieval, blending, and the store that holds them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motherlode.index.candidates import Candidates
    from motherlode.index.dense import DenseIndex
    from motherlode.index.filters import Filter
    from motherlode.index.lexical import LexicalIndex
    from motherlode.index.milvus import MilvusIndex
    from motherlode.index.protocol import Retriever
    from motherlode.index.selection import Selection
    from motherlode.index.store import Hit, Index

_HOME = {
    "Candidates": "candidates",
    "DenseIndex": "dense",
    "Filter": "filters",
    "Hit": "store",
    "Index": "store",
    "LexicalIndex": "lexical",
    "MilvusIndex": "milvus",
    "Retriever": "protocol",
    "Selection": "selection",
}
__all__ = [
    "Candidates",
    "DenseIndex",
    "Filter",
    "Hit",
    "Index",
    "LexicalIndex",
    "MilvusIndex",
    "Retriever",
    "Selection",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
