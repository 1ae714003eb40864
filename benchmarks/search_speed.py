"""CPU time a query: the store beside LanceDB's hybrid search and beside faiss with bm25s, one client, one thread.

    MOTHERLODE_DATA=... OMP_NUM_THREADS=1 python benchmarks/search_speed.py [rows ...]

Home Depot's catalogue and queries under the encoder trained in benchmarks/runs/home_depot_small. Up to the 54,667 items
there are, they are real; more are generated: a title is the first half of one and the second half of another, its
vector the sum of theirs and some noise, normalised. The dense leg is tuned on other queries than those asked here.
Systems answer the same query in turn, so that what else the machine does falls on all alike; CPU time is that of
the process with all its threads. A filter is asked for again and again, as in a shop: its rows are looked up once.
LanceDB is left out where it is not installed, and above 100,000 rows, where its index takes too long to build.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common import RUNS, write
from motherlode.index.encoder import encode, load
from motherlode.index.filters import Filter
from motherlode.index.store import Index
from motherlode.tables.tables import Tables, TableWriter

Floats = NDArray[np.float32]
TRAINED = RUNS / "home_depot_small"
LANCE_ROWS = 100_000
QUERIES, WARM = 400, 20
DEPTH = 100
ALPHA = 0.5
SHARES = (0.5, 0.1, 0.01)


def newest(folder: Path, rows: int) -> Floats:
    """The vectors last written for so many texts."""
    found = [path for path in folder.rglob("*.npy") if len(np.load(path, mmap_mode="r")) == rows]
    if not found:
        sys.exit(f"{folder} holds no vectors of {rows} texts: train there first (benchmarks/home_depot.py).")
    return np.load(max(found, key=lambda path: path.stat().st_mtime))


def grow(titles: list[str], vectors: Floats, rows: int) -> tuple[list[str], Floats]:
    """So many items: the first of the real ones, or all and generated ones after them."""
    if rows <= len(titles):
        return titles[:rows], vectors[:rows]
    rng = np.random.default_rng([1, rows])
    grown = np.empty((rows, vectors.shape[1]), dtype=np.float32)
    grown[: len(titles)] = vectors
    left, right = rng.integers(len(titles), size=(2, rows - len(titles)))
    for start in range(len(titles), rows, 65_536):
        some = slice(start, min(start + 65_536, rows))
        a, b = (
            left[some.start - len(titles) :][: some.stop - start],
            right[some.start - len(titles) :][: some.stop - start],
        )
        mixed = vectors[a] + 0.6 * vectors[b] + 0.01 * rng.standard_normal((len(a), vectors.shape[1]), np.float32)
        grown[some] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    words = [title.split() for title in titles]
    halves = zip(left, right, strict=True)
    made = [" ".join(words[a][: len(words[a]) // 2 + 1] + words[b][len(words[b]) // 2 :]) for a, b in halves]
    return titles + made, grown


def tables(titles: list[str], queries: list[str], folder: Path) -> Tables:
    """Queries, and a catalogue with a brand each: of the items, one of `SHARES` has that brand."""
    rng = np.random.default_rng([2, len(titles)])
    draw = rng.random(len(titles))
    edges = np.cumsum(SHARES)
    brands = [f"share {SHARES[place]}" if place < len(SHARES) else None for place in np.searchsorted(edges, draw)]
    with TableWriter(folder, "catalogue") as writer:
        writer.write({"item_id": [f"i{n}" for n in range(len(titles))], "title": titles, "brand": brands})
    with TableWriter(folder, "queries") as writer:
        writer.write({"query_id": [f"q{n}" for n in range(len(queries))], "text": queries})
    return Tables(folder)


def side_by_side(
    titles: list[str], vectors: Floats
) -> tuple[Callable[[str, Floats], Any], Callable[[Floats], NDArray[np.int64]]]:
    """faiss (IVF-PQ fast scan, 8-bit refinement) and bm25s, fused by reciprocal ranks in Python; and faiss alone."""
    import bm25s
    import faiss

    lists = 2 ** round(np.log2(2 * np.sqrt(len(titles))))
    coded = faiss.index_factory(
        vectors.shape[1], f"IVF{lists},PQ{vectors.shape[1] // 2}x4fs,Refine(SQ8)", faiss.METRIC_INNER_PRODUCT
    )
    coded.train(np.ascontiguousarray(vectors[:200_000]))
    coded.add(vectors)
    coded.k_factor = 4
    faiss.ParameterSpace().set_index_parameter(coded, "nprobe", 64)
    words = bm25s.BM25()
    words.index(bm25s.tokenize(titles, stopwords="en", show_progress=False), show_progress=False)

    def search(text: str, vector: Floats) -> Any:
        dense = coded.search(vector[None, :], DEPTH)[1][0].tolist()
        tokens = bm25s.tokenize([text], stopwords="en", show_progress=False)
        lexical = words.retrieve(tokens, k=DEPTH, show_progress=False, n_threads=1).documents[0].tolist()
        fused: dict[int, float] = {}
        for found in (dense, lexical):
            for rank, row in enumerate(found, start=61):
                fused[row] = fused.get(row, 0.0) + 1 / rank
        top = sorted(fused, key=lambda row: -fused[row])[:10]
        return [(row, titles[row]) for row in top]

    return search, lambda asked: coded.search(asked, DEPTH)[1]


def lance(titles: list[str], vectors: Floats, folder: str) -> Callable[[str, Floats], Any] | None:
    """LanceDB's hybrid query: IVF_PQ and full text, fused by reciprocal ranks."""
    try:
        import lancedb
        import pyarrow as pa
    except ImportError:
        return None
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = lancedb.connect(folder).create_table(
        "items", pa.table({"row": np.arange(len(titles)), "title": titles, "vector": flat})
    )
    table.create_index(metric="dot", vector_column_name="vector", index_type="IVF_PQ")
    table.create_fts_index("title")

    def search(text: str, vector: Floats) -> Any:
        words = "".join(letter if letter.isalnum() else " " for letter in text)
        query = table.search(query_type="hybrid").vector(vector).text(words).select(["row", "title"])
        return query.nprobes(20).refine_factor(10).limit(10).to_list()

    return search


