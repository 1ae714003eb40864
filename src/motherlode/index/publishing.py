"""Writing a version of the store: from a catalogue, from the version before and some changes, or compacted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import replacing_folder, write_json
from motherlode.errors import InputError
from motherlode.index import blends, versions
from motherlode.index.analysis import analyser
from motherlode.index.blends import Blend
from motherlode.index.changes import Changes
from motherlode.index.dense import DenseIndex, Precision
from motherlode.index.facets import FacetsWriter
from motherlode.index.items import BATCH, Items, Source, documents, titles_of
from motherlode.index.lexical import LexicalIndex
from motherlode.index.sparse import SparseIndex
from motherlode.index.word_matches import Titles
from motherlode.sparse.term_vectors import TermVectors

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 2
BLEND = "blend.json"
TERMS = "terms"  # the folder of the term encoder, and of the weights it gave to added rows
QUERIES = "queries.npy"  # vectors of sampled queries, on which recall is measured again at compaction


@dataclass(frozen=True)
class SparsePlan:
    """What the sparse leg of a version is made of.

    Attributes:
        encoder: a folder that `TermEncoder.save` wrote, copied.
        weights: its fingerprint.
        items: term weights of every row.
        levels: of the taxonomy in the item text that it reads, as in `text.template`.
        served: terms of a query that are kept, the strongest; None: all.
    """

    encoder: Path
    weights: str
    items: TermVectors
    levels: int
    served: int | None = None

    @classmethod
    def of(cls, encoder: Path | str, items: TermVectors, levels: int, served: int | None = None) -> SparsePlan:
        """Of the encoder that gave the items their weights. Raises MissingError or InputError where it is not that."""
        from motherlode.sparse.encode import terms_fingerprint
        from motherlode.sparse.term_encoder import TermEncoder

        found = TermEncoder.load(encoder)
        if found.width != items.width:
            raise InputError(
                f"The term weights are of {items.width} terms, but the encoder in {encoder} has {found.width}: "
                "encode the catalogue with it."
            )
        return cls(Path(encoder), terms_fingerprint(found), items, levels, served)


@dataclass(frozen=True)
class Plan:
    """What a version built from scratch is made of, its items and vectors aside.

    Attributes:
        encoder: a sentence-transformers folder, copied.
        locale: of the words.
        queries: unit vectors of real queries on which recall is measured; None: items stand in.
        precision, recall: as in `DenseIndex.build`.
        about: what index.json says besides: alpha, data, weights, facts.
        blend: how the legs become one list; None: the convex blend with alpha.
        sparse: the third leg; None: there is none.
    """

    encoder: Path
    locale: str
    queries: NDArray[np.float32] | None
    precision: Precision | None
    recall: float
    about: dict[str, Any]
    blend: Blend | None = None
    sparse: SparsePlan | None = None


class Survivors:
    """The live rows of an open store as a source of catalogue rows: what compaction builds from."""

    def __init__(self, items: Items, kept: NDArray[np.bool_]) -> None:
        self._items, self._kept = items, kept

    def batches(self, kind: str, columns: list[str] | None = None, rows: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Record batches of at most `rows` rows (the catalogue is all there is)."""
        assert kind == "catalogue"
        for batch in self._items.batches(self._kept):
            for start in range(0, batch.num_rows, rows):
                part = batch.slice(start, rows)
                yield part if columns is None else part.select(columns)


def write_whole(folder: Path, source: Source, vectors: NDArray[np.float32], plan: Plan) -> None:
    """Build the next version from every row of `source` and `vectors` [N, d], and point readers at it."""
    version = max(versions.numbers(folder), default=0) + 1
    with replacing_folder(folder / versions.name(version)) as temporary:
        _put(plan.encoder, temporary / "encoder", folder)
        Items.write(source, temporary / "items.arrow")
        facets = FacetsWriter()
        lexical = LexicalIndex.build(facets.watch(documents(source)), temporary / "lexical", locale=plan.locale)
        facets.write(temporary / "facets")
        dense = DenseIndex.build(
            vectors, temporary / "dense", plan.queries, precision=plan.precision, recall=plan.recall
        )
        if plan.blend is not None:
            blends.save(plan.blend, temporary / BLEND)
            if plan.blend.words:
                analyse = analyser(plan.locale).analyze
                Titles.build(titles_of(source), analyse).save(temporary / "titles")
        if plan.queries is not None:
            np.save(temporary / QUERIES, plan.queries)
        legs = {"dense": dense.facts, "lexical": lexical.facts}
        if plan.sparse is not None:
            _put(plan.sparse.encoder, temporary / TERMS, folder)
            sparse = SparseIndex.build(plan.sparse.items, temporary / "sparse")
            legs["sparse"] = sparse.facts | {
                name: getattr(plan.sparse, name) for name in ("weights", "levels", "served")
            }
        _record(temporary, version, dense.facts["items"], legs, plan.about)
    versions.point(folder, version)


