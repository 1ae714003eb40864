"""Counter-based randomness: the draw of a row is a hash of (seed, stream, row), whatever other rows exist."""

import hashlib

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hashed(seed: int, stream: str, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Output number `row` of the splitmix64 sequence keyed by (seed, stream): uint64, the shape of `rows`.

    Source: Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    key = int.from_bytes(hashlib.blake2b(f"{seed}:{stream}".encode(), digest_size=8).digest(), "little")
    state = np.asarray(rows).astype(np.uint64) * GOLDEN + np.uint64(key)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def uniform(seed: int, stream: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) with 53 random bits."""
    return (hashed(seed, stream, rows) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(
    seed: int, stream: str, rows: NDArray[np.int64], bound: NDArray[np.integer] | int, skew: float = 1.0
) -> NDArray[np.int64]:
    """Whole numbers in [0, bound): floor(bound · u^skew); a skew above 1 favours the low ones."""
    return (uniform(seed, stream, rows) ** skew * bound).astype(np.int64)


def normal(seed: int, stream: str, rows: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """Near-normal numbers, float32 [len(rows), width], mean 0 and variance 1.

    The sum of the four 16-bit limbs of one hash, centred and scaled (Irwin–Hall of four: |x| < 3.47): whole-
    number arithmetic up to the last division, so every machine and every batch size gives the same bits.
    """
    bits = hashed(seed, stream, np.asarray(rows)[:, None] * width + np.arange(width))
    total = sum(((bits >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64) for shift in (0, 16, 32, 48))
    return ((total - 2 * 0xFFFF) / np.sqrt((2.0**32 - 1) / 3)).astype(np.float32)


def generator(seed: int, stream: str, *numbers: int) -> np.random.Generator:
    """An ordinary generator for what is drawn in order (queries, pages, journeys), keyed by its arguments."""
    key = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=4).digest(), "little")
    return np.random.default_rng([seed, key, *numbers])
