"""A judge's server killed and started again in the middle of 5,000 pairs: all there, none twice, none made up."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from motherlode.endpoint.errors import EndpointError
from motherlode.endpoint.judge import EndpointGrader
from motherlode.endpoint.settings import EndpointSettings
from motherlode.grading.job import grade
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.tables.tables import Tables, TableWriter
from openai_server import true_grade
from test_endpoint_judge import RUBRIC

QUERIES, ITEMS = 50, 100


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> PairTexts:
    folder = tmp_path_factory.mktemp("tables")
    with TableWriter(folder, "queries") as queries:
        queries.write({"query_id": [f"q{n}" for n in range(QUERIES)], "text": [f"wanted {n}" for n in range(QUERIES)]})
    with TableWriter(folder, "catalogue") as items:
        items.write({"item_id": [f"i{n}" for n in range(ITEMS)], "title": [f"thing {n}" for n in range(ITEMS)]})
    return PairTexts(Tables(folder))


class Process:
    """The deterministic server as a process of its own, at one port."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = log
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.start()

    def start(self) -> None:
        script = Path(__file__).parent / "openai_server.py"
        self.process = subprocess.Popen([sys.executable, "-S", str(script), str(self.port), str(self.log)])

    def kill(self) -> None:
        self.process.kill()  # SIGKILL: whatever it was writing is cut off
        self.process.wait()

    def wait(self, count: int) -> None:
        """Until it has answered so many, or a minute has passed: a job that failed asks for no more."""
        until = time.monotonic() + 60
        while self.answered() < count and time.monotonic() < until:
            time.sleep(0.005)

    def answered(self) -> int:
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0


def test_five_thousand_pairs_through_a_server_that_dies_twice(texts: PairTexts, tmp_path: Path) -> None:
    query_ids = [f"q{n}" for n in range(QUERIES) for _ in range(ITEMS)]
    item_ids = [f"i{n}" for _ in range(QUERIES) for n in range(ITEMS)]
    server = Process(tmp_path / "answers.jsonl")
    deaths: list[int] = []

    def chaos() -> None:
        for after in (1_200, 3_100):
            server.wait(after)
            server.kill()
            deaths.append(server.answered())
            time.sleep(0.7)
            server.start()

    trouble = threading.Thread(target=chaos)
    trouble.start()
    settings = EndpointSettings(url=server.url, model="tester", reasons=False, backoff=0.05, patience=30.0)
    try:
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            judge = EndpointGrader(settings, RUBRIC)
            report = grade(query_ids, item_ids, texts, judge, ledger, source="grade")
            stored = ledger.verdicts(judge.judge)
            again = grade(query_ids, item_ids, texts, judge, ledger, source="grade")
    finally:
        trouble.join()
        server.kill()
    assert len(deaths) == 2 and all(dead < 5_000 for dead in deaths)
    assert judge.tally.failures > 0  # it did notice
    assert (report.graded, report.unanswered, report.left, report.stopped) == (5_000, 0, 0, None)
    assert again.graded == 0 and again.known == 5_000
    keys = list(zip(stored["query_id"], stored["item_id"], strict=True))
    assert len(keys) == len(set(keys)) == 5_000
    said: dict[tuple[str, str], int] = {}
    for line in server.log.read_text().splitlines():
        query, item, given = json.loads(line)
        said[query, item] = given
    for (query, item), given in zip(keys, stored["grade"], strict=True):
        text, title = f"wanted {query[1:]}", f"thing {item[1:]}"
        assert given == said[text, title] == true_grade(text, title)
    assert min(Counter(stored["grade"]).values()) > 1_000


def test_when_patience_ends_the_job_can_be_run_again(texts: PairTexts, tmp_path: Path) -> None:
    query_ids, item_ids = [f"q{n % QUERIES}" for n in range(600)], [f"i{n // QUERIES}" for n in range(600)]
    server = Process(tmp_path / "answers.jsonl")
    settings = EndpointSettings(
        url=server.url, model="tester", reasons=False, backoff=0.05, patience=1.0, concurrency=2, pairs_per_request=5
    )

    def end() -> None:
        server.wait(250)
        server.kill()

    killer = threading.Thread(target=end)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        judge = EndpointGrader(settings.model_copy(update={"patience": 20.0}), RUBRIC)
        grade(query_ids[:5], item_ids[:5], texts, judge, ledger)  # it is up
        killer.start()
        judge = EndpointGrader(settings, RUBRIC)
        with pytest.raises(EndpointError, match="Run the same command again"):
            grade(query_ids, item_ids, texts, judge, ledger)
        killer.join()
        kept = ledger.count(judge.judge)
        assert 200 <= kept < 600
        server.start()
        judge = EndpointGrader(settings.model_copy(update={"patience": 20.0}), RUBRIC)
        report = grade(query_ids, item_ids, texts, judge, ledger)
        server.kill()
        assert report.known == kept and report.graded == 600 - kept and ledger.count() == 600
