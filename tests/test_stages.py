"""What the stages add to the rooms: item texts, known items kept out of rankings, public names."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import motherlode
from motherlode.index.candidates import Candidates
from motherlode.recipe import Recipe
from motherlode.stages.retrieve import Known, Part
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.text.template import item_text


def test_public_names():
    assert sorted(motherlode.__all__) == motherlode.__all__
    for name in motherlode.__all__:
        assert getattr(motherlode, name) is not None
    with pytest.raises(AttributeError):
        motherlode.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("taxonomy", "levels", "expected"),
    [
        (["Home", "Kitchen", "Mugs"], 2, "Red mug, a product in Home > Kitchen"),
        (["Home", "Kitchen", "Mugs"], 4, "Red mug, a product in Home > Kitchen > Mugs"),
        (["Home"], 2, "Red mug, a product in Home"),
        (["Home", "Kitchen"], 0, "Red mug"),
        ([], 2, "Red mug"),
        (None, 2, "Red mug"),
    ],
)
def test_item_text(taxonomy, levels, expected):
    assert item_text("Red mug", taxonomy, levels) == expected


@given(st.integers(0, 2**32 - 1))
def test_known_items_leave_the_list_and_nothing_else_does(seed):
    rng = np.random.default_rng(seed)
    queries, items, k = 4, 20, 6
    pairs = rng.integers(0, [[10], [items]], (2, 15))
    rows = np.sort(rng.choice(10, queries, replace=False))
    known = Known.from_pairs(rows, pairs[0], pairs[1])
    order = np.argsort(rng.random((queries, items)), axis=1)[:, : k + known.most]
    scores = np.sort(rng.random(order.shape).astype(np.float32), axis=1)[:, ::-1]
    found = known.drop(Candidates(scores, order), k)
    for row, query in enumerate(rows):
        taken = {item for q, item in pairs.T.tolist() if q == query}
        expected = [item for item in order[row].tolist() if item not in taken][:k]
        assert found.rows[row].tolist() == expected + [-1] * (k - len(expected))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    recipe = Recipe.load(overrides=["data.items=600", "split.unseen=0.4"])
    return ShopTexts(run(recipe, tmp_path_factory.mktemp("shop") / "w", ("split",)), recipe)


def test_test_queries_are_partly_seen_and_no_pair_is_shared(shop):
    part = Part(shop, "test", 50)
    unseen = shop.unseen(part.rows)
    assert 0.15 < unseen.mean() < 0.65
    train = shop.pairs("train")
    pairs = set(zip(train.queries.tolist(), train.items.tolist(), strict=True))
    test = shop.pairs("test")
    assert not pairs & set(zip(test.queries.tolist(), test.items.tolist(), strict=True))
    assert part.known.most > 0
    assert set(part.slices) >= {"unseen", "not unseen", "misspelt", "not misspelt"}


def test_no_system_spends_a_place_on_a_training_pair(shop):
    part = Part(shop, "test", 50)
    rng = np.random.default_rng(0)
    items = rng.normal(size=(len(shop.item_ids), 16)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    queries = items[: len(part.rows)]
    found = part.dense("random", queries, items)
    scores = queries @ items.T
    for row in range(len(part.rows)):
        known = part.known.items[part.known.indptr[row] : part.known.indptr[row + 1]]
        scores[row, known] = -np.inf
        np.testing.assert_array_equal(found.items[row], np.argsort(-scores[row], kind="stable")[:50])


def test_rows_follow_the_tables(shop):
    frame = shop.split.filter(pl.col("part") == "validation")
    pairs = shop.pairs("validation")
    assert shop.queries["query_id"][pairs.queries].to_list() == frame["query_id"].to_list()
    assert shop.item_ids[pairs.items].to_list() == frame["item_id"].to_list()
    some = np.array([5, 0, 17])
    whole = shop.all_texts().to_pylist()
    assert shop.texts(some) == [whole[row] for row in some]


def test_a_merged_encoder_lies_between_the_untouched_and_the_trained_one(tmp_path):
    from safetensors.torch import load_file

    settings = ["data.items=300", "fit.epochs=1", "fit.patience=9"]
    weights = {}
    for share in (1.0, 0.5):
        made = run(Recipe.load(overrides=[*settings, f"fit.merge={share}"]), tmp_path / str(share), ("fit",))
        for name in ("untouched", "best"):
            folder = made / "fit" / name
            files = sorted(folder.rglob("*.safetensors"))
            weights[name, share] = {
                f"{file.relative_to(folder)} {key}": tensor for file in files for key, tensor in load_file(file).items()
            }
        assert made.facts("fit")["best_step"] > 0
    for key, start in weights["untouched", 1.0].items():
        half = (start + weights["best", 1.0][key]) / 2
        np.testing.assert_allclose(weights["best", 0.5][key].numpy(), half.numpy(), atol=1e-6)