def interleaved(systems: dict[str, Callable[[str, Floats], Any]], texts: list[str], vectors: Any) -> Any:
    """CPU milliseconds a query of each system, asked in turn: mean, median and 95th percentile."""
    spent: dict[str, list[float]] = {name: [] for name in systems}
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        for name, search in systems.items():
            began = time.process_time()
            search(text, vector)
            if number >= WARM:
                spent[name].append((time.process_time() - began) * 1e3)
    return {
        name: {
            "mean": round(float(np.mean(times)), 3),
            "median": round(float(np.median(times)), 3),
            "p5": round(float(np.quantile(times, 0.05)), 3),
            "p95": round(float(np.quantile(times, 0.95)), 3),
        }
        for name, times in spent.items()
    }


def static_encoder(titles: list[str], texts: list[str], folder: Path) -> float:
    """CPU milliseconds to encode one query with the static encoder, mean over the queries."""
    from motherlode.encoders.towers import two_tower
    from motherlode.index.encoder import query_encoder

    two_tower("static", titles[:5_000]).save(str(folder))
    encode = query_encoder(folder)
    encode(texts[:1])
    began = time.process_time()
    for text in texts:
        encode([text])
    return (time.process_time() - began) / len(texts) * 1e3


def measure(rows: int) -> dict[str, Any]:
    """All that is measured at one size."""
    shop = Tables(TRAINED / "tables")
    real = shop.frame("catalogue", ["title"])["title"].to_list()
    titles, grown = grow(real, newest(TRAINED / "vectors", len(real)), rows)
    asked_and_others = shop.frame("queries", ["text"])["text"].unique(maintain_order=True).to_list()
    texts = asked_and_others[::20][:QUERIES]
    others = sorted(set(asked_and_others) - set(texts))
    asked = encode(load(TRAINED / "fit/best"), texts)
    built = {}
    with tempfile.TemporaryDirectory(prefix="speed.") as place:
        folder = Path(place)
        np.save(folder / "vectors.npy", grown)
        del grown
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        shop = tables(titles, others, folder / "tables")
        began = time.process_time()
        Index.build(shop, folder / "vectors.npy", TRAINED / "fit/best", folder / "index", ALPHA, {})
        built["motherlode"] = round(time.process_time() - began, 1)
        began, wall = time.process_time(), time.monotonic()
        index = Index.open(folder / "index")
        index.search("paint", mode="lexical")
        opened = {"cpu_s": round(time.process_time() - began, 3), "wall_s": round(time.monotonic() - wall, 3)}
        current: list[Floats] = []
        index.encode = lambda _: current[0][None, :]  # type: ignore[method-assign]

        def ours(wanted: Filter | None = None, mode: Any = "hybrid") -> Callable[[str, Floats], Any]:
            def search(text: str, vector: Floats) -> Any:
                current[:] = [vector]
                return index.search(text, 10, mode, wanted)

            return search

        systems = {"motherlode hybrid": ours(), "dense leg": ours(mode="dense"), "lexical leg": ours(mode="lexical")}
        for share in SHARES:
            systems[f"hybrid, {share:.0%} of items allowed"] = ours(Filter(brand=(f"share {share}",)))
        if rows <= LANCE_ROWS:
            began = time.process_time()
            if found := lance(titles, vectors, place + "/lance"):
                systems["LanceDB hybrid"] = found
                built["LanceDB"] = round(time.process_time() - began, 1)
        began = time.process_time()
        systems["faiss + bm25s"], rival = side_by_side(titles, vectors)
        built["faiss + bm25s"] = round(time.process_time() - began, 1)
        times = interleaved(systems, texts, asked)
        kept = {}
        for name, among in [("all", None), *[(str(share), Filter(brand=(f"share {share}",))) for share in SHARES]]:
            kept[name] = recall(index, vectors, asked[:100], among)
        kept["faiss of faiss + bm25s, all"] = shares(exact(vectors, asked[:100], None), rival(asked[:100]))
        size = sum(path.stat().st_size for path in (folder / "index").rglob("*") if path.is_file())
        own = times["motherlode hybrid"]["mean"]
        return {
            "rows": rows,
            "cpu_ms": times,
            "ratios": {
                name: round(times[name]["mean"] / own, 1)
                for name in times
                if name in ("LanceDB hybrid", "faiss + bm25s")
            },
            "static encoder cpu_ms": round(static_encoder(real, texts, folder / "static"), 3),
            "recall of the dense leg": kept,
            "build_cpu_s": built,
            "open": opened,
            "disk_mb": round(size / 1e6),
            "dense": index.facts["dense"],
        }


