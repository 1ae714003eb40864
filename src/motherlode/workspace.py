"""A folder that holds a run's artefacts, each with the fingerprint of what made it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motherlode.atomic import fingerprint, read_json, sweep, write_json
from motherlode.errors import MissingError, MotherlodeError
from motherlode.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: also the verb.
        needs: stages whose output it reads.
        settings: the part of a recipe (and of the outside world) its output depends on, JSON-able.
        work: does it, writing under the workspace; returns facts for the record.
        outputs: paths relative to the workspace; the stage is done only while all exist.
        version: raised when the code changes what it writes.
        after: stages that are run by name alone; where one has been, its output is read too.
    """

    name: str
    needs: tuple[str, ...]
    settings: Callable[[Recipe], dict[str, Any]]
    work: Callable[["Workspace", Recipe], dict[str, Any]]
    outputs: tuple[str, ...]
    version: int = 1
    after: tuple[str, ...] = ()


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

    def recipe(self) -> Recipe:
        """The recipe this workspace was last run with."""
        path = self / "recipe.yaml"
        if not path.exists():
            raise MissingError(f"{self.folder} holds no run yet: make one with `motherlode run -w {self.folder}`.")
        return Recipe.load(path)

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
        gone = [output for output in stage.outputs if not (self / output).exists()]
        facts = {"facts": record["facts"], "seconds": record["seconds"]}
        if gone:
            return Standing(stage.name, "missing", f"{gone[0]} is gone", **facts)
        changes = difference(record["inputs"], self.inputs(stage, recipe))
        return Standing(stage.name, "stale" if changes else "fresh", "; ".join(changes[:3]), **facts)

    def run(self, stage: Stage, recipe: Recipe) -> bool:
        """Do the stage unless it is fresh; return whether any work was done."""
        if self.standing(stage, recipe).state == "fresh":
            return False
        inputs = self.inputs(stage, recipe)
        path = self / f"stages/{stage.name}.json"
        path.unlink(missing_ok=True)  # from here on the old output may be overwritten
        began = time.monotonic()
        facts = stage.work(self, recipe)
        record = {
            "fingerprint": fingerprint(inputs),
            "inputs": inputs,
            "facts": facts,
            "seconds": round(time.monotonic() - began, 2),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        write_json(path, record)
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for one process; the lock goes with the process, also when it is killed."""
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
