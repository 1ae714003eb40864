"""The tables as training and measuring see them: numbered texts and pairs of row numbers."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from motherlode.errors import InputError
from motherlode.recipe import Recipe
from motherlode.tables.tables import parquet
from motherlode.text.template import item_texts
from motherlode.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from motherlode.evaluation.judged import Judged


@dataclass(frozen=True)
class Pairs:
    """Judged pairs of one part: rows of queries and items, grades; aligned int64 / int64 / int8 arrays."""

    queries: np.ndarray
    items: np.ndarray
    grades: np.ndarray


class ShopTexts:
    """Catalogue and queries of a workspace by row number: items in table order, judged queries in id order."""

    def __init__(self, workspace: Workspace, recipe: Recipe) -> None:
        from motherlode.tables.tables import Tables

        self.tables = Tables(workspace / "tables")
        self.levels = recipe.text.levels
        self._split_path = workspace / "split.parquet"

    @cached_property
    def item_ids(self) -> "pl.Series":
        return self.tables.frame("catalogue", ["item_id"])["item_id"]

    @cached_property
    def queries(self) -> "pl.DataFrame":
        """Judged queries with all columns of the table, in order of their ids."""
        judged = self.split.select("query_id").unique()
        return self.tables.frame("queries").join(judged, on="query_id", how="semi").sort("query_id")

    @cached_property
    def split(self) -> "pl.DataFrame":
        return parquet(self._split_path)

    @cached_property
    def _rows(self) -> "pl.DataFrame":
        """The split with row numbers for ids."""
        queries = self.queries.select("query_id").with_row_index("query_row")
        items = self.item_ids.to_frame().with_row_index("item_row")
        return self.split.join(queries, on="query_id", maintain_order="left").join(
            items, on="item_id", maintain_order="left"
        )

    def pairs(self, part: str) -> Pairs:
        """Judged pairs of "train", "validation" or "test"."""
        import polars as pl

        rows = self._rows.filter(pl.col("part") == part)
        return Pairs(
            rows["query_row"].to_numpy().astype(np.int64),
            rows["item_row"].to_numpy().astype(np.int64),
            rows["grade"].to_numpy().astype(np.int8),
        )

    def judged(self, part: str) -> "tuple[np.ndarray, Judged]":
        """Rows of the part's queries, and its judgements with queries numbered in that order."""
        from motherlode.evaluation.judged import Judged

        pairs = self.pairs(part)
        rows, numbers = np.unique(pairs.queries, return_inverse=True)
        return rows, Judged.from_pairs(numbers, pairs.items, pairs.grades, len(rows))

    def pairs_of(self, judgements: "pl.DataFrame") -> Pairs:
        """Judgements (query_id, item_id, grade) as pairs of row numbers, in their order.

        Raises InputError for an id that is no judged query or no item of the catalogue.
        """
        rows = {}
        for name, ids in (("query_id", self.queries["query_id"]), ("item_id", self.item_ids)):
            numbers = ids.to_frame().with_row_index("row")
            found = judgements.select(name).join(numbers, on=name, how="left", maintain_order="left")["row"]
            if found.null_count():
                unknown = judgements[name].filter(found.is_null())[0]
                raise InputError(f"The judgements name the {name} {unknown!r}, which the tables do not have.")
            rows[name] = found.to_numpy().astype(np.int64)
        return Pairs(rows["query_id"], rows["item_id"], judgements["grade"].to_numpy().astype(np.int8))

    def misspelt_variants(self, texts: "list[str]", pairs: Pairs, share: float, seed: int) -> "tuple[list[str], Pairs]":
        """Query texts and pairs with misspelt variants of `share` of the queries after the originals (see `augment`).

        `texts` are those of `queries`, which `pairs` numbers.
        """
        import polars as pl

        from motherlode.text.augment import augment

        names = pl.DataFrame({"query_id": self.queries["query_id"], "text": texts})
        numbered = pl.DataFrame({"query_id": names["query_id"][pairs.queries], "row": np.arange(len(pairs.queries))})
        added = augment(names, numbered, share=share, seed=seed)
        rows = added.pairs["row"].to_numpy()
        place = added.queries.select("query_id").with_row_index("place")
        queries = added.pairs.join(place, on="query_id", how="left", maintain_order="left")["place"]
        return added.queries["text"].to_list(), Pairs(
            queries.to_numpy().astype(np.int64), pairs.items[rows], pairs.grades[rows]
        )

    def unseen(self, rows: np.ndarray) -> np.ndarray:
        """Which of these queries have no pair in training; bool."""
        return ~np.isin(rows, self.pairs("train").queries)

    def misspelt(self, rows: np.ndarray) -> np.ndarray:
        """Which of these queries the data set records as misspelt; bool, all False where it records none."""
        import polars as pl

        ids = self.queries["query_id"][rows]
        truth, corrections = (
            self.tables.folder / "truth/queries.parquet",
            self.tables.folder / "corrections.parquet",
        )
        wrong = pl.Series([], dtype=pl.String)
        if truth.exists():
            wrong = pl.read_parquet(truth).filter("misspelt")["query_id"]
        elif corrections.exists():
            wrong = pl.read_parquet(corrections)["query_id"]
        return ids.is_in(wrong.implode()).to_numpy()

    def texts(self, items: np.ndarray | None = None) -> "list[str]":
        """Item texts of these catalogue rows (all of them by default)."""
        frame = self.tables.frame("catalogue", ["title", "taxonomy"])
        if items is not None:
            frame = frame[items]
        return item_texts(frame["title"].to_list(), frame["taxonomy"].to_list(), self.levels)

    def all_texts(self) -> "pa.ChunkedArray":
        """Item texts of the whole catalogue as Arrow strings, made batch by batch."""
        import pyarrow as pa

        chunks = [
            pa.array(
                item_texts(batch["title"].to_pylist(), batch["taxonomy"].to_pylist(), self.levels),
                pa.large_string(),
            )
            for batch in self.tables.batches("catalogue", ["title", "taxonomy"])
        ]
        return pa.chunked_array(chunks, pa.large_string())
