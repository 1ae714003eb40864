"""All miners on one board: how many of their negatives are none, what they cost, what training on them brings.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/miners.py STUDY [seeds=0,1,2] [losses=supcon,mnrl]

STUDY is shop, or home_depot_static once `run.py home_depot_static` has run for the seed. Every miner names NEGATIVES a
query among the items of the training judgements, under Stage 1. Stage 2 then trains on all originals and the negatives
as grade 0, every miner for the same steps at the same learning rate; ours trains on verdicts.

Which negatives are none: on the shop the truth says it of all. On Home Depot a grader does: the verdicts of the
study's own round are a random sample of the K nearest, and of BM25's and random negatives it reads SAMPLE, chosen by
hash. As a check without a grader, half of the human judgements are hidden and looked for among the mined. What is done
is not done again; `seeds=` writes the table alone.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any

import numpy as np
import polars as pl
from arenas import RANKED, Measured
from arms import Arm
from material import FOLDER, Material, Study, say, shared
from noisy_truth import NoisyTruth
from run import ACCURACY, STUDIES, grader_of, train

from common import RUNS, write
from motherlode.atomic import read_json, write_json
from motherlode.encoders.encode import encode
from motherlode.encoders.presets import load
from motherlode.errors import MissingError
from motherlode.evaluation.bootstrap import paired_bootstrap
from motherlode.evaluation.judged import Judged
from motherlode.grading import job
from motherlode.grading.grader import Grader, decide
from motherlode.grading.ledger import Ledger
from motherlode.mining.bm25_miner import Bm25Miner
from motherlode.mining.gist_miner import GistMiner
from motherlode.mining.leaderboard import standing
from motherlode.mining.mined import merge, unjudged
from motherlode.mining.miner import Mined, Miner
from motherlode.mining.naive_miner import NaiveMiner
from motherlode.mining.percpos_miner import PercPosMiner
from motherlode.mining.plan import RoundSettings
from motherlode.mining.qwen_miner import QwenMiner
from motherlode.mining.random_miner import RandomMiner
from motherlode.mining.regraded_miner import RegradedMiner
from motherlode.mining.taxonomy_miner import TaxonomyMiner
from motherlode.mining.trisampler_miner import TriSamplerMiner
from motherlode.shop.truth import Truth
from motherlode.stages.run import run
from motherlode.tables.hashing import hash_ids, uniform

NEGATIVES = 10  # of each query, the cap of `selection.Rule`
SAMPLE = 2_000  # pairs of a miner that looks beyond the nearest for a grader to read on Home Depot
SHOP_STEPS = 80  # of Stage 2 on the shop, whose Stage 1 takes 70
FACTOR = 0.3  # of Stage 1's learning rates: of the two that `run.py` tries what serves the control better on the truth
UNGRADED = ("random", "bm25", "naive", "percpos", "percpos tuned", "marginpos", "gist", "qwen3 mask", "trisampler")
BEYOND = ("random", "bm25")  # those of UNGRADED that do not choose among the nearest
Maker = Callable[[], pl.DataFrame]


class Side(Material):
    """Stage 1 as the study has it, and arms beside the study's own, which lie under FOLDER/STUDY/PART.

    Every seed of the generated shop is another shop with queries of its own: its judge knows that shop's truth.
    `makers` say how to make judgements by further names.
    """

    def __init__(self, study: Study, seed: int, part: str = "sides", accuracy: float = ACCURACY) -> None:
        pool = None
        if study.name == "shop":
            made = run(study.recipe(seed), study.folder(seed) / "stage_1", ("fit",))
            grader: Grader = NoisyTruth(made / "tables", accuracy)
        else:
            if not (study.folder(seed) / "mined/round.json").exists():
                raise MissingError(f"{study.folder(seed)}/mined is not there: run `run.py {study.name}` first.")
            grader, pool = _grader(study), pl.read_parquet(FOLDER / "home_depot/pool.parquet")
        super().__init__(study, seed, grader, pool)
        self.folder = FOLDER / study.name / part / f"seed_{seed}"
        self.makers: dict[str, Maker] = {}

    def verdicts(self, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The grader's grades of pairs of rows of `ground`."""
        names = self.ground.query_ids[queries], self.ground.item_ids[items]
        with Ledger(self.folder / "verdicts.sqlite") as ledger:
            job.grade(*names, self.texts, self.grader, ledger, source="board")
            return decide(ledger.lookup(self.grader.judge, *names).probabilities)

    def _make(self, data: str) -> pl.DataFrame:
        return self.makers[data]() if data in self.makers else super()._make(data)


