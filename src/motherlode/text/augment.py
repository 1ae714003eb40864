"""Misspelt training queries beside the correct ones, with the judgements of the query they were made from."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from motherlode.errors import InputError, SettingError
from motherlode.tables.hashing import hash_ids, uniform
from motherlode.text.spelling import SpellingNoiser

SHARE = 0.4  # of the changed variants; the paper keeps 30 to 50 %
SUFFIX = "~misspelt"  # what a variant's id ends in


@dataclass(frozen=True)
class Augmented:
    """Queries and pairs, originals first and as they were; both have a new column `variant_of`.

    `variant_of` is the id of the query a misspelt one was made from, null for the originals.
    """

    queries: pl.DataFrame
    pairs: pl.DataFrame


def augment(
    queries: pl.DataFrame,
    pairs: pl.DataFrame,
    noiser: SpellingNoiser | None = None,
    *,
    share: float = SHARE,
    seed: int = 0,
) -> Augmented:
    """Add misspelt variants of training queries, with copies of their pairs: the paper's additive augmentation.

    One variant is drawn for every query that has a training pair; those that came out unchanged or as the text of
    another query (it may be a test query) are dropped, and of the rest a share is kept, chosen by a hash of
    (seed, query id).

    `queries` needs query_id and text, `pairs` query_id; other columns are copied. Where `pairs` has a column `part`
    (as `tables.split.split` writes), rows of "train" alone count, else all rows are taken to be training pairs: hand in
    no others. Raises InputError for pairs whose query is not there or ids that end like a variant's, SettingError for
    a share outside [0, 1].

    Source: Mine and Refine (arXiv 2602.17654) §4.2: originals stay, one variant a query, 30 to 50 % kept.
    """
    variants = _variants(queries, pairs, noiser, share, seed)
    return _joined(queries, pairs, _copies(pairs, variants), variants)


def in_place(
    queries: pl.DataFrame,
    pairs: pl.DataFrame,
    noiser: SpellingNoiser | None = None,
    *,
    share: float = SHARE,
    seed: int = 0,
) -> Augmented:
    """As `augment`, but the training pairs of a query that has a variant are replaced rather than copied.

    The rejected rival of the paper's Table 6; pairs of other parts stay with the original query.
    """
    variants = _variants(queries, pairs, noiser, share, seed)
    copies = _copies(pairs, variants)
    gone = _training(pairs).join(variants.select(query_id="variant_of"), on="query_id", how="semi")
    kept = pairs.with_row_index("_row").join(gone.select("_row"), on="_row", how="anti").drop("_row")
    return _joined(queries, kept, copies, variants)


def clean_and_noisy(
    queries: pl.DataFrame,
    pairs: pl.DataFrame,
    noiser: SpellingNoiser | None = None,
    *,
    share: float = SHARE,
    seed: int = 0,
) -> pl.DataFrame:
    """The training queries that `augment` would vary: query_id, clean, noisy.

    For the other rejected rival, a penalty 1 - cos(clean, noisy) in place of more pairs.
    """
    variants = _variants(queries, pairs, noiser, share, seed)
    return variants.select(query_id="variant_of", noisy="text").join(
        queries.select("query_id", clean="text"), on="query_id", maintain_order="left"
    )["query_id", "clean", "noisy"]


def _variants(
    queries: pl.DataFrame, pairs: pl.DataFrame, noiser: SpellingNoiser | None, share: float, seed: int
) -> pl.DataFrame:
    """The rows of the variants: those of their queries with another id and text, and `variant_of`."""
    if not 0 <= share <= 1:
        raise SettingError(f"The share of misspelt variants, {share}, must lie between 0 and 1.")
    for name, frame in (("queries", queries), ("pairs", pairs)):
        taken = frame.filter(pl.col("query_id").str.ends_with(SUFFIX))
        if len(taken):
            raise InputError(
                f"The {name} hold the query_id {taken['query_id'][0]!r}, and ids that end in {SUFFIX!r} are those of "
                "variants: give the tables before augmentation, or rename it."
            )
    unknown = pairs.join(queries, on="query_id", how="anti")
    if len(unknown):
        raise InputError(
            f"The pairs name the query_id {unknown['query_id'][0]!r}, which the queries do not hold: "
            "give the whole table of queries."
        )
    chosen = queries.join(_training(pairs), on="query_id", how="semi")
    kept = pl.Series(uniform(hash_ids(chosen["query_id"], seed, "misspelt")) < share, dtype=pl.Boolean)
    chosen = chosen.filter(kept)
    noisy = (noiser or SpellingNoiser()).noise(chosen["text"].to_list(), chosen["query_id"].to_list(), seed)
    known = set(map(_read, queries["text"].to_list()))
    fresh = []
    for text in map(_read, noisy):
        fresh.append(text not in known)
        known.add(text)
    return chosen.with_columns(
        text=pl.Series(noisy, dtype=pl.String),
        query_id=pl.col("query_id") + SUFFIX,
        variant_of=pl.col("query_id"),
    ).filter(pl.Series(fresh, dtype=pl.Boolean))


def _training(pairs: pl.DataFrame) -> pl.DataFrame:
    numbered = pairs.with_row_index("_row")
    return numbered.filter(pl.col("part") == "train") if "part" in pairs.columns else numbered


def _copies(pairs: pl.DataFrame, variants: pl.DataFrame) -> pl.DataFrame:
    names = variants.select(_variant="query_id", query_id="variant_of")
    copies = _training(pairs).drop("_row").join(names, on="query_id", maintain_order="left")
    return copies.with_columns(query_id="_variant", variant_of="query_id").drop("_variant")


def _joined(queries: pl.DataFrame, pairs: pl.DataFrame, copies: pl.DataFrame, variants: pl.DataFrame) -> Augmented:
    original = pl.lit(None, dtype=pl.String).alias("variant_of")
    return Augmented(
        pl.concat([queries.with_columns(original), variants]),
        pl.concat([pairs.with_columns(original), copies]),
    )


def _read(text: str) -> str:
    """The text as most encoders read it: case and runs of white space aside."""
    return " ".join(text.casefold().split())
