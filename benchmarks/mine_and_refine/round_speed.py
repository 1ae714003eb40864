"""One round of mining at Home Depot's whole catalogue, all but the grading: processor seconds, one thread, interleaved.

    OMP_NUM_THREADS=1 MOTHERLODE_DATA=... python benchmarks/mine_and_refine/round_speed.py [repeats=3]

A round: vectors of the catalogue and of all training queries under the weights at hand, the K nearest items of every
query by exact search, the open ones among them and an empty ledger asked for them, the rule. Ours, with vectors that
an earlier stage has kept (evaluation and the index need the same ones), with one item in a hundred new since then, and
with nothing kept; `mine_hard_negatives` of sentence-transformers with the same model and K, with nothing kept and with
all vectors given to it, which leaves its search and its lists. All search exactly, and what they find is compared with
brute force in double precision. With MiniLM encoding all texts is scaled from SAMPLE of them.
"""

import contextlib
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from material import FOLDER
from run import HOME_DEPOT, STUDIES

from common import RUNS, write
from motherlode.encoders.encode import encode
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.encoders.presets import load
from motherlode.grading.grader import Judge
from motherlode.grading.ledger import Ledger
from motherlode.mining import plan
from motherlode.mining.ground import Ground
from motherlode.mining.miner import pool
from motherlode.mining.plan import RoundSettings
from motherlode.mining.selection import select
from motherlode.recipe import Recipe
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Workspace

K = 100
SAMPLE = 2_000  # texts of each route encoded with MiniLM
CHECKED = 1_000  # queries whose lists are compared with brute force
ROUNDING = 1e-6  # scores in single precision may be wrong by
NEW = 100  # one item in so many is new
JUDGE = Judge("nobody", "1", "speed")


