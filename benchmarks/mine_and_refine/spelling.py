"""Table 6: misspelt training queries beside the correct ones, in their place, or pulled towards them; Home Depot.

    MOTHERLODE_DATA=... python benchmarks/mine_and_refine/spelling.py [seeds=0,1,2]

Every arm is Stage 1 of preset tiny for the same number of steps. Measured on all test queries; on those that Home Depot
records as misspelt against their corrections; and on the others made misspelt by the noiser, with another seed than any
that training drew from. The noiser's statistics are the shipped ones, learnt from no data set; those of the arms called
"learnt" come from the English list of misspellings and the corrections of training queries. "loss ratio" is what an arm
loses from correct to misspelt queries as a share of what the model without augmentation loses. Of the remedies the one
is named that loses least of NDCG@10 on validation, among those that lose nothing on all of its queries.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from by_query import against, loss_ratio
from stage_1 import HOME_DEPOT, SEEDS, Arm, Bench
from torch import Tensor

from common import write
from motherlode.datasets.typos import read
from motherlode.stages.shop_texts import Pairs
from motherlode.text.augment import Augmented, augment, clean_and_noisy, in_place
from motherlode.text.spelling import SpellingNoiser
from motherlode.text.spelling_statistics import SpellingStatistics, word_pairs
from motherlode.training.batches import Batch
from motherlode.training.objective import GradedObjective

WEIGHTS = (1.0, 4.0)  # of the penalty: the paper names none
SHARE = 0.4


def frames(bench: Bench) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Queries, and one row a training pair that remembers its place."""
    queries = pl.DataFrame({"query_id": bench.shop.queries["query_id"], "text": bench.texts})
    pairs = bench.train_pairs
    return queries, pl.DataFrame(
        {"query_id": queries["query_id"][pairs.queries], "row": np.arange(len(pairs.queries), dtype=np.int64)}
    )


def numbered(bench: Bench, made: Augmented) -> tuple[list[str], Pairs]:
    """Texts and pairs of augmented frames."""
    place = made.queries.select("query_id").with_row_index("place")
    queries = made.pairs.join(place, on="query_id", how="left", maintain_order="left")["place"]
    rows, pairs = made.pairs["row"].to_numpy(), bench.train_pairs
    return made.queries["text"].to_list(), Pairs(
        queries.to_numpy().astype(np.int64), pairs.items[rows], pairs.grades[rows]
    )


def additive(share: float) -> Callable[[Bench], tuple[list[str], Pairs]]:
    """As the recipe's fit.misspelt."""
    return lambda bench: bench.shop.misspelt_variants(bench.texts, bench.train_pairs, share, bench.seed)


def substituted(bench: Bench) -> tuple[list[str], Pairs]:
    return numbered(bench, in_place(*frames(bench), share=SHARE, seed=bench.seed))


def several(count: int, learnt: bool) -> Callable[[Bench], tuple[list[str], Pairs]]:
    """`count` variants of every query, none left out."""

    def data(bench: Bench) -> tuple[list[str], Pairs]:
        noiser = SpellingNoiser(statistics(bench)) if learnt else None
        texts, pairs = list(bench.texts), [bench.train_pairs]
        for turn in range(count):
            seed = bench.seed + 1_000 * turn
            more, added = numbered(bench, augment(*frames(bench), noiser, share=1.0, seed=seed))
            new = added.queries >= len(bench.texts)
            moved = added.queries[new] + (len(texts) - len(bench.texts))
            pairs.append(Pairs(moved, added.items[new], added.grades[new]))
            texts += more[len(bench.texts) :]
        columns = ("queries", "items", "grades")
        return texts, Pairs(*(np.concatenate([getattr(one, name) for one in pairs]) for name in columns))

    return data


def statistics(bench: Bench) -> SpellingStatistics:
    """Learnt from the English list and what training queries' corrections say; test and validation stay unseen."""
    typos = read()
    train = bench.shop.queries["query_id"][np.unique(bench.train_pairs.queries)]
    corrections = pl.read_parquet(bench.shop.tables.folder / "corrections.parquet")
    corrections = corrections.filter(pl.col("query_id").is_in(train.implode()))
    wrong, right = word_pairs(corrections["text"].to_list(), corrections["corrected"].to_list())
    return SpellingStatistics.learn([*typos["misspelling"].to_list(), *wrong], [*typos["correction"].to_list(), *right])


