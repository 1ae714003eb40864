"""Which files of a folder hold which table: one file a table under its name, or the BEIR layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from motherlode.errors import InputError, MissingError
from motherlode.tables.read import FORMS
from motherlode.tables.schema import SCHEMAS

BEIR: dict[str, Mapping[str, str]] = {
    "catalogue": {"_id": "item_id", "text": "description"},
    "queries": {"_id": "query_id"},
    "judgements": {"query-id": "query_id", "corpus-id": "item_id", "score": "grade"},
}


@dataclass(frozen=True)
class Found:
    """One file of one table; `columns` is what its layout calls the schema's columns."""

    kind: str
    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)


def find(source: Path | str) -> list[Found]:
    """The table files of a folder, catalogue first, then queries, then what refers to them.

    Judgements may lie in several files (`qrels.train.txt`, `qrels.test.txt`; BEIR's `qrels/*.tsv`), every
    other table in one. Raises MissingError where there is no catalogue, or no queries beside judgements or
    engagement; InputError where two files claim to be one table.
    """
    source = Path(source)
    found = _beir(source) or _plain(source)
    kinds = {one.kind for one in found}
    if "catalogue" not in kinds:
        raise MissingError(
            f"{source} holds no catalogue: name a file catalogue.parquet, .csv, .tsv or .jsonl, or use the BEIR layout."
        )
    if "queries" not in kinds and kinds & {"judgements", "engagement"}:
        raise MissingError(f"{source} holds judgements or engagement but no queries: add a file queries.csv or alike.")
    return found


def _beir(source: Path) -> list[Found]:
    names = {"catalogue": "corpus.jsonl*", "queries": "queries.jsonl*", "judgements": "qrels/*.tsv"}
    if not list(source.glob(names["catalogue"])):
        return []
    return [Found(kind, path, BEIR[kind]) for kind in names for path in sorted(source.glob(names[kind]))]


def _plain(source: Path) -> list[Found]:
    found = []
    for kind in SCHEMAS:
        paths = [path for form in FORMS for path in sorted(source.glob(f"{kind}{form}*")) if _is(path, form)]
        if kind == "judgements":
            paths += sorted(path for path in source.glob("qrels*") if path.is_file())
        elif len(paths) > 1:
            raise InputError(f"{paths[0]} and {paths[1].name} are both the {kind} table: leave one of them.")
        found += [Found(kind, path) for path in paths]
    return found


def _is(path: Path, form: str) -> bool:
    return path.name.endswith((form, f"{form}.gz"))
