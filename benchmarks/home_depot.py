"""Home Depot: Stage 1 against BM25, the untouched encoder and their blends; test queries never seen in training.

The whole catalogue of 54,667 titles is searched, gains 1 / 0.5 / 0. Beside the product's own BM25 (English
stems, letters parted from digits) stands a stock one (bm25s defaults, titles), as most published figures use.
Settings were chosen on the validation queries of the same split; each alpha too.

    MOTHERLODE_DATA=... python benchmarks/home_depot.py tiny|small [key=value ...]
"""

import sys
from typing import Any

import bm25s
import numpy as np

from common import RUNS, write
from motherlode.atomic import read_json
from motherlode.evaluation.bootstrap import paired_bootstrap
from motherlode.evaluation.ranking import ranking_metrics
from motherlode.evaluation.run import Run
from motherlode.index.candidates import Candidates, best
from motherlode.recipe import Recipe
from motherlode.stages.evaluate import BLENDS, LEXICAL, TRAINED, UNTOUCHED
from motherlode.stages.retrieve import Part
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Workspace

STRICT = ["data.source=homedepot", "split.unseen=1", "split.test=0.15", "split.validation=0.07"]
STOCK = "stock bm25 (bm25s defaults, titles)"
METRICS = ("ndcg@10", "recall@100")


def stock_bm25(texts: list[str], titles: list[str], depth: int) -> Candidates:
    """bm25s as its README shows it: English stop words, no stemmer, Lucene's BM25."""
    index = bm25s.BM25()
    index.index(bm25s.tokenize(titles, stopwords="en", show_progress=False), show_progress=False)
    rows, scores = index.retrieve(
        bm25s.tokenize(texts, stopwords="en", show_progress=False), k=depth, show_progress=False
    )
    return best(scores, np.where(scores > 0, rows, -1).astype(np.int64), depth)


def measured(workspace: Workspace, recipe: Recipe) -> dict[str, dict[str, np.ndarray]]:
    """Per-query metrics of all systems on the test part, stock BM25 and its blends among them."""
    from motherlode.encoders.encode import encode
    from motherlode.encoders.presets import load
    from motherlode.stages.retrieve import lexical_index

    shop = ShopTexts(workspace, recipe)
    depth = recipe.evaluate.depth
    parts = {name: Part(shop, name, depth) for name in ("validation", "test")}
    lexical, titles = lexical_index(workspace, shop), shop.tables.frame("catalogue", ["title"])["title"].to_list()
    texts = shop.all_texts()
    runs: dict[str, dict[str, Run]] = {name: {} for name in parts}
    for name, part in parts.items():
        stock = stock_bm25(part.texts, titles, depth)
        runs[name][LEXICAL] = part.lexical(LEXICAL, lexical)
        none = np.zeros(len(part.judged.items), np.float32)  # judged pairs are not compared here
        runs[name][STOCK] = Run(STOCK, stock.rows, stock.scores, none)
    for system, folder in ((UNTOUCHED, "fit/untouched"), (TRAINED, "fit/best")):
        model = load(str(workspace / folder))
        items = encode(model, texts, "document", workspace / "vectors")
        for name, part in parts.items():
            queries = np.asarray(encode(model, part.texts, "query", workspace / "vectors"))
            runs[name][system] = part.dense(system, queries, items)
    for system in (UNTOUCHED, TRAINED):
        blend = BLENDS[system]
        for leg, title in ((LEXICAL, blend), (STOCK, f"{system} + stock bm25")):
            alpha = parts["validation"].best_alpha(runs["validation"][system], runs["validation"][leg])
            runs["test"][title] = parts["test"].blend(title, runs["test"][system], runs["test"][leg], alpha)
    judged = parts["test"].judged
    return {name: ranking_metrics(judged, found.items) for name, found in runs["test"].items()}


def against(found: dict[str, dict[str, np.ndarray]], system: str, baseline: str) -> dict[str, Any]:
    values, base = (np.stack([found[name][metric] for metric in METRICS], axis=1) for name in (system, baseline))
    intervals = paired_bootstrap(values, base, seed=0)
    return {
        metric: {key: round(float(interval[key] or 0), 4) for key in ("relative", "relative_low", "relative_high", "p")}
        for metric, interval in zip(METRICS, intervals, strict=True)
    }


def main(preset: str, overrides: list[str]) -> None:
    recipe = Recipe.load(overrides=[f"preset={preset}", *STRICT, *overrides])
    name = f"home_depot_{preset}" + "".join(f"_{word.replace('=', '-')}" for word in overrides)
    workspace = run(recipe, RUNS / name, ("evaluate", "report"), tell=lambda *what: print(*what, flush=True))
    found = measured(workspace, recipe)
    pairs = [(TRAINED, base) for base in (UNTOUCHED, LEXICAL, STOCK, BLENDS[UNTOUCHED], "untouched + stock bm25")]
    pairs += [(BLENDS[TRAINED], base) for base in (TRAINED, LEXICAL, BLENDS[UNTOUCHED])]
    summary = read_json(workspace / "evaluate/metrics.json")
    write(
        name,
        {
            "queries": int((~np.isnan(found[TRAINED]["ndcg@10"])).sum()),
            "items": summary["items"],
            "gains": summary["gains"],
            "split": " ".join(STRICT[1:]),
            "seed": recipe.seed,
            "fit": workspace.facts("fit"),
            "fit_seconds": workspace.record("fit")["seconds"],  # type: ignore[index]
            "systems": {
                system: {metric: round(float(np.nanmean(values[metric])), 4) for metric in METRICS}
                for system, values in found.items()
            },
            "auc_2_0": {
                system: round(summary["systems"][system]["separation"]["auc_2_0"]["pooled"], 4)
                for system in summary["systems"]
            },
            "against": {f"{system} vs {base}": against(found, system, base) for system, base in pairs},
        },
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tiny", sys.argv[2:])