def recall(index: Index, vectors: Floats, asked: Floats, wanted: Filter | None) -> dict[str, float]:
    """Recall against exact search among the allowed rows."""
    selection = index.select(wanted) if wanted else None
    true = exact(vectors, asked, selection.rows if selection else None)
    return shares(true, index.dense.search(asked, DEPTH, among=selection).rows)


def exact(vectors: Floats, asked: Floats, rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The rows of the `DEPTH` highest inner products of each query, by brute force."""
    pool = vectors if rows is None else vectors[rows]
    best = np.stack([np.argsort(-(pool @ query), kind="stable")[:DEPTH] for query in asked])
    return best if rows is None else rows[best]


def shares(true: NDArray[np.int64], found: NDArray[np.int64]) -> dict[str, float]:
    """Of the true rows, those among as many found, at 10 and at `DEPTH`: mean over the queries."""
    pairs = list(zip(true, found, strict=True))
    return {
        f"recall@{k}": round(float(np.mean([np.isin(a[:k], b[:k]).mean() for a, b in pairs])), 4) for k in (10, DEPTH)
    }


def main() -> None:
    """Measure each size and save what was found."""
    import faiss

    faiss.omp_set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sizes = [int(text) for text in sys.argv[1:]] or [50_000, 1_000_000]
    for rows in sizes:
        write(f"search_speed_{rows}", measure(rows))


if __name__ == "__main__":
    main()
