"""Dense, lexical and learned sparse retrieval, blending, and the store that holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from motherlode.lazy import lazily

if TYPE_CHECKING:
    from motherlode.index.candidates import Candidates
    from motherlode.index.dense import DenseIndex
    from motherlode.index.filters import Filter
    from motherlode.index.lexical import LexicalIndex
    from motherlode.index.milvus import MilvusIndex
    from motherlode.index.protocol import Retriever
    from motherlode.index.publishing import SparsePlan
    from motherlode.index.selection import Selection
    from motherlode.index.sparse import SparseIndex
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
    "SparseIndex": "sparse",
    "SparsePlan": "publishing",
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
    "SparseIndex",
    "SparsePlan",
]

__getattr__ = lazily(__name__, _HOME)
