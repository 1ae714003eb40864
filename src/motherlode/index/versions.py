"""Versions of an index under one folder, of which a reader sees exactly one: whole, or the one before."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from motherlode.atomic import sweep, write_text
from motherlode.errors import InputError, MissingError

CURRENT = "current"  # the file that names the version to read; replaced by a rename
NAME = re.compile(r"v\d{6,}")


def name(version: int) -> str:
    """The folder of a version."""
    return f"v{version:06d}"


def numbers(folder: Path) -> list[int]:
    """The versions on disk, rising."""
    return sorted(int(path.name[1:]) for path in folder.glob("v[0-9]*") if path.name[1:].isdigit())


def current(folder: Path) -> Path:
    """The folder of the version to read. MissingError where there is none, InputError where the pointer is no name."""
    pointer = folder / CURRENT
    if not pointer.exists():
        raise MissingError(f"{folder} holds no index: build one with `motherlode index`.")
    text = pointer.read_text(encoding="utf-8", errors="replace").strip()
    if not NAME.fullmatch(text):
        raise InputError(f"{pointer} does not name a version: build the index again.")
    return folder / text


def point(folder: Path, version: int) -> None:
    """Make a version, whole on disk, the one that is read; it and the one before stay, older ones go."""
    write_text(folder / CURRENT, name(version) + "\n")
    for old in numbers(folder):
        if old < version - 1:
            shutil.rmtree(folder / name(old))


def files(folder: Path) -> dict[str, int]:
    """Size of every file a version is made of, by its name within; lock files of the lexical engine come and go."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}


def link(source: Path, target: Path) -> None:
    """A copy of a folder whose files are the same on disk where the file system allows it.

    Only for files that are replaced when they change, never written into.
    """
    shutil.copytree(source, target, copy_function=link_file, ignore=shutil.ignore_patterns("*.lock"))


def link_file(source: Path | str, target: Path | str) -> None:
    """The same for one file."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder alone among writers, what a killed one left swept; InputError where another holds it now."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"Another process is writing the index {folder}: wait until it is done.") from None
        sweep(folder)
        yield
    finally:
        os.close(handle)
