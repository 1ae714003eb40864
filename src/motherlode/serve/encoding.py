"""The encoder inside an index: queries as they are searched, items as they were indexed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.index.analysis import encodable
from motherlode.index.encoder import load, query_encoder
from motherlode.text.template import item_text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

LEVELS = 2  # of the taxonomy in an item's text, where the index does not say


class Encoders:
    """Both routes of the encoder in `folder`; that of items is loaded when the first one is to be encoded."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """facts: index.json; it holds the recipe that says what an item's text is."""
        self.weights: str = facts["weights"]
        self._queries = query_encoder(folder)
        self._items: SentenceTransformer | None = None
        recipe = facts["facts"].get("recipe") or {}
        self._levels = int(recipe.get("text", {}).get("levels", LEVELS))

    def queries(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit vectors [Q, d]."""
        return self._queries(texts)

    def items(self, records: Sequence[Mapping[str, Any]], folder: Path) -> NDArray[np.float32]:
        """Unit vectors [n, d] of catalogue records; folder: where the same encoder lies now."""
        if self._items is None:
            self._items = load(folder).eval()
        model = self._items
        texts = [encodable(item_text(one["title"], one.get("taxonomy"), self._levels)) for one in records]
        vectors = model.encode(
            texts,
            prompt_name="document" if (model.prompts or {}).get("document") else None,
            task="document",
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)
