"""The assay page: every figure it was given stands on it, it loads nothing, and hostile text stays text."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from motherlode.audit.outcome import outcome
from motherlode.evaluation.agreement import agreement, agreement_gain, agreement_interval
from motherlode.evaluation.calibration_error import calibration_error, reliability
from motherlode.grading.calibration import Calibration
from motherlode.grading.cascade_tuning import curve, measure, tune
from motherlode.grading.grader import Graded, Judge, decide
from motherlode.grading.ledger import Ledger
from motherlode.grading.ledger_report import report
from motherlode.grading.rater_ceiling import rater_ceiling
from motherlode.grading.threshold_baseline import majority_baseline, threshold_baseline
from motherlode.report.assay import write_assay
from motherlode.report.assay_pictures import against, confusion
from motherlode.report.assay_pictures import reliability as draw
from report_case import HOSTILE
from test_report_page import Parsed

HEADINGS = (
    "How far graders agree with people",
    "How far probabilities can be believed",
    "What agreement costs",
    "What the audit found",
    "The ledger",
    "Where it comes from",
)


def facts(folder: Path) -> dict[str, Any]:
    """Everything a run can say, measured on simulated graders."""
    rng = np.random.default_rng(0)
    n = 3_000
    query = np.repeat([f"q{one}" for one in range(n // 10)], 10)
    quality = rng.normal(0, 1.2, n)
    truth = np.digitize(quality, [-0.9, 0.4])
    half = np.arange(n) < n // 2

    def seen(noise: float) -> np.ndarray:
        view = quality + noise * rng.normal(size=n)
        weights = np.exp(-((view[:, None] - np.array([-1.6, -0.2, 1.4])) ** 2) / (0.25 + noise**2))
        return weights / weights.sum(axis=1, keepdims=True)

    raw = {"causal-lm": seen(0.25), "cross-encoder": seen(0.4), HOSTILE: seen(1.5)}
    scores = np.column_stack([quality + rng.normal(size=n), quality + rng.normal(size=n)])
    thresholds = threshold_baseline(scores[half], truth[half], scores[~half])
    graders, calibrated = {}, {}
    for name, values in raw.items():
        fitted = Calibration.fit(values[half], truth[half], query_ids=query[half])
        calibrated[name] = fitted.apply(values)
        test, grades = calibrated[name][~half], decide(calibrated[name][~half])
        graders[name] = {
            "agreement": agreement(truth[~half], grades),
            "interval": agreement_interval(truth[~half], grades, query_ids=query[~half], resamples=200),
            "gain": agreement_gain(truth[~half], grades, thresholds, query_ids=query[~half], resamples=200),
            "calibration": calibration_error(test, truth[~half]),
            "reliability": reliability(test, truth[~half]),
        }
    pair, costs = ("cross-encoder", "causal-lm"), (0.01, 0.1)
    tuning = [calibrated[name][half] for name in pair]
    fresh = [calibrated[name][~half] for name in pair]
    chosen = tune(tuning, truth[half], costs, target=agreement(truth[half], decide(tuning[1]))["accuracy"])
    cascade = {
        "curve": curve(tuning, truth[half], costs),
        "chosen": measure(chosen, fresh, truth[~half], costs),
        "members": {
            name: {"relative_cost": cost / 0.1, "agreement": graders[name]["agreement"]["accuracy"]}
            for name, cost in zip(pair, costs, strict=True)
        },
    }
    keys = {"query_id": [f"q{one}" for one in range(40)], "item_id": ["i"] * 40}
    rejudged = pl.DataFrame(
        {**keys, "label": [0, 2] * 20, "verdict": [0, 1, 2, 0] * 10, "kind": ["high, 0", "low, 2"] * 20, "bucket": 0}
    )
    decided = rejudged.filter(pl.col("verdict") != pl.col("label")).with_columns(decided=pl.col("verdict"), people=1)
    found = outcome(1_000, pl.DataFrame({"looks": [30.0] * 300}), rejudged, decided, 20)
    found["curve"] = {"engagement": [{"recall": one, "precision": 1 - 0.4 * one**2} for one in (0.1, 0.3, 0.6, 0.9)]}
    with Ledger(folder / "ledger.sqlite") as ledger:
        for version, name in (("1", "causal-lm"), ("2", "causal-lm"), ("1", "cross-encoder")):
            part = calibrated[name][:200]
            ids = [f"i{one}" for one in range(200)]
            ledger.record(Judge(name, version, "r1"), list(query[:200]), ids, Graded(part), source="test")
        counts = report(ledger).as_dict()
    averages = 1 + rng.binomial(6, 0.6, 5_000) / 3
    return {
        "title": f"Assay of {HOSTILE}",
        "summary": "Two graders and a cascade of them.",
        "simulated": True,
        "graders": graders,
        "baselines": {
            "thresholds on two scores": agreement(truth[~half], thresholds),
            "commonest grade": agreement(truth[~half], majority_baseline(truth[half], int((~half).sum()))),
        },
        "ceiling": rater_ceiling(averages),
        "cascade": cascade,
        "audit": found,
        "ledger": counts,
        "provenance": {"rubric": "commerce-1", "pairs": n},
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = facts(tmp_path_factory.mktemp("assay"))
    json.dumps(found, allow_nan=False)  # what a stage would have written and read
    return found


def test_the_page_says_what_was_measured_and_loads_nothing(told: dict[str, Any], tmp_path: Path) -> None:
    html = write_assay(tmp_path / "assay.html", told).read_text()
    page = Parsed(html)
    places = [page.text.index(words) for words in HEADINGS]
    assert places == sorted(places)
    for name, one in told["graders"].items():
        assert name in page.text
        for key in ("accuracy", "within_1", "macro_f1", "quadratic_kappa"):
            assert f"{one['agreement'][key]:.3f}" in page.text
        for count in np.ravel(one["agreement"]["confusion"]):
            assert f"{count:,}" in page.text
        for key in ("ece", "brier", "log_loss"):
            assert f"{one['calibration'][key]:.3f}" in page.text
    assert f"{100 * told['cascade']['chosen']['relative_cost']:.1f}" in page.text
    for key in ("diff_rate", "win_rate", "changed_share"):
        assert f"{100 * told['audit'][key]['rate']:.1f}\u00a0%" in page.text
    for words in ("23.4", "81.8", "5.7"):  # the paper's
        assert words in page.text
    assert f"{told['ceiling']['readings']['dirichlet']['panel_accuracy']:.3f}" in page.text
    assert "600 verdicts" in page.text and "causal-lm@2" in page.text
    assert "Simulated data" in page.text
    assert not re.search(r"(src|href)=|@import|url\(", html)
    assert HOSTILE not in html and HOSTILE in page.text
    assert not re.search(r"\b(nan|None|inf)\b", page.text)


def test_marks_stand_where_the_figures_are(told: dict[str, Any]) -> None:
    first = next(iter(told["graders"].values()))
    counts = first["agreement"]["confusion"]
    opacity = [float(one) for one in re.findall(r"fill-opacity:([\d.]+)", confusion("x", counts))]
    shares = np.ravel([[one / sum(row) for one in row] for row in counts])
    assert np.corrcoef(opacity, shares)[0, 1] == pytest.approx(1, abs=1e-4)
    drawn = draw("x", first["reliability"][2])
    dots = np.array(re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn), dtype=float)
    expected = [[44 + one["mean"] * 302, 210 - one["share"] * 188] for one in first["reliability"][2]]
    assert dots == pytest.approx(np.array(expected), abs=0.06)
    points = [(0.1, 0.6, "a"), (0.5, 0.8, "b"), (1.0, 0.7, "c")]
    seen = against("x", "cost", "agreement", points, {"strong": (1.0, 0.9)})
    x, y = np.array(re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', seen), dtype=float).T
    assert np.corrcoef(x, [0.1, 0.5, 1.0, 1.0])[0, 1] == pytest.approx(1, abs=1e-4)
    assert np.corrcoef(y, [0.6, 0.8, 0.7, 0.9])[0, 1] == pytest.approx(-1, abs=1e-4)  # up is more


@pytest.mark.parametrize("absent", ["graders", "cascade", "audit", "ledger", "ceiling", "baselines", "provenance"])
def test_what_is_absent_is_left_out(told: dict[str, Any], tmp_path: Path, absent: str) -> None:
    page = Parsed(write_assay(tmp_path / "assay.html", {k: v for k, v in told.items() if k != absent}).read_text())
    whole = Parsed(write_assay(tmp_path / "whole.html", told).read_text())
    gone = {
        "graders": HEADINGS[1],
        "cascade": HEADINGS[2],
        "audit": HEADINGS[3],
        "ledger": HEADINGS[4],
        "provenance": HEADINGS[5],
        "ceiling": "Three fresh raters",
        "baselines": "commonest grade",
    }[absent]
    assert gone in whole.text and gone not in page.text


def test_an_empty_page_and_empty_figures_still_stand(tmp_path: Path) -> None:
    assert Parsed(write_assay(tmp_path / "assay.html", {}).read_text()).text.strip().startswith("Assay")
    nothing = agreement([1, 1], [-1, -1])
    graders = {"silent": {"agreement": nothing, "calibration": calibration_error(np.full((2, 3), np.nan), [1, 1])}}
    text = Parsed(write_assay(tmp_path / "assay.html", {"graders": graders}).read_text()).text
    assert "silent" in text and not re.search(r"\b(nan|None)\b", text)
    assert "nan" not in against("x", "a", "b", [], {}) and "nan" not in draw("x", [])
