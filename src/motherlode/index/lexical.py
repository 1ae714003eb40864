"""The lexical leg: BM25 over the words of an item, on a tantivy index on disk."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import read_json, replacing_folder, write_json
from motherlode.errors import InputError, MissingError
from motherlode.index.analysis import analyser, encodable
from motherlode.index.candidates import Candidates, best
from motherlode.index.filters import Filter
from motherlode.progress import track

if TYPE_CHECKING:
    import tantivy

FIELDS = ("title", "brand", "taxonomy", "attributes", "description")
HEAP = 256_000_000  # bytes the writer may fill before it flushes a segment
ANALYSER = "items"


class LexicalIndex:
    """BM25 search over one text an item: its fields joined, so that length and idf are the whole item's.

        score(q, d) = sum over terms t of q: idf(t) tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean |d|))

    with idf(t) = ln(1 + (N - n_t + 0.5) / (n_t + 0.5)), k1 = 1.2, b = 0.75; a repeated term counts again.
    Source: Robertson & Zaragoza, The Probabilistic Relevance Framework (2009), idf as in Lucene.
    """

    def __init__(self, index: tantivy.Index, facts: dict[str, Any]) -> None:
        self.facts = facts
        self._schema = index.schema
        self._searcher = index.searcher()
        self._analyser = analyser(facts["locale"])

    @classmethod
    def build(
        cls,
        documents: Iterable[tuple[int, Mapping[str, Any]]],
        folder: Path | str,
        fields: Sequence[str] = FIELDS,
        locale: str = "en",
    ) -> LexicalIndex:
        """Index (row, field -> text) pairs into `folder`, which appears whole or not at all, and open it.

        Fields absent or None are empty text. A document may also hold "keys", a list of conditions as in
        `filters.keys_of`, and "price", a number: what filters ask for. Raises InputError when there are none.
        """
        with replacing_folder(folder) as temporary:
            index = _create(temporary, locale)
            writer = index.writer(HEAP, num_threads=1)
            count = _add(writer, documents, fields)
            if not count:
                raise InputError("There are no items to index: the catalogue is empty.")
            writer.commit()
            writer.wait_merging_threads()
            write_json(temporary / "lexical.json", {"locale": locale, "fields": list(fields), "items": count})
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str) -> LexicalIndex:
        """Open what `build` wrote. MissingError where there is nothing, InputError where it is damaged."""
        import tantivy

        folder = Path(folder)
        if not (folder / "lexical.json").exists():
            raise MissingError(f"{folder} holds no lexical index: build it again with `motherlode index`.")
        try:
            facts = read_json(folder / "lexical.json")
            index = tantivy.Index.open(str(folder))
            index.config_reader("manual")  # the folder never changes: no thread need watch it
            opened = cls(index, facts)
            whole = opened._searcher.num_docs == facts["items"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(f"{folder} is damaged: build the index again.") from error
        if not whole:
            raise InputError(f"{folder} does not hold {facts['items']} items as it should: build the index again.")
        return opened

    @staticmethod
    def change(folder: Path, documents: Iterable[tuple[int, Mapping[str, Any]]], dead: Sequence[int]) -> None:
        """Add documents to what `build` wrote into `folder`, and drop the rows `dead`.

        Files already there are replaced by others, never written into. Until the index is built again, idf and
        the mean length count what was dropped. Raises InputError where the folder is damaged.
        """
        import tantivy

        try:
            facts = read_json(folder / "lexical.json")
            index = tantivy.Index.open(str(folder))
            index.register_tokenizer(ANALYSER, analyser(facts["locale"]))
            writer = index.writer(HEAP, num_threads=1)
            for row in dead:
                writer.delete_documents_by_term("row", row)
            _add(writer, documents, facts["fields"])
            writer.commit()
            writer.wait_merging_threads()
            index.reload()
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise InputError(f"{folder} is damaged: build the index again.") from error
        write_json(folder / "lexical.json", facts | {"items": index.searcher().num_docs})

    def search(self, texts: Sequence[str], k: int, wanted: Filter | None = None) -> Candidates:
        """The k items of highest BM25 score for every text; those that share no term with it are left out.

        Texts are plain words, never query syntax. `wanted` leaves out items that do not meet it, and changes no
        score. Q texts -> Candidates [Q, k].
        """
        scores = np.zeros((len(texts), k), dtype=np.float32)
        rows = np.full((len(texts), k), -1, dtype=np.int64)
        conditions = self._conditions(wanted) if wanted else []
        for number, text in enumerate(texts):
            found, found_rows = self._top(self._query(text, conditions), k)
            scores[number, : len(found)], rows[number, : len(found)] = found[:k], found_rows[:k]
        return Candidates(scores, rows)

    def score(self, texts: Sequence[str], indptr: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """BM25 scores of given pairs: float32[J], 0 where text and item share no term.

        The rows of text q are rows[indptr[q]:indptr[q + 1]], in any order (CSR, J = indptr[-1]).
        """
        from tantivy import Occur, Query

        scores = np.zeros(len(rows), dtype=np.float32)
        for number, text in enumerate(texts):
            wanted = rows[indptr[number] : indptr[number + 1]]
            distinct, inverse = np.unique(wanted, return_inverse=True)
            if not len(distinct):
                continue
            among = Query.const_score_query(Query.term_set_query(self._schema, "row", distinct.tolist()), 0.0)
            both = Query.boolean_query([(Occur.Must, among), (Occur.Must, self._query(text))])
            found, found_rows = self._hits(both, len(distinct))
            values = np.zeros(len(distinct), dtype=np.float32)
            values[np.searchsorted(distinct, found_rows)] = found
            scores[indptr[number] : indptr[number + 1]] = values[inverse]
        return scores

    def _query(self, text: str, conditions: Sequence[tantivy.Query] = ()) -> tantivy.Query:
        """Any term of the text, built term by term so that nothing in it is read as syntax."""
        from tantivy import Occur, Query

        counts = Counter(self._analyser.analyze(encodable(text)))
        terms = [Query.term_query(self._schema, "text", term, "freq") for term in counts]
        terms = [
            term if count == 1 else Query.boost_query(term, float(count))
            for term, count in zip(terms, counts.values(), strict=True)
        ]
        words = Query.boolean_query([(Occur.Should, term) for term in terms])
        if not conditions:
            return words
        return Query.boolean_query([(Occur.Must, part) for part in (*conditions, words)])

    def _conditions(self, wanted: Filter) -> list[tantivy.Query]:
        """What an item must meet, each worth no score."""
        from tantivy import FieldType, Occur, Query

        found = []
        for group in wanted.groups():
            terms = [Query.term_query(self._schema, "keys", key, "basic") for key in group]
            found.append(Query.boolean_query([(Occur.Should, term) for term in terms]))
        if wanted.has_price:
            found.append(Query.range_query(self._schema, "price", FieldType.Float, *wanted.price))
        return [Query.const_score_query(query, 0.0) for query in found]

    def _top(self, query: tantivy.Query, k: int) -> Candidates:
        """The k best hits, ties by smaller row."""
        k = limit = min(k, self._searcher.num_docs)
        while True:
            scores, rows = self._hits(query, limit)
            # Each segment keeps and orders a tie by rows, but between segments the engine does not look at
            # rows: widen until every item that ties with the k-th is in.
            if self._searcher.num_segments == 1:
                return Candidates(scores, rows)
            exhausted = len(scores) < limit or limit == self._searcher.num_docs
            if exhausted or scores[-1] < scores[k - 1]:
                break
            limit = min(4 * limit, self._searcher.num_docs)
        top = best(scores[None, :], rows[None, :], min(k, len(rows)))
        return Candidates(top.scores[0], top.rows[0])

    def _hits(self, query: tantivy.Query, limit: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        hits = self._searcher.search(query, limit, count=False).hits
        rows = self._searcher.fast_field_values("row", [address for _, address in hits])
        return np.array([score for score, _ in hits], np.float32), np.array(rows, np.int64)


def _create(folder: Path, locale: str) -> tantivy.Index:
    import tantivy

    builder = tantivy.SchemaBuilder().add_integer_field("row", indexed=True, fast=True)
    builder = builder.add_text_field("text", tokenizer_name=ANALYSER, index_option="freq")
    builder = builder.add_text_field("keys", tokenizer_name="raw", index_option="basic")
    schema = builder.add_float_field("price", indexed=True, fast=True).build()
    # segments sorted by row: equal scores then come out smaller row first
    index = tantivy.Index(schema, str(folder), sort_by_field="row")
    index.register_tokenizer(ANALYSER, analyser(locale))
    return index


def _add(writer: tantivy.IndexWriter, documents: Iterable[tuple[int, Mapping[str, Any]]], fields: Sequence[str]) -> int:
    """Add documents; how many there were."""
    import tantivy

    count = 0
    for row, texts in track(documents, "indexing words"):
        text = " ".join(filter(None, (texts.get(field) for field in fields)))
        document = tantivy.Document(row=row, text=encodable(text))
        for key in texts.get("keys", ()):
            document.add_text("keys", key)
        price = texts.get("price")
        if price is not None and not math.isnan(price):
            document.add_float("price", price)
        writer.add_document(document)
        count += 1
    return count
