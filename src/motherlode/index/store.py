"""The store: one self-contained folder that answers queries with items, by both legs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from motherlode.atomic import read_json, replacing_folder, sweep, write_json, write_text
from motherlode.encoders.fingerprint import weights_fingerprint
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.index import blend
from motherlode.index.candidates import Candidates
from motherlode.index.dense import EXACT_ROWS, SAMPLE, DenseIndex
from motherlode.index.encoder import encode, load
from motherlode.index.items import Items, documents
from motherlode.index.lexical import LexicalIndex
from motherlode.tables.tables import Tables

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Mode = Literal["hybrid", "dense", "lexical"]
FORMAT = 1
DEPTH = 100  # candidates each leg gives to the blend, at least


@dataclass(frozen=True)
class Hit:
    """One item found: `score` ranks it; `dense` and `lexical` are the legs' own, None where not found."""

    rank: int
    row: int
    item_id: str
    title: str
    brand: str | None
    taxonomy: list[str] | None
    score: float
    dense: float | None
    lexical: float | None


class Index:
    """A published version of the store, opened for searching. `facts` is its index.json."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder = folder
        self.facts = facts
        self.dense = DenseIndex.open(folder / "dense")
        self.lexical = LexicalIndex.open(folder / "lexical")
        self.items = Items(folder / "items.arrow")
        self._encoder: SentenceTransformer | None = None

    @classmethod
    def build(
        cls,
        tables: Tables,
        vectors_path: Path | str,
        encoder_path: Path | str,
        folder: Path | str,
        alpha: float,
        facts: dict[str, Any],
    ) -> Index:
        """Build the next version under `folder`, point `folder`/current at it, and open it.

        vectors_path: .npy of unit vectors [N, d], row by row those of the catalogue. encoder_path: a standard
        sentence-transformers folder, copied into the index. alpha: weight of the dense leg in the blend.
        facts: JSON-able, kept under "facts" in index.json. Readers see the previous version until the new one
        is whole, and it stays on disk for those still reading it; older ones go. One builder at a time.
        Raises MissingError or InputError where an input is absent or does not fit.
        """
        if not 0 <= alpha <= 1:
            raise SettingError(f"alpha is {alpha}, but the weight of the dense leg must lie between 0 and 1.")
        folder, encoder_path = Path(folder), Path(encoder_path)
        vectors = _vectors(Path(vectors_path), tables.count("catalogue"))
        if not (encoder_path / "modules.json").exists():
            raise MissingError(f"{encoder_path} is not a sentence-transformers folder: it holds no modules.json.")
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        version = max(_versions(folder), default=0) + 1
        with replacing_folder(folder / _name(version)) as temporary:
            shutil.copytree(encoder_path, temporary / "encoder")
            encoder = load(temporary / "encoder")
            width = encode(encoder, ["width"]).shape[1]
            if width != vectors.shape[1]:
                raise InputError(
                    f"{vectors_path} holds {vectors.shape[1]} dimensions, but the encoder in {encoder_path} "
                    f"gives {width}: encode the catalogue with it."
                )
            Items.write(tables, temporary / "items.arrow")
            lexical = LexicalIndex.build(documents(tables), temporary / "lexical", locale=locale_of(tables))
            sample = _query_sample(tables, encoder) if len(vectors) > EXACT_ROWS else None
            dense = DenseIndex.build(vectors, temporary / "dense", sample)
            record = {
                "format": FORMAT,
                "version": version,
                "alpha": alpha,
                "items": dense.facts["items"],
                "dense": dense.facts,
                "lexical": lexical.facts,
                "data": tables.fingerprint(),
                "weights": weights_fingerprint(encoder),
                "facts": facts,
                "files": {name: path.stat().st_size for name, path in _files(temporary)},
            }
            write_json(temporary / "index.json", record)
        write_text(folder / "current", _name(version) + "\n")
        for old in _versions(folder):
            if old < version - 1:
                shutil.rmtree(folder / _name(old))
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path | str) -> Index:
        """Open the current version: files are mapped, not read. Raises MissingError or InputError."""
        folder = Path(folder)
        if not (folder / "current").exists():
            raise MissingError(f"{folder} holds no index: build one with `motherlode index`.")
        version = folder / (folder / "current").read_text(encoding="utf-8").strip()
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
    def search(self, query: str, k: int = 10, mode: Mode = "hybrid") -> list[Hit]: ...

    @overload
    def search(self, query: list[str], k: int = 10, mode: Mode = "hybrid") -> list[list[Hit]]: ...

    def search(self, query: str | list[str], k: int = 10, mode: Mode = "hybrid") -> list[Hit] | list[list[Hit]]:
        """The k best items for a query, or for each of several; a blank query finds nothing.

        mode: "hybrid" blends both legs by `blend.convex` with the alpha of the index; "dense" and
        "lexical" ask one leg. Raises SettingError for an unknown mode or k < 1, InputError for a query
        that is not text.
        """
        if isinstance(query, str):
            return self.search([query], k, mode)[0]
        for number, text in enumerate(query):
            if not isinstance(text, str):
                raise InputError(f"Query {number} is {text!r}, not text.")
        asked = [number for number, text in enumerate(query) if text.strip()]
        hits: list[list[Hit]] = [[] for _ in query]
        if not asked:
            return hits
        found, legs = self._retrieve([query[number] for number in asked], k, mode)
        for position, number in enumerate(asked):
            hits[number] = self._hits(found, legs, position)
        return hits

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Unit query vectors [Q, d] by the encoder in the index, which is loaded at the first call."""
        if self._encoder is None:
            self._encoder = load(self.folder / "encoder")
        return encode(self._encoder, texts)

    def _retrieve(self, texts: list[str], k: int, mode: str) -> tuple[Candidates, dict[str, Candidates]]:
        if mode not in ("hybrid", "dense", "lexical"):
            raise SettingError(f"There is no mode '{mode}': choose hybrid, dense or lexical.")
        if k < 1:
            raise SettingError(f"k is {k}, but at least one result must be asked for.")
        depth = max(k, DEPTH) if mode == "hybrid" else k
        legs = {}
        if mode != "lexical":
            legs["dense"] = self.dense.search(self.encode(texts), depth)
        if mode != "dense":
            legs["lexical"] = self.lexical.search(texts, depth)
        if mode == "hybrid":
            return blend.convex(legs["dense"], legs["lexical"], self.facts["alpha"], k), legs
        return legs[mode], legs

    def _hits(self, found: Candidates, legs: dict[str, Candidates], query: int) -> list[Hit]:
        own = {
            name: dict(zip(leg.rows[query].tolist(), leg.scores[query].tolist(), strict=True))
            for name, leg in legs.items()
        }
        return [
            Hit(
                rank=rank,
                row=row,
                **self.items[row],
                score=score,
                dense=own.get("dense", {}).get(row),
                lexical=own.get("lexical", {}).get(row),
            )
            for rank, (row, score) in enumerate(
                zip(found.rows[query].tolist(), found.scores[query].tolist(), strict=True), start=1
            )
            if row >= 0
        ]


def _name(version: int) -> str:
    return f"v{version:06d}"


def _versions(folder: Path) -> list[int]:
    return sorted(int(path.name[1:]) for path in folder.glob("v[0-9]*") if path.name[1:].isdigit())


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Every file the index is made of, by its name within; lock files of the lexical engine come and go."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return [(path.relative_to(folder).as_posix(), path) for path in found]


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
