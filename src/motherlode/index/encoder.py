"""The query encoder of an index: a standard sentence-transformers folder, loaded when first needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError
from motherlode.index.analysis import encodable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Encode = Callable[[list[str]], NDArray[np.float32]]


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


def query_encoder(folder: Path | str) -> Encode:
    """What `encode` does with the encoder in `folder`; InputError where it cannot be read.

    A static encoder (a table of token vectors, averaged, then linear heads) is computed with a few array operations:
    for one short query that takes a tenth of the time, and the vectors differ by rounding alone.
    """
    encoder = load(folder)
    return _static(encoder) or (lambda texts: encode(encoder, texts))


def _static(encoder: SentenceTransformer) -> Encode | None:
    """The query route of a static encoder, None where it is anything else."""
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Router, StaticEmbedding
    from torch import nn

    first, *rest = encoder.children()
    if not isinstance(first, StaticEmbedding) or (encoder.prompts or {}).get("query"):
        return None
    route: list[nn.Module] = []
    for module in rest:
        route.extend(module.sub_modules["query"] if isinstance(module, Router) else [module])
    heads = [module for module in route if not isinstance(module, Normalize)]
    if any(isinstance(module, Normalize) for module in route[:-1]) or not all(
        isinstance(head, Dense) and isinstance(head.activation_function, nn.Identity) for head in heads
    ):
        return None
    table = first.embedding.weight.detach().float().numpy()
    maps = []
    for head in heads:
        linear: Any = head.linear
        bias = linear.bias.detach().float().numpy() if linear.bias is not None else None
        maps.append((np.ascontiguousarray(linear.weight.detach().float().numpy().T), bias))
    tokenizer = first.tokenizer

    def run(texts: list[str]) -> NDArray[np.float32]:
        found = np.zeros((len(texts), table.shape[1]), dtype=np.float32)
        encoded = tokenizer.encode_batch([encodable(text) for text in texts], add_special_tokens=False)
        for number, tokens in enumerate(encoded):
            if tokens.ids:
                found[number] = table[tokens.ids].mean(axis=0)
        for weight, bias in maps:
            found = found @ weight if bias is None else found @ weight + bias
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)

    return run
