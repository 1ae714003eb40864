"""What a library cannot read is said in one sentence: which file of the workspace it is, and what makes it again."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from motherlode.errors import InputError, MissingError, MotherlodeError
from motherlode.workspace import Workspace

# faults of a program, not of a file: these keep their traceback
OURS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, NameError, TypeError)
VERBS = {
    "light_llm": "light-llm",
    "features_grader": "grade PAIRS --with features",
    "sequences": "split",
    "recommend": "fit",
    "recommend_evaluate": "evaluate",
    "recommend_index": "index",
}  # of stages that are not named as their verb
PLACES = {"tables": "data", "recommender": "recommend_index"}  # of folders that are not named as their stage
ASIDE = {
    "ledger.sqlite": "put back a copy of it",
    "cascade.json": "tune the cascade again with `motherlode cascade`",
    "audit": "remove the folder, and audit again with `motherlode audit`",
    "review": "remove it, and choose pairs again with `motherlode choose`",
    "recipe.yaml": "remove it, and give its settings again, preset=... among them",
}  # what no stage writes
CACHES = ("vectors", "lexical", "sparse/terms")


@contextmanager
def named(folder: Path | str) -> Iterator[None]:
    """Turn what stumbles over the workspace's files, or over the folder itself, into one sentence.

    Any error that is not a motherlode's own has the files of the workspace read through, and the first that cannot be
    read is named with what makes it again. Where all can be read the error passes as it is, with its traceback, and
    so does one that only a program's fault can raise.

    Raises:
        InputError: a file is damaged, or the system refuses to read or write one.
        MissingError: a file that was needed is gone.
    """
    try:
        yield
    except (MotherlodeError, *OURS, BrokenPipeError):
        raise
    except Exception as error:
        if sentence := _refused(error, Workspace(folder)):
            kind = MissingError if isinstance(error, FileNotFoundError) else InputError
            raise kind(sentence) from error
        for path, why in unreadable(folder):
            raise InputError(f"{path} is damaged ({why}): {remedy(Workspace(folder), path)}.") from error
        raise


def unreadable(folder: Path | str) -> Iterator[tuple[Path, str]]:
    """The files below that their own library cannot read, each with what it says, in order of their names.

    Reads them: of weights and checkpoints what tells their length, of the rest all.
    """
    for path in sorted(one for one in Path(folder).rglob("*") if one.is_file() and not one.name.startswith(".")):
        try:
            READERS.get(path.suffix or path.name, _nothing)(path)
        except Exception as error:  # each library has a dozen kinds for a damaged file
            yield path, " ".join(str(error).split())[:200] or "it is empty"


def check_whole(workspace: Workspace, *stages: str) -> None:
    """Raise InputError where what one of these stages wrote is no longer whole."""
    for stage in stages:
        for name, what in workspace.harm(stage).items():
            raise InputError(f"{workspace / name} {what}: {remedy(workspace, workspace / name, known=True)}.")


def remedy(workspace: Workspace, path: Path, known: bool = False) -> str:
    """What to do about a damaged file: the verb that makes it again, where there is one.

    known: the workspace sees by itself that the file is not whole, so that it need not be removed first.
    """
    parts = path.relative_to(workspace.folder).parts
    if parts[0] in ASIDE:
        return ASIDE[parts[0]]
    if cache := next((workspace / name for name in CACHES if path.is_relative_to(workspace / name)), None):
        return f"remove the folder {cache}, it is a cache"
    # a round begun anew costs training alone: its verdicts are in the ledger
    lost = next((f"the folder {above}" for above in path.parents if above.name.startswith("round_")), "it")
    stage = PLACES.get(parts[0], path.stem if len(parts) == 1 or parts[0] == "stages" else parts[0])
    again = f"`motherlode {VERBS.get(stage, stage)} -w {workspace.folder}`"
    return f"make it again with {again}" if known else f"remove {lost}, then run {again}"


def _refused(error: Exception, workspace: Workspace) -> str:
    """What the operating system would not do with a file that it names; nothing for any other error."""
    if not isinstance(error, OSError) or not isinstance(name := error.filename2 or error.filename, str | Path):
        return ""
    path = Path(name)
    if not isinstance(error, FileNotFoundError):
        return f"{path} cannot be used ({error.strerror}): see to its folder and its permissions, and run this again."
    if not path.is_relative_to(workspace.folder):
        return ""
    return f"{path} is gone: {remedy(workspace, path, known=True)}."


def _nothing(_: Path) -> None:
    """For files of forms that have no reader here."""


def _text(path: Path) -> None:
    path.read_text(encoding="utf-8")


def _json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _lines(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        json.loads(line)


def _yaml(path: Path) -> None:
    import yaml

    yaml.safe_load(path.read_text(encoding="utf-8"))


def _parquet(path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for _ in file.iter_batches():
            pass


def _arrow(path: Path) -> None:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        pa.ipc.open_file(file).read_all()


def _array(path: Path) -> None:
    import numpy as np

    np.load(path, mmap_mode="r", allow_pickle=False)


def _archive(path: Path) -> None:
    from zipfile import ZipFile

    with ZipFile(path) as file:
        if damaged := file.testzip():
            raise ValueError(damaged)


def _weights(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        file.keys()


def _database(path: Path) -> None:
    with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True) as connection:
        for (said,) in connection.execute("PRAGMA quick_check"):
            if said != "ok":
                raise ValueError(said)


READERS: dict[str, Callable[[Path], None]] = {  # by how a name ends, or by the name of what has no such end
    ".json": _json,
    ".jsonl": _lines,
    ".yaml": _yaml,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".npy": _array,
    ".npz": _archive,
    ".pt": _archive,
    ".safetensors": _weights,
    ".sqlite": _database,
    "current": _text,
}
