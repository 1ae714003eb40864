"""The audit of labels on a generated shop with 8 % planted label errors: what each signal finds, what people mend.

Everything here is simulated but the methods: the shop, its clicks, one of the two judges and the people (truth with
3 % slips). The other judge is learned from the noisy labels. Shops of 2,000 items and 1,500 queries, three seeds.

Revealable, the main definition: label 0 with truth 1 or 2, or label 2 with truth 0, on a pair with at least five
looks (impressions, each counted by how often its place is looked at). Two others are reported beside it: the same on
pairs with at least 20 impressions wherever they stood, and, of the main ones, those two grades off.

    python benchmarks/audit.py
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray

from audit_model import LearnedJudge, SimulatedJudge, SimulatedPerson, learned
from common import RUNS, write
from motherlode.audit.audit import run_audit
from motherlode.audit.confident import confident, ordinal_confident
from motherlode.audit.counts import Counts
from motherlode.audit.disagreements import doubts, joint_posterior, judged
from motherlode.audit.rates import events, shrunk
from motherlode.audit.settings import AuditSettings
from motherlode.audit.thresholds import deciles
from motherlode.grading.grader import Grader
from motherlode.grading.ledger import Ledger
from motherlode.shop import engagement as click_model
from motherlode.shop.generate import write as write_shop
from motherlode.shop.truth import Truth
from motherlode.tables.tables import Tables

SEEDS = (0, 1, 2)
SHOP = {"items": 2_000, "queries": 1_500, "label_errors": 0.08}
ACCURACY = 0.9
SLIPS = 0.03
IMPRESSIONS = 20
POINTS = np.linspace(0.05, 1.0, 20)  # recalls at which the curves are read
TARGET = {"recall": 0.60, "precision": 0.70, "removed": 0.50}
Facts = dict[str, Any]


class Case:
    """One shop, its pairs, their truth, and what a model not trained on them says."""

    def __init__(self, seed: int, **settings: float) -> None:
        name = "-".join([f"{seed}", *(f"{key}={value}" for key, value in settings.items())])
        self.seed = seed
        self.tables: Tables = write_shop(RUNS / "audit" / name, seed=seed, **SHOP, **settings)
        self.truth = Truth(self.tables.folder)
        self.settings = AuditSettings(share=1.0, seed=seed)
        self.pairs = judged(self.tables, self.settings.buckets)
        self.labels = self.pairs["label"].to_numpy().astype(np.int64)
        self.true = self.truth.grade(self.pairs["query_id"].to_list(), self.pairs["item_id"].to_list()).astype(np.int64)
        self.wrong = self.labels != self.true
        self.looked = doubts(self.tables, self.settings)
        looks = self.looked.frame["looks"].to_numpy()
        hidden = ((self.labels == 0) & (self.true > 0)) | ((self.labels == 2) & (self.true == 0))
        self.revealable = {
            "main": hidden & (looks >= self.settings.looks),
            "20 impressions": hidden & (np.nan_to_num(Counts.of(self.pairs).impressions) >= IMPRESSIONS),
            "two grades off": hidden & (looks >= self.settings.looks) & (np.abs(self.labels - self.true) == 2),
        }
        self.looks = looks

    def measure(self, chosen: NDArray[np.bool_]) -> Facts:
        """Precision and recalls of a set of doubted labels."""
        return {
            "doubted": int(chosen.sum()),
            "precision": float(self.wrong[chosen].mean()) if chosen.any() else 0.0,
            "recall_all": float(chosen[self.wrong].mean()),
            **{f"recall, {name}": float(chosen[which].mean()) for name, which in self.revealable.items()},
        }

    def curve(self, doubt: NDArray[np.float64], among: NDArray[np.bool_]) -> list[float]:
        """Precision at each of POINTS of recall of the revealable (main), ranking `among` by doubt."""
        order = np.flatnonzero(among)[np.argsort(-doubt[among], kind="stable")]
        precision = np.cumsum(self.wrong[order]) / np.arange(1, len(order) + 1)
        recall = np.cumsum(self.revealable["main"][order]) / self.revealable["main"].sum()
        return [
            float(precision[np.searchsorted(recall, point)]) if recall[-1] >= point else float("nan")
            for point in POINTS - 1e-9
        ]


def signals(case: Case, probabilities: NDArray[np.float64]) -> tuple[dict[str, Facts], dict[str, list[float]]]:
    """What each signal doubts, all pairs being looked at; and the curves of those that rank."""
    labels, rows = case.labels, np.arange(len(case.labels))
    told = case.pairs.select("query_id", "item_id").with_columns(
        **{f"p{grade}": probabilities[:, grade] for grade in range(3)}
    )

    def of(signal: str) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        settings = case.settings.model_copy(update={"signal": signal})
        frame = doubts(case.tables, settings, told).frame
        return frame["kind"].is_not_null().to_numpy(), frame["doubt"].to_numpy()

    engagement, doubt = of("engagement")
    plain, ordinal = confident(probabilities, labels), ordinal_confident(probabilities, labels)
    found = {
        **_ladder(case),
        "engagement model": engagement,
        "confident learning": (plain.true >= 0) & (plain.true != labels),
        "ordinal confident learning": (ordinal.true >= 0) & (ordinal.true != labels),
        "cleanlab, its defaults": find_label_issues(labels, probabilities, n_jobs=1),
        "cleanlab, confident_learning": find_label_issues(
            labels, probabilities, filter_by="confident_learning", n_jobs=1
        ),
        "both": of("both")[0],
        "either": of("either")[0],
        "joint": of("joint")[0],
    }
    either_label = (labels != 1) & (case.looks >= case.settings.looks)
    ranks = sum(pl.Series(values).rank().to_numpy() for values in (doubt, ordinal.doubt))
    joint = 1 - joint_posterior(case.looked.evidence, labels, probabilities)[rows, labels]
    curves = {
        "engagement model": case.curve(doubt, either_label),
        "confident learning, self-confidence (cleanlab's rank)": case.curve(plain.doubt, either_label),
        "ordinal confident learning": case.curve(ordinal.doubt, either_label),
        "ranks of both": case.curve(np.asarray(ranks), either_label),
        "joint": case.curve(joint, either_label),
        "ceiling of engagement": case.curve(_ceiling(case), either_label),
    }
    return {name: case.measure(chosen) for name, chosen in found.items()}, curves


def _ladder(case: Case) -> dict[str, NDArray[np.bool_]]:
    """The spec's deciles, raw and with one remedy after another, up to the model."""
    labels, buckets = case.labels, case.pairs["bucket"].to_numpy()
    queries = case.pairs["query_id"].rank("dense").to_numpy().astype(np.int64)
    counts = Counts.of(case.pairs)
    steps = counts.steps(case.looks)
    clicks = np.nan_to_num(counts.clicks)
    enough = case.looks >= case.settings.looks
    raw = np.divide(clicks, counts.impressions, out=np.zeros(len(clicks)), where=counts.impressions > 0)
    corrected = shrunk(clicks, case.looks, queries, buckets)
    weighted = shrunk(events(steps), case.looks, queries, buckets)

    def cut(rates: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
        high, low = deciles(rates, groups, buckets, enough, case.settings.high, case.settings.low)
        return (high & (labels == 0)) | (low & (labels == 2))

    by_label = buckets * 3 + labels
    return {
        "deciles of click rate": cut(raw, queries),
        "deciles, corrected for place and shrunk": cut(corrected, queries),
        "deciles, adds and purchases too": cut(weighted, queries),
        "deciles among pairs of the same label and bucket": cut(weighted, by_label),
    }


def _alone(seed: int) -> Facts:
    """The engagement model and its ceiling where no grade 2 was lost to 0: fewer, fainter errors to be found."""
    case = Case(seed, false_negatives=0.0)
    doubt = case.looked.frame["doubt"].to_numpy()
    among = (case.labels != 1) & (case.looks >= case.settings.looks)
    return {
        "engagement model": case.measure(case.looked.frame["kind"].is_not_null().to_numpy()),
        "revealable, main": int(case.revealable["main"].sum()),
        "curve": case.curve(doubt, among),
        "ceiling": case.curve(_ceiling(case), among),
    }


def _ceiling(case: Case) -> NDArray[np.float64]:
    """The chance of a revealable error by one who knows the click model, its rates and the shares of errors.

    A bound for any method on engagement alone, but for the gamma that stands for the log-normal appeal.
    """
    counts = Counts.of(case.pairs)
    place = np.where(np.isnan(counts.position), 1.0, counts.position)
    steps = counts.steps(np.nan_to_num(counts.impressions) * place**-click_model.ETA)
    shape = 1 / (np.exp(click_model.APPEAL_SPREAD**2) - 1)
    mean = np.nan_to_num(steps[0].tried)[:, None] * np.array(click_model.ATTRACTION)
    mean = np.maximum(mean * np.exp(click_model.APPEAL_SPREAD**2 / 2), 1e-9)
    clicks, adds = np.nan_to_num(steps[0].done)[:, None], np.nan_to_num(steps[1].done)[:, None]
    add = np.array(click_model.ADD)
    likelihood = shape * np.log(shape / (shape + mean)) + clicks * np.log(mean / (shape + mean))
    likelihood += adds * np.log(add) + (clicks - adds) * np.log(1 - add)
    noise = np.zeros((3, 3))
    shown = case.looks > 0  # pages hold other errors than pairs nobody saw
    np.add.at(noise, (case.labels[shown], case.true[shown]), 1)
    found = np.log(np.maximum(noise / noise.sum(axis=1, keepdims=True), 1e-12))[case.labels] + likelihood
    found = np.exp(found - found.max(axis=1, keepdims=True))
    irrelevant = found[:, 0] / found.sum(axis=1)
    return np.where(case.labels == 0, 1 - irrelevant, irrelevant)


def flow(case: Case, judge: Grader, share: float) -> Facts:
    """The whole audit: doubted, judged again, adjudicated by simulated people, corrected."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        settings = case.settings.model_copy(update={"share": share})
        person = SimulatedPerson(case.truth, SLIPS, case.seed)
        found = run_audit(case.tables, ledger, judge, settings, Path(folder), adjudicator=person)
        after = pl.read_parquet(Path(folder) / "corrected/judgements.parquet")["grade"].to_numpy()
        sample = pl.read_parquet(Path(folder) / "sample.parquet", columns=["query_id", "item_id"])
        queue = pl.read_parquet(Path(folder) / "queue.parquet", columns=["query_id", "item_id"])
    inside, queued = (
        case.pairs.join(part.with_columns(here=True), on=["query_id", "item_id"], how="left", maintain_order="left")[
            "here"
        ]
        .fill_null(False)
        .to_numpy()
        for part in (sample, queue)
    )
    still = after != case.true
    gone = {name: (which & inside, which & inside & ~still) for name, which in case.revealable.items()}
    return {
        **{name: found[name]["rate"] for name in ("doubted", "diff_rate", "win_rate", "changed_share")},
        "product": found["product"],
        "precision of the queue": float(case.wrong[queued].mean()),
        "recall of the queue, main": float(queued[case.revealable["main"] & inside].mean()),
        "error rate before": float(case.wrong[inside].mean()),
        "error rate after": float(still[inside].mean()),
        "labels made wrong": int((still & ~case.wrong).sum()),
        **{f"removed, {name}": float(hit.sum() / which.sum()) for name, (which, hit) in gone.items()},
    }


def main() -> None:
    found: list[dict[str, Any]] = []
    for seed in SEEDS:
        case = Case(seed)
        probabilities = learned(case.tables, case.pairs, seed)
        accuracy = float((probabilities.argmax(axis=1) == case.true).mean())
        keys = zip(case.pairs["query_id"], case.pairs["item_id"], strict=True)
        real = LearnedJudge(dict(zip(keys, probabilities, strict=True)))
        simulated = SimulatedJudge(case.truth, ACCURACY, seed)
        measured, curves = signals(case, probabilities)
        found.append(
            {
                "shop": {
                    "pairs": len(case.labels),
                    "error rate": float(case.wrong.mean()),
                    "with engagement": float((case.looks > 0).mean()),
                    **{f"revealable, {name}": int(which.sum()) for name, which in case.revealable.items()},
                },
                "learned judge's accuracy": accuracy,
                "signals": measured,
                "label errors alone": _alone(seed),
                "curves": curves,
                "flow": {
                    f"{name}, {share:.0%} sampled": flow(case, judge, share)
                    for name, judge in (("simulated judge", simulated), ("learned judge", real))
                    for share in (1.0, 0.3)
                },
            }
        )
        print(seed, {name: round(value["recall, main"], 3) for name, value in measured.items()}, flush=True)
    write(
        "audit",
        {
            "simulated": "shop, clicks, planted errors, one judge and the people; the methods are real",
            "target": TARGET,
            "judge_accuracy": ACCURACY,
            "slips": SLIPS,
            "recalls": POINTS.round(2).tolist(),
            **_over_seeds(found),
        },
    )


def _over_seeds(found: list[Any]) -> Any:
    """The same tree with mean, least and greatest over the seeds at its leaves; lists by place, the mean alone."""
    if isinstance(found[0], dict):
        return {key: _over_seeds([one[key] for one in found]) for key in found[0]}
    if isinstance(found[0], list):
        # a curve ends where some seed's does
        means = np.mean(found, axis=0)
        return [None if np.isnan(value) else round(float(value), 4) for value in means]
    values = [round(float(value), 4) for value in found]
    return {"mean": round(float(np.mean(values)), 4), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