class Round:
    """Queries, items and judgements of Home Depot under one encoder.

    Texts are distinct, the item of the lowest row standing for those that share its text: `mine_hard_negatives` knows
    texts alone. Of a pair judged twice so the higher grade counts.
    """

    def __init__(self, workspace: Workspace, recipe: Recipe) -> None:
        self.encoder = workspace / "fit/best"
        shop = ShopTexts(workspace, recipe)
        texts, queries = shop.texts(), shop.queries["text"].to_list()
        pairs = shop.pairs("train")
        self.items, item = np.unique(np.array(texts, dtype=object), return_inverse=True)
        self.queries, query = np.unique(np.array(queries, dtype=object)[pairs.queries], return_inverse=True)
        self.originals = pl.DataFrame(
            {
                "query_id": [f"q{row}" for row in query],
                "item_id": [f"i{row}" for row in item[pairs.items]],
                "grade": pairs.grades,
            }
        )
        # both miners must want the same: a query without positives is nothing to `mine_hard_negatives`
        positive = self.originals.filter(pl.col("grade") > 0)["query_id"].unique()
        kept = np.isin([f"q{row}" for row in range(len(self.queries))], positive.to_numpy())
        self.query_ids = pl.Series([f"q{row}" for row in np.flatnonzero(kept)])
        self.item_ids = pl.Series([f"i{row}" for row in range(len(self.items))])
        self.query_texts, self.item_texts = list(self.queries[kept]), list(self.items)

    def changed(self, turn: int) -> list[str]:
        """The item texts with every hundredth new; other ones each turn."""
        return [f"{text}, new {turn}" if row % NEW == 0 else text for row, text in enumerate(self.item_texts)]

    def ground(self, vectors: Path, item_texts: list[str] | None = None) -> Ground:
        """Vectors read from the folder, or encoded into it."""
        model = load(str(self.encoder))
        return Ground(
            query_ids=self.query_ids,
            item_ids=self.item_ids,
            queries=np.asarray(encode(model, self.query_texts, "query", vectors)),
            items=np.asarray(encode(model, item_texts or self.item_texts, "document", vectors)),
            weights=weights_fingerprint(model),
            originals=self.originals,
        )

    def ours(self, vectors: Path, item_texts: list[str] | None = None) -> plan.Plan:
        """A round but for its verdicts; the rule is given grade 0 for all that is open."""
        with tempfile.TemporaryDirectory() as temporary, Ledger(Path(temporary) / "ledger.sqlite") as ledger:
            settings = RoundSettings(K)
            made = plan.make(self.ground(vectors, item_texts), JUDGE, ledger, settings, Path(temporary))
            mined(made.rows, made.open)
        return made

    def theirs(self, vectors: Path | None) -> Any:
        """`mine_hard_negatives`: the K nearest items of every query that are no positives of it."""
        from datasets import Dataset
        from sentence_transformers.util import mine_hard_negatives

        positive = self.originals.filter(pl.col("grade") > 0).unique(["query_id", "item_id"], maintain_order=True)
        place = {name: row for row, name in enumerate(self.query_ids.to_list())}
        known = set(place)
        rows = [
            (self.query_texts[place[query]], self.item_texts[int(item[1:])])
            for query, item in positive.select("query_id", "item_id").iter_rows()
            if query in known
        ]
        model = load(str(self.encoder))
        if vectors is not None:
            encoder = load(str(self.encoder))
            model.encode_query = lambda texts, **_: np.asarray(encode(encoder, texts, "query", vectors))
            model.encode_document = lambda texts, **_: np.asarray(encode(encoder, texts, "document", vectors))
        return mine_hard_negatives(
            Dataset.from_dict({"query": [one for one, _ in rows], "item": [two for _, two in rows]}),
            model,
            corpus=self.item_texts,
            range_max=K,
            num_negatives=K,
            use_faiss=True,
            output_format="n-tuple",
            verbose=False,
        )

    def agreement(self, vectors: Path, made: plan.Plan, theirs: Any) -> dict[str, Any]:
        """Shares of queries whose K nearest are those of brute force, and whose mined pairs are.

        Lists: K items of which none is beaten by one outside by more than rounding. Mined pairs: exactly those that the
        rule keeps of brute force's list, grade 0 given to all that is open.
        """
        ground = self.ground(vectors)
        spared = pool(ground.queries, ground.items, ground.known, K).rows
        row = {text: number for number, text in enumerate(self.item_texts)}
        listed: dict[str, set[int]] = {}
        names = [name for name in theirs.column_names if name.startswith("negative")]
        for line in theirs.select_columns(["query", *names]):
            listed.setdefault(line["query"], {row[line[name]] for name in names})
        chosen = np.sort(np.random.default_rng(5).choice(len(made.rows), CHECKED, replace=False))
        same = np.zeros((4, CHECKED), dtype=bool)
        exact = ground.items.astype(np.float64)
        for begin in range(0, CHECKED, 100):
            some = chosen[begin : begin + 100]
            for place, (query, scores) in enumerate(
                zip(some.tolist(), ground.queries[some].astype(np.float64) @ exact.T, strict=True), begin
            ):
                own = slice(ground.known.indptr[query], ground.known.indptr[query + 1])
                known, grades = ground.known.items[own], ground.known.grades[own]
                best = np.argsort(-scores, kind="stable")[:K]
                same[0, place] = _exact(scores, set(made.rows[query].tolist()))
                same[1, place] = np.array_equal(
                    np.sort(mined(made.rows[[query]], made.open[[query]])),
                    np.sort(mined(best[None], ~np.isin(best, known)[None])),
                )
                scores[known[grades > 0]] = -np.inf
                same[2, place] = _exact(scores, set(spared[query].tolist()))
                same[3, place] = _exact(scores, listed.get(self.query_texts[query], set()))
        named = ["ours", "ours, mined pairs", "ours, positives spared", "mine_hard_negatives"]
        return {"queries": CHECKED, **dict(zip(named, same.mean(axis=1).tolist(), strict=True))}


