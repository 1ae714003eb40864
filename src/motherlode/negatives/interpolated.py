"""Points between two vectors, and their scores from what is known of the two."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TINY = 1e-12


def interpolate(first: Tensor, second: Tensor, coefficient: Tensor, *, renormalise: bool = True) -> Tensor:
    """The point c a + (1 - c) b, brought back to the unit sphere unless told otherwise.

    Without renormalising, inner products only mix: u (c a + (1 - c) b) = c u a + (1 - c) u b is never above the
    larger of the two for c in [0, 1].

    Args:
        first, second: float [..., d].
        coefficient: float [...]; values outside [0, 1] extrapolate.
    """
    mixed = coefficient[..., None] * first + (1 - coefficient[..., None]) * second
    return mixed / mixed.norm(dim=-1, keepdim=True).clamp(min=TINY) if renormalise else mixed


class InterpolatedScores(torch.autograd.Function):
    """Scores [B, m] of `interpolate(a, b, c)` from scores and inner products of the parents alone.

        u e = (c u a + (1 - c) u b) / sqrt(c^2 |a|^2 + (1 - c)^2 |b|^2 + 2 c (1 - c) a b)

    A virtual negative costs a few numbers in place of d, and the way back one product in place of a gather and a
    scatter of vectors. Arguments of `apply`:

        vectors     float [B, N, d], whose columns the parents are
        scores      float [B, N], of the user with them
        products    float [B, N, N], of the vectors with each other; no gradient goes through this argument
        one, two    int64 [B, m], columns of the parents
        c           float [B, m]
        unit        the vectors have length 1: a length then has no gradient, as it would be radial, and what made
                    them of unit length takes that out again
        last_fixed  no gradient to the last column of the vectors
    """

    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        scores: Tensor,
        products: Tensor,
        one: Tensor,
        two: Tensor,
        c: Tensor,
        unit: bool,
        last_fixed: bool,
    ) -> Tensor:
        n = vectors.shape[1]
        first, second, product = squares_and_product(products, one, two, unit)
        square = c**2 * first + (1 - c) ** 2 * second + 2 * c * (1 - c) * product
        length = square.clamp(min=TINY).sqrt()
        made = (c * scores.gather(1, one) + (1 - c) * scores.gather(1, two)) / length
        ctx.save_for_backward(vectors, one, two, c, length, torch.where(square > TINY, made, 0.0))
        ctx.n, ctx.unit, ctx.last_fixed = n, unit, last_fixed
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        vectors, one, two, c, length, made = ctx.saved_tensors
        n, rest = ctx.n, 1 - c
        through = gradient / length
        of_scores = torch.zeros_like(vectors[:, :, 0])
        of_scores.scatter_add_(1, torch.cat([one, two], dim=1), torch.cat([through * c, through * rest], dim=1))
        of_vectors = None
        if ctx.needs_input_grad[0]:
            of_square = through * made / (-2 * length)
            of_products = vectors.new_zeros((len(vectors), n * n))
            # d/dV of <G, V V^T> is (G + G^T) V: each product is entered at both places
            half = of_square * (2 * c * rest)
            places = torch.cat([one * n + two, two * n + one], dim=1)
            of_products.scatter_add_(1, places, torch.cat([half, half], dim=1))
            if not ctx.unit:
                squares = torch.cat([of_square * (2 * c**2), of_square * (2 * rest**2)], dim=1)
                of_products.scatter_add_(1, torch.cat([one, two], dim=1) * (n + 1), squares)
            of_vectors = torch.bmm(of_products.view(-1, n, n), vectors)
            if ctx.last_fixed:
                of_vectors[:, -1] = 0
        return of_vectors, of_scores, None, None, None, None, None, None


def squares_and_product(products: Tensor, one: Tensor, two: Tensor, unit: bool) -> tuple[Tensor, Tensor, Tensor]:
    """|a|^2, |b|^2 and a b of parents in columns one and two of `products` [B, N, N]: each [B, m]."""
    flat, n = products.flatten(1), products.shape[1]
    product = flat.gather(1, one * n + two)
    if unit:
        ones = product.new_ones((1, 1))
        return ones, ones, product
    return flat.gather(1, one * (n + 1)), flat.gather(1, two * (n + 1)), product
