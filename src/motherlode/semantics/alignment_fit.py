"""Fit the heads that align the views: a plain loop of seconds to minutes on a processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from motherlode.errors import InputError, SettingError
from motherlode.progress import bar
from motherlode.semantics.alignment import Aligned, Head
from motherlode.semantics.alignment_loss import alignment_loss, nce
from motherlode.semantics.views import Views

TEMPERATURES = (0.01, 0.5)  # the learnt temperature stays inside
MOMENT_ROWS = 50_000  # items that a view's mean and principal directions are taken from
RIDGE = 1.0  # added to each principal variance, as a share of their mean, before dividing by it


def fit_alignment(
    views: Views,
    dim: int = 64,
    *,
    epochs: int = 20,
    batch: int = 512,
    lr: float = 1e-2,
    weight_decay: float = 0.1,
    temperature: float = 0.07,
    pairs: NDArray[np.int64] | None = None,
    pairs_weight: float = 0.0,
    seed: int = 0,
) -> Aligned:
    """Linear heads under which the views of one item lie together and those of two items apart.

        x^m = norm(W_m z^m + b_m),   L = Σ_{m < m'} ½ [NCE(x^m → x^m') + NCE(x^m' → x^m)] + γ NCE(x̄_i, x̄_j)

    with z^m the view as it comes, whitened by its own (ridged) principal variances; the returned heads have that
    folded in and read plain views. The last term, over `pairs` int64 [P, 2] of items that go together, is on when
    `pairs_weight` γ is above 0; it takes the normalised means of their views. The temperature starts at `temperature`,
    is learnt, and kept inside TEMPERATURES. AdamW, cosine decay. Deterministic by seed on one machine.

    Items with fewer than two views teach nothing in the first term. Raises InputError where no two views share two
    items, SettingError for values that cannot be. Source: symmetric InfoNCE as in CLIP (arXiv 2103.00020); the term
    on pairs after QARM (arXiv 2411.11739); whitening, sizes and schedule are ours.
    """
    _check(views, dim, epochs, batch, lr, temperature, pairs, pairs_weight)
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, dim]).generate_state(1)[0]))
    whitenings = {name: _whitening(views, name, seed) for name in views.names}
    heads = nn.ParameterList()
    for weight, _ in whitenings.values():
        width = weight.shape[1]
        heads.append(nn.Parameter(torch.randn(width, dim, generator=generator) * width**-0.5))
    biases = nn.ParameterList([nn.Parameter(torch.zeros(dim)) for _ in heads])
    log_temperature = nn.Parameter(torch.tensor(float(np.log(temperature))))
    groups: list[dict[str, Any]] = [
        {"params": heads.parameters()},
        {"params": [*biases, log_temperature], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)

    inputs = [torch.from_numpy((views.vectors[n] - mean) @ weight) for n, (weight, mean) in whitenings.items()]
    present = torch.from_numpy(np.stack([views.present[name] for name in views.names], axis=1))
    teaching = torch.nonzero(present.sum(1) > 1).flatten()
    linked = torch.from_numpy(np.ascontiguousarray(pairs)) if pairs is not None and pairs_weight > 0 else None

    def forward(rows: Tensor) -> Tensor:
        projected = [normalize(z[rows] @ w + b, dim=1) for z, w, b in zip(inputs, heads, biases, strict=True)]
        return torch.stack(projected, dim=1).masked_fill(~present[rows].unsqueeze(-1), 0.0)

    steps = epochs * -(-len(teaching) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    history = []
    with bar("alignment", steps, "steps") as advance:
        for _ in range(epochs):
            losses = []
            for rows in teaching[torch.randperm(len(teaching), generator=generator)].split(batch):
                tau = log_temperature.exp()
                loss = alignment_loss(forward(rows), present[rows], tau)
                if linked is not None:
                    drawn = linked[torch.randint(len(linked), (batch,), generator=generator)]
                    means = [normalize(forward(side).sum(1), dim=1) for side in drawn.unbind(1)]
                    loss = loss + pairs_weight * nce(means[0], means[1], tau)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                with torch.no_grad():
                    log_temperature.clamp_(*np.log(TEMPERATURES).tolist())
                losses.append(float(loss.detach()))
                advance(1, loss=f"{losses[-1]:.3f}")
            history.append(float(np.mean(losses)))

    made = {}
    for (name, (weight, mean)), head, bias in zip(whitenings.items(), heads, biases, strict=True):
        whole = weight.astype(np.float64) @ head.detach().numpy()
        made[name] = Head(whole.astype(np.float32), (bias.detach().numpy() - mean @ whole).astype(np.float32))
    settings = {"dim": dim, "epochs": epochs, "batch": batch, "lr": lr, "weight_decay": weight_decay, "seed": seed}
    facts = settings | {
        "pairs_weight": pairs_weight if linked is not None else 0.0,
        "data": views.fingerprint(),
        "temperature": float(log_temperature.detach().exp()),
        "loss": history,
    }
    return Aligned(made, facts)


def _whitening(views: Views, name: str, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """V Λ^(-1/2) float32 [d, r] and the mean [d] of a view's present rows, Λ with a ridge; r is at most the rank."""
    rows = np.flatnonzero(views.present[name])
    if len(rows) > MOMENT_ROWS:
        rows = np.sort(np.random.default_rng([seed, len(rows)]).choice(rows, MOMENT_ROWS, replace=False))
    points = views.vectors[name][rows].astype(np.float64)
    mean = points.mean(axis=0)
    points -= mean
    variances, directions = np.linalg.eigh(points.T @ points / max(1, len(points)))
    kept = variances > 1e-8 * max(variances.max(), 1e-30)
    variances, directions = variances[kept], directions[:, kept]
    scale = 1 / np.sqrt(variances + RIDGE * variances.mean())
    return (directions * scale).astype(np.float32), mean.astype(np.float32)


def _check(
    views: Views,
    dim: int,
    epochs: int,
    batch: int,
    lr: float,
    temperature: float,
    pairs: NDArray[np.int64] | None,
    pairs_weight: float,
) -> None:
    if min(dim, epochs) < 1 or batch < 2 or lr <= 0 or pairs_weight < 0:
        raise SettingError("An alignment needs dim, epochs and lr above 0, batch of at least 2 and pairs_weight >= 0.")
    if not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
        raise SettingError(f"temperature = {temperature} must lie between {TEMPERATURES[0]} and {TEMPERATURES[1]}.")
    together = np.stack(list(views.present.values())).astype(np.float32)
    if np.triu(together @ together.T, 1).max() < 2:
        raise InputError("No two items have two views: there is nothing to align.")
    if pairs_weight > 0:
        if pairs is None or not len(pairs):
            raise InputError("pairs_weight is above 0 and there are no pairs: give some, or set it to 0.")
        known = views.any_present()
        if pairs.min() < 0 or pairs.max() >= len(views) or not known[pairs].all():
            raise InputError("pairs name an item that does not exist or has no view: leave such pairs out.")
