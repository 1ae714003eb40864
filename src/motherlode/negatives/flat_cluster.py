"""Same-cluster negatives with the leaf kept in: what the second level of codes has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from motherlode.negatives.semantic import SemanticSampler


def flat_cluster_sampler(
    primary: ArrayLike, primary_centres: ArrayLike, *, easy: int = 0, hard: int = 4, eta: float = 0.0
) -> SemanticSampler:
    """A semantic sampler in whose hard tier only the positive itself, and the history, are excluded.

    Each item is given a leaf of its own, so q_hard(j) = 1 / (|C_p| - 1).
    """
    codes = np.asarray(primary, dtype=np.int64)
    return SemanticSampler(codes, np.arange(len(codes)), primary_centres, easy=easy, hard=hard, eta=eta)
