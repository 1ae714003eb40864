"""Texts to sparse vectors: each distinct text once, by length, kept on disk beside the fingerprint of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import fingerprint, replacing
from motherlode.encoders.fingerprint import hash_tensors, tokenizer_json
from motherlode.progress import bar
from motherlode.sparse.term_vectors import TermVectors

if TYPE_CHECKING:
    from torch import Tensor

    from motherlode.encoders.tokens import TokenStore
    from motherlode.sparse.term_encoder import TermEncoder

CHUNK = 2_048  # distinct texts between two records of how far the job is
AT_ONCE = 256  # texts whose weights over all terms are in memory at once


def encode_terms(
    encoder: TermEncoder,
    texts: Sequence[str],
    task: str,
    folder: Path | str,
    *,
    bf16: bool = False,
    what: str = "encoding terms",
) -> TermVectors:
    """Weights W of `texts`, task "query" or "document"; a text's vector does not hang on what stands beside it
    beyond rounding.

    Parts are files of `folder` named by weights, settings and texts, so they are never stale; a killed job goes on
    after its last part. `bf16` halves the time on hardware that has it, and costs the third digit of a weight.
    """
    distinct, place = np.unique(np.array(list(texts), dtype=object), return_inverse=True)
    key = fingerprint(terms_fingerprint(encoder), task, bf16, list(distinct))
    store = encoder.store(list(distinct), task)
    order = np.argsort(store.lengths, kind="stable")
    parts = []
    with bar(what, len(distinct), "texts") as advance:
        for begin in range(0, len(distinct), CHUNK):
            rows = order[begin : begin + CHUNK]
            path = Path(folder) / f"{key}.{begin}.npz"
            if not path.exists():
                _write(path, _encoded(encoder, store, rows, bf16))
            with np.load(path, allow_pickle=False) as held:
                parts.append(TermVectors(held["indptr"], held["terms"], held["weights"], encoder.width))
            advance(len(rows))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return TermVectors.joined(parts, encoder.width).take(back[place.reshape(-1)])


def terms_of(encoder: TermEncoder, texts: Sequence[str], task: str, table: Tensor) -> TermVectors:
    """The same for a few texts, without a file; `table` is `encoder.table()`, made once for all calls."""
    return _encoded(encoder, encoder.store(texts, task), np.arange(len(texts)), False, table)


def terms_fingerprint(encoder: TermEncoder) -> str:
    """16 hex digits over every tensor, the settings, the tokenizer and the prompts."""
    import hashlib

    digest = hashlib.blake2b(digest_size=8)
    first = encoder.backbone.source[0]
    settings = [encoder.settings, getattr(first, "max_seq_length", None), encoder.backbone.source.prompts]
    digest.update(repr(settings).encode() + tokenizer_json(first.tokenizer).encode())
    hash_tensors(digest, encoder.state_dict().items())
    return digest.hexdigest()


def _encoded(
    encoder: TermEncoder, store: TokenStore, rows: NDArray[np.int64], bf16: bool, table: Tensor | None = None
) -> TermVectors:
    import torch

    training = encoder.training
    encoder.eval()
    parts = []
    half = torch.autocast(encoder.device.type, torch.bfloat16) if bf16 else nullcontext()
    with torch.no_grad(), half:
        table = encoder.table() if table is None else table
        for begin in range(0, len(rows), AT_ONCE):
            both = store.vectors(rows[begin : begin + AT_ONCE], lambda f, task: encoder(f, task, table))  # type: ignore[arg-type]
            weights = both[:, 1]
            parts.append(TermVectors.from_dense(weights.cpu().numpy()))
    encoder.train(training)
    return TermVectors.joined(parts, encoder.width)


def _write(path: Path, vectors: TermVectors) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, indptr=vectors.indptr, terms=vectors.terms, weights=vectors.weights)
