"""What the arms of a study share: Stage 1, the pairs that mining and its controls bring, all graded once."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

sys.path.append(str(Path(__file__).parent.parent))

from common import RUNS
from motherlode.atomic import replacing
from motherlode.encoders.encode import encode
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.encoders.presets import load
from motherlode.grading import job
from motherlode.grading.grader import Grader, decide
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.grading.remembered import Remembered
from motherlode.index.items import documents
from motherlode.index.lexical import LexicalIndex
from motherlode.mining.ground import Ground
from motherlode.mining.mined import merge, unjudged
from motherlode.mining.naive_miner import NaiveMiner
from motherlode.mining.plan import RoundSettings
from motherlode.mining.round import Round, mine_round
from motherlode.mining.selection import Rule
from motherlode.recipe import Recipe
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Workspace

FOLDER = RUNS / "mine_and_refine"


@dataclass(frozen=True)
class Study:
    """A data set, a backbone, how Stage 1 and 2 are trained, what may be spent on verdicts.

    Attributes:
        name: of the study; its runs lie under it.
        data: recipe settings of data and split.
        fit: recipe settings of encoder and Stage 1.
        steps: of Stage 2, in every arm.
        verdicts: bought by mining, and by its control, on pairs of training queries.
        k: neighbours of each query.
        folds: cross-validation over queries; 1 for none.
    """

    name: str
    data: tuple[str, ...]
    fit: tuple[str, ...]
    steps: int
    verdicts: int
    k: int = 100
    folds: int = 1

    @property
    def bf16(self) -> bool:
        """Whether vectors too are computed in bfloat16: those of every arm alike, in half the time."""
        return "fit.precision=bf16" in self.fit

    def recipe(self, seed: int, fold: int = 0) -> Recipe:
        folds = [f"split.folds={self.folds}", f"split.fold={fold}"] if self.folds > 1 else []
        return Recipe.load(overrides=[*self.data, *folds, *self.fit, f"seed={seed}"])

    def folder(self, seed: int, fold: int = 0) -> Path:
        return FOLDER / self.name / f"seed_{seed}" / (f"fold_{fold}" if self.folds > 1 else "")


def quick(bf16: bool) -> AbstractContextManager[object]:
    """Compute in bfloat16 or, without it, as ever."""
    import torch

    return torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()


class Material:
    """Stage 1 of one seed (and fold), and judgements by name: see `judgements`."""

    def __init__(
        self, study: Study, seed: int, grader: Grader, pool: pl.DataFrame | None = None, fold: int = 0
    ) -> None:
        self.study, self.seed, self.recipe = study, seed, study.recipe(seed, fold)
        self.folder = study.folder(seed, fold)
        self.workspace: Workspace = run(self.recipe, self.folder / "stage_1", ("fit",), tell=say)
        self.shop = ShopTexts(self.workspace, self.recipe)
        self.stage_1 = self.workspace / "fit/best"
        self.vectors = self.workspace / ("vectors_bf16" if study.bf16 else "vectors")
        self.texts = PairTexts(self.shop.tables)
        self.grader, self.pool = grader, pool

    @cached_property
    def originals(self) -> pl.DataFrame:
        return self.shop.split.filter(pl.col("part") == "train").select("query_id", "item_id", "grade")

    @cached_property
    def held_out(self) -> pl.DataFrame:
        """Pairs that no training may hold: those of validation and test, and of the pool."""
        keys = ["query_id", "item_id"]
        apart = self.shop.split.filter(pl.col("part") != "train").select(keys)
        return apart if self.pool is None else pl.concat([apart, self.pool.select(keys)]).unique()

    @cached_property
    def ground(self) -> Ground:
        return self.under(self.stage_1)

    def under(self, encoder: Path) -> Ground:
        """Training queries and the items they were judged on (the paper's choice), under an encoder."""
        model, pairs = load(str(encoder)), self.shop.pairs("train")
        queries, items = np.unique(pairs.queries), np.unique(pairs.items)
        texts = self.shop.queries["text"][queries].to_list()
        with quick(self.study.bf16):
            vectors = encode(model, self.shop.all_texts(), "document", self.vectors, "encoding the catalogue")
            asked = encode(model, texts, "query", self.vectors, "encoding training queries")
        return Ground(
            query_ids=self.shop.queries["query_id"][queries],
            item_ids=self.shop.item_ids[items],
            queries=np.asarray(asked),
            items=np.asarray(vectors)[items],
            weights=weights_fingerprint(model),
            originals=self.originals,
            held_out=self.held_out,
        )

    def mine(self, name: str, settings: RoundSettings, ledger_name: str = "mined") -> Round:
        """A round under Stage 1; its verdicts in a ledger of this seed alone, so that a budget means what it says."""
        with Ledger(self.folder / f"{ledger_name}.sqlite") as ledger:
            found = mine_round(self.ground, self.texts, self.grader, ledger, self.folder / name, settings)
        print(f"{self.study.name} seed {self.seed}, {name}: {found.report}", flush=True)
        return found

    @cached_property
    def mined(self) -> Round:
        return self.mine("mined", RoundSettings(self.study.k, Rule(), self.study.verdicts, "random", self.seed))

    @cached_property
    def ranked(self) -> Round:
        """As many verdicts as `mined`, on the nearest of all neighbours."""
        settings = RoundSettings(self.study.k, Rule(), self.study.verdicts, "rank", self.seed)
        return self.mine("ranked", settings, "ranked")

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows, in the shop, of the queries and items of `ground`."""
        pairs = self.shop.pairs("train")
        return np.unique(pairs.queries), np.unique(pairs.items)

    def query_texts(self) -> list[str]:
        return list(self.shop.queries["text"][self.rows[0]].to_list())

    def lexical(self) -> LexicalIndex:
        """BM25 over the items of `ground`."""
        folder = self.folder / "lexical"
        if not folder.exists():
            place = {int(row): number for number, row in enumerate(self.rows[1])}
            found = ((place[row], text) for row, text in documents(self.shop.tables) if row in place)
            LexicalIndex.build(found, folder)
        return LexicalIndex.open(folder)

    def mixed(self, k: int, name: str) -> Round:
        """As many verdicts as `mined`, in the order that a recipe's rounds buy in; BM25 is its second opinion."""
        self.ground = replace(self.ground, legs={"bm25": self.lexical().search(self.query_texts(), k).rows})
        return self.mine(name, RoundSettings(k, Rule(), self.study.verdicts, "mixed", self.seed), name)

    def all_verdicts(self, name: str = "mined") -> pl.DataFrame:
        """Every pair the mining bought a verdict on, whatever its rank: query_id, item_id, grade, expected."""
        _ = self.ranked if name == "ranked" else self.mined
        with np.load(self.folder / name / "plan.npz") as held:
            queries, items = held["queries"], held["items"]
        with Ledger(self.folder / f"{name}.sqlite") as ledger:
            return self._graded(self.ground.query_ids[queries], self.ground.item_ids[items], ledger)

    def random_verdicts(self) -> pl.DataFrame:
        """The control: as many verdicts as mining bought, on random pairs of training queries and items."""
        ground, rng = self.ground, np.random.default_rng([self.seed, 7])
        queries = rng.integers(0, len(ground.query_ids), 2 * self.study.verdicts)
        items = rng.integers(0, len(ground.item_ids), 2 * self.study.verdicts)
        keys = ["query_id", "item_id"]
        drawn = pl.DataFrame({"query_id": ground.query_ids[queries], "item_id": ground.item_ids[items]})
        known = pl.concat([self.originals.select(keys), self.held_out])
        drawn = drawn.unique(maintain_order=True).join(known, on=keys, how="anti", maintain_order="left")
        drawn = drawn[: self.mined.report.bought]
        with Ledger(self.folder / "random.sqlite") as ledger:
            job.grade(drawn["query_id"], drawn["item_id"], self.texts, self.grader, ledger, source="random")
            return self._graded(drawn["query_id"], drawn["item_id"], ledger)

    def naive(self) -> pl.DataFrame:
        """As many un-graded neighbours as mining found hard negatives, all taken for grade 0."""
        per_query = max(1, round(self.mined.report.mined[0] / len(self.ground.query_ids)))
        found = NaiveMiner().mine(self.ground.queries, self.ground.items, self.ground.known, per_query)
        rows = unjudged(found, self.ground.query_ids, self.ground.item_ids, "naive", self.ground.weights)
        return rows.join(self.held_out, on=["query_id", "item_id"], how="anti", maintain_order="left")

    def judgements(self, data: str) -> pl.DataFrame:
        """What an arm trains on: query_id, item_id, grade.

        original: the human grades. mined: with them what the rule keeps. verdicts: with them all that mining had
        graded. ranked, ranked verdicts: the same with verdicts on the nearest neighbours. mixed: what the rule keeps
        of verdicts bought in a recipe's order (mixed, k 50: among fifty neighbours). random: with them the control's.
        naive: with them un-graded neighbours. mined alone: no originals. no top 10, grade 2 only, no positives:
        `mined` under another rule.
        """
        path = self.folder / "data" / f"{data.replace(' ', '_')}.parquet"
        if not path.exists():
            with replacing(path) as temporary:
                self._make(data).select("query_id", "item_id", "grade").write_parquet(temporary)
        return pl.read_parquet(path)

    def _make(self, data: str) -> pl.DataFrame:
        if data == "original":
            return self.originals
        if data == "mined":
            return self.mined.judgements
        if data == "mined alone":
            return self.mined.mined
        if data == "verdicts":
            return _beside(self.originals, self.all_verdicts())
        if data == "mixed":
            return self.mixed(self.study.k, data).judgements
        if data.startswith("mixed, k "):
            return self.mixed(int(data.removeprefix("mixed, k ")), data.replace(", ", "_").replace(" ", "_")).judgements
        if data == "ranked":
            return self.ranked.judgements
        if data == "ranked verdicts":
            return _beside(self.originals, self.all_verdicts("ranked"))
        if data == "random":
            return _beside(self.originals, self.random_verdicts())
        if data == "naive":
            return merge(self.originals, [self.naive()])
        rule = {
            "no top 10": Rule(top_10=False),
            "grade 2 only": Rule(grade_1=False),
            "no positives": Rule(positives=0),
        }[data]
        _ = self.mined  # its verdicts are all that the other rules choose from
        return self.mine(data.replace(" ", "_"), RoundSettings(self.study.k, rule, 0, "random", self.seed)).judgements

    def _graded(self, queries: pl.Series, items: pl.Series, ledger: Ledger) -> pl.DataFrame:
        found = ledger.lookup(self.grader.judge, queries, items)
        grades = decide(found.probabilities)
        expected = found.probabilities @ np.arange(3)
        return pl.DataFrame({"query_id": queries, "item_id": items, "grade": grades, "expected": expected}).filter(
            pl.col("grade") >= 0
        )


def shared(grader: Grader, name: str) -> Grader:
    """The grader with a memory that all seeds of a data set share: a pair costs its processor time once."""
    (FOLDER / name).mkdir(parents=True, exist_ok=True)
    return Remembered(grader, Ledger(FOLDER / name / "verdicts.sqlite"), "study")


def say(*what: object) -> None:
    print(*what, flush=True)


def _beside(originals: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    columns = ["query_id", "item_id", "grade"]
    more = more.join(originals, on=columns[:2], how="anti", maintain_order="left")
    return pl.concat([originals.select(columns), more.select(pl.col(*columns[:2]), pl.col("grade").cast(pl.Int8))])
