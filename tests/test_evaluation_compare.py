"""`evaluate` as a whole: its parts agree with one another, and figures on public data are found again."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from motherlode.evaluation import (
    Judged,
    Run,
    evaluate,
    judged_metrics,
    paired_bootstrap,
    ranking_metrics,
    top_k,
)
from motherlode.evaluation import separation as separate


def small_case() -> tuple[Judged, list[Run]]:
    """Twelve queries over 30 items; `noisy` sees the grades dimly, `keen` well, `list` only returns items."""
    rng = np.random.default_rng(2)
    queries, items = np.nonzero(rng.random((12, 30)) < 0.4)
    judged = Judged.from_pairs(queries, items, rng.integers(0, 3, len(queries)), n_queries=12)
    truth = np.zeros((12, 30))
    truth[judged.query_rows, judged.items] = judged.grades
    runs = []
    for name, noise in (("noisy", 3.0), ("keen", 0.8), ("list", 1.5)):
        scores = (truth + noise * rng.normal(size=truth.shape)).astype(np.float32)
        pairs = None if name == "list" else scores[judged.query_rows, judged.items]
        runs.append(Run(name, *top_k(scores, 10), judged_scores=pairs))
    return judged, runs


def test_the_parts_are_those_of_the_functions_beneath() -> None:
    judged, runs = small_case()
    noisy, keen, _ = runs
    half = np.arange(12) < 6
    pairs = judged.items < 15
    found = evaluate(
        judged, runs, baseline="noisy", cutoffs=(3, 10), slices={"half": half}, pair_slices={"low": pairs},
        resamples=200, seed=4, n_items=30,
    )  # fmt: skip
    summary = found.as_dict()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["gains"] == [0.0, 0.5, 1.0]
    assert (summary["queries"], summary["items"], summary["baseline"]) == (12, 30, "noisy")
    assert summary["judgements"] == [int((judged.grades == grade).sum()) for grade in (0, 1, 2)]

    catalogue = ranking_metrics(judged, keen.items, (3, 10))
    pool = judged_metrics(judged, keen.judged_scores, (3, 10))
    for name, values in catalogue.items():
        stated = summary["systems"]["keen"]["catalogue"][name]
        assert stated["mean"] == pytest.approx(np.nanmean(values))
        assert stated["low"] <= stated["mean"] <= stated["high"] and stated["n"] == (~np.isnan(values)).sum()
        np.testing.assert_array_equal(found.per_query["keen"][name], values)
    for name, values in pool.items():
        assert summary["systems"]["keen"]["judged"][name]["mean"] == pytest.approx(np.nanmean(values))
        np.testing.assert_array_equal(found.per_query["keen"][f"judged_{name}"], values)
    assert summary["systems"]["keen"]["separation"] == separate(judged, keen.judged_scores)

    part = summary["slices"]["half"]
    assert part["queries"] == 6
    assert part["systems"]["keen"]["ndcg@3"] == pytest.approx(np.nanmean(catalogue["ndcg@3"][half]))
    assert set(part["deltas"]["keen"]) == {"ndcg@3", "recall@10"}
    base = ranking_metrics(judged, noisy.items, (3, 10))
    masked = [np.where(half, values["ndcg@3"], np.nan)[:, None] for values in (catalogue, base)]
    assert part["deltas"]["keen"]["ndcg@3"] == paired_bootstrap(*masked, resamples=200, seed=4)[0]

    only = np.where(pairs, keen.judged_scores, np.float32(np.nan))
    assert summary["pair_slices"]["low"]["pairs"] == pairs.sum()
    assert summary["pair_slices"]["low"]["systems"]["keen"] == separate(judged, only)


def test_a_run_without_pair_scores_has_catalogue_metrics_alone() -> None:
    judged, runs = small_case()
    summary = evaluate(judged, runs, baseline="noisy", cutoffs=(3, 10), resamples=50).as_dict()
    assert set(summary["systems"]["list"]) == {"catalogue"}
    assert set(summary["deltas"]) == {"keen", "list"}
    assert set(summary["deltas"]["list"]) == set(summary["systems"]["list"]["catalogue"])
    assert summary["deltas"]["keen"].keys() > summary["deltas"]["list"].keys()


def test_exponential_gains_change_ndcg_alone() -> None:
    judged, runs = small_case()
    linear, exponential = (
        evaluate(judged, runs[:2], baseline="noisy", cutoffs=(3,), gains=gains, resamples=20).as_dict()
        for gains in ("linear", "exponential")
    )
    assert exponential["gains"] == [0.0, 1.0, 3.0]
    ours, theirs = (found["systems"]["keen"]["catalogue"] for found in (linear, exponential))
    assert {name for name in ours if ours[name] != theirs[name]} == {"ndcg@3"}


def test_faults_are_named() -> None:
    judged, runs = small_case()
    with pytest.raises(ValueError, match="no run 'lexical'"):
        evaluate(judged, runs, baseline="lexical", cutoffs=(3,))
    with pytest.raises(ValueError, match="name of its own"):
        evaluate(judged, [runs[0], runs[0]], baseline="noisy", cutoffs=(3,))
    with pytest.raises(ValueError, match=r"slice 'odd' must be bool\[12\]"):
        evaluate(judged, runs, baseline="noisy", cutoffs=(3,), slices={"odd": np.ones(11, dtype=bool)})
    with pytest.raises(ValueError, match="gains must be one of"):
        evaluate(judged, runs, baseline="noisy", cutoffs=(3,), gains="cubic")


def test_bm25_on_esci_scores_as_others_measured_it() -> None:
    """150 queries, 6,764 titles: NDCG@10 0.633 and recall@100 0.772; in the judged pool NDCG@10 0.719."""
    folder = Path(os.environ.get("MOTHERLODE_DATA", "")) / "esci_us_150q"
    if not os.environ.get("MOTHERLODE_DATA") or not folder.is_dir():
        pytest.skip("MOTHERLODE_DATA is unset, or holds no esci_us_150q")
    import bm25s
    import polars as pl

    products = pl.read_parquet(folder / "products.parquet")
    pairs = pl.read_parquet(folder / "judgments.parquet")
    queries = pairs.select("query_id", "query").unique(maintain_order=True)
    rows = pairs.join(queries.with_row_index("row"), on="query_id").join(
        products.select("product_id").with_row_index("item"), on="product_id"
    )
    judged = Judged.from_pairs(rows["row"], rows["item"], rows["label3"], len(queries))
    titles = products["title"].fill_null("").to_list()
    index = bm25s.BM25()
    index.index(bm25s.tokenize(titles, show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(queries["query"].to_list(), return_ids=False, show_progress=False)
    scores = np.stack([index.get_scores(words) for words in tokens])
    run = Run("lexical", *top_k(scores, 100), judged_scores=scores[judged.query_rows, judged.items])
    found = evaluate(judged, [run], baseline="lexical", resamples=1).as_dict()["systems"]["lexical"]
    assert found["catalogue"]["ndcg@10"]["mean"] == pytest.approx(0.633, abs=0.003)
    assert found["catalogue"]["recall@100"]["mean"] == pytest.approx(0.772, abs=0.003)
    assert found["judged"]["ndcg@10"]["mean"] == pytest.approx(0.719, abs=0.003)
