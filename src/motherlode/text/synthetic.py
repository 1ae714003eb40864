"""Queries made from items, and the pairs they form: all of them ungraded, whatever they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from motherlode.errors import InputError, SettingError
from motherlode.tables.hashing import hash_ids, mix, uniform
from motherlode.text.overlap import token_overlap

SHARE = 0.05  # of all training pairs that may be synthetic; the paper: "low"
FOREIGN = 2  # queries of other items that an item is paired with
CEILING = 0.7  # tokens of the query that the item's title may hold: at more, words alone would tell
ID = "synthetic-"  # what the id of a synthetic query begins with


class Generator(Protocol):
    """Anything that writes queries for items: templates, a language model."""

    def queries(self, items: pl.DataFrame, ceiling: float) -> Sequence[str | tuple[str, ...] | None]:
        """A query, or several, for each row of a catalogue table, None where it has none to offer.

        No query may share more than `ceiling` of its tokens with the item's title; one that does is dropped.
        """


@dataclass(frozen=True)
class Synthetic:
    """Synthetic queries and the pairs to be graded.

    Attributes:
        queries: query_id, text, made_from (the item_id): one row a distinct text.
        pairs: query_id, item_id, kind: "own" for the item a query was made from, "foreign" for others. There are no
            grades: they come from a grader, through the ledger.
        items: how many the generator was asked about; refused: for how many it had nothing; written: queries it wrote,
            of which overlapping: shared too many words with the title; known: were queries of the shop already.
    """

    queries: pl.DataFrame
    pairs: pl.DataFrame
    items: int
    refused: int
    written: int
    overlapping: int
    known: int

    def __str__(self) -> str:
        return (
            f"{len(self.queries):,} queries and {len(self.pairs):,} pairs to grade from {self.items:,} items "
            f"({self.refused:,} without a query; of {self.written:,} written {self.overlapping:,} too close to the "
            f"title, {self.known:,} known)"
        )


def synthesise(
    catalogue: pl.DataFrame,
    queries: pl.DataFrame,
    judgements: pl.DataFrame,
    generator: Generator,
    *,
    selective: bool = True,
    share: float = SHARE,
    each: int = 1,
    foreign: int = FOREIGN,
    ceiling: float = CEILING,
    seed: int = 0,
) -> Synthetic:
    """Write queries for some items and pair each item with its own and with those of other items.

    A generator may write up to `each` queries an item; with each of them come `foreign` queries of other items.

    `selective` takes only items without a positive pair (`without_positives`), else any. Items are taken in the order
    of a hash of (seed, item id), as many as keep the synthetic pairs at most `share` of all:
    n / (n + judgements) <= share. A query whose text the shop has already, in any part of the split, is dropped: its
    pairs may be test pairs. Items that got the same text share one query.

    `judgements` are the training pairs (query_id, item_id, grade), `queries` the whole table. Raises SettingError for
    shares outside [0, 1), ceilings outside [0, 1] and each < 1, InputError where the generator does not answer item by
    item, or writes more queries for one than `each`.

    Source: Mine and Refine (arXiv 2602.17654) §4.2, §5.4: own and foreign pairing, everything labelled, never
    auto-positive, selective rather than blanket; ratio, queries an item, ceiling are ours.
    """
    if not 0 <= share < 1 or not 0 <= ceiling <= 1 or foreign < 0 or each < 1:
        raise SettingError(
            "Synthetic queries need 0 <= share < 1, 0 <= ceiling <= 1, foreign >= 0 and each >= 1, "
            f"not {share}, {ceiling}, {foreign}, {each}."
        )
    pool = without_positives(catalogue, judgements) if selective else catalogue
    most = int(share / (1 - share) * len(judgements)) // (each * (1 + foreign))
    order = np.argsort(hash_ids(pool["item_id"], seed, "synthetic"), kind="stable")
    items = pool[order[:most]]
    answers = list(generator.queries(items, ceiling)) if len(items) else []
    if len(answers) != len(items):
        raise InputError(
            f"The generator wrote {len(answers)} queries for {len(items)} items: it must write one for each."
        )
    read = [_distinct(answer) for answer in answers]
    if (longest := max(map(len, read), default=0)) > each:
        raise InputError(
            f"The generator wrote {longest} queries for one item, more than each={each}: set each to that."
        )
    counts = [len(texts) for texts in read]
    flat = [text for texts in read for text in texts]
    rows = items[np.repeat(np.arange(len(items)), counts)]
    close = [token_overlap(text, title) > ceiling for text, title in zip(flat, rows["title"].to_list(), strict=True)]
    taken = {" ".join(text.casefold().split()) for text in queries["text"].to_list()}
    known = [text.casefold() in taken for text in flat]
    usable = [not (a or b) for a, b in zip(close, known, strict=True)]
    kept = [text for text, use in zip(flat, usable, strict=True) if use]
    own = pl.DataFrame(
        {
            "query_id": [_id(text) for text in kept],
            "text": kept,
            "item_id": rows["item_id"].filter(pl.Series(usable, dtype=pl.Boolean)),
        },
        schema={"query_id": pl.String, "text": pl.String, "item_id": pl.String},
    )
    return Synthetic(
        queries=own.select("query_id", "text", made_from="item_id").unique(
            "query_id", keep="first", maintain_order=True
        ),
        pairs=_paired(own, foreign, seed),
        items=len(items),
        refused=counts.count(0),
        written=len(flat),
        overlapping=sum(close),
        known=sum(b and not a for a, b in zip(close, known, strict=True)),
    )


def without_positives(catalogue: pl.DataFrame, judgements: pl.DataFrame) -> pl.DataFrame:
    """The items that no (training) pair grades above 0: nothing has ever pulled a query towards them."""
    return catalogue.join(judgements.filter(pl.col("grade") > 0), on="item_id", how="anti", maintain_order="left")


def enriched_pool(judgements: pl.DataFrame, graded: pl.DataFrame) -> pl.Series:
    """Item ids of the training and mining pool: those of the judged pairs, then those that graded synthetic pairs add.

    "Enriched item landscape" in the paper's Table 5 has no definition there. This reading is a guess: items without a
    positive pair join the pool once a grader has checked them, whatever it said. `graded` are synthetic pairs with
    verdicts; both frames need item_id.
    """
    return pl.concat([judgements["item_id"], graded["item_id"]]).unique(maintain_order=True)


def _distinct(answer: str | tuple[str, ...] | None) -> list[str]:
    """The texts of an answer with single spaces, none empty and none twice, case folded."""
    texts = (answer,) if isinstance(answer, str) else answer or ()
    kept: dict[str, str] = {}
    for line in (" ".join(text.split()) for text in texts):
        kept.setdefault(line.casefold(), line)
    kept.pop("", None)
    return list(kept.values())


def _paired(own: pl.DataFrame, foreign: int, seed: int) -> pl.DataFrame:
    """Each item with its own query and with `foreign` others by a hash of its id; every pair once."""
    count = len(own)
    pairs = [own.select("query_id", "item_id", kind=pl.lit("own"))]
    keys = hash_ids(own["item_id"], seed, "foreign")
    steps = _steps(keys, count, min(foreign, max(count - 1, 0)))
    for step in steps:
        other = own["query_id"][(np.arange(count) + step) % count]
        pairs.append(pl.DataFrame({"query_id": other, "item_id": own["item_id"], "kind": ["foreign"] * count}))
    # an item may meet its own text again, written for another item: then it stays "own"
    return pl.concat(pairs).unique(["query_id", "item_id"], keep="first", maintain_order=True)


def _steps(keys: NDArray[np.uint64], count: int, foreign: int) -> NDArray[np.int64]:
    """`foreign` distinct numbers in 1 .. count - 1 for each key; int64 [foreign, count]."""
    steps = np.zeros((foreign, count), dtype=np.int64)
    for turn in range(foreign):
        draw = uniform(mix(keys, np.full(count, turn, dtype=np.uint64)))
        # the draw counts among the numbers not yet taken: pass each smaller taken one
        step = 1 + (draw * (count - 1 - turn)).astype(np.int64)
        for taken in np.sort(steps[:turn], axis=0):
            step += step >= taken
        steps[turn] = step
    return steps


def _id(text: str) -> str:
    return ID + hashlib.blake2b(text.casefold().encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
