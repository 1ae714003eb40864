"""Which BM25 is the bar? tantivy and bm25s on Home Depot and ESCI, over analyses and fields.

    MOTHERLODE_DATA=... python benchmarks/lexical_engines.py

Whole catalogue, gains 0 / 0.5 / 1. Queries are halved by a hash of their id: choices are read off the
validation half, the test half is for reporting. One thread; times are CPU time of the process.
"""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.evaluation.judged import Judged
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.index.analysis import TERM
from motherlode.index.lexical import FIELDS, LexicalIndex

Searcher = Callable[[list[str], int], NDArray[np.int64]]


class Shop(NamedTuple):
    """Items as field -> text, query texts, judgements, and which queries are the test half."""

    name: str
    items: list[dict[str, str]]
    queries: list[str]
    judged: Judged
    test: NDArray[np.bool_]


def shop(name: str, folder: Path, fields: dict[str, str]) -> Shop:
    """Read one data set; `fields` maps its columns to ours."""
    products = pl.read_parquet(folder / "products.parquet", columns=["product_id", *fields])
    pairs = pl.read_parquet(folder / "judgments.parquet").unique(["query_id", "product_id"], maintain_order=True)
    queries = pairs.unique("query_id", maintain_order=True)
    row = {item: number for number, item in enumerate(products["product_id"])}
    place = {query: number for number, query in enumerate(queries["query_id"])}
    judged = Judged.from_pairs(
        [place[query] for query in pairs["query_id"]],
        [row[item] for item in pairs["product_id"]],
        pairs["label3"].to_numpy(),
        len(queries),
    )
    texts = products.drop("product_id").rename(fields).fill_null("").to_dicts()
    half = [hashlib.blake2b(query.encode(), digest_size=1).digest()[0] % 2 == 1 for query in queries["query_id"]]
    return Shop(name, texts, queries["query"].to_list(), judged, np.array(half))


def through_bm25s(
    texts: list[str], stem: bool = False, stopwords: str | None = "en", pattern: str | None = None
) -> Searcher:
    """bm25s with k1 1.5, b 0.75 and its own tokeniser, unless a pattern for terms is given."""
    import bm25s
    import Stemmer  # type: ignore[import-not-found]

    options = {
        "stopwords": stopwords,
        "stemmer": Stemmer.Stemmer("english") if stem else None,
        "show_progress": False,
    }
    if pattern:
        options["token_pattern"] = pattern
    model = bm25s.BM25()
    model.index(bm25s.tokenize(texts, **options), show_progress=False)

    def search(queries: list[str], k: int) -> NDArray[np.int64]:
        tokens = bm25s.tokenize(queries, **options)
        return model.retrieve(tokens, k=k, show_progress=False, n_threads=1).documents.astype(np.int64)

    return search


def through_tantivy(shop: Shop, folder: str, fields: tuple[str, ...], locale: str) -> Searcher:
    """The lexical leg itself."""
    index = LexicalIndex.build(enumerate(shop.items), Path(folder) / "index", fields, locale)
    return lambda queries, k: index.search(queries, k).rows


def systems(shop: Shop, folder: str) -> Iterator[tuple[str, Callable[[], Searcher]]]:
    """Name and maker of each system to compare."""
    titles = [item["title"] for item in shop.items]
    yield "bm25s, defaults, title", lambda: through_bm25s(titles)
    yield "bm25s, stems, title", lambda: through_bm25s(titles, stem=True)
    ours = TERM.split("|", 1)[1]  # Python's `re` has no script classes; both shops are English
    yield "bm25s, our terms, stems, title", lambda: through_bm25s(titles, True, None, ours)
    yield "tantivy, plain, title", lambda: through_tantivy(shop, folder, ("title",), "und")
    yield "tantivy, stems, title", lambda: through_tantivy(shop, folder, ("title",), "en")
    if len(shop.items[0]) > 1:
        for last in range(2, len(FIELDS) + 1):
            fields = FIELDS[:last]
            name = f"tantivy, stems, {' + '.join(fields)}"
            yield name, partial(through_tantivy, shop, folder, fields, "en")


def main() -> None:
    """Print one Markdown table."""
    root = os.environ.get("MOTHERLODE_DATA")
    if not root:
        sys.exit("Set MOTHERLODE_DATA to the folder that holds homedepot_search and esci_us_150q.")
    esci = {
        "title": "title", "brand": "brand", "category_path": "taxonomy", "color": "attributes",
        "bullet_points": "description",
    }  # fmt: skip
    shops = [
        shop("Home Depot", Path(root) / "homedepot_search", {"title": "title"}),
        shop("ESCI", Path(root) / "esci_us_150q", esci),
    ]
    print("| data | system | validation NDCG@10 / recall@100 | test NDCG@10 / recall@100 | build s | query ms |")
    print("|---|---|---|---|---|---|")
    for data in shops:
        with tempfile.TemporaryDirectory() as folder:
            for name, make in systems(data, folder):
                began = time.process_time()
                search = make()
                built = time.process_time()
                rows = search(data.queries, 100)
                searched = (time.process_time() - built) / len(data.queries) * 1e3
                metrics = ranking_metrics(data.judged, rows)
                halves = [
                    " / ".join(f"{np.nanmean(metrics[metric][half]):.3f}" for metric in ("ndcg@10", "recall@100"))
                    for half in (~data.test, data.test)
                ]
                print(f"| {data.name} | {name} | {' | '.join(halves)} | {built - began:.2f} | {searched:.2f} |")


if __name__ == "__main__":
    main()