@cache
def _grader(study: Study) -> Grader:
    return shared(grader_of(study), "home_depot")


def study_of(name: str) -> Study:
    """The study of `run.py`; the shop's Stage 2 is shorter, as its Stage 1 is."""
    return replace(STUDIES[name], steps=SHOP_STEPS) if name == "shop" else STUDIES[name]


def miners(side: Side) -> dict[str, Callable[[], Miner]]:
    """Makers of the miners by name; what they read beside the vectors is made before their clock runs."""

    def gist() -> Miner:
        model = load("minilm")
        queries = encode(model, side.query_texts(), "query", RUNS / "minilm_vectors", "guide, queries")
        items = encode(model, side.shop.all_texts(), "document", RUNS / "minilm_vectors", "guide, items")
        return GistMiner(np.asarray(queries), np.asarray(items)[side.rows[1]])

    found: dict[str, Callable[[], Miner]] = {
        "random": lambda: RandomMiner(side.seed),
        "bm25": lambda: Bm25Miner(side.lexical(), side.query_texts()),
        "naive": NaiveMiner,
        "percpos": PercPosMiner,
        "percpos tuned": lambda: PercPosMiner(tune=True),
        "marginpos": lambda: PercPosMiner("absolute"),
        "gist": gist,
        "qwen3 mask": lambda: QwenMiner(side.shop.texts(side.rows[1])),
        "trisampler": lambda: TriSamplerMiner(seed=side.seed),
    }
    if side.study.name == "shop":
        taxonomy = side.shop.tables.frame("catalogue", ["taxonomy"])["taxonomy"].gather(side.rows[1]).to_list()
        found["taxonomy siblings"] = lambda: TaxonomyMiner(taxonomy, side.seed)
        found["re-graded"] = lambda: RegradedMiner(side.verdicts, side.study.k)
    return found


def mined(side: Side, name: str) -> Mined:
    """What the miner finds; kept, with the processor time it took."""
    path = side.folder / f"miners/{name.replace(' ', '_')}.npz"
    if not path.exists():
        miner, ground = miners(side)[name](), side.ground
        vectors = np.asarray(ground.queries), np.asarray(ground.items)
        began = time.process_time()
        found = miner.mine(*vectors, ground.known, NEGATIVES)
        seconds = time.process_time() - began
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path.with_suffix(".json"), {"facts": dict(found.facts), "cpu seconds": seconds})
        np.savez_compressed(path, items=found.items, scores=found.scores)
    kept = read_json(path.with_suffix(".json"))
    with np.load(path) as held:
        return Mined(held["items"], held["scores"], {**kept["facts"], "cpu seconds": kept["cpu seconds"]})


def board(side: Side, name: str) -> dict[str, Any]:
    """The miner's line: see `leaderboard.Standing`; what its negatives are by the truth, or by a grader's sample."""
    path = side.folder / f"miners/{name.replace(' ', '_')}.board.json"
    if path.exists():
        return dict(read_json(path))
    found, ground = mined(side, name), side.ground
    vectors = np.asarray(ground.queries), np.asarray(ground.items)
    shown = asdict(standing(name, found, *vectors, _truth(side, name), found.facts["cpu seconds"]))
    if side.study.name != "shop":
        shown |= _against_hidden(side, name)
    write_json(path, shown)
    return shown


