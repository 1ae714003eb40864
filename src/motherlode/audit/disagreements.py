"""Labels that something speaks against: in a random sample, by engagement, by a model, or by both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.audit.confident import ordinal_confident
from motherlode.audit.counts import Counts, Step
from motherlode.audit.evidence import Evidence, evidence
from motherlode.audit.position_bias import Examination, examination
from motherlode.audit.rates import shrunk
from motherlode.audit.settings import AuditSettings
from motherlode.audit.thresholds import broadness, deciles, doubtful
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.tables.hashing import hash_ids, mix, uniform
from motherlode.tables.tables import Tables

ENGAGED, IGNORED, MODEL = "high engagement, grade 0", "low engagement, grade 2", "model disagrees"
GRADES = ("p0", "p1", "p2")


@dataclass(frozen=True)
class Doubts:
    """What was found about n judged pairs.

    Attributes:
        frame: query_id, item_id, label, label_source, bucket, impressions, looks, doubt, kind; kind is null where
            nothing speaks against the label, doubt is what the signal ranks by.
        evidence: the engagement model.
        examination: how often each place is looked at.
    """

    frame: pl.DataFrame
    evidence: Evidence
    examination: Examination

    def facts(self) -> dict[str, Any]:
        """The fitted numbers, for the report."""
        return {
            "examination": dict(zip(map(int, self.examination.firsts), self.examination.values.tolist(), strict=True)),
            "noise": self.evidence.noise.tolist(),
            "rates": {name: rates.tolist() for name, rates in self.evidence.rates.items()},
            "spread": {name: shape**-0.5 for name, shape in self.evidence.shapes.items()},
        }


def sampled(query_ids: pl.Series, item_ids: pl.Series, share: float, seed: int) -> NDArray[np.bool_]:
    """A random share of the pairs, bool [n], by a hash of both ids: more pairs change nobody's lot."""
    pair = mix(hash_ids(query_ids, seed, "audit"), hash_ids(item_ids, seed, "audit"))
    return uniform(pair) < share


def doubts(tables: Tables, settings: AuditSettings, probabilities: pl.DataFrame | None = None) -> Doubts:
    """Look at every annotated pair of the tables; those with engagement enough, or probabilities, can be doubted.

    probabilities: columns query_id, item_id, p0, p1, p2, from a model that was not trained on the pair's own label
    (`confident.out_of_fold`). Raises MissingError where a signal needs engagement or probabilities and there are
    none, InputError for probabilities without these columns.
    """
    if settings.signal != "confident" and not tables.has("engagement"):
        raise MissingError(
            f"{tables.folder} holds no engagement.parquet: add the shop's counts, or audit with signal=confident."
        )
    if settings.signal not in ("engagement", "deciles") and probabilities is None:
        raise SettingError(f"signal={settings.signal} needs a model's probabilities: use signal=engagement without.")
    frame = judged(tables, settings.buckets)
    labels = frame["label"].to_numpy().astype(np.int64)
    buckets = frame["bucket"].to_numpy()
    counts = Counts.of(frame)
    seen = examination(counts.clicks, counts.impressions, counts.position, buckets * 3 + labels)
    looks = np.nan_to_num(counts.impressions * seen(counts.position))
    steps = counts.steps(looks)
    found = evidence(labels, buckets, steps)
    enough = (looks >= settings.looks) & bool(steps)
    model = None if probabilities is None else _aligned(frame, probabilities)
    doubt, chosen = _signal(settings, frame, labels, buckets, looks, steps, enough, found, model)
    by_engagement = enough & (labels != 1)
    kind = np.where(labels == 0, ENGAGED, IGNORED)
    if settings.signal in ("confident", "either", "joint"):
        own = by_engagement if settings.signal != "confident" else np.zeros(len(labels), dtype=bool)
        kind = np.where(own & (found.posterior.argmax(axis=1) != labels), kind, MODEL)
    return Doubts(
        frame.with_columns(
            looks=looks,
            doubt=doubt,
            kind=pl.Series(kind).set(pl.Series(~chosen), None),
        ).select("query_id", "item_id", "label", "label_source", "bucket", "impressions", "looks", "doubt", "kind"),
        found,
        seen,
    )


