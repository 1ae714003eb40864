"""Texts to unit vectors: each distinct text once, by length, kept on disk beside the fingerprint of the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motherlode.atomic import fingerprint, read_json, write_json
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.progress import bar

if TYPE_CHECKING:
    import pyarrow as pa
    from sentence_transformers import SentenceTransformer

CHUNK = 8_192  # texts between two records of how far the job is


def encode(
    model: "SentenceTransformer",
    texts: "Sequence[str] | pa.Array | pa.ChunkedArray",
    task: str,
    folder: Path | str,
    what: str = "encoding",
) -> np.memmap:
    """Unit vectors of `texts`; float32 [n, dim], memory-mapped from `folder`.

    The file is named by the weights and the texts, so vectors are never stale: the same texts under the same
    weights are read back, anything else is encoded. A killed job goes on after its last finished chunk.

    Args:
        model: encoder with routes "query" and "document".
        texts: any strings; equal ones are encoded once.
        task: the route.
        folder: where the vectors are kept.
        what: name on the progress bar.
    """
    import pyarrow as pa

    column = texts if isinstance(texts, (pa.Array, pa.ChunkedArray)) else pa.array(texts, pa.string())
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    encoded = column.dictionary_encode()
    rows, distinct = encoded.indices.to_numpy(), encoded.dictionary
    key = fingerprint(weights_fingerprint(model), task, _text_fingerprint(column))
    path, progress = Path(folder) / f"{key}.npy", Path(folder) / f"{key}.progress.json"
    if path.exists() and not progress.exists():
        return _mapped(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (len(column), model.get_embedding_dimension())
    done = int(read_json(progress)["done"]) if path.exists() and progress.exists() else 0
    if done:
        vectors = np.lib.format.open_memmap(path, mode="r+")
    else:
        write_json(progress, {"done": 0})
        vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    by_length = np.argsort(_lengths(distinct), kind="stable")
    places, starts = _places(rows, len(distinct))
    with bar(what, len(distinct), "texts", start=done) as advance:
        for begin in range(done, len(distinct), CHUNK):
            chunk = by_length[begin : begin + CHUNK]
            values = model.encode(
                distinct.take(pa.array(chunk)).to_pylist(),
                prompt_name=task if (model.prompts or {}).get(task) else None,
                task=task,
                batch_size=32,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            for text, vector in zip(chunk, values, strict=True):
                vectors[places[starts[text] : starts[text + 1]]] = vector
            vectors.flush()
            write_json(progress, {"done": begin + len(chunk)})
            advance(len(chunk))
    progress.unlink()
    return _mapped(path)


def _mapped(path: Path) -> np.memmap:
    vectors: np.memmap = np.load(path, mmap_mode="r")
    return vectors


def _places(rows: np.ndarray, distinct: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each distinct text, CSR."""
    order = np.argsort(rows, kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=distinct))])


def _lengths(texts: "pa.Array") -> np.ndarray:
    import pyarrow.compute as pc

    return np.asarray(pc.binary_length(texts))


def _text_fingerprint(texts: "pa.Array") -> str:
    """16 hex digits over the texts in order."""
    import hashlib

    digest = hashlib.blake2b(digest_size=8)
    digest.update(_lengths(texts).astype(np.int64).tobytes())
    for begin in range(0, len(texts), 65_536):
        digest.update("".join(texts.slice(begin, 65_536).to_pylist()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