def _truth(side: Side, name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    ground = side.ground

    def known(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
        truth = Truth(side.shop.tables.folder)
        return truth.grade(ground.query_ids[queries].to_list(), ground.item_ids[items].to_list())

    def drawn(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
        read = _draws(side, queries, items) < SAMPLE / (NEGATIVES * len(ground.query_ids))
        grades = np.full(len(queries), -1, np.int8)
        grades[read] = side.verdicts(queries[read], items[read])
        return grades

    def of_the_round(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
        with Ledger(side.study.folder(side.seed) / "mined.sqlite") as ledger:
            names = ground.query_ids[queries], ground.item_ids[items]
            return decide(ledger.lookup(side.grader.judge, *names).probabilities)

    if side.study.name == "shop":
        return known
    return drawn if name in BEYOND else of_the_round


def _against_hidden(side: Side, name: str) -> dict[str, Any]:
    """Mined again with half of the human judgements hidden: the share of positives among the hidden that it finds."""
    ground, known = side.ground, side.ground.known
    hidden = _draws(side, known.query_rows, known.items) < 0.5
    parts = [
        Judged.from_pairs(known.query_rows[kept], known.items[kept], known.grades[kept], known.n_queries)
        for kept in (~hidden, hidden)
    ]
    found = miners(side)[name]().mine(np.asarray(ground.queries), np.asarray(ground.items), parts[0], NEGATIVES)
    grades = parts[1].grades_of(found.items)
    human, wrong = int((grades >= 0).sum()), int((grades > 0).sum())
    return {"human-known": human, "human-known false": wrong / human if human else None}


def _draws(side: Side, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    names = side.ground.query_ids[queries] + "\t" + side.ground.item_ids[items]
    return uniform(hash_ids(names, 5, "sample"))


def negatives(side: Side, name: str) -> pl.DataFrame:
    """All originals, and the miner's negatives as grade 0."""
    ground = side.ground
    rows = unjudged(mined(side, name), ground.query_ids, ground.item_ids, name, ground.weights)
    rows = rows.join(side.held_out, on=["query_id", "item_id"], how="anti", maintain_order="left")
    return merge(side.originals, [rows])


def regraded(side: Side) -> dict[str, Maker]:
    """Ours, which trains on verdicts on all neighbours: the hard negatives alone, and with them the hard positives."""

    def mine() -> pl.DataFrame:
        return side.mine("round", RoundSettings(side.study.k, first="random", seed=side.seed)).mined

    return {
        "re-graded": lambda: merge(side.originals, [mine().filter(pl.col("grade") == 0)]),
        "re-graded, with positives": lambda: merge(side.originals, [mine()]),
    }


def original(loss: str) -> Arm:
    """The control: as many steps on the originals alone."""
    return Arm(f"train on, {loss}", "original", {"loss": loss})


def results(study: Study, part: str = "sides") -> dict[str, dict[int, dict[str, Measured]]]:
    """arm -> seed -> arena -> what was measured, of the arms trained at FACTOR; part "": the study's own."""
    found: dict[str, dict[int, dict[str, Measured]]] = {}
    for path in sorted((FOLDER / study.name / part).glob("seed_*/arms/*/arm.json")):
        told = read_json(path)
        if told.get("factor") == FACTOR:
            seed = int(path.parts[-4].removeprefix("seed_"))
            arenas = {one.stem: Measured.load(one) for one in path.parent.glob("*.npz")}
            found.setdefault(told["arm"], {})[seed] = arenas
    return found


def gain(arm: dict[int, dict[str, Measured]], base: dict[int, dict[str, Measured]]) -> dict[str, Any]:
    """Arm minus base over the seeds that both have, arena by arena: means, gains, 95 % intervals over queries.

    Where the queries are the same under every seed (the pool), their means are drawn; a seed's own test is its own.
    """
    seeds = sorted(arm.keys() & base.keys())
    found: dict[str, Any] = {"seeds": seeds}
    for arena in sorted(arm[seeds[0]] if seeds else ()):
        join = (lambda parts: np.mean(parts, axis=0)) if arena == "pool" else np.concatenate
        values, against = (join([side[seed][arena].metrics for seed in seeds]) for side in (arm, base))
        facts = [[side[seed][arena].facts() for seed in seeds] for side in (arm, base)]
        line: dict[str, Any] = {}
        for column in ("ndcg@10", "recall@100"):
            at = [RANKED.index(column)]
            told = paired_bootstrap(values[:, at], against[:, at], resamples=2_000)[0]
            line[column] = {
                "mean": _round(np.mean([fact[column] for fact in facts[0]])),
                **{key: _round(told[key]) for key in ("delta", "low", "high")},
                "by seed": [_round(one[column] - two[column]) for one, two in zip(*facts, strict=True)],
            }
        for name in ("auc_2_0", "auc_2_1", "auc_1_0"):
            means = [float(np.mean([fact[name] for fact in part])) for part in facts]
            line[name] = {"mean": _round(means[0]), "delta": _round(means[0] - means[1])}
        found[arena] = line
    return found


def _round(value: Any) -> float | None:
    return None if value is None else round(float(value), 4)


def table(study: Study, losses: Sequence[str]) -> dict[str, Any]:
    """The board of every seed, and of every miner and loss the gain over training on."""
    boards: dict[str, dict[str, Any]] = {}
    for path in sorted((FOLDER / study.name / "sides").glob("seed_*/miners/*.board.json")):
        line = read_json(path)
        boards.setdefault(line["name"], {})[path.parts[-3]] = line
    arms = results(study)
    if study.name != "shop":  # the study itself has ours, and one of the controls, on as many steps
        own = results(study, "")
        arms |= {f"re-graded, with positives, {loss}": own[f"mined, {loss}"] for loss in losses}
        arms["train on, supcon"] = own["train on"]
    names = [name.removesuffix(f", {losses[0]}") for name in arms if name.endswith(f", {losses[0]}")]
    gains = {
        loss: {
            name: gain(arms[f"{name}, {loss}"], arms[f"train on, {loss}"])
            for name in [*names, "train on"]
            if f"{name}, {loss}" in arms and (name in boards or name.startswith(("re-graded", "train on")))
        }
        for loss in losses
    }
    return {"negatives": NEGATIVES, "steps": study.steps, "factor": FACTOR, "boards": boards, "gains": gains}


def main(words: list[str]) -> None:
    study = study_of(words[0])
    given = dict(word.split("=", 1) for word in words[1:])
    losses = given.get("losses", "supcon,mnrl").split(",")
    for seed in [int(one) for one in given.get("seeds", "0,1,2").split(",") if one]:
        side = Side(study, seed)
        ungraded = [*UNGRADED, *(["taxonomy siblings"] if study.name == "shop" else [])]
        for name in [*ungraded, *(["re-graded"] if study.name == "shop" else [])]:
            line = board(side, name)
            shown = ("filled", "false_negatives", "false_negatives_2", "hardness", "seconds")
            say(study.name, seed, name, {key: line[key] for key in shown})
        if mined(side, "percpos tuned").facts["rho"] == mined(side, "percpos").facts["rho"]:
            ungraded.remove("percpos tuned")
        side.makers = {name: partial(negatives, side, name) for name in ungraded}
        side.makers |= regraded(side) if study.name == "shop" else {}
        for loss in losses:
            if study.name == "shop" or loss != "supcon":
                train(side, original(loss), FACTOR)
            for name in side.makers:
                train(side, Arm(f"{name}, {loss}", name, {"loss": loss}), FACTOR)
    write(f"miners_{study.name}", {"study": study.name, **table(study, losses)})


if __name__ == "__main__":
    np.seterr(invalid="ignore")
    if len(sys.argv) < 2 or sys.argv[1] not in ("shop", "home_depot_static"):
        sys.exit(__doc__)
    main(sys.argv[1:])
