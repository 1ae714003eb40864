"""A small shop with a queue of discrepancies, for the tests of the review page."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import polars as pl
import pyarrow as pa

from motherlode.grading.rubric import Rubric
from motherlode.tables.tables import Tables, TableWriter

PNG = bytes.fromhex(  # one red pixel
    "89504e470d0a1a0a0000000d494844520000000100000001080200000090"
    "7753de0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
HOSTILE = '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2"> & "quotes" \'n\' {{x}} ${y}'
SECRET = "the size is another one, SECRET-REASON"  # must not be seen before the person has chosen
RUBRIC = Rubric(
    "shop",
    "7",
    "# How to judge\n\n## Grade 2\n\nWhat was **asked** for.\n\n## Grade 1\n\n- a substitute\n- a complement\n\n"
    "## Grade 0\n\n<script>window.hacked = 3</script>\n\n| query | grade |\n|---|---|\n| milk | 2 |\n",
)


def make_tables(folder: Path, pairs: int) -> Tables:
    """A shop of one query and one item a pair (q0, i0), (q1, i1) ...; i0 is hostile, i1 has a picture."""
    folder.mkdir(parents=True)
    numbers = range(pairs)
    (folder / "images").mkdir()
    (folder / "images/one.png").write_bytes(PNG)
    with TableWriter(folder, "catalogue") as writer:
        writer.write(
            {
                "item_id": [f"i{n}" for n in numbers],
                "title": [HOSTILE if n == 0 else f"Item number {n}" for n in numbers],
                "taxonomy": [["Home", f"<b>Aisle {n % 3}</b>"] for n in numbers],
                "brand": [None if n % 2 else f"Brand {n}" for n in numbers],
                "attributes": pa.array(
                    [[{"name": "colour", "value": "red"}, {"name": "size", "value": f"{n} cm"}] for n in numbers],
                    type=pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())])),
                ),
                "description": [f"Line one of {n}.\nLine two." if n % 2 else None for n in numbers],
                "image": ["images/one.png" if n == 1 else None for n in numbers],
            }
        )
    with TableWriter(folder, "queries") as writer:
        writer.write({"query_id": [f"q{n}" for n in numbers], "text": [f"query {n}" for n in numbers]})
    with TableWriter(folder, "engagement") as writer:
        some = [n for n in numbers if n % 2 == 0]
        writer.write(
            {
                "query_id": [f"q{n}" for n in some],
                "item_id": [f"i{n}" for n in some],
                "impressions": [1000 + n for n in some],
                "clicks": [50 for _ in some],
                "adds": [10 for _ in some],
                "purchases": [None for _ in some],
            }
        )
    return Tables(folder)


def make_queue(pairs: int) -> pl.DataFrame:
    """Pair n: label n mod 3, the judge one grade on; the first pair comes first."""
    numbers = np.arange(pairs)
    return pl.DataFrame(
        {
            "query_id": [f"q{n}" for n in numbers],
            "item_id": [f"i{n}" for n in numbers],
            "label": numbers % 3,
            "label_source": ["crowd"] * pairs,
            "verdict": (numbers + 1) % 3,
            "verdict_source": ["judge-x@1"] * pairs,
            "reason": [SECRET] * pairs,
            "priority": 1.0 - numbers / 1000,
        }
    )


SERVE = """
import json, sys
from pathlib import Path
from review_case import RUBRIC
from motherlode.grading.ledger import Ledger
from motherlode.review.app import serve
from motherlode.review.queue import read_queue
from motherlode.tables.tables import Tables
folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
with Ledger(folder / "ledger.sqlite") as ledger:
    queue = read_queue(folder / "queue.parquet")
    serve(Tables(folder / "tables"), ledger, queue, RUBRIC, port=0, skips=folder / "skips.json", **settings)
"""


class Server:
    """`serve` in a process of its own, over the tables, queue and ledger in `folder`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        command = [sys.executable, "-c", SERVE, str(folder), json.dumps(settings)]
        environment = os.environ | {"PYTHONPATH": path}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout
        self.line = self.process.stdout.readline()
        found = re.search(r"(http://\S+)/\?token=([\w-]+)", self.line)
        assert found, self.line
        self.address, self.token = found[1], found[2]

    def page(self, name: str = "") -> str:
        """The address a person opens."""
        return f"{self.address}/?token={self.token}" + (f"&name={name}" if name else "")

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Call the server as its page does."""
        headers = {"X-Review-Token": self.token, "Content-Type": "application/json"}
        with urlopen(Request(f"{self.address}/api/{path}", json.dumps(body).encode(), headers), timeout=20) as answer:
            return dict(json.load(answer))

    def end(self, how: signal.Signals) -> int:
        """Stop it, and say how it ended."""
        self.process.send_signal(how)
        self.process.communicate(timeout=20)
        return self.process.returncode
