"""Stages `blend` and `thresholds` on the generated shop, against what evaluation and plain loops say."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from motherlode.atomic import read_json
from motherlode.encoders.encode import encode
from motherlode.encoders.presets import load
from motherlode.index import blends
from motherlode.recipe import Recipe
from motherlode.serve.strata import Strata
from motherlode.stages.retrieve import Part
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.stages.thresholds import scored


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    recipe = Recipe.load(overrides=["data.items=600", "fit.epochs=2", "evaluate.resamples=100"])
    workspace = run(recipe, tmp_path_factory.mktemp("shop") / "w")
    found = {name: read_json(workspace / name / "metrics.json") for name in ("evaluate", "blend", "thresholds")}
    return SimpleNamespace(recipe=recipe, workspace=workspace, **found)


def test_the_legs_and_the_convex_blend_are_those_of_evaluation(made):
    known = made.evaluate["systems"]
    for ours, theirs in {"dense": "trained", "lexical": "bm25"}.items():
        for metric, value in made.blend["test"]["systems"][ours].items():
            assert value == pytest.approx(known[theirs]["catalogue"][metric]["mean"], abs=1e-9)
    ours, theirs = made.blend["test"]["systems"]["convex"], known["trained + bm25"]["catalogue"]
    assert ours["ndcg@10"] == pytest.approx(theirs["ndcg@10"]["mean"], abs=0.02)  # alpha tuned at another depth


def test_what_is_kept_is_the_blend_that_was_chosen(made):
    kept = blends.load(made.workspace / "blend/blend.json")
    assert kept.kind == made.blend["chosen"] and made.blend["why"].startswith(kept.kind)
    assert set(made.blend["test"]["against"]) == set(made.blend["test"]["systems"]) - {kept.kind}
    gains = made.blend["test"]["against"]["lexical"]["ndcg@10"]
    systems = made.blend["test"]["systems"]
    assert gains["delta"] == pytest.approx(systems[kept.kind]["ndcg@10"] - systems["lexical"]["ndcg@10"], abs=1e-9)


def test_boundaries_hold_on_the_test_what_a_plain_loop_counts(made):
    shop = ShopTexts(made.workspace, made.recipe)
    model = load(str(made.workspace / "fit/best"))
    items = np.asarray(encode(model, shop.all_texts(), "document", made.workspace / "vectors"))
    part = Part(shop, "test", made.recipe.evaluate.depth)
    queries = np.asarray(encode(model, part.texts, "query", made.workspace / "vectors"))
    pairs = scored(part, queries, items, made.recipe)
    judged = {
        (query, item): grade
        for query, item, grade in zip(
            part.judged.query_rows.tolist(), part.judged.items.tolist(), part.judged.grades.tolist(), strict=True
        )
    }
    real = len(judged)
    assert pairs.grades[:real].tolist() == list(judged.values())
    assert 0.9 * real < len(pairs.grades) - real <= real  # random ones, those left out that were judged or twice there
    assert not pairs.grades[real:].any()
    products = queries[pairs.queries[:real]] * items[part.judged.items]
    np.testing.assert_allclose(pairs.cosines[:real], products.sum(axis=1), atol=1e-5)
    assert pairs.cosines[real:].mean() < pairs.cosines[:real].mean() - 0.1
    strata = Strata.load(made.workspace / "thresholds")
    for one in made.thresholds["boundaries"]:
        grade, threshold = one["test"]["grade"], one["test"]["threshold"]
        assert threshold == strata.threshold(grade) == one["validation"]["threshold"]
        shown = [found >= grade for score, found in zip(pairs.cosines, pairs.grades, strict=True) if score >= threshold]
        assert one["test"]["shown"] == len(shown)
        assert one["test"]["precision"] == pytest.approx(np.mean(shown))


def test_slices_of_a_boundary_are_parts_of_the_test(made):
    for one in made.thresholds["boundaries"]:
        for name, part in one["slices"].items():
            assert part["shown"] <= one["test"]["shown"], name
        unseen = [part["shown"] for name, part in one["slices"].items() if name in ("unseen", "not unseen")]
        assert sum(unseen) == one["test"]["shown"]


def test_refusing_is_measured_on_queries_with_and_without_an_answer(made):
    for one in made.thresholds["refusing"]:
        assert 0 < one["empty"] < one["queries"]
        assert one["auc"] > 0.5 and 0 <= one["lost"] <= 1


def test_the_index_carries_the_thresholds_and_the_page_tells_of_both(made):
    assert Strata.load(made.workspace / "index") == Strata.load(made.workspace / "thresholds")
    page = (made.workspace / "report.html").read_text(encoding="utf-8")
    assert "One list out of several legs" in page and "Thresholds between grades" in page
    assert "Conformal" in page and made.blend["chosen"] in page
    assert json.loads((made.workspace / "thresholds/metrics.json").read_text())["scores"]["n"] > 0
