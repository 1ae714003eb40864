"""A folder that holds a run's artefacts, each with the fingerprint of what made it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motherlode.atomic import fingerprint, read_json, replacing, sweep, write_json
from motherlode.errors import InputError, MissingError, MotherlodeError, SettingError
from motherlode.recipe import Recipe

BEGIN, END = "---\n", "...\n"  # YAML's marks of a document's begin and end: a recipe cut short lacks the second
CHECKPOINT = "checkpoint.pt"  # what training goes on from
LOG = ".jsonl"  # of files that may grow after the stage: no record holds their stamps
ENDS = 4_096  # bytes of a file's begin and end that tell whether it is as it was written


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: also the verb.
        needs: stages whose output it reads.
        settings: the part of a recipe (and of the outside world) its output depends on, JSON-able.
        work: does it, writing under the workspace; returns facts for the record.
        outputs: paths relative to the workspace, files or folders; the stage is done only while every file they are
            made of is there and as it was written.
        version: raised when the code changes what it writes.
        after: stages that are run by name alone; where one has been, its output is read too.
        unsound: what is wrong with an output that may change after the stage, so that no record can tell; "" for
            nothing.
    """

    name: str
    needs: tuple[str, ...]
    settings: Callable[[Recipe], dict[str, Any]]
    work: Callable[["Workspace", Recipe], dict[str, Any]]
    outputs: tuple[str, ...]
    version: int = 1
    after: tuple[str, ...] = ()
    unsound: Callable[["Workspace"], str] = lambda _: ""


def no_settings(_: Recipe) -> dict[str, Any]:
    """For a stage that depends on the stages above it alone."""
    return {}


@dataclass(frozen=True)
class Standing:
    """Whether a stage's output is there and fits the recipe, and if not why."""

    name: str
    state: str  # fresh, stale, missing
    why: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None


