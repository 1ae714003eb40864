"""How near in meaning a query's word pieces are to a title's: one vector a piece, no transformer is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motherlode.grading.grader import Pair

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAMES = ("cosine of means", "soft share", "least soft", "mean soft", "last soft", "title covered")


class SoftMatch:
    """A table of one vector a word piece, its length the piece's rarity (see `encoders.static`), and its tokenizer."""

    def __init__(self, table: NDArray[np.float16], tokenizer: Tokenizer) -> None:
        """table float16 [V, D]."""
        wide = np.vstack([table.astype(np.float32), np.zeros((1, table.shape[1]), np.float32)])  # the last: no piece
        self.lengths = np.linalg.norm(wide, axis=1)
        self.units = wide / np.maximum(self.lengths, 1e-9)[:, None]
        self.tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()

    def features(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """float32 [n, 6], columns as in `NAMES`.

        With unit vectors u, v of the pieces of query and title and s_i = max_j u_i . v_j: the cosine of the means of
        the whole vectors; s weighed by rarity; the least, the mean and the last of s; over the title's pieces, weighed
        by rarity, max_i u_i . v_j. One product of matrices a query. Ours; the maxima as in ColBERT (Khattab and
        Zaharia 2020).
        """
        found = np.zeros((len(pairs), len(NAMES)), np.float32)
        queries = list(dict.fromkeys(pair.query for pair in pairs))
        titles = list(dict.fromkeys(_title(pair.item) for pair in pairs))
        numbers = {text: number for number, text in enumerate(titles)}
        asked, held = self._pieces(queries), self._pieces(titles)
        rows: dict[str, list[int]] = {}
        for row, pair in enumerate(pairs):
            rows.setdefault(pair.query, []).append(row)
        for pieces, text in zip(asked, queries, strict=True):
            places = rows[text]
            theirs = [held[numbers[_title(pairs[row].item)]] for row in places]
            found[places] = self._query(pieces, theirs)
        return found

    def _pieces(self, texts: list[str]) -> list[NDArray[np.int64]]:
        nothing = [len(self.lengths) - 1]
        encoded = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return [np.array(one.ids or nothing, np.int64) for one in encoded]

    def _query(self, asked: NDArray[np.int64], titles: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        flat, sizes = np.concatenate(titles), np.array([len(title) for title in titles])
        starts = np.cumsum(sizes) - sizes
        near = self.units[asked] @ self.units[flat].T  # [query pieces, all titles' pieces]
        best = np.maximum.reduceat(near, starts, axis=1)
        weights = self.lengths[asked]
        weights = weights / max(float(weights.sum()), 1e-9)
        theirs = self.lengths[flat]
        covered = np.add.reduceat(near.max(axis=0) * theirs, starts) / np.maximum(np.add.reduceat(theirs, starts), 1e-9)
        mean = self.lengths[asked] @ self.units[asked]
        sums = np.add.reduceat(self.units[flat] * theirs[:, None], starts, axis=0)
        norms = np.linalg.norm(sums, axis=1) * np.linalg.norm(mean)
        return np.stack(
            [sums @ mean / np.maximum(norms, 1e-9), weights @ best, best.min(0), best.mean(0), best[-1], covered],
            axis=1,
        )


def _title(item: str) -> str:
    return item.partition(" | ")[0]
