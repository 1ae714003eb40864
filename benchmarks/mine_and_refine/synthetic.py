"""Table 5: synthetic queries, for any items or for those without a positive pair, every pair graded.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/synthetic.py [shop | home_depot] [seeds=0,1,2]

Every arm is Stage 1 of preset tiny for the same number of steps. On the generated shop the judge is its truth told
rightly nine times in ten, on Home Depot the cross-encoder that run.py uses. Home Depot's catalogue is titles alone, so
templates have the head of a title only and the overlap ceiling must go (ceiling=1). The two arms with a pool also draw
random negatives, from the judged items or from `enriched_pool`: the paper does not say what enriched its landscape, and
this reading of it is ours. Margins are over judged test pairs with at least 70 % token overlap, grades 2 against 0; on
the shop those of "truth" are by true grades, over all items that have one above 0 and the judged ones.
"""

import sys
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from by_query import MARGINS, RANKED, against
from material import shared
from noisy_truth import NoisyTruth
from run import ACCURACY, STUDIES, grader_of
from stage_1 import HOME_DEPOT, SEEDS, SHOP, Arm, Bench
from synthetic_truth import SyntheticTruth

from common import write
from motherlode.atomic import read_json, replacing, write_json
from motherlode.grading.grader import Grader, Pair, decide
from motherlode.stages.shop_texts import Pairs
from motherlode.text.judged_item import judged_item
from motherlode.text.query_templates import TemplateGenerator
from motherlode.text.synthetic import Synthetic, enriched_pool, synthesise

JUDGED = ("title", "taxonomy", "brand", "attributes", "description")
STUDY = {"shop": SHOP, "home_depot": HOME_DEPOT}
CEILING = {"shop": 0.7, "home_depot": 1.0}


class Made:
    """Synthetic queries of a bench and the verdicts on their pairs, kept on disk."""

    def __init__(self, bench: Bench, data: str, selective: bool) -> None:
        self.bench, self.data, self.selective = bench, data, selective
        self.folder = bench.folder / "synthetic" / ("selective" if selective else "blanket")

    @cached_property
    def catalogue(self) -> pl.DataFrame:
        return self.bench.shop.tables.frame("catalogue")

    @cached_property
    def graded(self) -> pl.DataFrame:
        """query_id, text, item_id, kind, grade."""
        path = self.folder / "graded.parquet"
        if not path.exists():
            found = self._grade(self._made())
            with replacing(path) as temporary:
                found.write_parquet(temporary)
        return pl.read_parquet(path)

    def facts(self) -> dict[str, Any]:
        grades = self.graded.group_by("kind").agg(pl.col("grade").value_counts())
        told = {
            kind: {str(one["grade"]): one["count"] for one in sorted(counts, key=lambda one: one["grade"])}
            for kind, counts in grades.sort("kind").iter_rows()
        }
        return {**read_json(self.folder / "made.json"), "grades": told}

    def texts_and_pairs(self) -> tuple[list[str], Pairs]:
        """The originals with the graded synthetic pairs after them."""
        bench = self.bench
        queries = self.graded.unique("query_id", keep="first", maintain_order=True)
        number = {one: len(bench.texts) + row for row, one in enumerate(queries["query_id"].to_list())}
        place = {item: row for row, item in enumerate(bench.shop.item_ids.to_list())}
        train = bench.train_pairs
        added = (
            np.array([number[one] for one in self.graded["query_id"].to_list()], np.int64),
            np.array([place[one] for one in self.graded["item_id"].to_list()], np.int64),
            self.graded["grade"].to_numpy().astype(np.int8),
        )
        pairs = Pairs(
            np.concatenate([train.queries, added[0]]),
            np.concatenate([train.items, added[1]]),
            np.concatenate([train.grades, added[2]]),
        )
        return [*bench.texts, *queries["text"].to_list()], pairs

    def pool(self) -> np.ndarray:
        ids = enriched_pool(self.train, self.graded)
        return np.flatnonzero(self.bench.shop.item_ids.is_in(ids.implode()).to_numpy())

    @cached_property
    def train(self) -> pl.DataFrame:
        return self.bench.shop.split.filter(pl.col("part") == "train").select("query_id", "item_id", "grade")

    def _made(self) -> Synthetic:
        return synthesise(
            self.catalogue,
            self.bench.shop.tables.frame("queries"),
            self.train,
            TemplateGenerator(self.bench.seed),
            selective=self.selective,
            ceiling=CEILING[self.data],
            seed=self.bench.seed,
        )

    def _grade(self, made: Synthetic) -> pl.DataFrame:
        pairs = made.pairs.join(made.queries.select("query_id", "text"), on="query_id", maintain_order="left")
        facts: dict[str, Any] = {"made": str(made)}
        if self.data == "shop":
            truth = SyntheticTruth(self.bench.shop.tables.folder, made.queries)
            known = pairs["query_id"].is_in(pl.Series(list(truth.numbers)).implode())
            facts["queries whose meaning the shop's truth can tell"] = len(truth.numbers)
            pairs = pairs.filter(known)
            judge: Grader = NoisyTruth(self.bench.shop.tables.folder, ACCURACY)
            judge.truth = truth  # type: ignore[attr-defined]
        else:
            judge = shared(grader_of(STUDIES["home_depot_static"]), self.bench.study.name)
        titles = pairs.select("item_id").join(self.catalogue, on="item_id", how="left", maintain_order="left")
        texts = [judged_item(*(row[name] for name in JUDGED)) for row in titles.iter_rows(named=True)]
        columns = (pairs[name].to_list() for name in ("query_id", "item_id", "text"))
        asked = [Pair(*one) for one in zip(*columns, texts, strict=True)]
        parts = [
            judge.grade(asked[begin : begin + judge.block]).probabilities for begin in range(0, len(asked), judge.block)
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "made.json", facts)
        return pairs.with_columns(grade=pl.Series(decide(np.concatenate(parts)))).filter(pl.col("grade") >= 0)


