"""The third leg through the stages: trained, blended, put into the index, taken from a folder, left out."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from motherlode.atomic import read_json
from motherlode.cli import app
from motherlode.errors import MissingError, SettingError
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.index import blends
from motherlode.index.store import Index
from motherlode.recipe import Recipe
from motherlode.serve.answering import Answering
from motherlode.serve.asks import Ask
from motherlode.serve.encoding import Encoders
from motherlode.serve.overview import overview
from motherlode.sparse.encode import encode_terms, terms_fingerprint
from motherlode.sparse.term_encoder import TermEncoder
from motherlode.stages.retrieve import Part
from motherlode.stages.run import run, status
from motherlode.stages.shop_texts import ShopTexts

SMALL = ["data.items=300", "fit.epochs=1", "fit.patience=1", "evaluate.resamples=100", "sparse.query_window=20"]
INDEX = ("data", "split", "fit", "sparse", "evaluate", "blend", "thresholds", "index")
TRAINED = [
    *SMALL,
    "index.sparse=train",
    "sparse.steps=6",
    "sparse.groups=8",
    "sparse.item_window=40",
    "index.sparse_terms=12",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    recipe = Recipe.load(overrides=TRAINED)
    return recipe, run(recipe, tmp_path_factory.mktemp("shop") / "w", ("index",))


def dense(terms):
    found = np.zeros((len(terms), terms.width))
    found[np.repeat(np.arange(len(terms)), terms.counts), terms.terms] = terms.weights
    return found


def test_the_blend_stage_measures_the_leg_that_brute_force_gives(made, tmp_path):
    recipe, workspace = made
    shop = ShopTexts(workspace, recipe)
    part = Part(shop, "test", recipe.evaluate.depth)
    encoder = TermEncoder.load(workspace / "sparse/best")
    assert encoder.settings.query_window == 20 and encoder.settings.item_window == 40
    queries, items = (dense(encode_terms(encoder, texts, task, tmp_path)) for texts, task in (
        (part.texts, "query"), (shop.texts(), "document")))  # fmt: skip
    least = np.sort(queries, axis=1)[:, -12][:, None]
    queries = np.where(queries >= least, queries, 0)
    scores = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ items.T
    for row in range(len(part.rows)):
        scores[row, part.known.items[part.known.indptr[row] : part.known.indptr[row + 1]]] = 0
    rows = np.argsort(-scores.astype(np.float32), axis=1, kind="stable")[:, : recipe.evaluate.depth]
    rows = np.where(np.take_along_axis(scores, rows, axis=1) > 0, rows, -1)
    told = read_json(workspace / "blend/metrics.json")["test"]["systems"]
    assert {"dense", "lexical", "sparse"} < set(told)
    for metric, value in told["sparse"].items():
        assert value == pytest.approx(np.nanmean(ranking_metrics(part.judged, rows)[metric]), abs=1e-3)


def test_the_index_holds_the_leg_and_a_blend_of_three(made):
    _, workspace = made
    index = Index.open(workspace / "index")
    assert index.names == ("dense", "lexical", "sparse") == tuple(index.legs(["red"], 3))
    assert getattr(index.blend, "legs", index.names) == index.names
    assert index.blend == blends.load(workspace / "blend/blend.json")
    facts = workspace.facts("sparse")
    assert index.facts["sparse"]["weights"] == facts["weights"] == workspace.facts("index")["sparse"]["weights"]
    assert facts["weights"] == terms_fingerprint(TermEncoder.load(workspace / "sparse/best"))
    assert index.facts["sparse"]["items"] == 300 and index.facts["sparse"]["levels"] == 2
    assert index.facts["sparse"]["served"] == 12 and index.terms.queries(["red"]).counts[0] <= 12
    assert {one.name: one.state for one in status(workspace)}.items() >= dict.fromkeys(INDEX, "fresh").items()


def test_the_verbs_know_the_third_leg(made):
    def said(*words):
        found = CliRunner().invoke(app, [*words, "-w", str(made[1].folder)])
        return found.exit_code, found.output + repr(found.exception)

    code, text = said("search", "red shoe", "--mode", "sparse", "-k", "3", "--json")
    hits = json.loads(next(line for line in text.splitlines() if line.startswith("{")))["hits"]
    assert code == 0 and [hit["sparse"] for hit in hits] == [hit["score"] for hit in hits]
    assert said("sparse")[0] == 0
    code, text = said("sparse", "index.sparse=")
    assert code != 0 and "index.sparse=train" in text


def test_the_server_answers_with_the_third_leg_too(made):
    index = Index.open(made[1] / "index")
    answering = Answering("shop", index, Encoders(index.folder / "encoder", index.facts), None)
    for mode in ("sparse", "hybrid"):
        (answer,) = answering.answers([Ask("red shoe", k=5, mode=mode, explain=True)])
        hits, wanted = json.loads(b"{" + answer)["hits"], index.search("red shoe", k=5, mode=mode)
        assert [hit["item_id"] for hit in hits] == [hit.item_id for hit in wanted]
        assert len({tuple(hit) for hit in hits}) == 1  # the same keys, found by a leg or not
        for hit, one in zip(hits, wanted, strict=True):
            assert hit["sparse"] == (None if one.sparse is None else pytest.approx(one.sparse, abs=1e-5))
    assert overview(answering)["legs"] == ["dense", "lexical", "sparse"]


def test_an_encoder_of_a_folder_is_taken_as_it_is_and_two_legs_are_had_again(made, tmp_path):
    workspace = made[1]
    before = workspace.facts("sparse")["weights"]
    TermEncoder.load(workspace / "sparse/best").save(tmp_path / "given")
    given = Recipe.load(overrides=[*SMALL, f"index.sparse={tmp_path / 'given'}"])
    assert run(given, workspace, ("sparse",)).facts("sparse")["weights"] == before
    with pytest.raises(MissingError, match="no sparse encoder"):
        run(Recipe.load(overrides=[*SMALL, "index.sparse=nowhere"]), workspace, ("sparse",))
    run(Recipe.load(overrides=SMALL), workspace, ("index",))
    assert Index.open(workspace / "index").names == ("dense", "lexical")
    with pytest.raises(SettingError, match="sparse"):
        Index.open(workspace / "index").search("red", mode="sparse")
    assert "sparse" not in read_json(workspace / "blend/metrics.json")["test"]["systems"]
    assert "sparse" not in [one.name for one in status(workspace)]
