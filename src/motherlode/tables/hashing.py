"""Hashes of ids that are the same on every machine, in every order and with every library version."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl


def hash_ids(ids: pl.Series, seed: int, salt: str) -> np.ndarray:
    """uint64[n]: BLAKE2b of the UTF-8 id, keyed by seed and salt; each distinct id is hashed once."""
    key = f"{seed}:{salt}".encode()
    distinct = ids.unique()
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in distinct)
    values = pl.Series(np.frombuffer(digests, dtype="<u8").astype(np.uint64))
    return ids.replace_strict(distinct, values, return_dtype=pl.UInt64).to_numpy()


def mix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """uint64[n]: one hash of each ordered pair of hashes."""
    return _scramble(_scramble(first) + second)


def uniform(hashes: np.ndarray) -> np.ndarray:
    """float64[n] in [0, 1): the top 53 bits of each hash."""
    return (hashes >> np.uint64(11)) * 2.0**-53


def _scramble(z: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al. 2014, doi:10.1145/2660193.2660195), a bijection."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
