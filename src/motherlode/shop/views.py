"""An item through text-like, image-like and behaviour-like vectors that share a hidden cluster."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from motherlode.shop.assortment import assortment
from motherlode.shop.hashing import generator, normal, uniform
from motherlode.shop.items import STYLES, codes, styles

WIDTH = 32
# For each view, the weights of (parent category, leaf, brand, style), the noise, and the share of items
# without it.
VIEWS: dict[str, tuple[tuple[float, float, float, float], float, float]] = {
    "text": ((0.6, 1.0, 0.5, 0.0), 0.5, 0.02),
    "image": ((0.5, 0.7, 0.0, 0.8), 0.7, 0.10),
    "behaviour": ((0.3, 0.7, 0.4, 0.7), 0.8, 0.15),
}


def clusters(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The hidden cluster of each item: leaf · STYLES + style."""
    return codes(seed, numbers).leaf * STYLES + styles(seed, numbers)


def vectors(seed: int, view: str, numbers: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors float32 [n, WIDTH] of one view, and which of them exist [n].

    x = Σ_k w_k c_k[code_k] + σ ε over parent, leaf, brand and (leaf, style), each c_k a table of N(0,
    1)/√WIDTH vectors of that view alone (so the views must be aligned before they can be compared), ε near-
    normal with the same scale.
    """
    shop = assortment()
    weights, noise, missing = VIEWS[view]
    item = codes(seed, numbers)
    keys = (shop.parents[item.leaf], item.leaf, item.brand, clusters(seed, numbers))
    total = noise / np.sqrt(WIDTH) * normal(seed, f"noise {view}", numbers, WIDTH)
    for weight, key, table in zip(weights, keys, _centres(seed, view), strict=True):
        total += np.float32(weight) * table[key]
    return total.astype(np.float32), uniform(seed, f"missing {view}", numbers) >= missing


@lru_cache(maxsize=8)
def _centres(seed: int, view: str) -> list[NDArray[np.float32]]:
    shop = assortment()
    leaves = len(shop.paths)
    rng = generator(seed, f"centres {view}")
    sizes = (int(shop.parents.max()) + 1, leaves, len(shop.brands), leaves * STYLES)
    return [rng.standard_normal((size, WIDTH), dtype=np.float32) / np.float32(np.sqrt(WIDTH)) for size in sizes]
