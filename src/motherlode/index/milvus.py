"""The same index on a Milvus server, or in a Milvus Lite file: both legs, filters and changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index.analysis import analyser, encodable
from motherlode.index.candidates import Candidates, best
from motherlode.index.changes import Changes, checked_vectors
from motherlode.index.encoder import Encode, query_encoder
from motherlode.index.filters import Filter
from motherlode.index.items import COLUMNS, Source, documents
from motherlode.index.lexical import FIELDS
from motherlode.index.protocol import Mode

if TYPE_CHECKING:
    from pymilvus import MilvusClient

BATCH = 1_000  # items sent at once
MOST = 16_384  # results that the server gives at most
LONGEST = 65_535  # bytes of hashed text that a field holds
KEYS = 4_096  # conditions of an item at most
BM25 = {"bm25_k1": 1.2, "bm25_b": 0.75}  # as in the lexical leg of the embedded store


class MilvusIndex:
    """A collection of a Milvus server as a `protocol.Retriever`.

    A row is a hash of 63 bits of the item's id, so that an item keeps its row for good (two of a million ids share
    one with a chance of 5e-8). Terms and conditions are stored as hashes too: the server's analyser cannot take
    our terms apart, and nothing a user types becomes part of an expression. Dense search is exact in Lite and
    whatever `index_type` says on a server; the lexical leg is the server's BM25 with the parameters of ours. Milvus
    Lite counts idf and mean length in each segment apart: its scores are those of our lexical leg where there is one.

    What is published appears batch by batch: a reader may see half of it, other than in the embedded store.
    """

    def __init__(self, client: MilvusClient, name: str, facts: dict[str, Any], encode: Encode | None = None) -> None:
        self._client, self._name, self._facts, self._encode = client, name, facts, encode
        self._analyser = analyser(facts["locale"])
        self._changes = Changes(facts["dimensions"])

    @classmethod
    def create(
        cls,
        uri: str,
        name: str,
        dimensions: int,
        encoder: Path | str | None = None,
        locale: str = "en",
        index_type: str = "FLAT",
    ) -> MilvusIndex:
        """An empty collection, in the place of one of that name.

        uri: of a server, or a path that ends in ".db" for Milvus Lite. encoder: the folder that encodes queries;
        None where callers of `legs` bring vectors. Raises MissingError where pymilvus is not installed.
        """
        milvus = _pymilvus()
        client = milvus.MilvusClient(uri)
        kind = milvus.DataType
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", kind.INT64, is_primary=True)
        schema.add_field(
            "text", kind.VARCHAR, max_length=LONGEST, enable_analyzer=True, analyzer_params={"tokenizer": "standard"}
        )
        schema.add_field("keys", kind.ARRAY, element_type=kind.VARCHAR, max_capacity=KEYS, max_length=64)
        schema.add_field("price", kind.DOUBLE, nullable=True)
        schema.add_field("record", kind.JSON)
        schema.add_field("vector", kind.FLOAT_VECTOR, dim=dimensions)
        schema.add_field("words", kind.SPARSE_FLOAT_VECTOR)
        schema.add_function(milvus.Function("bm25", milvus.FunctionType.BM25, ["text"], ["words"]))
        indexes = client.prepare_index_params()
        indexes.add_index("vector", index_type=index_type, metric_type="IP")
        indexes.add_index(
            "words",
            index_type="SPARSE_INVERTED_INDEX",
            metric_type="BM25",
            params={"params": BM25},  # Milvus Lite reads them nested and nowhere else, a server either way
        )
        if client.has_collection(name):
            client.drop_collection(name)
        client.create_collection(name, schema=schema)
        # Waiting for an index asks the server for a timestamp, which Lite has none of; of no items it is there at once.
        client.create_index(name, indexes, sync=False)
        client.load_collection(name)
        facts = _facts(locale, dimensions, encoder)
        return cls(client, name, facts, query_encoder(encoder) if encoder else None)

    @classmethod
    def open(cls, uri: str, name: str, encoder: Path | str | None = None, locale: str = "en") -> MilvusIndex:
        """A collection that `create` made with this encoder and locale: Milvus Lite keeps no notes on a collection.

        Raises MissingError where there is none, InputError where it is another's.
        """
        client = _pymilvus().MilvusClient(uri)
        if not client.has_collection(name):
            raise MissingError(f"{uri} holds no collection '{name}': create it first.")
        fields = {field["name"]: field for field in client.describe_collection(name)["fields"]}
        if not {"row", "keys", "record", "vector", "words"} <= set(fields):
            raise InputError(f"The collection '{name}' of {uri} was not made here: choose another name.")
        client.load_collection(name)
        facts = _facts(locale, int(fields["vector"]["params"]["dim"]), encoder)
        return cls(client, name, facts, query_encoder(encoder) if encoder else None)

    @property
    def facts(self) -> dict[str, Any]:
        """What it was made with, and how many items are published."""
        return {**self._facts, "items": self._count(), "version": 1, "dense": {"kind": "milvus"}}

    def fill(self, source: Source, vectors: NDArray[np.float32]) -> None:
        """Publish every row of a catalogue and its unit vectors [N, d]. Raises InputError."""
        items, rows = [], 0
        for row, fields in documents(source):
            items.append(fields)
            if len(items) == BATCH:
                self._send(items, vectors[row + 1 - BATCH : row + 1])
                items = []
            rows = row + 1
        self._send(items, vectors[rows - len(items) : rows])
        self._client.flush(self._name)

    def legs(
        self,
        texts: Sequence[str],
        k: int,
        mode: Mode = "hybrid",
        wanted: Filter | None = None,
        vectors: NDArray[np.float32] | None = None,
    ) -> dict[str, Candidates]:
        """As `Retriever.legs`. Raises SettingError for an unknown mode, a k out of range and missing vectors."""
        if mode == "sparse":
            raise SettingError("A Milvus collection holds no learned sparse leg: search the embedded index by it.")
        if mode not in ("hybrid", "dense", "lexical"):
            raise SettingError(f"There is no mode '{mode}': choose hybrid, dense or lexical.")
        if not 1 <= k <= MOST:
            raise SettingError(f"k is {k}, but Milvus gives 1 to {MOST} results.")
        found: dict[str, Candidates] = {}
        if not texts:
            return found
        where = _expression(wanted) if wanted else ""
        if mode != "lexical":
            if vectors is None:
                if self._encode is None:
                    raise SettingError("This collection has no encoder: give the vectors of the queries.")
                vectors = self._encode(list(texts))
            data = np.asarray(vectors, dtype=np.float32).tolist()
            found["dense"] = self._search("vector", "IP", data, k, where)
        if mode != "dense":
            found["lexical"] = self._lexical(texts, k, where)
        return found

    def records(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """item_id, title, brand, taxonomy and image of each row. InputError for a row that is not there."""
        found = self._client.get(self._name, ids=[int(row) for row in rows], output_fields=["row", "record"])
        held = {hit["row"]: hit["record"] for hit in found}
        for row in rows:
            if row not in held:
                raise InputError(f"The collection holds no row {row}: search again.")
        return [held[row] for row in rows]

    def upsert(self, items: Sequence[Mapping[str, Any]], vectors: NDArray[np.float32]) -> None:
        """As `Retriever.upsert`."""
        self._changes.upsert(items, vectors)

    def delete(self, item_ids: Sequence[str]) -> None:
        """As `Retriever.delete`."""
        self._changes.delete(item_ids)

    def publish(self) -> MilvusIndex:
        """Send the changes, batch by batch; this very object searches them."""
        if not self._changes:
            return self
        vectors, items = self._changes.vectors, [fields for _, fields in documents(self._changes)]
        gone = [row_of(name) for name in self._changes.touched]
        for start in range(0, len(gone), BATCH):
            self._client.delete(self._name, ids=gone[start : start + BATCH])
        for start in range(0, len(items), BATCH):
            self._send(items[start : start + BATCH], vectors[start : start + BATCH])
        self._client.flush(self._name)
        self._changes = Changes(self._facts["dimensions"])
        return self

    def compact(self) -> MilvusIndex:
        """Publish, and have the server clear away what was dropped."""
        self.publish()
        self._client.compact(self._name)
        return self

    def close(self) -> None:
        """Let go of the server."""
        self._client.close()

    def _send(self, items: list[dict[str, Any]], vectors: NDArray[np.float32]) -> None:
        if not items:
            return
        vectors = checked_vectors(vectors, len(items), self._facts["dimensions"])
        sent = []
        for fields, vector in zip(items, vectors, strict=True):
            price = fields["price"]
            sent.append(
                {
                    "row": row_of(fields["item_id"]),
                    "text": self._text(" ".join(filter(None, (fields.get(field) for field in FIELDS)))),
                    "keys": [_hash(key) for key in fields["keys"]][:KEYS],
                    "price": None if np.isnan(price) else price,
                    "record": {name: fields["path"] if name == "taxonomy" else fields[name] for name in COLUMNS},
                    "vector": vector.tolist(),
                }
            )
        self._client.upsert(self._name, sent)

    def _text(self, text: str) -> str:
        """The terms of a text as hashes, as many as fit."""
        return " ".join(_hash(term) for term in self._analyser.analyze(encodable(text)))[:LONGEST]

    def _lexical(self, texts: Sequence[str], k: int, where: str) -> Candidates:
        scores, rows = np.zeros((len(texts), k), np.float32), np.full((len(texts), k), -1, np.int64)
        for number, text in enumerate(texts):
            if hashed := self._text(text):
                found = self._search("words", "BM25", [hashed], k, where)
                scores[number], rows[number] = found.scores[0], found.rows[0]
        return Candidates(scores, rows)

    def _search(self, field: str, metric: str, data: list[Any], k: int, where: str) -> Candidates:
        found = self._client.search(
            self._name, data=data, anns_field=field, limit=k, filter=where, search_params={"metric_type": metric}
        )
        scores, rows = np.zeros((len(data), k), np.float32), np.full((len(data), k), -1, np.int64)
        for number, hits in enumerate(found):
            rows[number, : len(hits)] = [hit["row"] for hit in hits]
            scores[number, : len(hits)] = [hit["distance"] for hit in hits]
        # BM25 is never negative, but Milvus Lite gives it a minus sign: there the smallest is the nearest
        return best(np.abs(scores) if metric == "BM25" else scores, rows, k)

    def _count(self) -> int:
        return int(self._client.query(self._name, filter="row >= 0", output_fields=["count(*)"])[0]["count(*)"])


def _facts(locale: str, dimensions: int, encoder: Path | str | None) -> dict[str, Any]:
    return {"locale": locale, "dimensions": dimensions, "encoder": str(encoder) if encoder else None}


def row_of(item_id: str) -> int:
    """The row of an item: 63 bits of a hash of its id."""
    return int.from_bytes(blake2b(item_id.encode(), digest_size=8).digest()) >> 1


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=12).hexdigest()


def _expression(wanted: Filter) -> str:
    """A filter in the language of Milvus: hashes and numbers alone, nothing a user typed."""
    parts = [
        "array_contains_any(keys, [" + ", ".join(f'"{_hash(key)}"' for key in group) + "])" for group in wanted.groups()
    ]
    low, high = wanted.price
    if low is not None:
        parts.append(f"price >= {float(low)!r}")
    if high is not None:
        parts.append(f"price <= {float(high)!r}")
    return " and ".join(parts)


def _pymilvus() -> Any:
    try:
        import pymilvus
    except ImportError as error:
        raise MissingError("Milvus needs pymilvus: install motherlode[milvus].") from error
    return pymilvus