def arms(data: str) -> tuple[Arm, ...]:
    def judged_items(bench: Bench) -> np.ndarray:
        return np.unique(bench.train_pairs.items)

    def selective(bench: Bench) -> tuple[list[str], Pairs]:
        return Made(bench, data, True).texts_and_pairs()

    def blanket(bench: Bench) -> tuple[list[str], Pairs]:
        return Made(bench, data, False).texts_and_pairs()

    def enriched(bench: Bench) -> np.ndarray:
        return Made(bench, data, True).pool()

    pooled = {"unrelated": "both"}
    return (
        Arm("none"),
        Arm("blanket", blanket),
        Arm("selective", selective),
        Arm("none, judged pool", fit=pooled, pool=judged_items),
        Arm("selective, enriched pool", selective, fit=pooled, pool=enriched),
    )


def table(figures: dict[str, dict[int, pl.DataFrame]], arenas: tuple[str, ...]) -> dict[str, Any]:
    """Every arm against none, and the last also against the pool alone: ranking and margins."""
    found: dict[str, Any] = {}
    for name, arm in figures.items():
        bases = ["none", *(["none, judged pool"] if name.endswith("enriched pool") else [])]
        found[name] = {
            f"against {base}": {
                arena: against(arm, figures[base], arena, (*RANKED, *MARGINS) if arena in ("test", "truth") else RANKED)
                for arena in arenas
            }
            for base in bases
        }
    return found


def main(words: list[str]) -> None:
    data = next(word for word in words if "=" not in word)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    seeds = [int(one) for one in given.get("seeds", ",".join(map(str, SEEDS))).split(",")]
    figures: dict[str, dict[int, pl.DataFrame]] = {}
    facts: dict[str, Any] = {}
    for seed in seeds:
        bench = Bench(STUDY[data], seed)
        for kind in (False, True):
            made = Made(bench, data, kind)
            _ = made.graded  # made now, so that its facts are there
            facts[f"seed {seed}, {made.folder.name}"] = made.facts()
        for arm in arms(data):
            figures.setdefault(arm.name, {})[seed] = bench.figures(arm)
            bench.forget(arm)
    arenas = ("test", "validation", *(("truth",) if data == "shop" else ()))
    write(f"mine_and_refine_synthetic_{data}", {"seeds": seeds, "made": facts, "arms": table(figures, arenas)})


if __name__ == "__main__":
    if not [word for word in sys.argv[1:] if word in STUDY]:
        sys.exit(__doc__)
    main(sys.argv[1:])
