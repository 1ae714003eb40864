"""The ledger's SQLite file: its tables, opening it, and one sentence for what can be wrong with it."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from motherlode.errors import InputError

APPLICATION = 0x6D6F6C65  # "mole": tells our files from those of other programs
VERSION = 1
PATIENCE = 120.0  # seconds to wait for another process that writes

# `origins` numbers (judge, source), so that a verdict pays one byte for where it came from, and all of one source
# are found through the judges that have it: no index on ten million rows. The key begins with the judge: what one
# judge said lies together.
TABLES = """
CREATE TABLE judges (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    rubric TEXT NOT NULL,
    UNIQUE (name, version, rubric)
);
CREATE TABLE origins (
    number INTEGER PRIMARY KEY,
    judge INTEGER NOT NULL REFERENCES judges (number),
    source TEXT NOT NULL,
    UNIQUE (judge, source)
);
CREATE TABLE verdicts (
    judge INTEGER NOT NULL REFERENCES judges (number),
    query_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    p0 REAL NOT NULL,
    p1 REAL NOT NULL,
    p2 REAL NOT NULL,
    grade INTEGER NOT NULL,
    cost REAL NOT NULL,
    time INTEGER NOT NULL,
    origin INTEGER NOT NULL REFERENCES origins (number),
    reason TEXT,
    PRIMARY KEY (judge, query_id, item_id)
) WITHOUT ROWID;
CREATE TABLE withdrawn (
    judge INTEGER NOT NULL REFERENCES judges (number),
    query_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    p0 REAL NOT NULL,
    p1 REAL NOT NULL,
    p2 REAL NOT NULL,
    grade INTEGER NOT NULL,
    cost REAL NOT NULL,
    time INTEGER NOT NULL,
    origin INTEGER NOT NULL REFERENCES origins (number),
    reason TEXT,
    withdrawn INTEGER NOT NULL
);
CREATE TABLE workers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    host TEXT NOT NULL,
    process INTEGER NOT NULL,
    until REAL NOT NULL
);
CREATE TABLE claims (
    judge INTEGER NOT NULL REFERENCES judges (number),
    query_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    worker INTEGER NOT NULL REFERENCES workers (number),
    PRIMARY KEY (judge, query_id, item_id)
) WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the ledger at `path` for any thread, making it where there is none; no transaction is open.

    Raises InputError where the file is no ledger, is damaged, or is of a newer motherlode.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} cannot be made ({error.strerror}): choose another place.") from error
    with explained(path):
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            _require_ours(connection, path)
            _write_ahead(connection)
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA cache_size = -65536")  # 64 MiB
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("CREATE TEMP TABLE wanted (query_id TEXT, item_id TEXT, at INTEGER)")
            _make(connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into an InputError that names the file and says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            wait = f"another process has held it for {PATIENCE:.0f} seconds"
            raise InputError(f"The ledger {path} is locked, {wait}: end that process and run this again.") from error
        raise InputError(
            f"The ledger {path} cannot be used ({error}): see to its folder and run this again."
        ) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
            raise
        raise InputError(
            f"{path} is no ledger or is damaged ({error}): restore it from a copy, or name another file."
        ) from error


def _require_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Look before anything is written: a file of another program stays as it is."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if tables and application != APPLICATION:
        raise InputError(f"{path} is a database of another program, not a ledger: name another file.")
    if version > VERSION:
        raise InputError(
            f"The ledger {path} has form {version} and this motherlode reads up to {VERSION}: upgrade motherlode."
        )


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to WAL; two processes that do so at once make one fail without SQLite's own waiting."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _make(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA user_version").fetchone()[0]:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not connection.execute("PRAGMA user_version").fetchone()[0]:  # another process may have been first
            for statement in TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
