"""The store: one self-contained folder that answers queries with items, by two legs or three."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import read_json
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index import blends, publishing, versions
from motherlode.index.analysis import analyser
from motherlode.index.blend import shared
from motherlode.index.blends import Blend
from motherlode.index.candidates import Candidates
from motherlode.index.changes import Changes
from motherlode.index.dense import CODES_FROM, RECALL, SAMPLE, DenseIndex, Precision
from motherlode.index.encoder import Encode, encode, load, query_encoder
from motherlode.index.facets import Facets
from motherlode.index.filters import Filter
from motherlode.index.items import Items
from motherlode.index.lexical import LexicalIndex
from motherlode.index.live import LiveDense, LiveSparse
from motherlode.index.pool import pool
from motherlode.index.protocol import Mode
from motherlode.index.publishing import BLEND, FORMAT, TERMS, Plan, SparsePlan
from motherlode.index.query_convex import QueryConvex
from motherlode.index.query_terms import QueryTerms
from motherlode.index.selection import Selection
from motherlode.index.sparse import SparseIndex
from motherlode.index.word_matches import Titles
from motherlode.tables.tables import Tables
from motherlode.text.template import item_texts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

LEGS = ("dense", "lexical", "sparse")  # in the order in which blends take them
DEPTH = 100  # candidates each leg gives to the blend, at least
CHANGED_SHARE = 0.1  # of the items: with more added and dropped rows than this, publishing compacts
CHANGED_LEAST = 1_000  # rows that are never worth compacting by themselves
BLOCK = 16_384  # vectors in memory at once when compacting
SELECTIONS = 16  # filters whose rows are kept: shoppers ask for the same ones, and a wide one takes long to look up


@dataclass(frozen=True)
class Hit:
    """One item found: `score` ranks it; `dense`, `lexical`, `sparse` are the legs' own, None where not found."""

    rank: int
    row: int
    item_id: str
    title: str
    brand: str | None
    taxonomy: list[str] | None
    score: float
    dense: float | None
    lexical: float | None
    sparse: float | None = None
    image: str | None = None


