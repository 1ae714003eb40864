"""A public data set: what it is, under which licence, and how its raw files are found or fetched."""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from motherlode.atomic import replacing
from motherlode.errors import MissingError
from motherlode.progress import bar
from motherlode.tables.grades import GradeMap

BLOCK = 1 << 20
TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True)
class DataSet:
    """What a reader knows about its data set before it has seen a file of it."""

    name: str
    title: str
    licence: str
    publisher: str  # where the originals are offered
    layouts: Mapping[str, tuple[str, ...]]  # folder below the root -> the files that must lie in it
    urls: Mapping[str, str] = field(default_factory=dict)  # file of the last layout -> where it is published
    notes: str = ""  # what the reader decided
    grades: GradeMap = field(default_factory=GradeMap)

    def locate(self, root: Path) -> Path:
        """The folder with the raw files below `root`, fetched if they are published at a fixed address.

        Raises MissingError with what to put where.
        """
        for folder, files in self.layouts.items():
            if all((root / folder / file).is_file() for file in files):
                return root / folder
        folder, files = list(self.layouts.items())[-1]
        problem = ""
        if self.urls:
            try:
                for file, url in self.urls.items():
                    fetch(url, root / folder / file)
                return root / folder
            except OSError as error:
                problem = f" (fetching failed: {error})"
        raise MissingError(
            f"The data set '{self.name}' is not below {root}{problem}: put {', '.join(files)} into "
            f"{root / folder}; published at {self.publisher}, licence: {self.licence}."
        )

    def hashes(self, raw: Path) -> dict[str, str]:
        """SHA-256 of every raw file of the data set in `raw`."""
        return {file.name: sha256(file) for file in sorted(raw.iterdir()) if file.is_file()}


def default_root() -> Path:
    """Where raw files are looked for and fetched to: $MOTHERLODE_DATA, else the user's cache."""
    given = os.environ.get("MOTHERLODE_DATA")
    return Path(given) if given else Path.home() / ".cache" / "motherlode"


def fetch(url: str, path: Path) -> None:
    """Download a file unless it is there already; it appears whole or not at all. Raises OSError."""
    if path.is_file():
        return
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, replacing(path) as temporary:
        length = int(answer.headers.get("Content-Length") or 0)
        with temporary.open("wb") as file, bar(f"Fetching {path.name}", length or None, "bytes") as advance:
            received = 0
            while block := answer.read(BLOCK):
                received += file.write(block)
                advance(len(block))
        if length and received < length:
            raise OSError(f"{url} broke off after {received:,} of {length:,} bytes")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
