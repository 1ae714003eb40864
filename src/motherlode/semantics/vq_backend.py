"""Codebooks learnt as vector quantisation: by gradient, or by moving averages of what falls into each cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from motherlode.errors import SettingError
from motherlode.progress import bar
from motherlode.semantics.cascade import Cascade, missing_marks, residuals
from motherlode.semantics.kmeans_backend import kmeans_start
from motherlode.semantics.nearest import nearest, offsets
from motherlode.semantics.views import Block

LOG_STEPS = 50
SMOOTHING = 1e-5  # Laplace count added to each code's moving mass


@dataclass(frozen=True)
class VQSettings:
    """How the codebooks are learnt.

    Attributes:
        mode: "ema" (moving averages, no codebook gradient) or "gradient" (Adam on the codebook terms).
        steps, batch, rate: how many steps, of how many items, and Adam's learning rate.
        decay: γ of the moving averages; also of the usage that decides on revival.
        commitment: κ.
        decoder: ρ, the weight of reconstructing each view from both codes; 0 for no decoder.
        revive: a code used less than this share of the even usage is put between a random point and its centre.
    """

    mode: Literal["ema", "gradient"] = "ema"
    steps: int = 1000
    batch: int = 1024
    rate: float = 1e-2
    decay: float = 0.99
    commitment: float = 0.25
    decoder: float = 0.0
    revive: float = 0.1

    def __post_init__(self) -> None:
        if self.mode not in ("ema", "gradient"):
            raise SettingError(f"There is no VQ mode '{self.mode}': use ema or gradient.")
        if not 0 < self.decay < 1 or not 0 <= self.revive < 1:
            raise SettingError(f"decay = {self.decay} and revive = {self.revive} must lie between 0 and 1.")
        if min(self.steps, self.batch) < 1 or self.rate <= 0 or min(self.commitment, self.decoder) < 0:
            raise SettingError("VQ needs steps, batch and rate above 0, commitment and decoder of at least 0.")


class Quantised(NamedTuple):
    """Codes int64 [B], the mean with the primary centre's value [B, d] (straight-through), and the loss (0-d)."""

    primary: Tensor
    secondary: Tensor
    through: Tensor
    loss: Tensor


