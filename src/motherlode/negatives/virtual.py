"""Negatives that are made from vectors and not drawn: scores of points that no tower was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Virtual:
    """V virtual negatives of each of B examples.

    Attributes:
        scores: float [B, V].
        mask: bool [B, V], False where none could be made or it came too near to the positive.
        facts: counts and shares for the log.
    """

    scores: Tensor
    mask: Tensor
    facts: Mapping[str, float] = field(default_factory=dict)
