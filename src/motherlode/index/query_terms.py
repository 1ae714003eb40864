"""The term encoder of an index: read when first asked for, the weights of the last queries kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motherlode.index.analysis import encodable
from motherlode.sparse.term_vectors import TermVectors

if TYPE_CHECKING:
    from torch import Tensor

    from motherlode.sparse.term_encoder import TermEncoder

KEPT = 512  # queries: a search and its blend ask for the same ones


class QueryTerms:
    """Term weights by the encoder in `folder`, as `TermEncoder.save` wrote it."""

    def __init__(self, folder: Path, served: int | None = None) -> None:
        """served: terms of a query that are kept; None: all."""
        self._folder, self._served = folder, served
        self._kept: dict[str, TermVectors] = {}

    @cached_property
    def _loaded(self) -> tuple[TermEncoder, Tensor]:
        """The encoder and its table. Raises MissingError or InputError for a folder that holds none."""
        from motherlode.sparse.term_encoder import TermEncoder

        encoder = TermEncoder.load(self._folder)
        return encoder, encoder.table().detach()

    def queries(self, texts: Sequence[str]) -> TermVectors:
        """Of query texts, as `served_terms` keeps them."""
        known = {text: one for text in texts if (one := self._kept.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            made = served_terms(self._terms(missing, "query"), self._served)
            fresh = {text: made.take(np.array([row])) for row, text in enumerate(missing)}
            known |= fresh
            if len(self._kept) > KEPT:
                self._kept.clear()
            self._kept |= fresh
        if len(texts) == 1:
            return known[texts[0]]
        return TermVectors.joined([known[text] for text in texts], self._loaded[0].width)

    def items(self, texts: Sequence[str]) -> TermVectors:
        """Of item texts."""
        return self._terms(texts, "document")

    def _terms(self, texts: Sequence[str], task: str) -> TermVectors:
        from motherlode.sparse.encode import terms_of

        encoder, table = self._loaded
        return terms_of(encoder, [encodable(text) for text in texts], task, table)


def served_terms(queries: TermVectors, served: int | None) -> TermVectors:
    """The strongest terms of each query, all for None, at length 1: scores then mean the same for every query."""
    return (queries if served is None else queries.strongest(served)).normalised()