class CascadedQuantiser(nn.Module):
    """Two cascaded codebooks as a module, for training by itself or under heads that make the views.

        L = ‖sg[x̄] - c^P‖² + κ ‖x̄ - sg[c^P]‖² + ‖sg[r] - c^S‖² + κ ‖r - sg[c^S]‖² + ρ Σ_m ‖x^m - Dec_m(c^P, c^S)‖²

    a mean over items, the last sum over views that are present; r is taken to sg[c^P], so that the primary code is
    shaped by its own terms. In mode "ema" the terms in sg[x̄] and sg[r] are dropped, and each forward pass in
    training moves the codebooks instead:

        n_k ← γ n_k + (1 - γ) Σ 1,   m_k ← γ m_k + (1 - γ) Σ x,   c_k = m_k / n_k   (n Laplace-smoothed)

    The straight-through estimator x̂ = x̄ + sg[c^P - x̄] carries gradients to the views. Dec_m is linear; what it
    reads has the codes' values and passes gradient both to them and, straight-through, to x̄ and r (ours). With
    frozen views the commitment terms are constant: they matter when heads are trained with the module.

    A code that is hardly used is revived between a random point of the batch and the centre that this point has: at
    the point itself it would win few others in many dimensions, where centres are far shorter than points (ours).

    Source: VQ-VAE (arXiv 1711.00937), Eq. 3 and appendix A.1; the cascade as in `codebooks`; the rest is ours.
    """

    primary: Tensor
    secondary: Tensor
    marks: Tensor
    primary_usage: Tensor
    secondary_usage: Tensor

    def __init__(self, start: Cascade, settings: VQSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.settings, self.generator = settings, generator
        self.register_buffer("marks", torch.from_numpy(start.marks.copy()))
        for name, centres in (("primary", start.primary), ("secondary", start.secondary)):
            tensor = torch.from_numpy(centres.copy())
            if settings.mode == "gradient":
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        for name, codes in (("primary", self.primary), ("secondary", self.secondary.flatten(0, 1))):
            self.register_buffer(f"{name}_usage", torch.full((len(codes),), settings.batch / len(codes)))
            # a starting point weighs as much as one item of one batch: what falls to it soon outweighs it
            self.register_buffer(f"{name}_mass", torch.full((len(codes),), 1 - settings.decay))
            self.register_buffer(f"{name}_sum", codes.detach() * (1 - settings.decay))
        width, total = self.primary.shape[1], self.secondary.shape[2]
        self.decoder = nn.Linear(width + total, width * len(start.marks)) if settings.decoder else None
        if self.decoder is not None:
            with torch.no_grad():  # not the global state that nn.Linear draws from
                self.decoder.weight.normal_(0, (width + total) ** -0.5, generator=generator)
                self.decoder.bias.zero_()

    def forward(self, vectors: Tensor, present: Tensor) -> Quantised:
        """Codes and loss of views [B, M, d] with their presence bool [B, M]; in training mode also the updates."""
        held = present.unsqueeze(-1)
        vectors = vectors.masked_fill(~held, 0.0)
        mean = vectors.sum(1) / held.sum(1).clamp(min=1)
        first = _nearest(mean.detach(), self.primary.detach())
        coarse = self.primary[first]
        blocks = (vectors - coarse.detach().unsqueeze(1)).masked_fill(~held, 0.0).flatten(1)
        residual = torch.cat([blocks, torch.where(present, 0.0, self.marks)], dim=1)
        book = first if len(self.secondary) > 1 else torch.zeros_like(first)
        second = _nearest_in(residual.detach(), self.secondary.detach(), book)
        fine = self.secondary[book, second]

        kappa = self.settings.commitment
        loss = kappa * (_gap(mean, coarse.detach()) + _gap(residual, fine.detach()))
        if self.settings.mode == "gradient":
            loss = loss + _gap(coarse, mean.detach()) + _gap(fine, residual.detach())
        if self.decoder is not None:
            codes = torch.cat([coarse + mean - mean.detach(), fine + residual - residual.detach()], dim=1)
            gaps = (self.decoder(codes).unflatten(1, vectors.shape[1:]) - vectors).masked_fill(~held, 0.0)
            loss = loss + self.settings.decoder * gaps.square().sum((1, 2)).mean()
        through = mean + (coarse - mean).detach()
        if self.training:
            with torch.no_grad():
                self._update("primary", self.primary, first, mean)
                flat = book * self.secondary.shape[1] + second
                self._update("secondary", self.secondary.view(-1, residual.shape[1]), flat, residual)
        return Quantised(first, second, through, loss)

    def perplexity(self) -> dict[str, float]:
        """exp of the entropy of each level's moving usage: K when all codes are used alike."""
        counts = {"primary": self.primary_usage, "secondary": self.secondary_usage}
        return {name: float(torch.special.entr(n / n.sum()).sum().exp()) for name, n in counts.items()}

    def _update(self, name: str, codes: Tensor, chosen: Tensor, points: Tensor) -> None:
        """Moving usage (and, in mode "ema", masses, sums and centres), then revival; `codes` [K, d] change in place."""
        usage, mass, total = (getattr(self, f"{name}_{what}") for what in ("usage", "mass", "sum"))
        gamma, size = self.settings.decay, len(codes)
        fallen = torch.bincount(chosen, minlength=size)
        usage.mul_(gamma).add_(fallen, alpha=1 - gamma)
        if self.settings.mode == "ema":
            mass.mul_(gamma).add_(fallen, alpha=1 - gamma)
            total.mul_(gamma).index_add_(0, chosen, points, alpha=1 - gamma)
            smooth = (mass + SMOOTHING) / (mass.sum() + size * SMOOTHING) * mass.sum()
            codes.copy_(total / smooth.unsqueeze(1))
        if name == "secondary" and len(self.secondary) > 1:
            return  # a code of one cell must not take a point of another
        least = self.settings.revive * usage.sum() / size
        dead = torch.nonzero(usage < least).flatten()[: len(points)]
        if len(dead):
            rows = torch.randperm(len(points), generator=self.generator)[: len(dead)]
            centres = codes[chosen[rows]]
            way = torch.rand(len(dead), 1, generator=self.generator)
            codes[dead] = centres + way * (points[rows] - centres)
            usage[dead] = 2 * least
            mass[dead] = 1 - gamma
            total[dead] = codes[dead] * (1 - gamma)


def fit_vq(
    sample: Block,
    sizes: tuple[int, int],
    per_primary: bool,
    settings: VQSettings,
    seed: int,
    start: Cascade | None = None,
) -> tuple[Cascade, dict[str, list[float]]]:
    """Train a CascadedQuantiser on frozen views; its centres, and mean loss and perplexities every LOG_STEPS steps.

    `sample` must hold items with at least one view; `sizes` = (K_p, K_s). Without `start` the codebooks begin at
    k-means++ points. Deterministic by seed.
    """
    start = start or vq_start(sample, sizes, per_primary, seed)
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 1]).generate_state(1)[0]))
    module = CascadedQuantiser(start, settings, generator)
    parameters = list(module.parameters())
    optimiser = torch.optim.Adam(parameters, lr=settings.rate) if parameters else None
    vectors, present = torch.from_numpy(sample.vectors), torch.from_numpy(sample.present)
    history: dict[str, list[float]] = {"loss": [], "primary_perplexity": [], "secondary_perplexity": []}
    losses: list[float] = []
    with bar("codebooks", settings.steps, "steps") as advance:
        for step in range(settings.steps):
            rows = torch.randint(len(vectors), (settings.batch,), generator=generator)
            loss = module(vectors[rows], present[rows]).loss
            if optimiser is not None:
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            losses.append(float(loss.detach()))
            advance(1, loss=f"{losses[-1]:.4f}")
            if (step + 1) % LOG_STEPS == 0 or step + 1 == settings.steps:
                history["loss"].append(float(np.mean(losses)))
                losses = []
                for name, value in module.perplexity().items():
                    history[f"{name}_perplexity"].append(value)
    learnt = Cascade(_array(module.primary), _array(module.secondary), np.ones_like(start.used), start.marks)
    return learnt, history


