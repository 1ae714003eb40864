"""Synthetic queries: ungraded pairs, own and foreign, within their share, from the right items, on real titles."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from motherlode.errors import InputError, SettingError
from motherlode.text.overlap import token_overlap
from motherlode.text.query_templates import TemplateGenerator
from motherlode.text.synthetic import Synthetic, enriched_pool, synthesise, without_positives


@pytest.fixture(scope="module")
def esci(data_root: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Catalogue, queries and judgements."""
    raw = data_root / "esci_us_150q"
    judged = pl.read_parquet(raw / "judgments.parquet").rename({"product_id": "item_id", "label3": "grade"})
    colour = pl.struct(name=pl.lit("colour"), value="color")
    catalogue = pl.read_parquet(raw / "products.parquet").select(
        "title",
        "brand",
        item_id="product_id",
        taxonomy=pl.col("category_path").str.split(" > "),
        attributes=pl.concat_list(colour),
    )
    return catalogue, judged.select("query_id", text="query").unique("query_id", maintain_order=True), judged


class Numbered:
    """Writes "thing N" for the N-th item of its call, or what the list says."""

    def __init__(self, texts: Sequence[str | tuple[str, ...] | None] = ()) -> None:
        self.texts = texts

    def queries(self, items: pl.DataFrame, ceiling: float) -> Sequence[str | tuple[str, ...] | None]:  # noqa: ARG002
        return self.texts or [f"thing {row}" for row in range(len(items))]


def shop(count: int, judgements: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """`count` items, the first of which has all the judgements."""
    catalogue = pl.DataFrame(
        {"item_id": [f"i{i}" for i in range(count)], "title": [f"title {i}" for i in range(count)]}
    )
    queries = pl.DataFrame({"query_id": ["q"], "text": ["Known  Query"]})
    judged = pl.DataFrame({"query_id": ["q"] * judgements, "item_id": ["i0"] * judgements, "grade": [1] * judgements})
    return catalogue, queries, judged


def whole(found: Synthetic) -> pl.DataFrame:
    return found.pairs.join(found.queries, on="query_id", maintain_order="left")


@pytest.mark.parametrize("selective", [True, False])
def test_templates_on_real_items(esci: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame], selective: bool) -> None:
    catalogue, queries, judged = esci
    found = synthesise(catalogue, queries, judged, TemplateGenerator(), selective=selective)
    assert len(found.queries) > 80
    assert "grade" not in found.pairs.columns
    assert len(found.pairs) / (len(found.pairs) + len(judged)) <= 0.05
    assert len(found.pairs.unique(["query_id", "item_id"])) == len(found.pairs)
    positive = set(judged.filter(pl.col("grade") > 0)["item_id"])
    assert bool(positive & set(found.pairs["item_id"])) is not selective
    titles = dict(catalogue.select("item_id", "title").rows())
    for text, item in found.queries.select("text", "made_from").rows():
        assert token_overlap(text, titles[item]) <= 0.7
    own = found.pairs.filter(kind="own")
    assert own["item_id"].n_unique() == len(own)
    assert found.items == len(own) + found.refused + found.overlapping + found.known
    again = synthesise(catalogue.reverse(), queries, judged, TemplateGenerator(), selective=selective)
    assert set(again.queries.select("query_id", "text").rows()) == set(found.queries.select("query_id", "text").rows())


def test_templates_say_what_the_item_is(esci: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]) -> None:
    items = pl.DataFrame(
        {
            "item_id": ["a"],
            "title": ["ACME X200 Cordless Hammer Drill, 18 V"],
            "brand": ["Acme"],
            "taxonomy": [["Tools", "Power tools", "Drills"]],
            "attributes": [[{"name": "colour", "value": "Blue"}, {"name": "blurb", "value": "a b c d e"}]],
        }
    )
    found = {TemplateGenerator(seed).queries(items, 1.0)[0] for seed in range(200)}
    assert found == {
        "drills",
        "acme drills",
        "blue drills",
        "drills blue",
        "acme blue drills",
        "power tools blue",
        "acme cordless hammer drill",
        "blue cordless hammer drill",
        "cordless hammer drill",
        "acme power tools",
    }
    low = {TemplateGenerator(seed).queries(items, 0.4)[0] for seed in range(200)}
    assert low == {text for text in found if text is not None and token_overlap(text, items["title"][0]) <= 0.4}
    titles_alone = esci[0].select("item_id", "title")[:50]
    assert TemplateGenerator().queries(titles_alone, 0.99) == [None] * 50
    assert all(TemplateGenerator().queries(titles_alone[:5], 1.0))