class Consistent(GradedObjective):
    """The objective with weight Σ (1 - cos(query, a misspelt variant of it)) over the batch's queries that have any.

    Of several variants one is drawn, by a seed that is the batch itself.
    """

    def __init__(
        self, *given: Any, variants: dict[str, list[str]], weight: float, texts: list[str], **more: Any
    ) -> None:
        super().__init__(*given, **more)
        place = {text: row for row, text in enumerate(texts)}
        self.partners = [np.array([place[one] for one in variants.get(text, ())], np.int64) for text in texts]
        self.weight = weight

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        found = super().forward(batch)
        clean = np.array([row for row in batch.queries.tolist() if len(self.partners[row])], np.int64)
        if len(clean):
            rng = np.random.default_rng(batch.queries)
            noisy = np.array([rng.choice(self.partners[row]) for row in clean.tolist()])
            both = self.queries.vectors(clean) * self.queries.vectors(noisy)
            found["loss"] = found["loss"] + self.weight * (1 - both.sum(dim=1)).sum()
        return found


def consistent(weight: float, share: float = SHARE, count: int = 1) -> Arm:
    """The other rejected rival: texts of the variants are there, pairs of theirs are not."""
    held: dict[str, list[str]] = {}

    def data(bench: Bench) -> tuple[list[str], Pairs]:
        held.clear()
        for turn in range(count):
            made = clean_and_noisy(*frames(bench), share=share, seed=bench.seed + 1_000 * turn)
            for clean, noisy in made["clean", "noisy"].rows():
                held.setdefault(clean, []).append(noisy)
        return [*bench.texts, *(one for several in held.values() for one in several)], bench.train_pairs

    def objective(*given: Any, **more: Any) -> GradedObjective:
        return Consistent(*given, variants=held, weight=weight, **more)

    name = f"regularised, weight {weight:g}" + (f", {count} variants a query" if count > 1 else "")
    return Arm(name, data, objective=objective)


NONE = Arm("none")
TABLE = (
    *(Arm(f"additive {share}", additive(share)) for share in (0.3, 0.4, 0.5)),
    Arm(f"in place {SHARE}", substituted),
    *(consistent(weight) for weight in WEIGHTS),
)
REMEDIES = (
    Arm("additive 1.0", additive(1.0)),
    Arm("4 variants a query", several(4, learnt=False)),
    Arm("4 variants a query, learnt", several(4, learnt=True)),
    Arm("16 variants a query", several(16, learnt=False)),
    consistent(4.0, share=1.0, count=16),
)


def table(figures: dict[str, dict[int, pl.DataFrame]]) -> dict[str, Any]:
    """Every arm against none: all queries of a part, the misspelt ones alone, and what is lost on them."""
    found: dict[str, Any] = {}
    base = figures["none"]
    for name, arm in figures.items():
        found[name] = {}
        for part in ("test", "validation"):
            found[name][part] = {
                "all queries": against(arm, base, part),
                "recorded misspelt": against(_only(arm, part), _only(base, part), "misspelt"),
                "loss": {
                    kind: {
                        metric: loss_ratio(arm, base, *arenas, metric)
                        for metric in ("ndcg@10", "recall@10", "recall@100")
                    }
                    for kind, arenas in (
                        ("recorded", (f"{part} corrected", part)),
                        ("noised", (part, f"{part} noised")),
                    )
                },
            }
    return found


def _only(arm: dict[int, pl.DataFrame], part: str) -> dict[int, pl.DataFrame]:
    """The part's queries that are recorded as misspelt, as they were typed."""
    found = {}
    for seed, frame in arm.items():
        wrong = frame.filter(pl.col("arena") == f"{part} corrected")["query"]
        typed = frame.filter((pl.col("arena") == part) & pl.col("query").is_in(wrong.implode()))
        found[seed] = typed.with_columns(arena=pl.lit("misspelt"))
    return found


def chosen(found: dict[str, Any]) -> str:
    """The arm that loses least on noised and recorded validation queries together, and nothing on all of them."""
    able = {}
    for name, one in found.items():
        part = one["validation"]
        if (part["all queries"]["ndcg@10"]["delta"] or 0) >= 0:
            able[name] = sum(part["loss"][kind]["ndcg@10"]["ratio"] for kind in ("recorded", "noised"))
    return min(able, key=lambda name: able[name])


def main(words: list[str]) -> None:
    given = dict(word.split("=", 1) for word in words)
    seeds = [int(one) for one in given.get("seeds", ",".join(map(str, SEEDS))).split(",")]
    figures: dict[str, dict[int, pl.DataFrame]] = {}
    for seed in seeds:
        bench = Bench(HOME_DEPOT, seed)
        for arm in (NONE, *TABLE, *REMEDIES):
            figures.setdefault(arm.name, {})[seed] = bench.figures(arm)
            bench.forget(arm)
    found = table(figures)
    write("mine_and_refine_spelling", {"seeds": seeds, "chosen on validation": chosen(found), "arms": found})


if __name__ == "__main__":
    main(sys.argv[1:])
