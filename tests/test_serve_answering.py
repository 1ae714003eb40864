"""Answers of one version: against the index itself, brute force over its vectors, and slow loops."""

import json
import math

import numpy as np
import pytest

from motherlode.index.filters import Filter
from motherlode.index.store import Index
from motherlode.serve.answering import Answering
from motherlode.serve.asks import Ask
from motherlode.serve.encoding import Encoders
from motherlode.serve.errors import Refused
from motherlode.serve.intersection import intersect
from motherlode.serve.strata import Strata, fit_strata
from serve_case import CATALOGUE, build

QUERIES = ["red chair", "hose", "blue", "kettle", "green lamp and table", "  ", "\0", "é" * 400]


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Index:
    place = tmp_path_factory.mktemp("answering")
    opened = build(place, place / "index")
    opened.upsert([{"item_id": "new", "title": "purple kettle"}], opened.encode(["purple kettle"]))
    opened.delete(["i05"])
    return opened.publish()


@pytest.fixture(scope="module")
def strata() -> Strata:
    return fit_strata(np.linspace(-1, 1, 201), np.repeat([0, 1, 2], 67), precision=0.9)


def answering(index: Index, strata: Strata | None = None) -> Answering:
    return Answering("shop", index, Encoders(index.folder / "encoder", index.facts), strata)


def told(answer: object) -> dict:
    assert isinstance(answer, bytes), answer
    return json.loads(b"{" + answer)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("wanted", [Filter(), Filter(brand=("Acme",)), Filter(price=(None, 60))])
def test_hits_are_those_of_the_index(index: Index, mode, wanted) -> None:
    asks = [Ask(query, 5, mode, explain=True, wanted=wanted) for query in QUERIES]
    for ask, answer in zip(asks, answering(index).answers(asks), strict=True):
        hits = index.search(ask.query, 5, mode, wanted)
        found = told(answer)
        assert found["query"] == ask.query and found["index"] == {"name": "shop", "version": index.facts["version"]}
        assert [hit["item_id"] for hit in found["hits"]] == [hit.item_id for hit in hits]
        legs = index.legs([ask.query], 100 if mode == "hybrid" else 5, mode, wanted)
        for got, hit in zip(found["hits"], hits, strict=True):
            assert got["score"] == pytest.approx(hit.score, abs=2e-6) and got["title"] == hit.title
            assert got["grade"] is None and got["expected_precision"] is None
            for name in ("dense", "lexical"):
                own = legs[name].rows[0].tolist() if name in legs else []
                rank = own.index(hit.row) + 1 if hit.row in own else None
                assert got[f"{name}_rank"] == rank
                if getattr(hit, name) is not None:
                    assert got[name] == pytest.approx(getattr(hit, name), abs=2e-6)
    assert told(answering(index).answers(asks[:1])[0])["hits"]  # it is not all empty


def test_together_is_as_alone(index: Index, strata: Strata) -> None:
    one = answering(index, strata)
    asks = [Ask(query, k, mode) for query in QUERIES for k in (1, 4) for mode in ("hybrid", "dense", "lexical")]
    together = [told(answer) for answer in one.answers(asks)]
    alone = [told(one.answers([ask])[0]) for ask in asks]
    for a, b in zip(together, alone, strict=True):
        assert [hit["item_id"] for hit in a["hits"]] == [hit["item_id"] for hit in b["hits"]]
        assert [hit["score"] for hit in a["hits"]] == pytest.approx([hit["score"] for hit in b["hits"]], abs=2e-6)


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_strata_are_of_the_cosine_whatever_found_the_item(index: Index, strata: Strata, mode) -> None:
    one = answering(index, strata)
    for query in ("red chair", "blue hose", "purple"):
        vector = index.encode([query])[0].astype(np.float64)
        cosine = {}
        for row in range(len(index.items)):
            cosine[index.items[row]["item_id"]] = float(index.dense.vectors(np.array([row]))[0] @ vector)
        everything = told(one.answers([Ask(query, 50, mode)])[0])
        for hit in everything["hits"]:
            assert hit["dense"] is None  # not asked for
            assert hit["grade"] == strata.grade(cosine[hit["item_id"]])
            assert hit["expected_precision"] == pytest.approx(
                strata.expected_precision(cosine[hit["item_id"]]), abs=1e-3
            )
        for grade in (1, 2):
            least = told(one.answers([Ask(query, 2, mode, grade)])[0])
            kept = [hit["item_id"] for hit in everything["hits"] if hit["grade"] >= grade]
            assert [hit["item_id"] for hit in least["hits"]] == kept[:2]
        assert everything["nothing_relevant"] == (max(hit["grade"] for hit in everything["hits"]) == 0)