def mined(rows: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """The items that the rule keeps where all open neighbours have grade 0."""
    found: np.ndarray = rows[select(np.where(opened, np.int8(0), np.int8(-1)), RoundSettings(K).rule)]
    return found


def _exact(scores: np.ndarray, found: set[int]) -> bool:
    """Whether these are K best items, up to the rounding of single precision."""
    least = np.partition(scores, -K)[-K]
    return len(found) == K and bool(scores[list(found)].min() >= least - ROUNDING)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        found = work()
    return time.process_time() - began, found


def measured(one: Round, name: str, repeats: int, whole: bool) -> dict[str, Any]:
    """Every way of mining, `repeats` times in turn; without `whole` none that encodes all texts."""
    here = FOLDER / "round_speed" / name
    kept, empty = here / "kept", here / "empty"
    one.ground(kept)
    changed: list[str] = []
    seconds: dict[str, list[float]] = {}
    last: dict[str, Any] = {}
    ways: dict[str, Callable[[], Any]] = {
        "ours, vectors kept": lambda: one.ours(kept),
        "ours, 1 % of the items new": lambda: one.ours(kept, changed),
        "mine_hard_negatives, vectors given": lambda: one.theirs(kept),
    }
    if whole:
        ways["ours, nothing kept"] = lambda: one.ours(empty)
        ways["mine_hard_negatives"] = lambda: one.theirs(None)
    for repeat in range(repeats):
        shutil.rmtree(empty, ignore_errors=True)
        changed = one.changed(time.time_ns())
        for way, work in ways.items():
            spent, last[way] = timed(work)
            seconds.setdefault(way, []).append(round(spent, 2))
            print(name, repeat, way, round(spent, 2), flush=True)
    return {
        "queries": len(one.query_texts),
        "items": len(one.item_texts),
        "k": K,
        "cpu seconds": seconds,
        "exact": one.agreement(kept, last["ours, vectors kept"], last["mine_hard_negatives, vectors given"]),
    }


def middle(found: dict[str, Any]) -> dict[str, float]:
    return {way: float(np.median(values)) for way, values in found["cpu seconds"].items()}


def times(found: dict[str, float]) -> dict[str, dict[str, float]]:
    """How many times ours the others take, for each state of ours."""
    return {
        own: {way: round(value / found[own], 1) for way, value in found.items() if way != own}
        for own in found
        if own.startswith("ours")
    }


def static(repeats: int) -> dict[str, Any]:
    study = STUDIES["home_depot_static"]
    found = measured(Round(Workspace(study.folder(0) / "stage_1"), study.recipe(0)), "static", repeats, whole=True)
    return {**found, "times": times(middle(found))}


def minilm(repeats: int) -> dict[str, Any]:
    """The same with the fine-tuned MiniLM; encoding all texts is scaled from random samples of both kinds."""
    recipe = Recipe.load(overrides=[*HOME_DEPOT, "preset=small"])
    one = Round(Workspace(RUNS / "home_depot_small"), recipe)
    found = measured(one, "minilm", repeats, whole=False)
    scratch = FOLDER / "round_speed/minilm/sample"
    shutil.rmtree(scratch, ignore_errors=True)
    model, rng, encoding = load(str(one.encoder)), np.random.default_rng(3), 0.0
    for task, texts in (("query", one.query_texts), ("document", one.item_texts)):
        some = [texts[row] for row in rng.choice(len(texts), min(SAMPLE, len(texts)), replace=False)]
        spent, _ = timed(lambda task=task, some=some: encode(model, some, task, scratch))
        encoding += spent * len(texts) / len(some)
    full = middle(found)
    full["ours, nothing kept"] = full["ours, vectors kept"] + encoding
    full["mine_hard_negatives"] = full["mine_hard_negatives, vectors given"] + encoding
    return {
        **found,
        "cpu seconds of encoding all texts, scaled": round(encoding, 1),
        "said": f"nothing kept: vectors kept or given, and the encoding of all texts scaled from {SAMPLE} of each kind",
        "times": times(full),
    }


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    repeats = int(given.get("repeats", "3"))
    write("round_speed", {"static": static(repeats), "minilm": minilm(repeats)})
