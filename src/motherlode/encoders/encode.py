"""Texts to unit vectors: each distinct text once under one encoder's weights, whatever list it stands in."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motherlode.atomic import replacing
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.encoders.vector_cache import DamagedError, VectorCache, text_keys
from motherlode.errors import MotherlodeError
from motherlode.progress import bar

if TYPE_CHECKING:
    import pyarrow as pa
    from sentence_transformers import SentenceTransformer

CHUNK = 8_192  # texts encoded between two additions to the store: what a kill may cost
TRIES = 3  # of putting a list together, before the disk is blamed


def encode(
    model: "SentenceTransformer",
    texts: "Sequence[str] | pa.Array | pa.ChunkedArray",
    task: str,
    folder: Path | str,
    what: str = "encoding",
) -> np.memmap:
    """Unit vectors of `texts`; float32 [n, dim], memory-mapped from `folder`.

    Vectors lie in `folder`/WEIGHTS, so they are never stale: each text's in a store (`VectorCache`), each list's as
    a .npy file put together from it. A list met before is read back; of another one only the texts that the store
    does not have are encoded, and a killed job goes on after its last chunk. What is found damaged is encoded again.
    Encoders whose batches change the rounding (attention on padded texts) give vectors that differ by about 1e-7
    with what else was encoded beside them.

    Args:
        model: encoder with routes "query" and "document".
        texts: any strings; equal ones are encoded once.
        task: the route.
        folder: where the vectors are kept; `vector_cache.prune` removes those of weights that are not needed.
        what: name on the progress bar.

    Raises MotherlodeError where the folder does not give back what was written to it.
    """
    import pyarrow as pa

    column = texts if isinstance(texts, (pa.Array, pa.ChunkedArray)) else pa.array(texts, pa.large_string())
    column = column.cast(pa.large_string())  # one kind, so that the same texts have the same fingerprint
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    place, dim = Path(folder) / weights_fingerprint(model), int(model.get_embedding_dimension() or 0)
    path = place / f"{task}.{_list_fingerprint(column)}.npy"
    shape = (len(column), dim)
    if (ready := _mapped(path, shape)) is not None:
        return ready
    encoded = column.dictionary_encode()
    numbers, distinct = encoded.indices.to_numpy(), encoded.dictionary
    keys, cache = text_keys(distinct), VectorCache(place, task, dim)
    for _ in range(TRIES):
        _encode_missing(model, distinct, keys, task, cache, what)
        rows = cache.find(keys)
        try:
            _write_list(path, cache, rows[numbers])
        except DamagedError:
            continue
        if (ready := _mapped(path, shape)) is not None:
            return ready
    raise MotherlodeError(f"{place} does not give back the vectors written to it: remove it, and look at its disk.")


def _encode_missing(  # type: ignore[no-untyped-def]
    model: "SentenceTransformer", distinct: "pa.Array", keys, task: str, cache: VectorCache, what: str
) -> None:
    """Encode the texts that the cache does not have, in their order, chunk by chunk into it."""
    import pyarrow as pa

    missing = np.flatnonzero(cache.find(keys) < 0)
    if not len(missing):
        return
    with bar(what, len(distinct), "texts", start=len(distinct) - len(missing)) as advance:
        for begin in range(0, len(missing), CHUNK):
            chunk = pa.array(missing[begin : begin + CHUNK])
            vectors = model.encode(
                distinct.take(chunk).to_pylist(),
                prompt_name=task if (model.prompts or {}).get(task) else None,
                task=task,
                batch_size=32,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            cache.add(keys.take(chunk), vectors)
            advance(len(chunk))


def _write_list(path: Path, cache: VectorCache, rows: np.ndarray) -> None:
    """Put the rows of the cache together as one file, in blocks. Raises DamagedError where one is not there."""
    if (rows < 0).any():
        raise DamagedError
    with replacing(path) as temporary:
        vectors = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=(len(rows), cache.dim))
        for begin in range(0, len(rows), CHUNK):
            vectors[begin : begin + CHUNK] = cache.read(rows[begin : begin + CHUNK])
        vectors.flush()


def _mapped(path: Path, shape: tuple[int, int]) -> np.memmap | None:
    """The list, memory-mapped; None where it is not there or not whole."""
    try:
        vectors: np.memmap = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return vectors if vectors.shape == shape and vectors.dtype == np.float32 else None


def _list_fingerprint(texts: "pa.LargeStringArray") -> str:
    """16 hex digits over the texts in order: their lengths and their bytes."""
    import pyarrow.compute as pc

    digest = blake2b(np.asarray(pc.binary_length(texts)).astype("<i8").tobytes(), digest_size=8)
    offsets, data = texts.buffers()[1:]
    if len(texts) and data is not None:
        places = np.frombuffer(offsets, np.int64, count=len(texts) + 1, offset=8 * texts.offset)
        digest.update(memoryview(data)[int(places[0]) : int(places[-1])])
    return digest.hexdigest()
