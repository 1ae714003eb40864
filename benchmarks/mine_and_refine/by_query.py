"""Figures of arms query by query, so that seeds with other test queries can stand in one comparison."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from motherlode.atomic import replacing
from motherlode.evaluation.bootstrap import paired_bootstrap

KEYS = ("arena", "query")
CUTOFFS = (10, 50, 100)
RANKED = tuple(f"{name}@{k}" for name in ("ndcg", "recall", "precision") for k in CUTOFFS)
MARGINS = ("margin_2_0", "worst_margin_2_0")


def save(path: Path, figures: Mapping[str, tuple[list[str], Mapping[str, np.ndarray]]]) -> None:
    """Write arena -> (query ids, metric -> float64 [Q]) as one parquet file; NaN becomes null."""
    frames = [
        pl.DataFrame({"arena": [arena] * len(ids), "query": ids, **{name: values[name] for name in sorted(values)}})
        for arena, (ids, values) in figures.items()
    ]
    with replacing(path) as temporary:
        pl.concat(frames, how="diagonal").fill_nan(None).write_parquet(temporary)


def over_seeds(figures: Mapping[int, pl.DataFrame]) -> pl.DataFrame:
    """Each query's mean over the seeds that measured it: one row an (arena, query), in order."""
    return pl.concat(figures.values(), how="diagonal").group_by(KEYS).agg(pl.exclude(*KEYS).mean()).sort(KEYS)


def against(
    arm: Mapping[int, pl.DataFrame], base: Mapping[int, pl.DataFrame], arena: str, metrics: tuple[str, ...] = RANKED
) -> dict[str, Any]:
    """Arm minus base in an arena: metric -> means, difference with its 95 % interval, difference by seed.

    Queries are drawn with replacement, each with all its seeds.
    """
    seeds = sorted(arm.keys() & base.keys())
    one, other = (_columns(over_seeds({seed: side[seed] for seed in seeds}), arena, metrics) for side in (arm, base))
    found = {}
    for column, (name, interval) in enumerate(zip(metrics, paired_bootstrap(one, other), strict=True)):
        by_seed = [mean(arm[seed], arena, name) - mean(base[seed], arena, name) for seed in seeds]
        found[name] = {
            "mean": rounded(np.nanmean(one[:, column])),
            "base": rounded(np.nanmean(other[:, column])),
            **{key: rounded(interval[key]) for key in ("delta", "low", "high", "relative")},
            **{key: rounded(interval[key]) for key in ("relative_low", "relative_high")},
            "queries": interval["n"],
            "by seed": [rounded(value) for value in by_seed],
        }
    return found


def losses(figures: pl.DataFrame, clean: str, noisy: str, metric: str) -> pl.DataFrame:
    """What each query of both arenas loses from `clean` to `noisy`: query, loss."""
    sides = [figures.filter(pl.col("arena") == arena).select("query", metric) for arena in (clean, noisy)]
    both = sides[0].join(sides[1], on="query", suffix="_noisy").drop_nulls().sort("query")
    return both.select("query", loss=pl.col(metric) - pl.col(f"{metric}_noisy"))


def loss_ratio(
    arm: Mapping[int, pl.DataFrame], base: Mapping[int, pl.DataFrame], clean: str, noisy: str, metric: str
) -> dict[str, Any]:
    """What the arm loses on misspelt queries as a share of what the base loses, with its 95 % interval."""
    seeds = sorted(arm.keys() & base.keys())
    sides = [losses(over_seeds({seed: one[seed] for seed in seeds}), clean, noisy, metric) for one in (arm, base)]
    values = [side["loss"].to_numpy()[:, None] for side in sides]
    interval = paired_bootstrap(values[0], values[1])[0]
    ratio = {name: None if interval[key] is None else rounded(1 + float(interval[key] or 0)) for name, key in _RATIO}
    return {
        "loss": rounded(values[0].mean()),
        "base loss": rounded(values[1].mean()),
        **ratio,
        "queries": len(values[0]),
    }


_RATIO = (("ratio", "relative"), ("low", "relative_low"), ("high", "relative_high"))


def mean(figures: pl.DataFrame, arena: str, metric: str) -> float:
    """Mean of a metric over an arena's queries; NaN where none has a value."""
    return float(np.nanmean(_columns(figures, arena, (metric,))))


def rounded(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), 4)


def _columns(figures: pl.DataFrame, arena: str, metrics: tuple[str, ...]) -> np.ndarray:
    rows = figures.filter(pl.col("arena") == arena).sort("query")
    return np.stack([rows[name].cast(pl.Float64).to_numpy() for name in metrics], axis=1)
