"""Which data sets can be read, and reading one into a folder of tables."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from motherlode.atomic import replacing_folder
from motherlode.datasets.source import DataSet, default_root
from motherlode.errors import SettingError
from motherlode.tables.check import check_files, refuse_foreign
from motherlode.tables.find import find
from motherlode.tables.tables import Tables, write_source

READERS = ("esci", "wands", "homedepot", "beauty", "instruments", "ml1m", "ml100k", "online_retail")
GENERATED = "shop"


def names() -> list[str]:
    """The data sets that `load` knows; `shop` is the generated one."""
    return [*READERS, GENERATED]


def info(name: str) -> DataSet:
    """Title, licence and publisher of a public data set; SettingError for a name that is none."""
    found: DataSet = _reader(name).INFO
    return found


def load(name: str, out: Path | str, *, root: Path | str | None = None, strict: bool = False) -> Tables:
    """Read a data set into canonical tables in the folder `out`, whole or not at all, with its `source.json`.

    Raw files are looked for below `root` (default: $MOTHERLODE_DATA, else the user's cache folder), and
    fetched if they are published at a fixed address. Rows with a problem are set aside as
    `<table>.rejects.jsonl`, or with `strict` raise InputError. Raises MissingError where the files cannot be
    had, SettingError for an unknown name.
    """
    refuse_foreign(out)
    if name == GENERATED:
        from motherlode.shop import generate

        return generate.write(Path(out))
    reader = _reader(name)
    about: DataSet = reader.INFO
    raw = about.locate(Path(root) if root else default_root())
    with replacing_folder(out) as folder:
        reader.write(raw, folder)
        report = check_files(find(folder), folder, strict=strict, grades=about.grades)
        write_source(
            folder,
            name=about.name,
            title=about.title,
            licence=about.licence,
            origin=about.publisher,
            notes=about.notes,
            rows=report.rows,
            set_aside=report.counts,
            warnings=report.warnings,
            # No sums are published for these files: they are recorded, so that two copies can be compared.
            sha256=about.hashes(raw),
        )
    return Tables(out)


def _reader(name: str) -> ModuleType:
    if name not in READERS:
        raise SettingError(f"There is no data set '{name}': the data sets are {', '.join(names())}.")
    return import_module(f"motherlode.datasets.{name}")
