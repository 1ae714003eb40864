"""Stage `evaluate`: each encoder of the workspace beside BM25, the untouched one and their best blends."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motherlode.atomic import replacing, write_json
from motherlode.recipe import Recipe
from motherlode.stages.refine import encoder_of
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Stage, Workspace

if TYPE_CHECKING:
    from motherlode.evaluation.compare import Evaluation
    from motherlode.evaluation.run import Run
    from motherlode.stages.retrieve import Part

LEXICAL, UNTOUCHED, TRAINED, REFINED = "bm25", "untouched", "trained", "refined"
FOLDERS = {UNTOUCHED: "fit/untouched", TRAINED: "fit/best", REFINED: "refine/best"}
BLENDS = {name: f"{name} + {LEXICAL}" for name in FOLDERS}
SHOWN = 10  # top results kept for the report


def work(workspace: Workspace, recipe: Recipe) -> dict[str, Any]:
    from motherlode.encoders.encode import encode
    from motherlode.encoders.fingerprint import weights_fingerprint
    from motherlode.encoders.presets import load
    from motherlode.evaluation.compare import evaluate
    from motherlode.evaluation.slices import by_overlap, overlapping_pairs, token_overlap
    from motherlode.stages.retrieve import Part, lexical_index

    shop = ShopTexts(workspace, recipe)
    parts = {part: Part(shop, part, recipe.evaluate.depth) for part in ("validation", "test")}
    lexical = lexical_index(workspace, shop)
    runs = {part: {LEXICAL: held.lexical(LEXICAL, lexical)} for part, held in parts.items()}
    texts = shop.all_texts()
    encoders = [name for name in FOLDERS if name != REFINED or workspace.record("refine")]
    weights = set()
    for name in encoders:
        model = load(str(workspace / FOLDERS[name]))
        weights.add(weights_fingerprint(model))
        items = encode(model, texts, "document", workspace / "vectors", f"encoding the catalogue ({name})")
        for part, held in parts.items():
            queries = encode(model, held.texts, "query", workspace / "vectors", f"encoding queries ({name})")
            runs[part][name] = held.dense(name, np.asarray(queries), items)

    test, found = parts["test"], runs["test"]
    alphas = {
        name: parts["validation"].best_alpha(runs["validation"][name], runs["validation"][LEXICAL]) for name in encoders
    }
    for name in encoders:
        found[BLENDS[name]] = test.blend(BLENDS[name], found[name], found[LEXICAL], alphas[name])
    systems = [found[LEXICAL], *(found[system] for name in encoders for system in (name, BLENDS[name]))]
    titles = shop.tables.frame("catalogue", ["title"])["title"].to_list()
    overlap = token_overlap(test.judged, test.texts, titles)
    result = evaluate(
        test.judged,
        systems,
        baseline=UNTOUCHED,
        gains=recipe.evaluate.gains,
        slices=test.slices | by_overlap(test.judged, overlap),
        pair_slices=overlapping_pairs(overlap),
        n_items=len(shop.item_ids),
        resamples=recipe.evaluate.resamples,
        seed=recipe.seed,
    )
    summary = result.as_dict() | {
        "alphas": alphas,
        "against": {base: versus(result, base, recipe) for base in (LEXICAL, BLENDS[UNTOUCHED], *encoders[1:-1])},
        "part": "test",
        "simulated": bool(shop.tables.source.get("simulated", False)),
        "unseen": float(shop.unseen(test.rows).mean()),
        "weights": encoder_of(workspace)[1]["weights"],
        "data": workspace.facts("data")["tables"],
    }
    out = workspace / "evaluate"
    _write_tables(out, result, systems, test)
    write_json(out / "metrics.json", summary)
    return {"alphas": alphas, "queries": len(test.rows), "last": encoders[-1], "encoders": sorted(weights)}


def versus(result: "Evaluation", baseline: str, recipe: Recipe) -> dict[str, Any]:
    """Paired intervals of the headline metrics against another baseline."""
    from motherlode.evaluation.bootstrap import paired_bootstrap

    metrics = ("ndcg@10", "recall@100")
    deltas = {}
    for system in result.per_query:
        if system == baseline:
            continue
        values = np.stack([result.per_query[system][metric] for metric in metrics], axis=1)
        base = np.stack([result.per_query[baseline][metric] for metric in metrics], axis=1)
        found = paired_bootstrap(values, base, resamples=recipe.evaluate.resamples, seed=recipe.seed)
        deltas[system] = dict(zip(metrics, found, strict=True))
    return deltas


def _write_tables(out: Path, result: "Evaluation", systems: "list[Run]", test: "Part") -> None:
    """per_query, pairs and top as parquet: what the report draws and what anyone may look into."""
    import polars as pl

    ids, texts = test.frame["query_id"], test.frame["text"]
    per_query = pl.concat(
        [
            pl.DataFrame({"query_id": ids, "query": texts, "system": [name] * len(ids)}).hstack(
                pl.DataFrame(metrics).fill_nan(None)
            )
            for name, metrics in result.per_query.items()
        ]
    )
    judged = test.judged
    catalogue = test.shop.tables.frame("catalogue", ["item_id", "title"])
    pairs = pl.DataFrame(
        {
            "query_id": ids[judged.query_rows],
            "item_id": catalogue["item_id"][judged.items],
            "grade": judged.grades,
        }
    )
    pairs = pl.concat(
        [
            pairs.with_columns(system=pl.lit(run.name), score=pl.Series(run.judged_scores, dtype=pl.Float32))
            for run in systems
        ]
    )
    top = []
    for run in systems:
        items, scores = run.items[:, :SHOWN], run.scores[:, :SHOWN]
        query, rank = np.nonzero(items >= 0)
        found, grades = items[query, rank], judged.grades_of(items)[query, rank]
        top.append(
            pl.DataFrame(
                {
                    "query_id": ids[query],
                    "system": [run.name] * len(found),
                    "rank": rank + 1,
                    "item_id": catalogue["item_id"][found],
                    "title": catalogue["title"][found],
                    "score": scores[query, rank],
                    "grade": pl.Series(grades, dtype=pl.Int8).replace(-1, None),
                }
            )
        )
    for name, frame in (("per_query", per_query), ("pairs", pairs), ("top", pl.concat(top))):
        with replacing(out / f"{name}.parquet") as temporary:
            frame.write_parquet(temporary)


def settings(recipe: Recipe) -> dict[str, Any]:
    return {"seed": recipe.seed, **recipe.evaluate.model_dump(mode="json")}


OUTPUTS = tuple(f"evaluate/{name}" for name in ("metrics.json", "per_query.parquet", "pairs.parquet", "top.parquet"))
STAGE = Stage("evaluate", ("data", "split", "fit"), settings, work, OUTPUTS, version=3, after=("refine",))