def write_changes(
    folder: Path, version: Path, facts: dict[str, Any], items: Items, changes: Changes, terms: TermVectors | None
) -> None:
    """Write `version` and some changes as the next version, at a cost of what changed, and point readers at it.

    The files of the rows built once are shared with `version`; rows added since lie in added/, and the rows of
    replaced and dropped items are named in dead.npy. Row numbers stay. terms: those of the upserts, where the index
    has a sparse leg.
    """
    number = max(versions.numbers(folder)) + 1
    base = facts["dense"]["items"]
    dead = np.union1d(dead_rows(version), items.find(changes.touched)).astype(np.int64)
    with replacing_folder(folder / versions.name(number)) as temporary:
        for path in version.iterdir():
            if path.is_dir() and path.name != "added":
                versions.link(path, temporary / path.name)
            elif path.name in ("items.arrow", QUERIES, BLEND):
                versions.link_file(path, temporary / path.name)
        since = np.zeros(len(items), dtype=bool)
        since[base:] = True
        rows = _Rows([*items.batches(since), changes.batch()])
        added = temporary / "added"
        added.mkdir()
        Items.write(rows, added / "items.arrow")
        facets = FacetsWriter()
        fresh = [(base + row, fields) for row, fields in facets.watch(documents(rows)) if base + row >= len(items)]
        facets.write(added / "facets")
        np.save(added / "vectors.npy", np.concatenate([added_vectors(version, facts), changes.vectors]))
        if terms is not None:
            TermVectors.joined([added_terms(version, facts), terms], terms.width).save(added / TERMS)
        np.save(temporary / "dead.npy", dead)
        LexicalIndex.change(temporary / "lexical", fresh, np.setdiff1d(dead, dead_rows(version)).tolist())
        lexical = LexicalIndex.open(temporary / "lexical")
        live = len(items) + len(fresh) - len(dead)
        if lexical.facts["items"] != live:
            raise InputError(f"{version} holds other words than items: build the index again.")
        legs = {name: facts[name] for name in ("dense", "sparse") if name in facts} | {"lexical": lexical.facts}
        _record(temporary, number, live, legs, about(facts))
    versions.point(folder, number)


def about(facts: dict[str, Any]) -> dict[str, Any]:
    """What `Plan.about` was."""
    return {name: facts[name] for name in ("alpha", "data", "weights", "facts")}


def dead_rows(version: Path) -> NDArray[np.int64]:
    """Rows of a version that were replaced or dropped, rising."""
    path = version / "dead.npy"
    return np.load(path, allow_pickle=False) if path.exists() else np.zeros(0, dtype=np.int64)


def added_vectors(version: Path, facts: dict[str, Any]) -> NDArray[np.float32]:
    """Vectors of the rows added since the version was built whole, [M, d]."""
    path = version / "added" / "vectors.npy"
    if not path.exists():
        return np.zeros((0, facts["dense"]["dimensions"]), dtype=np.float32)
    return np.load(path, allow_pickle=False)


def added_terms(version: Path, facts: dict[str, Any]) -> TermVectors:
    """Term weights of the rows added since the version was built whole."""
    path, width = version / "added" / TERMS, facts["sparse"]["terms"]
    return TermVectors.load(path, width) if path.exists() else TermVectors.joined([], width)


class _Rows:
    """Record batches at hand, as a source."""

    def __init__(self, held: list[pa.RecordBatch]) -> None:
        self._held = held

    def batches(self, kind: str, columns: list[str] | None = None, rows: int = BATCH) -> Iterator[pa.RecordBatch]:
        assert kind == "catalogue" and rows
        for batch in self._held:
            yield batch if columns is None else batch.select(columns)


def _put(source: Path, target: Path, folder: Path) -> None:
    """A copy of a folder; of the version before it is linked, whose files never change."""
    if source.parent.parent == folder:
        versions.link(source, target)
    else:
        shutil.copytree(source, target)


def _record(folder: Path, version: int, items: int, legs: dict[str, dict[str, Any]], rest: dict[str, Any]) -> None:
    facts = {"format": FORMAT, "version": version, "items": items, **legs, **rest}
    write_json(folder / "index.json", facts | {"files": versions.files(folder)})
