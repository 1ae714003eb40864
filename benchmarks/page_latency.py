"""Milliseconds from a key press on the search page until its results are painted, in a real browser without a window.

    OMP_NUM_THREADS=1 python benchmarks/page_latency.py WORKSPACE [queries=40]

The shop's own queries are typed letter by letter, each letter once the results of the last one are painted (typing
faster would leave letters without an answer of their own). A letter counts from its `keydown` to the first message that
the page gets after the frame in which the list of hits was exchanged: by then the frame has been handed to the screen.
"First" are letters whose answer the server has to search for, "again" the same letters typed a second time, which the
server holds ready.

On a busy machine most of that time is waiting for a processor. So each letter is given twice: by the clock, and as the
CPU time that the server and all processes of the browser had meanwhile, this benchmark's own looks into the page
included: what the letter would take on one core that does nothing else, or less, since not all of it is waited for.
"""

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from common import write
from http_overhead import cpu, started
from motherlode.atomic import read_json
from motherlode.index import versions
from motherlode.tables.tables import Tables

LONGEST = 30  # letters of a query that are typed
WATCH = """() => {
    window.took = [];
    let pressed = null;
    document.querySelector("#q").addEventListener("keydown", () => (pressed = performance.now()), true);
    new MutationObserver(() => {
        const began = pressed;
        if (began === null) return;
        pressed = null;
        const painted = new MessageChannel();
        requestAnimationFrame(() => painted.port2.postMessage(0));
        painted.port1.onmessage = () => window.took.push(performance.now() - began);
    }).observe(document.querySelector(".hits"), { childList: true });
}"""


def typed(page: Page, query: str, processes: list[int]) -> list[tuple[float, float]]:
    """Type a query into the empty box; of each letter milliseconds by the clock, and CPU milliseconds of processes."""
    page.fill("#q", "")
    page.wait_for_selector(".notice:not([hidden])")
    page.evaluate("window.took = []")
    spent = []
    for number, letter in enumerate(query, start=1):
        before = sum(map(cpu, processes))
        page.keyboard.press(letter if letter != " " else "Space")
        while page.evaluate("window.took.length") < number:
            page.wait_for_timeout(30)
        spent.append((sum(map(cpu, processes)) - before) / 1e6)
    return list(zip(page.evaluate("window.took"), spent, strict=True))


def summary(took: list[tuple[float, float]]) -> dict[str, Any]:
    """Percentiles of both times, and the share within 100 ms."""
    found: dict[str, Any] = {"key presses": len(took)}
    for name, column in zip(("by the clock", "of CPU"), np.array(took).T, strict=True):
        percentiles = {f"p{p}": round(float(np.percentile(column, p)), 1) for p in (50, 95, 99)}
        found[name] = {**percentiles, "within 100 ms": round(float(np.mean(column <= 100)), 4)}
    return found


def main(workspace: Path, count: int = 40) -> dict[str, Any]:
    """Measure."""
    texts = Tables(workspace / "tables").frame("queries", ["text"])["text"].unique().sort().to_list()
    plain = [text[:LONGEST].strip() for text in texts if text.isascii() and text.isprintable()]
    queries = random.Random(0).sample(plain, min(count, len(plain)))
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    server, port = started(workspace)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/")
            page.locator(".notice", has_text="items").first.wait_for()  # what is served is known
            page.evaluate(WATCH)
            children = psutil.Process().children(recursive=True)
            processes = [child.pid for child in children if child.pid == server.pid or "chrom" in child.name()]
            typed(page, "warm up", processes)
            first = [took for query in queries for took in typed(page, query, processes)]
            again = [took for query in queries for took in typed(page, query, processes)]
            version = browser.version
            browser.close()
    finally:
        server.terminate()
        server.wait()
    items = read_json(versions.current(workspace / "index") / "index.json")["items"]
    return {
        "browser": f"Chromium {version}, 1280 x 900, no window",
        "items": items,
        "queries": len(queries),
        "ms from key press to paint": {"first": summary(first), "again": summary(again)},
    }


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    options = dict(word.split("=", 1) for word in sys.argv[2:])
    write("page_latency", main(Path(sys.argv[1]), int(options.get("queries", 40))))
