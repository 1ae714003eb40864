"""CPU time that HTTP costs a request, beside what the search itself costs.

    OMP_NUM_THREADS=1 python benchmarks/http_overhead.py WORKSPACE [requests=3000]

The server runs in a process of its own; its CPU time (all threads, user and system) is read before and after each block
of requests from one client that keeps its connection. Three courses: an address that does nothing (/healthz), one
search again and again (ready-made), and searches that are all different. The last is compared with the same searches
in the server's own code without HTTP, in this process: what is left is parsing, checking, handing over to the search
thread and back, headers, log line and figures.
"""

import http.client
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from common import write
from motherlode.atomic import read_json
from motherlode.index import versions
from motherlode.serve.asks import Ask
from motherlode.serve.live import Live

WARM, BLOCK = 200, 50


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


def cost(server: int, connection: http.client.HTTPConnection, paths: list[str]) -> list[float]:
    """CPU microseconds of the server a request, block by block."""
    found = []
    for start in range(0, len(paths), BLOCK):
        before = cpu(server)
        for path in paths[start : start + BLOCK]:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                sys.exit(f"{path} was answered with {answer.status}: {body[:300]!r}")
        found.append((cpu(server) - before) / 1e3 / len(paths[start : start + BLOCK]))
    return found


def direct(workspace: Path, queries: list[str]) -> list[float]:
    """CPU microseconds of a search without HTTP, block by block."""
    answering = Live("shop", workspace / "index").now
    for query in queries[:WARM]:
        answering.answers([Ask(query)])
    found = []
    for start in range(WARM, len(queries), BLOCK):
        before = time.process_time_ns()
        for query in queries[start : start + BLOCK]:
            answering.answers([Ask(query)])
        found.append((time.process_time_ns() - before) / 1e3 / len(queries[start : start + BLOCK]))
    return found


def summary(blocks: list[float]) -> dict[str, float]:
    """The median block, and the quietest tenth: what else the machine does makes every request dearer."""
    return {"median": round(statistics.median(blocks), 1), "quiet": round(statistics.quantiles(blocks, n=10)[0], 1)}


def main(workspace: Path, requests: int = 3_000) -> dict[str, Any]:
    """Measure."""
    queries = texts(workspace, requests + WARM)
    paths = [f"/search?q={quote(query)}" for query in queries]
    server, port = started(workspace)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        cost(server.pid, connection, paths[:WARM])
        found = {
            "nothing": summary(cost(server.pid, connection, ["/healthz"] * requests)),
            "ready-made": summary(cost(server.pid, connection, [paths[0]] * requests)),
            "searched": summary(cost(server.pid, connection, paths[WARM:])),
        }
    finally:
        server.terminate()
        server.wait()
    found["search alone"] = summary(direct(workspace, queries))
    found["overhead of a search"] = {
        name: round(found["searched"][name] - found["search alone"][name], 1) for name in ("median", "quiet")
    }
    items = read_json(versions.current(workspace / "index") / "index.json")["items"]
    return {"requests": requests, "items": items, "block": BLOCK, "CPU microseconds a request": found}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    options = dict(word.split("=", 1) for word in sys.argv[2:])
    write("http_overhead", main(Path(sys.argv[1]), int(options.get("requests", 3_000))))