def vq_start(sample: Block, sizes: tuple[int, int], per_primary: bool, seed: int) -> Cascade:
    """Codebooks at k-means++ points of the means and of the residuals to the nearest of these."""
    rng = np.random.default_rng([seed, 2])
    mean = sample.mean()
    primary = kmeans_start(mean, sizes[0], rng, "primary")
    first = nearest(mean, primary, offsets(primary))
    marks = missing_marks(sample, primary[first])
    shared = kmeans_start(residuals(sample, primary[first], marks), sizes[1], rng, "secondary")
    books = np.repeat(shared[None], sizes[0] if per_primary else 1, axis=0)
    return Cascade(primary, books, np.ones(books.shape[:2], bool), marks)


def _gap(left: Tensor, right: Tensor) -> Tensor:
    return (left - right).square().sum(1).mean()


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    return (0.5 * centres.square().sum(1) - points @ centres.T).argmin(1)


def _nearest_in(points: Tensor, books: Tensor, book: Tensor) -> Tensor:
    if len(books) == 1:
        return _nearest(points, books[0])
    chosen = books[book]  # [B, K_s, D]
    return (0.5 * chosen.square().sum(2) - torch.einsum("bkd,bd->bk", chosen, points)).argmin(1)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().contiguous().numpy().copy()