def test_every_item_meets_its_own_query_and_those_of_others() -> None:
    catalogue, queries, judged = shop(40, 10_000)
    found = synthesise(catalogue, queries, judged, Numbered(), foreign=3)
    assert found.items == 39  # the judged one has a positive
    made_from = dict(found.queries.select("query_id", "made_from").rows())
    for item, rows in found.pairs.group_by("item_id"):
        kinds = rows["kind"].value_counts().rows()
        assert dict(kinds) == {"own": 1, "foreign": 3}
        for query_id, kind in rows.select("query_id", "kind").rows():
            assert (made_from[query_id] == item[0]) is (kind == "own")
    # foreign queries are spread, not one neighbour's
    assert found.pairs.filter(kind="foreign")["query_id"].n_unique() > 30


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_items_have_as_many_foreign_queries_as_there_are(count: int) -> None:
    catalogue, queries, judged = shop(count, 10_000)
    found = synthesise(catalogue, queries, judged, Numbered(), foreign=5, selective=False)
    assert len(found.pairs) == count * count


@pytest.mark.parametrize(
    ("share", "foreign", "judgements"), [(0.05, 2, 600), (0.3, 0, 100), (0.1, 4, 333), (0.0, 2, 99)]
)
def test_synthetic_pairs_keep_to_their_share_and_use_it(share: float, foreign: int, judgements: int) -> None:
    catalogue, queries, judged = shop(500, judgements)
    found = synthesise(catalogue, queries, judged, Numbered(), share=share, foreign=foreign)
    pairs = len(found.pairs)
    assert pairs <= share * (pairs + judgements)
    more = pairs + 2 * (1 + foreign)  # one more item, and one for rounding
    assert more > share * (more + judgements)


def test_known_queries_close_ones_and_refusals_are_counted_and_left_out() -> None:
    catalogue, queries, judged = shop(7, 10_000)
    texts = ["known query", "title", None, " ", "new  thing", "New thing"]
    found = synthesise(catalogue, queries, judged, Numbered(texts))
    assert (found.items, found.refused, found.overlapping, found.known) == (6, 2, 1, 1)
    assert found.queries["text"].to_list() == ["new thing"]
    # two items got one text: each is "own", neither is foreign to the other
    assert found.pairs["kind"].to_list() == ["own", "own"]


KINDS = ("thing", "blue thing", "small blue thing")


class Threefold:
    """Writes three queries for every item."""

    def queries(self, items: pl.DataFrame, ceiling: float) -> Sequence[tuple[str, ...]]:  # noqa: ARG002
        return [tuple(f"{kind} {item}" for kind in KINDS) for item in items["item_id"].to_list()]


def test_several_queries_an_item_are_all_its_own_and_keep_to_the_share() -> None:
    catalogue, queries, judged = shop(500, 1_200)
    found = synthesise(catalogue, queries, judged, Threefold(), each=3)
    assert found.items == 1_200 * 5 // 95 // 9 == 7
    assert (found.written, found.refused, len(found.queries)) == (21, 0, 21)
    assert len(found.pairs) <= 0.05 * (len(found.pairs) + 1_200)
    texts = whole(found)
    for item, rows in texts.group_by("item_id"):
        own = rows.filter(kind="own")["text"]
        assert set(own) == {f"{kind} {item[0]}" for kind in KINDS}
        assert not rows.filter(pl.col("kind") == "foreign")["text"].str.ends_with(f" {item[0]}").any()
        assert 0 < len(rows) - 3 <= 6


def test_what_one_item_has_twice_counts_once_and_each_is_a_limit() -> None:
    catalogue, queries, judged = shop(4, 10_000)
    answers = [("New thing", "new  THING", " "), ("known query", "other"), ()]
    found = synthesise(catalogue, queries, judged, Numbered(answers), each=2)
    assert (found.items, found.written, found.known, found.refused) == (3, 3, 1, 1)
    assert found.queries["text"].to_list() == ["New thing", "other"]
    with pytest.raises(InputError, match="2 queries for one item, more than each=1"):
        synthesise(catalogue, queries, judged, Numbered(answers))


def test_items_without_positives_and_the_pool_they_enrich() -> None:
    catalogue, _, _ = shop(4, 0)
    judged = pl.DataFrame({"query_id": ["a", "a", "b"], "item_id": ["i0", "i1", "i2"], "grade": [0, 1, 2]})
    assert without_positives(catalogue, judged)["item_id"].to_list() == ["i0", "i3"]
    graded = pl.DataFrame({"query_id": ["s", "s"], "item_id": ["i3", "i0"], "grade": [0, 2]})
    assert enriched_pool(judged, graded).to_list() == ["i0", "i1", "i2", "i3"]


def test_what_cannot_be_is_refused() -> None:
    catalogue, queries, judged = shop(5, 1_000)
    for settings in ({"share": 1.0}, {"ceiling": 1.1}, {"foreign": -1}, {"each": 0}):
        with pytest.raises(SettingError):
            synthesise(catalogue, queries, judged, Numbered(), **settings)
    with pytest.raises(InputError, match="1 queries for 4 items"):
        synthesise(catalogue, queries, judged, Numbered(["one"]))
