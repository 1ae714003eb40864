"""Dimensions x precision: what of exact search over whole vectors is kept, at how many bytes and CPU milliseconds.

    OMP_NUM_THREADS=1 python benchmarks/ann_recall.py [real|generated ...]

"real": the catalogue and queries of Home Depot under the encoder trained in benchmarks/runs/home_depot_small.
"generated": 100,000 points around 2,000 centres; variance falls from axis to axis. Fewer dimensions are
the first principal directions of the items, normalised anew. Candidates come from codes tuned to the recall the store
asks for, and are scored again exactly on vectors of those dimensions. Bytes are those of the codes, which lie in
memory; the vectors that score again are memory-mapped.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from common import RESULTS, write
from motherlode.encoders.principal import principal_directions
from motherlode.index.dense import DenseIndex, Precision
from search_speed import TRAINED, newest

Floats = NDArray[np.float32]
DIMENSIONS = (64, 128, 256, 384)
TUNED, ASKED = 500, 500  # queries the codes are tuned on, and others that are measured


def unit(vectors: NDArray[Any]) -> Floats:
    """Scaled to length 1."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def real() -> tuple[Floats, Floats]:
    """Items and queries of Home Depot."""
    return newest(TRAINED / "vectors", 54_667), newest(TRAINED / "vectors", 1_416)


def generated() -> tuple[Floats, Floats]:
    """Items and queries drawn alike."""
    rng = np.random.default_rng([3])
    scale = 1 / np.sqrt(1 + np.arange(384) / 24)
    centres = rng.standard_normal((2_000, 384)) * scale
    points = centres[rng.integers(2_000, size=101_000)] + 0.7 * rng.standard_normal((101_000, 384)) * scale
    return unit(points[:100_000]), unit(points[100_000:])


def measure(items: Floats, queries: Floats) -> list[dict[str, Any]]:
    """One row for every pair of dimensions and precision."""
    tuned, asked = queries[:TUNED], queries[TUNED : TUNED + ASKED]
    true = DenseIndex(items, {}, None).search(asked, 100).rows
    sample = np.random.default_rng([4]).choice(len(items), 20_000, replace=False)
    directions = principal_directions(items[sample].astype(np.float64), max(DIMENSIONS))
    rows = []
    for dimensions in DIMENSIONS:
        whole = dimensions == items.shape[1]
        fewer = [part if whole else unit(part @ directions[:, :dimensions]) for part in (items, tuned, asked)]
        for precision in get_args(Precision):
            with tempfile.TemporaryDirectory(prefix="recall.") as folder:
                index = DenseIndex.build(fewer[0], Path(folder) / "dense", fewer[1], precision=precision)
                began = time.process_time()
                found = np.concatenate([index.search(query[None, :], 100).rows for query in fewer[2]])
                spent = (time.process_time() - began) / len(asked) * 1e3
                codes = Path(folder) / "dense/ann.faiss"
                size = codes.stat().st_size / len(items) if codes.exists() else 4 * dimensions
            kept = {f"recall@{k}": round(kept_of(true[:, :k], found[:, :k]), 4) for k in (10, 100)}
            searched = {name: index.facts.get(name) for name in ("lists", "visited", "widen")}
            rows.append(
                {
                    "dimensions": dimensions,
                    "precision": precision,
                    **kept,
                    "bytes": round(size),
                    "cpu_ms": round(spent, 3),
                    **searched,
                }
            )
            print(rows[-1], file=sys.stderr)
    return rows


def kept_of(true: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Share of the true rows among those found, mean over the queries."""
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)]))


def main() -> None:
    """Measure the sets named, or both; what is known of the other stays in the file."""
    path = RESULTS / "ann_recall.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    sets = {name: found[name] for name in ("real", "generated") if name in found}
    for name in sys.argv[1:] or ["real", "generated"]:
        items, queries = {"real": real, "generated": generated}[name]()
        sets[name] = {"items": len(items), "rows": measure(items, queries)}
        write("ann_recall", sets)


if __name__ == "__main__":
    main()
