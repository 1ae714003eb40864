"""What the benchmarks share: the Home Depot training texts, CPU time of steps, results as files."""

import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from motherlode.recipe import Recipe
from motherlode.stages.run import run
from motherlode.stages.shop_texts import ShopTexts
from motherlode.workspace import Workspace

HERE = Path(__file__).resolve().parent
RUNS = HERE / "runs"  # workspaces: not committed
RESULTS = HERE / "results"
WIDTH = 240  # of a line of a result


def home_depot(**settings: Any) -> tuple[Workspace, Recipe]:
    """A workspace with Home Depot's tables and strict split by query."""
    recipe = Recipe.load(
        overrides=["data.source=homedepot", "split.unseen=1", "split.test=0.15", "split.validation=0.07"]
        + [f"{key}={value}" for key, value in settings.items()]
    )
    return run(recipe, RUNS / "homedepot", ("split",)), recipe


def training_pairs(workspace: Workspace, recipe: Recipe) -> tuple[list[str], list[str], Any]:
    """Query texts, item texts and judged training pairs (row numbers) of a workspace."""
    shop = ShopTexts(workspace, recipe)
    return shop.queries["text"].to_list(), shop.texts(), shop.pairs("train")


class StepClock:
    """CPU seconds of this process between successive marks: one mark a step, the first step is warm-up."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> None:
        self.marks.append(time.process_time())

    def seconds(self, warm_up: int = 1) -> float:
        return self.marks[-1] - self.marks[warm_up]

    def steps(self, warm_up: int = 1) -> int:
        return len(self.marks) - 1 - warm_up


def write(name: str, found: dict[str, Any]) -> None:
    """Save a result with the command and the machine that made it."""
    machine = f"{platform.machine()}, {_processor()}, Python {platform.python_version()}"
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()
    script = Path(sys.argv[0]).resolve().relative_to(HERE.parent)
    command = " ".join(["python", str(script), *sys.argv[1:]])
    RESULTS.mkdir(exist_ok=True)
    record = {"command": command, "machine": machine, "commit": commit, **found}
    text = compact(record)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def compact(value: Any, begin: int = 0, room: int = 0) -> str:
    """JSON with a line for every part that fits in one: `begin` columns are indented, `room` taken by key and comma."""
    line = json.dumps(value)
    if not value or not isinstance(value, dict | list) or begin + room + len(line) <= WIDTH:
        return line
    inner = begin + 2
    if isinstance(value, dict):
        keys = [f"{json.dumps(str(key))}: " for key in value]
        parts = [key + compact(one, inner, len(key) + 1) for key, one in zip(keys, value.values(), strict=True)]
        ends = "{}"
    else:
        parts, ends = [compact(one, inner, 1) for one in value], "[]"
    return ends[0] + ",".join(f"\n{' ' * inner}{part}" for part in parts) + f"\n{' ' * begin}{ends[1]}"


def result(name: str) -> dict[str, Any] | None:
    """What a benchmark wrote; None where it has not been run."""
    path = RESULTS / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
