"""One progress bar for every long job: what, how far, how fast, how long still."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
QUIET_SECONDS = 2.0  # jobs shorter than this print nothing


class Advance(Protocol):
    def __call__(self, amount: int = 1, **fields: object) -> None: ...


@contextmanager
def bar(what: str, total: int | None = None, unit: str = "items", start: int = 0) -> Iterator[Advance]:
    """Yield `advance(n)`; a bar with rate and time left appears on stderr once the job has taken two seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}" + (f"/{total:,}" if total else "") + f" {unit}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        refresh_per_second=2,
        disable=False,
    )
    task = progress.add_task(what, total=total, completed=start, rate="", note="")
    began = time.monotonic()
    state = {"done": 0, "shown": False, "printed": began}

    def advance(amount: int = 1, **fields: object) -> None:
        state["done"] += amount
        now = time.monotonic()
        rate = f"{state['done'] / max(now - began, 1e-9):,.0f} {unit}/s"
        note = "  ".join(f"{name} {value}" for name, value in fields.items())
        if console.is_terminal:
            if not state["shown"] and now - began > QUIET_SECONDS:
                progress.start()
                state["shown"] = True
            progress.update(task, advance=amount, rate=rate, note=note)
        elif now - state["printed"] > 15:  # a log file gets a line now and then instead of a bar
            state["printed"] = now
            done = start + state["done"]
            left = f", {(now - began) * (total - done) / state['done']:,.0f} s left" if total and state["done"] else ""
            of = f" of {total:,}" if total else ""
            print(f"{what}: {done:,}{of} {unit}, {rate}{left}  {note}", file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        if state["shown"]:
            progress.stop()


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "items") -> Iterator[T]:
    """Iterate with a bar."""
    with bar(what, total, unit) as advance:
        for item in items:
            yield item
            advance()