class Workspace:
    """Artefacts under `folder`; `stages/NAME.json` records how each was made."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def recipe(self, overrides: Sequence[str] = ()) -> Recipe:
        """The recipe this workspace was last run with, `key=value` overrides on top.

        Raises MissingError where there is none, InputError where it is damaged: what is left of one cut short would be
        read as a recipe of defaults, and another run would take the place of this one.
        """
        path = self / "recipe.yaml"
        if not path.exists():
            if self.finished():
                raise MissingError(
                    f"{path} is gone, so nobody knows what the run in {self.folder} was made with: give its settings "
                    f"again, preset=... among them, or choose another workspace with -w."
                )
            raise MissingError(f"{self.folder} holds no run yet: make one with `motherlode run -w {self.folder}`.")
        text = path.read_text(encoding="utf-8", errors="replace")
        if not text.strip() or "\ufffd" in text or (text.startswith(BEGIN.rstrip()) and not text.endswith(END)):
            raise InputError(f"{path} is damaged: remove it, and give its settings again, preset=... among them.")
        try:
            return Recipe.load(path, overrides)
        except SettingError as error:
            Recipe.load(path)  # where the file itself is right the fault lies beside it
            raise SettingError(str(error).removeprefix(f"{path}: ")) from None

    @contextmanager
    def running(self, recipe: Recipe) -> Iterator[None]:
        """Write down what this workspace is run with; a run that is refused before it did anything takes it back."""
        path, done = self / "recipe.yaml", self._records()
        before = path.read_bytes() if path.exists() else None
        with replacing(path) as temporary:
            recipe.save(temporary)
            temporary.write_text(BEGIN + temporary.read_text(encoding="utf-8") + END, encoding="utf-8")
        try:
            yield
        except MotherlodeError:
            if self._records() == done:
                if before is None:
                    path.unlink()
                else:
                    with replacing(path) as temporary:
                        temporary.write_bytes(before)
            raise

    def finished(self) -> list[str]:
        """Names of the stages with a record, in order of the alphabet."""
        return sorted(path.stem for path in (self / "stages").glob("*.json"))

    def _records(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self / "stages").glob("*.json")}

    def record(self, stage: str) -> dict[str, Any] | None:
        """What was written down when the stage last ended; None when it never did."""
        path = self / f"stages/{stage}.json"
        return dict(read_json(path)) if path.exists() else None

    def facts(self, stage: str) -> dict[str, Any]:
        """The facts a finished stage recorded."""
        record = self.record(stage)
        if record is None:
            raise MissingError(f"{self.folder} has no finished '{stage}': run `motherlode {stage} -w {self.folder}`.")
        return dict(record["facts"])

    def inputs(self, stage: Stage, recipe: Recipe) -> dict[str, Any]:
        """All that the stage's output depends on."""
        above = {name: (self.record(name) or {}).get("fingerprint") for name in stage.needs}
        above |= {name: record["fingerprint"] for name in stage.after if (record := self.record(name))}
        return {"version": stage.version, "needs": above, "settings": stage.settings(recipe)}

    def standing(self, stage: Stage, recipe: Recipe) -> Standing:
        """Compare what the stage was made from with what the recipe asks for now."""
        record = self.record(stage.name)
        if record is None:
            return Standing(stage.name, "missing", "never finished")
        facts = {"facts": record["facts"], "seconds": record["seconds"]}
        if harm := self.harm(stage.name, stage.outputs):
            name, why = next(iter(harm.items()))
            return Standing(stage.name, "missing", f"{name} {why}", **facts)
        if why := stage.unsound(self):
            return Standing(stage.name, "missing", why, **facts)
        changes = difference(record["inputs"], self.inputs(stage, recipe))
        return Standing(stage.name, "stale" if changes else "fresh", "; ".join(changes[:3]), **facts)

    def harm(self, stage: str, outputs: Sequence[str] = ()) -> dict[str, str]:
        """What a finished stage wrote and is no longer whole: path in the workspace -> what has become of it.

        outputs: paths that must exist, whatever the record says of them. Each file's `stamp` is held against the
        record's; records of before there were stamps know none.
        """
        found = {name: "is gone" for name in outputs if not (self / name).exists()}
        for name, written in (self.record(stage) or {}).get("files", {}).items():
            if not (self / name).is_file():
                found[name] = "is gone"
            elif stamp(self / name) != written:
                found[name] = "is damaged (it is not as it was written)"
        return found

    def run(self, stage: Stage, recipe: Recipe) -> bool:
        """Do the stage unless it is fresh; return whether any work was done."""
        if self.standing(stage, recipe).state == "fresh":
            return False
        inputs = self.inputs(stage, recipe)
        self._clear(stage)
        path, old, stamps = self / f"stages/{stage.name}.json", self.record(stage.name), self._stamps(stage)
        path.unlink(missing_ok=True)  # from here on the old output may be overwritten
        began = time.monotonic()
        try:
            facts = stage.work(self, recipe)
        except MotherlodeError:
            if old is not None and self._stamps(stage) == stamps:
                write_json(path, old)  # it was refused before it wrote anything
            raise
        record = {
            "fingerprint": fingerprint(inputs),
            "inputs": inputs,
            "facts": facts,
            "files": {name: one for name, one in self._stamps(stage).items() if not name.endswith(LOG)},
            "seconds": round(time.monotonic() - began, 2),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        write_json(path, record)
        return True

    def _stamps(self, stage: Stage) -> dict[str, str]:
        """The `stamp` of every file that the stage's outputs are made of."""
        outputs = [self / name for name in stage.outputs]
        paths = [inner for one in outputs for inner in (sorted(one.rglob("*")) if one.is_dir() else [one])]
        return {path.relative_to(self.folder).as_posix(): stamp(path) for path in paths if path.is_file()}

    def _clear(self, stage: Stage) -> None:
        """Where what a finished stage wrote is no longer whole: remove the rest of it, so that it is made from nothing.

        Only what stands in its record goes, out of the folders it wrote, and the checkpoint that would take the
        training for finished.
        """
        record = self.record(stage.name)  # none: it was killed, and goes on from its checkpoint
        if record is None or all(name.endswith(LOG) for name in self.harm(stage.name, stage.outputs)):
            return
        folders = [self / name for name in stage.outputs if (self / name).is_dir()]
        for name in record.get("files", {}):
            if any((self / name).is_relative_to(folder) for folder in folders):
                (self / name).unlink(missing_ok=True)
        for folder in folders:
            inner = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
            for empty in (path for path in [*inner, folder] if not any(path.iterdir())):
                empty.rmdir()
        for name in stage.outputs:
            for above in Path(name).parents:
                (self / (above / CHECKPOINT).as_posix()).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for one process; the lock goes with the process, also when it is killed."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file, not a workspace: choose a folder with -w.")
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.folder)
        try:
            import fcntl
        except ImportError:  # no such locks on Windows: one process at a time is then the user's care
            yield
            return
        with (self / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise MotherlodeError(
                    f"Another process is working in {self.folder}: wait for it, or choose another workspace with -w."
                ) from None
            file.write(str(os.getpid()))
            file.flush()
            yield


def stamp(path: Path) -> str:
    """16 hex digits over a file's length and its first and last bytes: read in no time, and damage seldom spares both.

    What cuts a file short, empties it, overwrites it or leaves zeros at its end is seen; a bit that fell in the midst
    of a large file is not.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        first = file.read(ENDS)
        file.seek(max(0, size - ENDS))
        return fingerprint(size, first.hex(), file.read(ENDS).hex())


def difference(old: Any, new: Any, key: str = "") -> list[str]:
    """Sentences that name each key whose value differs between two nested dicts."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(set(old) | set(new))
        parts = [difference(old.get(name), new.get(name), f"{key}.{name}" if key else name) for name in names]
        return [sentence for part in parts for sentence in part]
    if old == new:
        return []
    short = key.removeprefix("settings.")
    if short.startswith("needs."):
        return [f"{short.removeprefix('needs.')} was made anew"]
    return [f"{short}: {old} -> {new}"]
