"""The query encoder of an index: a standard sentence-transformers folder, loaded when first needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.index.analysis import encodable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load(folder: Path | str) -> SentenceTransformer:
    """The encoder in `folder`; InputError where it cannot be read. Nothing is fetched from elsewhere."""
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(str(folder), local_files_only=True)
    except Exception as error:  # the libraries beneath raise a dozen kinds for a damaged file
        raise InputError(f"{folder} is not a whole encoder: save the model and build the index again.") from error


def encode(encoder: SentenceTransformer, texts: list[str]) -> NDArray[np.float32]:
    """Unit vectors float32[Q, d] of query texts."""
    texts = [encodable(text) for text in texts]
    vectors = encoder.encode_query(texts, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)
