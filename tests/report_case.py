"""A small real evaluation to draw: three scorers of texts, measured, and saved as the evaluate stage does."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from motherlode.atomic import write_json
from motherlode.evaluation import Evaluation, Judged, Run, evaluate, judged_metrics, slices, top_k

SYSTEMS = {"before": "letter triples", "after": "weighted words", "lexical": "BM25", "blend": "BM25 + words"}
HOSTILE = "<script>alert('x')</script> & \"kettle\""

NOUNS = ["kettle", "toaster", "lamp", "chair", "blanket", "mug", "pan", "rug"]
COLOURS = ["red", "blue", "green", "black", "white"]
MATERIALS = ["steel", "wool", "oak", "glass"]


def small_shop() -> tuple[list[str], list[str], Judged]:
    """160 items, 40 queries; grade 2 = noun and colour agree, 1 = the noun alone, 0 = neither."""
    titles = [f"{m} {noun} in {c}" for noun in NOUNS for c in COLOURS for m in MATERIALS]
    queries = [f"{c} {noun}" for noun in NOUNS for c in COLOURS]
    rng = np.random.default_rng(1)
    pairs = []
    for row, query in enumerate(queries):
        colour, noun = query.split()
        for item in rng.permutation(len(titles))[:60]:
            words = titles[item].split()
            pairs.append((row, item, (noun in words) * (1 + (colour in words))))
    titles[0] = f"{titles[0]} {HOSTILE}"
    queries[0] = f"{queries[0]} <script>"
    rows, items, grades = zip(*pairs, strict=True)
    return titles, queries, Judged.from_pairs(rows, items, grades, len(queries))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def triples(text: str) -> list[str]:
    padded = f" {text.casefold()} "
    return [padded[at : at + 3] for at in range(len(padded) - 2)]


def counts(texts: Sequence[str], split: Callable[[str], list[str]], vocabulary: dict[str, int]) -> np.ndarray:
    matrix = np.zeros((len(texts), len(vocabulary)), dtype=np.float32)
    for row, text in enumerate(texts):
        for token, count in Counter(split(text)).items():
            if token in vocabulary:
                matrix[row, vocabulary[token]] = count
    return matrix


def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    unit = [m / np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-9) for m in (left, right)]
    return unit[0] @ unit[1].T


def score(titles: list[str], queries: list[str]) -> dict[str, np.ndarray]:
    """Scores [Q, N] of every system."""

    def matrices(split: Callable[[str], list[str]]) -> tuple[np.ndarray, np.ndarray]:
        vocabulary = {token: at for at, token in enumerate(sorted({t for q in queries for t in split(q)}))}
        return counts(queries, split, vocabulary), counts(titles, split, vocabulary)

    q, d = matrices(words)
    df = (d > 0).sum(axis=0)
    idf = np.log(1 + (len(titles) - df + 0.5) / (df + 0.5))
    length = np.array([len(words(title)) for title in titles])
    damped = d * 2.5 / (d + 1.5 * (0.25 + 0.75 * length / length.mean())[:, None])
    bm25 = (q > 0) @ (damped * idf).T
    weighted = cosine(q * idf, np.sqrt(d) * idf)
    scaled = [m / np.maximum(m.max(axis=1, keepdims=True), 1e-9) for m in (bm25, weighted)]
    found = {
        "before": cosine(*matrices(triples)),
        "after": weighted,
        "lexical": bm25,
        "blend": scaled[0] + scaled[1],
    }
    return {SYSTEMS[role]: scores.astype(np.float32) for role, scores in found.items()}


def save(folder: Path, titles: list[str], queries: list[str], judged: Judged) -> Evaluation:
    """Evaluate the four systems and write the four files of the evaluate stage."""
    scores = score(titles, queries)
    runs = [
        Run(
            name,
            *top_k(np.where(matrix > 0, matrix, -np.inf), 100),
            judged_scores=matrix[judged.query_rows, judged.items],
        )
        for name, matrix in scores.items()
    ]
    overlap = slices.token_overlap(judged, queries, titles)
    found = evaluate(
        judged,
        runs,
        baseline=SYSTEMS["before"],
        slices=slices.by_length(queries) | slices.by_overlap(judged, overlap),
        pair_slices=slices.overlapping_pairs(overlap),
        n_items=len(titles),
        resamples=500,
    )
    write_json(folder / "metrics.json", found.as_dict())
    ids = [f"q{row}" for row in range(len(queries))]
    pl.concat(
        pl.DataFrame({"query_id": ids, "query": queries, "system": [name] * len(ids), **metrics})
        for name, metrics in found.per_query.items()
    ).write_parquet(folder / "per_query.parquet")
    pl.concat(
        pl.DataFrame(
            {
                "query_id": [ids[row] for row in judged.query_rows],
                "item_id": [f"i{item}" for item in judged.items],
                "grade": judged.grades,
                "system": [run.name] * len(judged.items),
                "score": run.judged_scores,
            }
        )
        for run in runs
    ).write_parquet(folder / "pairs.parquet")
    top = []
    for run in runs:
        grades = judged.grades_of(run.items)
        for row, rank in np.ndindex(len(queries), 10):
            if run.items[row, rank] >= 0:
                item, grade = run.items[row, rank], grades[row, rank]
                top.append(
                    (ids[row], run.name, rank + 1, f"i{item}", titles[item], float(run.scores[row, rank]),
                     None if grade < 0 else int(grade))
                )  # fmt: skip
    names = ["query_id", "system", "rank", "item_id", "title", "score", "grade"]
    pl.DataFrame(top, schema=names, orient="row", infer_schema_length=None).write_parquet(folder / "top.parquet")
    return found


def save_log(path: Path, judged: Judged, features: np.ndarray, steps: int = 400) -> None:
    """The log of a real fit: logistic regression of grade 2 on features[J, M] by gradient descent."""
    rng = np.random.default_rng(0)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    weights, bias, lr = rng.normal(size=features.shape[1]), 0.0, 0.2
    with path.open("w") as file:
        for step in range(1, steps + 1):
            pick = rng.integers(0, len(features), 64)
            x, y = features[pick], (judged.grades[pick] == 2).astype(float)
            p = 1 / (1 + np.exp(-(x @ weights + bias)))
            loss = float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
            weights, bias = weights - lr * (p - y) @ x / len(y), bias - lr * float(np.mean(p - y))
            file.write(json.dumps({"step": step, "loss": loss, "lr": lr}) + "\n")
            if step % 50 == 0:
                found = judged_metrics(judged, (features @ weights).astype(np.float32), (10,))["ndcg@10"]
                file.write(json.dumps({"step": step, "validation_ndcg@10": float(np.nanmean(found))}) + "\n")