class Index:
    """A published version of the store, opened for searching; `facts` is its index.json. A `protocol.Retriever`.

    What `upsert` and `delete` change waits in memory until `publish` writes the next version.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.facts = facts
        base = DenseIndex.open(folder / "dense")
        self.lexical = LexicalIndex.open(folder / "lexical")
        added = folder / "added"
        grown = added.exists()
        self._facets = [Facets(folder / "facets"), *([Facets(added / "facets")] if grown else [])]
        try:
            self._dead = publishing.dead_rows(folder)
            self.dense = LiveDense(base, publishing.added_vectors(folder, facts), self._dead)
        except (ValueError, OSError, EOFError, IndexError) as error:
            raise InputError(f"{added} is damaged: build the index again.") from error
        self.items = Items(folder / "items.arrow", added / "items.arrow" if grown else None)
        self.names = LEGS if "sparse" in facts else LEGS[:2]
        self.terms = QueryTerms(folder / TERMS, facts.get("sparse", {}).get("served"))
        self.blend = blends.load(folder / BLEND) if (folder / BLEND).exists() else None
        self._mix = self.blend or QueryConvex(self.names, shared(facts["alpha"], len(self.names)))
        self._titles: Titles | None = None
        if (folder / "titles").exists():
            since = range(facts["dense"]["items"], len(self.items))
            names = [self.items.record(row, ["title"])["title"] for row in since]
            self._titles = Titles.open(folder / "titles", analyser(self.lexical.facts["locale"]).analyze, names)
        self._changes = Changes(facts["dense"]["dimensions"])
        self._encode: Encode | None = None
        self._selections: dict[Filter, Selection] = {}

    @classmethod
    def build(
        cls,
        tables: Tables,
        vectors_path: Path | str,
        encoder_path: Path | str,
        folder: Path | str,
        alpha: float,
        facts: dict[str, Any],
        precision: Precision | None = "pq",
        recall: float = RECALL,
        mix: Blend | None = None,
        sparse: SparsePlan | None = None,
    ) -> Index:
        """Build the next version under `folder`, point `folder`/current at it, and open it.

        vectors_path: .npy of unit vectors [N, d], row by row those of the catalogue. encoder_path: a standard
        sentence-transformers folder, copied into the index. alpha: weight of the dense leg in the convex blend.
        facts: JSON-able, kept under "facts" in index.json. precision, recall: as in `DenseIndex.build`. mix: the blend
        that makes one list of the legs, instead of the convex one. sparse: the third leg. Readers see the previous
        version until the new one is whole, and it stays on disk for those still reading it; older ones go. Raises
        MissingError or InputError where an input is absent or does not fit, or where another process is writing there.
        """
        if not 0 <= alpha <= 1:
            raise SettingError(f"alpha is {alpha}, but the weight of the dense leg must lie between 0 and 1.")
        names = LEGS if sparse else LEGS[:2]
        if mix is not None and (fitted := getattr(mix, "legs", names)) != names:
            raise SettingError(
                f"The blend was fitted on the legs {', '.join(fitted)}, not {', '.join(names)}: fit it on those."
            )
        folder, encoder_path = Path(folder), Path(encoder_path)
        vectors = _vectors(Path(vectors_path), tables.count("catalogue"))
        if not (encoder_path / "modules.json").exists():
            raise MissingError(f"{encoder_path} is not a sentence-transformers folder: it holds no modules.json.")
        encoder = load(encoder_path)
        width = encode(encoder, ["width"]).shape[1]
        if width != vectors.shape[1]:
            raise InputError(
                f"{vectors_path} holds {vectors.shape[1]} dimensions, but the encoder in {encoder_path} "
                f"gives {width}: encode the catalogue with it."
            )
        if sparse is not None and len(sparse.items) != len(vectors):
            raise InputError(f"There are term weights of {len(sparse.items)} items, not {len(vectors)}: encode again.")
        queries = _query_sample(tables, encoder) if len(vectors) > CODES_FROM else None
        about = {"alpha": alpha, "data": tables.fingerprint(), "weights": weights_fingerprint(encoder), "facts": facts}
        folder.mkdir(parents=True, exist_ok=True)
        with versions.exclusive(folder):
            plan = Plan(encoder_path, locale_of(tables), queries, precision, recall, about, mix, sparse)
            publishing.write_whole(folder, tables, vectors, plan)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str) -> Index:
        """Open the current version: files are mapped, not read. Raises MissingError or InputError."""
        version = versions.current(Path(folder))
        try:
            facts = read_json(version / "index.json")
            sizes = dict(facts["files"])
            known = facts["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{version / 'index.json'} is missing or damaged: build the index again.") from error
        if not known:
            raise InputError(f"{version} was written by another motherlode: build the index again.")
        for name, size in sizes.items():
            path = version / name
            if not path.exists() or path.stat().st_size != size:
                raise InputError(f"{path} is missing or cut short: build the index again.")
        return cls(version, facts)

    @overload
    def search(self, query: str, k: int = 10, mode: Mode = "hybrid", wanted: Filter | None = None) -> list[Hit]: ...

    @overload
    def search(
        self, query: list[str], k: int = 10, mode: Mode = "hybrid", wanted: Filter | None = None
    ) -> list[list[Hit]]: ...

    def search(
        self, query: str | list[str], k: int = 10, mode: Mode = "hybrid", wanted: Filter | None = None
    ) -> list[Hit] | list[list[Hit]]:
        """The k best items for a query, or for each of several; a blank query finds nothing.

        mode: "hybrid" makes one list of all legs (`mix`); a leg's name asks that one. wanted: only items that meet it.
        Raises SettingError for an unknown mode or k < 1, InputError for a query that is not text.
        """
        if isinstance(query, str):
            return self.search([query], k, mode, wanted)[0]
        for number, text in enumerate(query):
            if not isinstance(text, str):
                raise InputError(f"Query {number} is {text!r}, not text.")
        asked = [number for number, text in enumerate(query) if text.strip()]
        hits: list[list[Hit]] = [[] for _ in query]
        depth = max(k, DEPTH) if mode == "hybrid" and k > 0 else k
        texts = [query[number] for number in asked]
        vectors = self.encode(texts) if texts and mode in ("hybrid", "dense") else None
        legs = self.legs(texts, depth, mode, wanted, vectors)
        if not asked:
            return hits
        found = legs[mode] if mode != "hybrid" else self.mix(texts, vectors, legs, k)
        for position, number in enumerate(asked):
            hits[number] = self._hits(found, legs, position)
        return hits

    def legs(
        self,
        texts: Sequence[str],
        k: int,
        mode: Mode = "hybrid",
        wanted: Filter | None = None,
        vectors: NDArray[np.float32] | None = None,
    ) -> dict[str, Candidates]:
        """As `Retriever.legs`: the k best of each leg of `names` that the mode asks for.

        Raises SettingError for a mode that is none here or k < 1.
        """
        if mode != "hybrid" and mode not in self.names:
            raise SettingError(f"There is no mode '{mode}' here: choose hybrid, {' or '.join(self.names)}.")
        if k < 1:
            raise SettingError(f"k is {k}, but at least one result must be asked for.")
        if not len(texts):
            return {}
        found: dict[str, Candidates] = {}
        for name, asked in self._asked(texts, self.names if mode == "hybrid" else (mode,), vectors).items():
            if name == "lexical":
                found[name] = self.lexical.search(texts, k, wanted)
            else:
                found[name] = getattr(self, name).search(asked, k, among=self.select(wanted) if wanted else None)
        return found

    def mix(
        self, texts: Sequence[str], vectors: NDArray[np.float32] | None, legs: dict[str, Candidates], k: int
    ) -> Candidates:
        """One list [Q, k] out of all legs, by the blend of the index, or `blend.weighted` where it holds none.

        texts, vectors: of the queries that `legs` answers, as there.
        """
        if isinstance(self._mix, QueryConvex):
            return self._mix.mix(legs, k)
        asked = self._asked(texts, legs, vectors)
        found = pool(legs, {name: partial(getattr(self, name).score, asked[name]) for name in legs})
        if self._titles is not None:
            found = replace(found, matches=self._titles.matches(texts, found.rows))
        return self._mix.blend(found, k)

    def _asked(self, texts: Sequence[str], names: Iterable[str], vectors: NDArray[np.float32] | None) -> dict[str, Any]:
        """What each of these legs takes of the queries: texts, their vectors, their term weights."""
        asked: dict[str, Any] = {}
        for name in names:
            if name == "dense":
                asked[name] = self.encode(list(texts)) if vectors is None else vectors
            else:
                asked[name] = texts if name == "lexical" else self.terms.queries(texts)
        return asked

    @cached_property
    def sparse(self) -> LiveSparse:
        """The third leg, opened when first asked. Raises InputError where it is damaged, MissingError for none."""
        base = SparseIndex.open(self.folder / "sparse")
        return LiveSparse(base, publishing.added_terms(self.folder, self.facts), self._dead)

    @property
    def dead(self) -> NDArray[np.int64]:
        """Rows that were replaced or dropped, rising."""
        return self._dead

    def select(self, wanted: Filter) -> Selection:
        """The rows that meet a filter; replaced and dropped rows may be among them."""
        if (known := self._selections.get(wanted)) is not None:
            return known
        rows, start = [], 0
        for facets in self._facets:
            rows.append(facets.rows(wanted) + start)
            start += len(facets)
        if len(self._selections) >= SELECTIONS:
            self._selections.pop(next(iter(self._selections)), None)
        self._selections[wanted] = found = Selection(np.concatenate(rows), start)
        return found

    def records(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """item_id, title, brand and taxonomy of each row."""
        return [self.items[row] for row in rows]

    def upsert(self, items: Sequence[Mapping[str, Any]], vectors: NDArray[np.float32]) -> None:
        """Add or replace items at the next `publish`: records of the catalogue, unit vectors [n, d].

        Raises InputError for what the catalogue or the index cannot hold; then nothing of it is kept.
        """
        self._changes.upsert(items, vectors)

    def delete(self, item_ids: Sequence[str]) -> None:
        """Drop items at the next `publish`; ids that are not there are no error. Raises InputError for no ids."""
        self._changes.delete(item_ids)

    def publish(self) -> Index:
        """Write the changes as the next version and open it; this object goes on reading its own.

        The dense and the sparse leg then find what an index built anew would find; the lexical leg too, but for idf
        and mean length, which count dropped items until compaction. Compacts by itself where more than `CHANGED_SHARE`
        of the items changed since they were built. Raises InputError where another version was published since
        this one was opened, or where another process is writing.
        """
        if not self._changes:
            return self
        terms = None
        if "sparse" in self.facts:
            titles, paths = self._changes.column("title"), self._changes.column("taxonomy")
            terms = self.terms.items(item_texts(titles, paths, self.facts["sparse"]["levels"]))
        with versions.exclusive(self.folder.parent):
            self._check_current()
            publishing.write_changes(self.folder.parent, self.folder, self.facts, self.items, self._changes, terms)
        self._changes = Changes(self.facts["dense"]["dimensions"])
        published = Index.open(self.folder.parent)
        base = published.facts["dense"]["items"]
        changed = len(published.items) - base + len(published._dead)
        if changed > max(CHANGED_LEAST, CHANGED_SHARE * base):
            return published.compact()
        return published

    def compact(self) -> Index:
        """Publish what waits, then build the next version from the live rows alone, and open it."""
        if self._changes:
            return self.publish().compact()
        kept = np.ones(len(self.items), dtype=bool)
        kept[self._dead] = False
        if kept.all() and len(kept) == self.facts["dense"]["items"]:
            return self
        if not kept.any():
            raise InputError("Every item was dropped: an index cannot be empty, so keep one or remove the folder.")
        place, rows, dense = self.folder.parent, np.flatnonzero(kept), self.facts["dense"]
        sample = self.folder / publishing.QUERIES
        with (
            versions.exclusive(place),
            tempfile.TemporaryDirectory(prefix=".vectors.", suffix=".tmp", dir=place) as scratch,
        ):
            self._check_current()
            path = Path(scratch) / "vectors.npy"
            shape = (len(rows), dense["dimensions"])
            vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            for start in range(0, len(rows), BLOCK):
                vectors[start : start + BLOCK] = self.dense.vectors(rows[start : start + BLOCK])
            sparse = None
            if known := self.facts.get("sparse"):
                terms = self.sparse.terms(rows)
                sparse = SparsePlan(self.folder / TERMS, known["weights"], terms, known["levels"], known["served"])
            plan = Plan(
                self.folder / "encoder",
                self.lexical.facts["locale"],
                np.load(sample, allow_pickle=False) if sample.exists() else None,
                dense["asked"]["precision"],
                dense["asked"]["recall"],
                publishing.about(self.facts),
                self.blend,
                sparse,
            )
            publishing.write_whole(place, publishing.Survivors(self.items, kept), vectors, plan)
        return Index.open(place)

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit query vectors [Q, d] by the encoder in the index, which is loaded at the first call."""
        if self._encode is None:
            self._encode = query_encoder(self.folder / "encoder")
        return self._encode(texts)

    def _check_current(self) -> None:
        if versions.current(self.folder.parent) != self.folder:
            raise InputError(
                f"{self.folder.parent} has a newer version than the one that was opened: open it and change that."
            )

    def _hits(self, found: Candidates, legs: dict[str, Candidates], query: int) -> list[Hit]:
        own = {
            name: dict(zip(leg.rows[query].tolist(), leg.scores[query].tolist(), strict=True))
            for name, leg in legs.items()
        }
        dense, lexical, sparse = (own.get(name, {}).get for name in LEGS)
        ranked = enumerate(zip(found.rows[query].tolist(), found.scores[query].tolist(), strict=True), start=1)
        return [
            Hit(rank, row, **self.items[row], score=score, dense=dense(row), lexical=lexical(row), sparse=sparse(row))
            for rank, (row, score) in ranked
            if row >= 0
        ]


def _vectors(path: Path, items: int) -> NDArray[np.float32]:
    if not path.exists():
        raise MissingError(f"{path} does not exist: encode the catalogue first.")
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is not a whole .npy of numbers: encode the catalogue again.") from error
    if vectors.ndim != 2 or len(vectors) != items:
        raise InputError(
            f"{path} has the shape {list(vectors.shape)} for a catalogue of {items} items: encode it again."
        )
    return vectors


def locale_of(tables: Tables) -> str:
    """The most frequent locale of the queries, "en" where none is known."""
    if not tables.has("queries"):
        return "en"
    counts = tables.frame("queries", ["locale"]).drop_nulls()["locale"].value_counts(sort=True)
    return str(counts["locale"][0]) if len(counts) else "en"


def _query_sample(tables: Tables, encoder: SentenceTransformer) -> NDArray[np.float32] | None:
    """Vectors of up to `SAMPLE` real queries, spread over the table: recall on what will be asked."""
    if not tables.has("queries"):
        return None
    texts = tables.frame("queries", ["text"])["text"]
    return encode(encoder, texts.gather_every(max(1, len(texts) // SAMPLE)).head(SAMPLE).to_list())
