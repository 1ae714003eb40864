"""CPU time that HTTP costs a request, beside what the search itself costs.

    OMP_NUM_THREADS=1 python benchmarks/http_overhead.py WORKSPACE [requests=3000]

The server runs in a process of its own; its CPU time (all threads, user and system) is read before and after each block
of requests from one client that keeps its connection. Blocks of five kinds take turns, so that what else the machine
does meets them alike: an address that does nothing (/healthz), one search again and again (ready-made), searches that
are all different, and the same searches in the server's own code without HTTP, in this process: one right after the
other, and each after a pause as long as a client's. The overhead is what searches over HTTP cost beside the former: it
is parsing, checking, headers, log line and figures, and that a search which waited for its client finds the
processor's caches filled by others. What it is beside the latter leaves that out.
"""

import http.client
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from common import write
from motherlode.atomic import read_json
from motherlode.index import versions
from motherlode.serve.answering import Answering
from motherlode.serve.asks import Ask
from motherlode.serve.live import Live

WARM, BLOCK = 200, 50
PAUSE = 0.0003  # seconds, about what a client takes between an answer and its next request; ours


def texts(workspace: Path, count: int) -> list[str]:
    """So many different queries: the shop's own, and pairs of them joined where there are too few."""
    from motherlode.tables.tables import Tables

    own = Tables(workspace / "tables").frame("queries", ["text"])["text"].unique(maintain_order=True).to_list()
    joined = (f"{first} {second}" for second in own for first in own)
    found = dict.fromkeys(own[:count])
    for text in joined:
        if len(found) >= count:
            break
        found.setdefault(text[:400])
    return list(found)


def started(workspace: Path) -> tuple[subprocess.Popen[str], int]:
    """A server on a free port."""
    command = [sys.executable, "-m", "motherlode.cli", "serve", str(workspace), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    line = server.stdout.readline()
    return server, int(line.split("http://127.0.0.1:")[1].split("/")[0])


def cpu(process: int) -> int:
    """CPU nanoseconds that all threads of a process have had."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads)


def cost(server: int, connection: http.client.HTTPConnection, paths: list[str]) -> float:
    """CPU microseconds of the server a request."""
    before = cpu(server)
    for path in paths:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"{path} was answered with {answer.status}: {body[:300]!r}")
    return (cpu(server) - before) / 1e3 / len(paths)


def direct(answering: Answering, queries: list[str]) -> float:
    """CPU microseconds of a search without HTTP."""
    before = time.process_time_ns()
    for query in queries:
        answering.answers([Ask(query)])
    return (time.process_time_ns() - before) / 1e3 / len(queries)


def paused(answering: Answering, queries: list[str]) -> float:
    """The same where each search comes after a pause, which does not count."""
    spent = 0
    for query in queries:
        time.sleep(PAUSE)
        before = time.process_time_ns()
        answering.answers([Ask(query)])
        spent += time.process_time_ns() - before
    return spent / 1e3 / len(queries)


def summary(blocks: list[float]) -> dict[str, float]:
    """The median block, and the quietest tenth: what else the machine does makes every request dearer."""
    return {"median": round(statistics.median(blocks), 1), "quiet": round(statistics.quantiles(blocks, n=10)[0], 1)}


def main(workspace: Path, requests: int = 3_000) -> dict[str, Any]:
    """Measure."""
    queries = texts(workspace, requests + WARM)
    paths = [f"/search?q={quote(query)}" for query in queries]
    found: dict[str, list[float]] = defaultdict(list)
    answering = Live("shop", workspace / "index").now
    server, port = started(workspace)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        cost(server.pid, connection, paths[:WARM])
        direct(answering, queries[:WARM])
        for start in range(WARM, len(paths), BLOCK):
            block = slice(start, start + BLOCK)
            found["nothing"].append(cost(server.pid, connection, ["/healthz"] * BLOCK))
            found["ready-made"].append(cost(server.pid, connection, [paths[0]] * BLOCK))
            found["searched"].append(cost(server.pid, connection, paths[block]))
            found["search alone"].append(direct(answering, queries[block]))
            found["search alone, after a pause"].append(paused(answering, queries[block]))
    finally:
        server.terminate()
        server.wait()
    figures = {name: summary(blocks) for name, blocks in found.items()}
    for name, beside in (("overhead of a search", "search alone"), ("of which HTTP", "search alone, after a pause")):
        figures[name] = {kind: round(figures["searched"][kind] - figures[beside][kind], 1) for kind in figures[beside]}
    items = read_json(versions.current(workspace / "index") / "index.json")["items"]
    load = round(os.getloadavg()[1], 1)
    return {
        "requests": requests,
        "items": items,
        "block": BLOCK,
        "load of the machine": load,
        "CPU microseconds a request": figures,
    }


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    options = dict(word.split("=", 1) for word in sys.argv[2:])
    write("http_overhead", main(Path(sys.argv[1]), int(options.get("requests", 3_000))))
