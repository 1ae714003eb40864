"""Several systems on the same judgements: metrics, separation, differences with intervals, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motherlode.evaluation.bootstrap import RESAMPLES, Interval, paired_bootstrap
from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import CUTOFFS, GAINS, judged_metrics, ranking_metrics
from motherlode.evaluation.run import Run
from motherlode.evaluation.separation import BANDS, Bands, mean_of, separation, separation_by_query

PerQuery = dict[str, NDArray[np.float64]]
Found = dict[str, dict[str, Any]]
JUDGED = "judged_"  # prefix of a judged-pool metric among the per-query metrics


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found: `summary` (JSON-able, no NaN) and `per_query[system][metric]`, float64[Q]."""

    summary: dict[str, Any]
    per_query: dict[str, PerQuery]

    def as_dict(self) -> dict[str, Any]:
        """The summary, ready for `json.dumps(..., allow_nan=False)`."""
        return self.summary


def evaluate(
    judged: Judged,
    runs: Sequence[Run],
    *,
    baseline: str,
    cutoffs: Sequence[int] = CUTOFFS,
    gains: str = "linear",
    slices: Mapping[str, NDArray[np.bool_]] | None = None,
    pair_slices: Mapping[str, NDArray[np.bool_]] | None = None,
    bands: Bands = BANDS,
    n_items: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Measure all runs on one set of judgements, and each against the run named `baseline`.

    The summary holds, beside the settings: systems[name] with `catalogue` (rank among all items), `judged`
    (rank among the judged items of each query), both {mean, low, high, n} a metric, and `separation`;
    deltas[name][metric] against the baseline by `paired_bootstrap`; slices[slice] with `queries`, means of
    all metrics for each system, and deltas of NDCG at the first cutoff and recall at the last;
    pair_slices[slice] with `pairs` and the separation of each system on those judged pairs alone. slices:
    name -> bool[Q]; pair_slices: name -> bool[J]. Per-query metrics carry the same names, those of the
    judged pool behind `judged_`. Raises ValueError for a missing baseline, a name used twice, and shapes
    that do not fit.
    """
    names = [run.name for run in runs]
    if baseline not in names:
        raise ValueError(f"There is no run '{baseline}' to compare with: the runs are {', '.join(names)}.")
    if len(set(names)) < len(names):
        raise ValueError(f"Each run needs a name of its own: {', '.join(names)}.")
    slices, pair_slices = slices or {}, pair_slices or {}
    _check_masks("slice", slices, judged.n_queries)
    _check_masks("pair slice", pair_slices, len(judged.items))

    per_query = {run.name: _per_query(judged, run, cutoffs, gains) for run in runs}
    everything = {"all": np.ones(judged.n_queries, dtype=bool)}
    deltas = _deltas(per_query, baseline, everything, None, resamples, seed)
    headline = {f"ndcg@{cutoffs[0]}", f"recall@{cutoffs[-1]}"}
    slice_deltas = _deltas(per_query, baseline, slices, headline, resamples, seed)
    summary = {
        "gains": list(GAINS[gains]),
        "cutoffs": list(cutoffs),
        "queries": judged.n_queries,
        "items": n_items,
        "judgements": np.bincount(judged.grades, minlength=3).tolist(),
        "bands": {str(grade): list(band) for grade, band in bands.items()},
        "baseline": baseline,
        "resamples": resamples,
        "seed": seed,
        "systems": {run.name: _system(judged, run, per_query[run.name], bands, resamples, seed) for run in runs},
        "deltas": deltas["all"],
        "slices": {
            name: {
                "queries": int(mask.sum()),
                "systems": {
                    system: {metric: mean_of(values[mask])["mean"] for metric, values in metrics.items()}
                    for system, metrics in per_query.items()
                },
                "deltas": slice_deltas[name],
            }
            for name, mask in slices.items()
        },
        "pair_slices": {
            name: {
                "pairs": int(mask.sum()),
                "systems": {
                    run.name: separation(judged, np.where(mask, run.judged_scores, np.float32(np.nan)), bands)
                    for run in runs
                    if run.judged_scores is not None
                },
            }
            for name, mask in pair_slices.items()
        },
    }
    return Evaluation(summary, per_query)


def _check_masks(kind: str, masks: Mapping[str, NDArray[np.bool_]], length: int) -> None:
    for name, mask in masks.items():
        if mask.shape != (length,) or mask.dtype != np.bool_:
            raise ValueError(f"The {kind} '{name}' must be bool[{length}], not {mask.dtype}{list(mask.shape)}.")


def _per_query(judged: Judged, run: Run, cutoffs: Sequence[int], gains: str) -> PerQuery:
    metrics = ranking_metrics(judged, run.items, cutoffs, gains)
    if run.judged_scores is None:
        return metrics
    pool = judged_metrics(judged, run.judged_scores, cutoffs, gains)
    return (
        metrics
        | {JUDGED + name: values for name, values in pool.items()}
        | separation_by_query(judged, run.judged_scores)
    )


def _means(metrics: PerQuery, resamples: int, seed: int) -> dict[str, dict[str, float | int | None]]:
    """{mean, low, high, n} of every metric: the bootstrap of a difference to nothing."""
    values = np.stack(list(metrics.values()), axis=1)
    found = paired_bootstrap(values, np.zeros_like(values), resamples=resamples, seed=seed)
    return {
        name: {"mean": of["delta"], "low": of["low"], "high": of["high"], "n": of["n"]}
        for name, of in zip(metrics, found, strict=True)
    }


def _system(judged: Judged, run: Run, metrics: PerQuery, bands: Bands, resamples: int, seed: int) -> Found:
    ranked = _means({name: values for name, values in metrics.items() if "@" in name}, resamples, seed)
    found: Found = {"catalogue": {name: mean for name, mean in ranked.items() if not name.startswith(JUDGED)}}
    if run.judged_scores is not None:
        found["judged"] = {name.removeprefix(JUDGED): mean for name, mean in ranked.items() if name.startswith(JUDGED)}
        found["separation"] = separation(judged, run.judged_scores, bands)
    return found


def _deltas(
    per_query: dict[str, PerQuery],
    baseline: str,
    slices: Mapping[str, NDArray[np.bool_]],
    chosen: set[str] | None,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, dict[str, Interval]]]:
    """slice -> system -> metric -> figures, all from one set of resamples; chosen None means all metrics."""
    keys = [
        (part, system, metric)
        for part in slices
        for system, metrics in per_query.items()
        if system != baseline
        for metric in metrics
        if metric in per_query[baseline] and (chosen is None or metric in chosen)
    ]
    deltas: dict[str, dict[str, dict[str, Interval]]] = {
        part: {system: {} for system in per_query if system != baseline} for part in slices
    }
    if keys:
        values = np.stack([per_query[system][metric] for _, system, metric in keys], axis=1)
        # NaN outside the slice leaves a query out of a column, so that all slices share the resamples.
        outside = ~np.stack([slices[part] for part, _, _ in keys], axis=1)
        values[outside] = np.nan
        base = np.stack([per_query[baseline][metric] for _, _, metric in keys], axis=1)
        for (part, system, metric), found in zip(
            keys, paired_bootstrap(values, base, resamples=resamples, seed=seed), strict=True
        ):
            deltas[part][system][metric] = found
    return deltas
