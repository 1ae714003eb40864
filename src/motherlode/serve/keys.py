"""API keys: random, shown once, kept as SHA-256 digests, compared in constant time."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Literal

from motherlode.atomic import read_json, write_json
from motherlode.errors import InputError, SettingError

Scope = Literal["read", "write"]
FILE = "serve/keys.json"  # in a workspace
PREFIX = "mlk_"  # lets people and secret scanners tell what it is
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
LONGEST = 256  # bytes of a key that are looked at


@dataclass(frozen=True)
class Key:
    """One key: whose it is and what it may do; a write key may read too."""

    name: str
    scope: Scope
    sha256: str


class Keys:
    """The keys of a file that is read again when it changes; no file is no keys."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._keys: tuple[Key, ...] = ()
        self._stamp_of: tuple[int, int] | None = None
        self.refresh()

    @property
    def any(self) -> bool:
        """Whether there is any key."""
        return bool(self._keys)

    @property
    def guard_reads(self) -> bool:
        """Whether reading needs a key: it does as soon as there is a read key."""
        return any(key.scope == "read" for key in self._keys)

    def refresh(self) -> None:
        """Read the file again if it is another than before. Raises InputError where it is damaged."""
        stamp = stamp_of(self._path) if self._path else None
        if stamp != self._stamp_of:
            self._keys = tuple(read(self._path)) if self._path and stamp else ()
            self._stamp_of = stamp

    def who(self, given: str) -> Key | None:
        """The key that was given, None for any other text.

        All keys are compared, each in constant time; the digests of 256 random bits need no slow hash.
        """
        digest, found = _digest(given), None
        for key in self._keys:
            if compare_digest(key.sha256, digest):
                found = key
        return found


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that replaced it, None where there is none."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return seen.st_mtime_ns, seen.st_ino


def read(path: Path) -> list[Key]:
    """The keys of a file. Raises InputError where it is damaged."""
    try:
        keys = [Key(**one) for one in read_json(path)["keys"]]
        if not all(key.scope in ("read", "write") and re.fullmatch("[0-9a-f]{64}", key.sha256) for key in keys):
            raise ValueError("a key has no scope or digest")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no API keys: remove it and make keys again with `motherlode key`.") from error
    return keys


def make(path: Path, name: str, scope: Scope) -> str:
    """Make a key and add its digest to the file; the key itself, which is kept nowhere.

    Raises SettingError for a name that cannot be used or is taken.
    """
    if not NAME.fullmatch(name):
        raise SettingError(
            f"The name {name[:60]!r} cannot be used: write 1 to 40 small letters, digits, dots, hyphens."
        )
    held = read(path) if path.exists() else []
    if any(key.name == name for key in held):
        raise SettingError(f"There is a key '{name}' already: remove it first, or choose another name.")
    made = PREFIX + secrets.token_urlsafe(32)
    _write(path, [*held, Key(name, scope, _digest(made))])
    return made


def remove(path: Path, name: str) -> None:
    """Take a key away. Raises SettingError where there is none of this name."""
    held = read(path) if path.exists() else []
    if not any(key.name == name for key in held):
        raise SettingError(f"{path} has no key '{name}'.")
    _write(path, [key for key in held if key.name != name])


def _write(path: Path, keys: list[Key]) -> None:
    write_json(path, {"keys": [vars(key) for key in keys]})
    path.chmod(0o600)


def _digest(given: str) -> str:
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")[: LONGEST + 1]).hexdigest()