def judged(tables: Tables, buckets: int) -> pl.DataFrame:
    """Every judgement with its engagement and its query's bucket; columns query_id, item_id, label, label_source,
    bucket, and those of the engagement table, null where the pair has none."""
    frame = tables.frame("judgements", ["query_id", "item_id", "grade", "source"]).select(
        "query_id", "item_id", label="grade", label_source=pl.col("source").fill_null("unknown")
    )
    if tables.has("engagement"):
        engagement = tables.frame("engagement")
        catalogue = tables.frame("catalogue", ["item_id", "taxonomy"])
        queries = tables.frame("queries", ["query_id", "text"])
        broad = broadness(queries, engagement, catalogue, buckets).select("query_id", "bucket")
        # a log may have several rows a pair (days, shelves): counts add up, places are averaged by impressions
        counts = [name for name in ("impressions", "clicks", "adds", "purchases") if name in engagement.columns]
        place = (pl.col("position") * pl.col("impressions")).sum() / pl.col("impressions").filter(
            pl.col("position").is_not_null()
        ).sum()
        sums = [pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in counts]
        if "position" in engagement.columns:
            sums.append(place.alias("position"))
        pairs = engagement.group_by("query_id", "item_id").agg(sums)
        frame = frame.join(pairs, on=["query_id", "item_id"], how="left", maintain_order="left")
        frame = frame.join(broad, on="query_id", how="left", maintain_order="left")
        return frame.with_columns(pl.col("bucket").fill_null(0))
    return frame.with_columns(bucket=pl.lit(0, pl.Int64), impressions=pl.lit(None, pl.Int64))


def joint_posterior(
    found: Evidence, labels: NDArray[np.integer], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """P(true grade | counts, text, label), float64 [n, 3]: the product of what each says by itself,

        P(counts | t) · P(t | text) · P(label | t),   P(label | t) ∝ noise[label, t] · (number of that label).

    Exact where counts, text and label are independent given the true grade. Rows of NaN in probabilities [n, 3] leave
    the engagement model's posterior.
    """
    shares = np.bincount(labels, minlength=3)[:, None] * found.noise
    told = (shares / np.maximum(shares.sum(axis=0), 1e-12))[labels]
    product = np.exp(found.likelihood) * np.maximum(probabilities, 1e-9) * told
    product /= product.sum(axis=1, keepdims=True)
    return np.where(np.isnan(probabilities), found.posterior, product)


def _signal(
    settings: AuditSettings,
    frame: pl.DataFrame,
    labels: NDArray[np.int64],
    buckets: NDArray[np.int64],
    looks: NDArray[np.float64],
    steps: list[Step],
    enough: NDArray[np.bool_],
    found: Evidence,
    model: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The doubt about each label, float64 [n], and which labels are doubted, bool [n]."""
    rows = np.arange(len(labels))
    engaged = 1.0 - found.posterior[rows, labels]
    chosen = doubtful(engaged, buckets, enough & (labels != 1), settings.precision)
    if settings.signal == "engagement":
        return engaged, chosen
    if settings.signal == "deciles":
        queries = frame["query_id"].rank("dense").to_numpy().astype(np.int64)
        rates = shrunk(np.nan_to_num(steps[0].done), looks, queries, buckets) if steps else np.zeros(len(labels))
        high, low = deciles(rates, queries, buckets, enough, settings.high, settings.low)
        return engaged, (high & (labels == 0)) | (low & (labels == 2))
    assert model is not None
    known = np.isfinite(model).all(axis=1)
    if settings.signal == "joint":
        doubt = 1.0 - joint_posterior(found, labels, model)[rows, labels]
        return doubt, doubtful(doubt, buckets, known | (enough & (labels != 1)), settings.precision)
    sure, distance = np.zeros(len(labels), dtype=bool), np.zeros(len(labels))
    learned = ordinal_confident(model[known], labels[known])
    sure[known] = (learned.true >= 0) & (learned.true != labels[known])
    distance[known] = learned.doubt
    if settings.signal == "confident":
        return distance, sure
    if settings.signal == "both":
        return engaged + distance, chosen & sure
    return np.where(chosen, engaged + distance, distance), chosen | sure


def _aligned(frame: pl.DataFrame, probabilities: pl.DataFrame) -> NDArray[np.float64]:
    """The model's probabilities in the order of the frame, float64 [n, 3]; NaN where it has none."""
    for column in ("query_id", "item_id", *GRADES):
        if column not in probabilities.columns:
            raise InputError(f"The probabilities have no column {column}: give query_id, item_id, p0, p1 and p2.")
    found = probabilities.select("query_id", "item_id", *GRADES).unique(["query_id", "item_id"], keep="first")
    joined = frame.select("query_id", "item_id").join(
        found, on=["query_id", "item_id"], how="left", maintain_order="left"
    )
    return joined.select(pl.col(GRADES).cast(pl.Float64).fill_null(np.nan)).to_numpy()
