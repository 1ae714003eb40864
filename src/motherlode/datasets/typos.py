"""Misspellings of English words and their corrections: no shop, but a source of honest noise.

Collected from the dictionaries of the cspell project, licence CC BY-SA 4.0.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from motherlode.datasets.source import DataSet, default_root

INFO = DataSet(
    name="typos",
    title="English misspellings",
    licence="CC BY-SA 4.0",
    publisher="https://github.com/streetsidesoftware/cspell-dicts",
    layouts={"typos_en": ("cspell.parquet",)},
)


def read(root: Path | str | None = None) -> pl.DataFrame:
    """The pairs (misspelling, correction) below `root` (default as in `load`), or MissingError."""
    raw = INFO.locate(Path(root) if root else default_root())
    return pl.read_parquet(raw / "cspell.parquet").select(misspelling="typo", correction="correct")
