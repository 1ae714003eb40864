"""Misspelt training queries: originals intact, labels copied, no other part of the split touched."""

import polars as pl
import pytest

from motherlode.errors import InputError, SettingError
from motherlode.text.augment import Augmented, augment, clean_and_noisy, in_place
from motherlode.text.spelling import SpellingNoiser

NOUNS = ("hammer", "screwdriver", "lawnmower", "wheelbarrow", "thermostat", "dishwasher")
COUNT = 1_200
QUERIES = pl.DataFrame(
    {
        "query_id": [f"q{i}" for i in range(COUNT)],
        "text": [f"{NOUNS[i % 6]} series {i}" for i in range(COUNT)],
        "locale": ["us"] * COUNT,
    }
)
PARTS = ("train", "validation", "train", "test")
PAIRS = pl.DataFrame(
    {
        "query_id": [f"q{i // 2}" for i in range(2 * COUNT)],
        "item_id": [f"i{i}" for i in range(2 * COUNT)],
        "grade": [i % 3 for i in range(2 * COUNT)],
        "part": [PARTS[i // 2 % 4] for i in range(2 * COUNT)],
    }
)
TRAIN = PAIRS.filter(part="train")


def added(found: Augmented) -> pl.DataFrame:
    return found.pairs.filter(pl.col("variant_of").is_not_null())


def test_originals_stay_and_variants_carry_the_labels_of_their_query() -> None:
    found = augment(QUERIES, PAIRS, seed=1)
    assert found.queries[:COUNT].drop("variant_of").equals(QUERIES)
    assert found.pairs[: len(PAIRS)].drop("variant_of").equals(PAIRS)
    assert found.pairs[: len(PAIRS)]["variant_of"].is_null().all()
    variants = found.queries[COUNT:]
    assert variants["query_id"].n_unique() == len(variants) == variants["variant_of"].n_unique()
    assert found.queries["text"].n_unique() == len(found.queries)
    for query_id, origin in variants.select("query_id", "variant_of").rows():
        original = PAIRS.filter(query_id=origin)
        copied = found.pairs.filter(query_id=query_id)
        assert copied.select("item_id", "grade", "part").equals(original.select("item_id", "grade", "part"))
        assert copied["variant_of"].unique().to_list() == [origin]
    assert variants["locale"].unique().to_list() == ["us"]


def test_variants_are_of_training_queries_alone() -> None:
    found = augment(QUERIES, PAIRS, share=1.0, seed=1)
    assert set(found.queries[COUNT:]["variant_of"]) <= set(TRAIN["query_id"])
    assert added(found)["part"].unique().to_list() == ["train"]
    assert augment(QUERIES, TRAIN, share=1.0, seed=1).queries.equals(found.queries)


def test_a_share_of_the_changed_variants_is_kept_and_more_keeps_the_same_ones() -> None:
    everything = set(augment(QUERIES, PAIRS, share=1.0, seed=1).queries["query_id"][COUNT:])
    train = TRAIN.unique("query_id", maintain_order=True).join(QUERIES, on="query_id", maintain_order="left")
    noisy = SpellingNoiser().noise(train["text"].to_list(), train["query_id"].to_list(), 1)
    changed = {f"{one}~misspelt" for one, a, b in zip(train["query_id"], train["text"], noisy, strict=True) if a != b}
    assert everything == changed
    fewer = set(augment(QUERIES, PAIRS, share=0.3, seed=1).queries["query_id"][COUNT:])
    some = set(augment(QUERIES, PAIRS, seed=1).queries["query_id"][COUNT:])
    assert fewer < some < everything
    assert len(some) / len(everything) == pytest.approx(0.4, abs=0.07)
    assert len(fewer) / len(everything) == pytest.approx(0.3, abs=0.07)
    assert not len(added(augment(QUERIES, PAIRS, share=0.0)))


class Echo(SpellingNoiser):
    """Gives texts that are there already: a held-out query's, its own in capitals, and one twice."""

    def noise(self, texts: list[str], ids: list[str], seed: int) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        return [{"q0": "Held  Out", "q1": "CLEAN", "q2": "claen", "q3": "claen"}[one] for one in ids]


def test_a_variant_that_is_a_text_already_there_is_dropped() -> None:
    queries = pl.DataFrame({"query_id": ["q0", "q1", "q2", "q3", "q4"], "text": ["a", "clean", "c", "d", "held out"]})
    pairs = pl.DataFrame({"query_id": ["q0", "q1", "q2", "q3"], "grade": [2, 2, 1, 0]})
    found = augment(queries, pairs, Echo(), share=1.0)
    assert found.queries["query_id"].to_list() == ["q0", "q1", "q2", "q3", "q4", "q2~misspelt"]
    assert found.pairs["query_id"].to_list() == ["q0", "q1", "q2", "q3", "q2~misspelt"]


def test_in_place_replaces_what_additive_adds() -> None:
    more, instead = augment(QUERIES, PAIRS, seed=1), in_place(QUERIES, PAIRS, seed=1)
    assert instead.queries.equals(more.queries)
    assert len(instead.pairs) == len(PAIRS)
    assert added(instead).equals(added(more))
    replaced = set(more.queries[COUNT:]["variant_of"])
    left = instead.pairs.filter(pl.col("variant_of").is_null()).drop("variant_of")
    assert left.equals(PAIRS.filter(~pl.col("query_id").is_in(list(replaced))))


def test_in_place_leaves_the_test_pairs_of_a_query_that_trains() -> None:
    pairs = PAIRS.with_columns(part=pl.Series(["train", "test"] * COUNT))
    found = in_place(QUERIES, pairs, seed=1)
    assert found.pairs.filter(part="test").drop("variant_of").equals(pairs.filter(part="test"))
    assert len(added(found)) == len(found.queries) - COUNT > 0


def test_clean_and_noisy_are_the_same_variants() -> None:
    both, variants = clean_and_noisy(QUERIES, PAIRS, seed=1), augment(QUERIES, PAIRS, seed=1).queries[COUNT:]
    assert both.columns == ["query_id", "clean", "noisy"]
    assert both["query_id"].to_list() == variants["variant_of"].to_list()
    assert both["noisy"].to_list() == variants["text"].to_list()
    texts = dict(QUERIES.select("query_id", "text").rows())
    assert both["clean"].to_list() == [texts[one] for one in both["query_id"]]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SettingError, match=r"1\.5"):
        augment(QUERIES, PAIRS, share=1.5)
    with pytest.raises(InputError, match="q9999"):
        augment(QUERIES, PAIRS.with_columns(query_id=pl.lit("q9999")))
    twice = augment(QUERIES, PAIRS, seed=1)
    with pytest.raises(InputError, match="~misspelt"):
        augment(twice.queries, twice.pairs)
