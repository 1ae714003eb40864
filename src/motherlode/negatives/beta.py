"""Draws of the Beta law from a generator."""

from __future__ import annotations

import torch
from torch import Tensor


def beta_draws(generator: torch.Generator, a: float, b: float, shape: tuple[int, int], like: Tensor) -> Tensor:
    """Beta(a, b) draws of this shape, a and b above 0, in dtype and on the device of `like`.

    a = b = 1/2 is the arcsine law sin^2(pi U / 2), a = b = 1 is uniform; else G_a / (G_a + G_b) of two gamma draws.
    """
    if a == b and a in (0.5, 1.0):
        uniform = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
        return (uniform * (torch.pi / 2)).sin() ** 2 if a == 0.5 else uniform
    one, two = (
        torch._standard_gamma(torch.full(shape, k, dtype=like.dtype, device=like.device), generator=generator)
        for k in (a, b)
    )
    return one / (one + two)
