"""The Python of docs/semantic_search.md, run as it stands on real queries and titles, does what the page says."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers.utils.logging import disable_progress_bar

from motherlode.datasets.registry import load
from motherlode.encoders import presets
from motherlode.encoders.static import static_backbone
from motherlode.evaluation.separation import auc

PAGE = Path(__file__).parent.parent / "docs" / "semantic_search.md"
LOOP, TRAINER = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
QUERIES = 40


@pytest.fixture(scope="module")
def shop(data_root, tmp_path_factory):
    """ESCI's first queries, their items and judgements by row number, and a static encoder of those titles."""
    tables = load("esci", tmp_path_factory.mktemp("esci") / "tables", root=data_root)
    judged = tables.frame("judgements").sort("query_id", "item_id")
    ids = judged["query_id"].unique().sort()[:QUERIES]
    judged = judged.filter(pl.col("query_id").is_in(ids.implode()))
    items = judged["item_id"].unique().sort()
    texts = {
        "queries": dict(tables.frame("queries").select("query_id", "text").iter_rows()),
        "items": dict(tables.frame("catalogue", ["item_id", "title"]).iter_rows()),
    }
    place = {one: row for row, one in enumerate(items.to_list())}
    number = {one: row for row, one in enumerate(ids.to_list())}
    rows = [
        (number[query], place[item], grade)
        for query, item, grade in judged.select("query_id", "item_id", "grade").rows()
    ]
    disable_progress_bar()
    titles = [texts["items"][one] for one in items.to_list()]
    return {
        "queries": [texts["queries"][one] for one in ids.to_list()],
        "items": titles,
        "judged": np.array(rows, np.int64),
        "backbone": lambda: static_backbone(presets.load("minilm"), titles, 64),
    }


def separated(model, shop) -> float:
    """AUC of grade 2 over random items."""
    sides = [model.encode(shop[name], normalize_embeddings=True) for name in ("queries", "items")]
    scores, good = sides[0] @ sides[1].T, shop["judged"][shop["judged"][:, 2] == 2]
    return float(auc(scores[good[:, 0], good[:, 1]], scores.ravel()) or 0)


def model_of(shop) -> SentenceTransformer:
    return SentenceTransformer(modules=[shop["backbone"]()], device="cpu")


def test_a_plain_loop_over_graded_rows(shop):
    torch.manual_seed(0)
    model = model_of(shop)
    names = {"judged": shop["judged"]}
    names["query_vectors"] = model.encode(shop["queries"], normalize_embeddings=True)
    names["item_vectors"] = model.encode(shop["items"], normalize_embeddings=True)
    exec(LOOP, names)
    losses, scores, grades = names["losses"], names["scores"], names["grades"]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    assert scores.shape[1] == len(names["negatives"].items) + 8
    assert (grades[:, -8:] == 0).all() and names["mask"][:, -8:].float().mean() > 0.5
    pool, rows = names["negatives"].pools[0], names["rows"]
    taken = {(q, i) for q, i, _ in shop["judged"].tolist()}
    drawn = [(q, i) for q, line, held in zip(rows[:, 0], pool.rows, pool.mask, strict=True) for i in line[held]]
    assert drawn and not taken & set(drawn)
    near = names["codes"].leaf[pool.rows] == names["codes"].leaf[rows[:, 1]][:, None]
    assert not (near & pool.mask).any()


def test_columns_and_points_in_the_librarys_trainer(shop, tmp_path):
    model = model_of(shop)
    before = separated(model, shop)
    names = {name: shop[name] for name in ("queries", "items", "judged")} | {"model": model, "folder": tmp_path}
    exec(TRAINER, names)
    assert separated(model, shop) > before + 0.005
    assert names["loss"].step > 0 and names["books"].facts["moved"] > 0
    pool, codes, positive = names["pool"], names["codes"], names["positive"]
    same = codes.primary[pool.rows[:, 2:]] == codes.primary[positive[:, 1]][:, None]
    assert same.mean() > 0.9 and not (codes.leaf[pool.rows] == codes.leaf[positive[:, 1]][:, None])[pool.mask].any()