def test_nothing_relevant_is_an_answer(index: Index) -> None:
    strict = fit_strata([0.9, 0.999], [0, 2])  # only the very same text is relevant
    found = [told(answer) for answer in answering(index, strict).answers([Ask("red chair"), Ask("red"), Ask(" ")])]
    assert [one["nothing_relevant"] for one in found] == [False, True, False]
    assert told(answering(index).answers([Ask("zzz", mode="lexical")])[0])["nothing_relevant"]


def test_what_is_like_an_item(index: Index) -> None:
    one = answering(index)
    rows = {index.items[row]["item_id"]: row for row in range(len(index.items))}
    vectors = index.dense.vectors(np.arange(len(index.items))).astype(np.float64)
    found = told(one.answers([Ask("", 4, item_id="i00", explain=True)])[0])
    cosines = vectors @ vectors[rows["i00"]]
    wanted = sorted((-cosines[row], row) for name, row in rows.items() if name not in ("i00", "i05"))[:4]
    assert [rows[hit["item_id"]] for hit in found["hits"]] == [row for _, row in wanted]
    assert [hit["score"] for hit in found["hits"]] == pytest.approx([-score for score, _ in wanted], abs=1e-6)
    assert found["query"] == "i00" and [hit["dense"] for hit in found["hits"]] == [
        hit["score"] for hit in found["hits"]
    ]
    filtered = told(one.answers([Ask("", 20, item_id="i00", wanted=Filter(brand=("Acme",)))])[0])
    assert {hit["brand"] for hit in filtered["hits"]} == {"Acme"}


def test_what_is_like_an_item_and_fits_words(index: Index) -> None:
    """The red chair, but blue: the blue chair is what both sides want."""
    one = answering(index)
    titles = [told(one.answers([Ask(change, 1, item_id=item)])[0])["hits"][0]["title"] for item, change in
              (("i00", "blue"), ("i02", "green"), ("i08", "red"), ("i07", "red"))]  # fmt: skip
    assert titles == ["blue chair", "green lamp", "red chair", "red hose"]


def test_the_intersection_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(1000, 40, replace=False))
    item, change = rng.uniform(-1, 1, (2, 40)).astype(np.float32)
    slow = []
    for row, a, b in zip(rows, item, change, strict=True):
        share_a = (float(a) - float(item.min())) / (float(item.max()) - float(item.min()))
        share_b = (float(b) - float(change.min())) / (float(change.max()) - float(change.min()))
        slow.append((-math.sqrt(share_a * share_b), int(row)))
    found, scores = intersect(rows, item, change)
    assert found.tolist() == [row for _, row in sorted(slow)]
    np.testing.assert_allclose(scores, [-score for score, _ in sorted(slow)], rtol=1e-6)
    assert intersect(rows[:0], item[:0], change[:0])[0].tolist() == []
    assert intersect(rows[:1], item[:1], change[:1])[1].tolist() == [1.0]


def test_an_ask_that_cannot_be_answered_fails_alone(index: Index) -> None:
    asks = [Ask("red"), Ask("", item_id="i05"), Ask("red", grade=1), Ask("", item_id="nobody"), Ask("hose")]
    asks.append(Ask("red", mode="sparse"))
    found = answering(index).answers(asks)
    assert [isinstance(answer, Refused) and answer.status for answer in found] == [False, 404, 409, 404, False, 409]


def test_an_item_is_encoded_as_it_was_indexed(index: Index) -> None:
    encoders = Encoders(index.folder / "encoder", index.facts)
    records = [index.items.record(row) for row in range(len(CATALOGUE["title"]))]
    found = encoders.items(records, index.folder / "encoder")
    np.testing.assert_allclose(found, index.dense.vectors(np.arange(len(records))), atol=1e-6)


def test_recommended_items_that_are_gone_are_left_out(index: Index) -> None:
    found = told(answering(index).recommended({"i03": 0.9, "i05": 0.8, "nobody": 0.7, "new": 0.6, "i01": 0.5}, 2))
    assert [(hit["rank"], hit["item_id"], hit["score"]) for hit in found["hits"]] == [(1, "i03", 0.9), (2, "new", 0.6)]
