"""Items in clusters, seen through several views of one width, some of them missing."""

import numpy as np

from motherlode.semantics import Views


def clustered(items=2_000, views=3, width=16, clusters=40, missing=0.0, noise=0.35, seed=0, draw=0):
    """Views of items in `clusters` groups of `seed`, the items themselves drawn by `draw`; and each item's group."""
    centres = np.random.default_rng([seed, 0]).standard_normal((clusters, width))
    rng = np.random.default_rng([seed, 1, draw])
    group = rng.integers(clusters, size=items)
    vectors = {
        f"v{m}": centres[group] + noise * np.sqrt(width) * rng.standard_normal((items, width)) / 2 for m in range(views)
    }
    present = {name: rng.random(items) >= missing for name in vectors}
    present["v0"] |= ~np.any(list(present.values()), axis=0)
    return Views.from_arrays(vectors, present), group
