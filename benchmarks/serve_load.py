"""Mixed load on the server, and whether any answer is wrong or lost: searches, changes, swaps, rubbish, kills.

    OMP_NUM_THREADS=1 python benchmarks/serve_load.py WORKSPACE [minutes=30] [workers=2]

On a copy of the workspace's index. Clients, all at once: some search; one adds items with a word of their own, looks
for that word and drops some of them again; one compacts the index from another process than the server's; one sends
rubbish; one kills a worker every 20 seconds (always the youngest, so that the other one's memory can be followed).

An answer is wrong if a search is not answered with 200 after the connection is tried again, or, being of a version that
is as new as an acknowledged change or newer, does not show that change. A change is lost if it was acknowledged and the
index on disk does not hold it at the end.
"""

import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil

from common import write
from motherlode.errors import MotherlodeError
from motherlode.index.store import Index
from motherlode.serve import keys
from motherlode.tables.tables import Tables

PATIENCE = 240.0  # seconds in which a request must come through, connections broken by kills included


class Load:
    """What the clients share: where the server is, what they did, what went wrong."""

    def __init__(self, port: int, key: str, queries: list[str]) -> None:
        self.port, self.key, self.queries = port, key, queries
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.seconds: list[float] = []
        self.kept: dict[str, int] = {}
        self.dropped: dict[str, int] = {}

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Ask until there is an answer; a broken connection, 429 or 503 is tried again, as a client would."""
        until = time.monotonic() + PATIENCE
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                connection.request(method, path, json.dumps(body) if body else None, headers)
                answer = connection.getresponse()
                found = json.loads(answer.read())
                connection.close()
                if answer.status == 200:
                    return dict(found)
                if answer.status not in (429, 503):
                    raise SystemError(f"{method} {path[:80]}: {answer.status} {found}")
                self.counts[f"told to wait ({answer.status})"] += 1
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                self.counts["connections broken"] += 1
            if time.monotonic() > until:
                raise SystemError(f"{method} {path[:80]}: no answer in {PATIENCE:g} seconds")
            time.sleep(0.05)

    def going(self, work: Any) -> None:
        """Do it again and again until all is over; what it raises is an answer that was wrong."""
        while not self.over.is_set():
            try:
                work()
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}"[:300])

    def search(self) -> None:
        began = time.perf_counter()
        found = self.ask("GET", f"/search?q={quote(random.choice(self.queries))}&k=10")
        self.seconds.append(time.perf_counter() - began)
        self.counts["searches"] += 1
        if [hit["rank"] for hit in found["hits"]] != list(range(1, len(found["hits"]) + 1)):
            self.wrong.append(f"ranks of {found['query']!r} at version {found['index']['version']}")

    def change(self) -> None:
        """Add an item, look for it, drop every second one and look again."""
        number = self.counts["changes"] = self.counts["changes"] + 1
        word = f"zq{number:06d}x"
        made = self.ask("POST", "/items", {"items": [{"item_id": word, "title": f"{word} of load"}]})
        self.kept[word] = made["version"]
        self.seen(word, made["version"], True)
        if number % 2:
            gone = self.ask("DELETE", "/items", {"item_ids": [word]})
            self.dropped[word] = gone["version"]
            del self.kept[word]
            self.seen(word, gone["version"], False)

    def seen(self, word: str, version: int, there: bool) -> None:
        found = self.ask("GET", f"/search?q={word}&k=3&mode=lexical")
        self.counts["looked for"] += 1
        if found["index"]["version"] < version:
            self.counts["answers of an older version (another worker)"] += 1
        elif (word in [hit["item_id"] for hit in found["hits"]]) != there:
            self.wrong.append(f"{word} {'is not' if there else 'is still'} in version {found['index']['version']}")

    def rubbish(self) -> None:
        self.counts["rubbish"] += 1
        lines = [
            os.urandom(random.randrange(1, 4_000)),
            b"GET /search?q=" + b"%00" * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n{",
            b"POST /items HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n" + b"[" * 9_000,
            b"GET / HTTP/1.1\r\n" + b"X-A: " + b"b" * 60_000,
        ]
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as raw:
                raw.sendall(random.choice(lines))
                raw.recv(1_000)
        except OSError:
            pass
        time.sleep(0.05)


def swap(folder: Path, load: Load) -> None:
    """Publish a version from here, built anew from what is live."""
    load.over.wait(5)
    try:
        Index.open(folder).compact()
        load.counts["swaps from outside"] += 1
    except (MotherlodeError, FileNotFoundError):  # the server was writing, or replaced what was being opened
        load.counts["swaps that came second"] += 1


def workers(server: psutil.Process) -> list[psutil.Process]:
    """Worker processes, oldest first."""
    found = []
    for child in server.children():
        with suppress(psutil.Error):  # killed, and not yet taken note of
            if "resource_tracker" not in " ".join(child.cmdline()):
                found.append((child.create_time(), child.pid, child))
    return [child for _, _, child in sorted(found)]


def main(workspace: Path, minutes: float = 30, count: int = 2) -> dict[str, Any]:
    """Put the load on, then see what came of it."""
    with tempfile.TemporaryDirectory(prefix="serve-load-") as scratch:
        place = Path(scratch)
        shutil.copytree(workspace / "index", place / "index")
        key = keys.make(place / keys.FILE, "load", "write")
        command = [sys.executable, "-m", "motherlode.cli", "serve", str(place), "--port", "0", "--workers", str(count)]
        with (place / "log").open("w") as log:
            server = subprocess.Popen([*command, "--quiet"], stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout is not None
        port = int(re.search(r":(\d+)/", server.stdout.readline())[1])  # type: ignore[index]
        texts = Tables(workspace / "tables").frame("queries", ["text"])["text"].unique().to_list()
        load = Load(port, key, texts)
        try:
            load.ask("GET", "/search?q=warm")
        except SystemError:
            server.terminate()
            raise
        jobs = [load.search, load.search, load.change, load.rubbish, lambda: swap(place / "index", load)]
        threads = [threading.Thread(target=load.going, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        memory: list[tuple[float, int]] = []
        began, killed = time.monotonic(), time.monotonic()
        supervisor = psutil.Process(server.pid)
        while (passed := time.monotonic() - began) < 60 * minutes:
            time.sleep(1)
            alive = workers(supervisor)
            with suppress(psutil.Error):
                if alive:
                    memory.append((passed, alive[0].memory_info().rss))
                if len(alive) > 1 and time.monotonic() - killed > 20:
                    alive[-1].send_signal(signal.SIGKILL)
                    load.counts["kills"] += 1
                    killed = time.monotonic()
        load.over.set()
        for thread in threads:
            thread.join()
        server.terminate()
        ended = server.wait(timeout=120)
        index = Index.open(place / "index")
        lost = [word for word in load.kept if word not in _found(index, word)]
        lost += [word for word in load.dropped if word in _found(index, word)]
        errors = Counter(re.findall(r'"error": "(\w+)"', (place / "log").read_text()))
    warm = [size for passed, size in memory if 12 * minutes < passed < 18 * minutes] or [memory[0][1]]
    last = [size for passed, size in memory if passed > 54 * minutes]
    return {
        "minutes": minutes,
        "workers": count,
        "counts": dict(sorted(load.counts.items())),
        "wrong": load.wrong[:20],
        "lost": lost[:20],
        "acknowledged": len(load.kept) + len(load.dropped),
        "search ms": {f"p{p:g}": round(1e3 * float(np.percentile(load.seconds, p)), 1) for p in (50, 95, 99)},
        "memory MB": {
            "after a quarter": round(np.median(warm) / 1e6, 1),
            "at the end": round(np.median(last) / 1e6, 1),
        },
        "memory growth": round(float(np.median(last) / np.median(warm) - 1), 4),
        "errors in the log": dict(errors),
        "exit": ended,
    }


def _found(index: Index, word: str) -> list[str]:
    return [hit.item_id for hit in index.search(word, k=3, mode="lexical")]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    options = dict(word.split("=", 1) for word in sys.argv[2:])
    write("serve_load", main(Path(sys.argv[1]), float(options.get("minutes", 30)), int(options.get("workers", 2))))
