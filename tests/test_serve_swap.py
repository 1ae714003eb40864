"""Under way: versions exchanged while searching, changes gathered, load shed, time-outs, an orderly end."""

import asyncio
import gc
import platform
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from motherlode.index.store import Index
from motherlode.serve import keys
from motherlode.serve.answering import Answering
from motherlode.serve.asks import Ask
from motherlode.serve.errors import Refused
from motherlode.serve.live import Live
from motherlode.serve.metrics import Metrics
from motherlode.serve.publishing import Publishing
from motherlode.serve.searching import Searching
from serve_case import build, client, settings

for needed in ("fastapi", "httpx", "prometheus_client"):
    pytest.importorskip(needed, reason="the API needs 'motherlode[serve]'")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    build(tmp_path, tmp_path / "index")
    return tmp_path


def test_no_search_fails_while_versions_and_models_are_exchanged(workspace: Path) -> None:
    """Another process publishes items and a new model; each answer is whole, of one version, and never goes back."""
    with client(workspace, cache_bytes=0) as api:
        answers: list[Any] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                answers.append(api.get("/search", params={"q": "red chair", "k": 3}))

        clients = [threading.Thread(target=ask) for _ in range(2)]
        for one in clients:
            one.start()
        for number in range(3):
            index = Index.open(workspace / "index")
            index.upsert([{"item_id": f"n{number}", "title": "red chair"}], index.encode(["red chair"]))
            index.publish()
            time.sleep(0.1)
        last = build(workspace, workspace / "index", seed=7).facts  # another model, and the items as at the beginning
        until = time.monotonic() + 30
        while api.get("/search?q=x").json()["index"]["version"] < last["version"] and time.monotonic() < until:
            time.sleep(0.02)
        done.set()
        for one in clients:
            one.join()
        assert api.get("/facts").json()["indexes"][0]["weights"] == last["weights"]
        assert api.get("/search?q=red+chair&explain=1").json()["hits"][0]["dense"] == pytest.approx(1)
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        version = answer.json()["index"]["version"]
        names = {hit["item_id"] for hit in answer.json()["hits"]}
        added = {f"n{number}" for number in range(version - 1)} if version <= 4 else set()
        assert len(names) == 3 and {name for name in names if name.startswith("n")} <= added
        assert names & added if added else "i00" in names
    assert last["version"] == 5


def test_a_version_that_cannot_be_read_changes_nothing(workspace: Path) -> None:
    live = Live("shop", workspace / "index")
    before = live.now
    (workspace / "index/current").write_text("v000099\n")
    with pytest.raises(Exception, match="v000099"):
        live.look()
    assert live.now is before and before.index.search("red chair")
    (workspace / "index/current").write_text("v000001\n")
    assert live.look() and live.now.version == 1 and live.now.encoders is before.encoders


def test_changes_that_come_together_are_published_together(workspace: Path) -> None:
    async def run() -> list[int]:
        live, metrics = Live("shop", workspace / "index"), Metrics()
        publishing = Publishing(live, settings(workspace, publish_every=0.5), metrics)
        first = await publishing.change(items=[{"item_id": "a", "title": "purple kettle"}])
        rest = await asyncio.gather(
            *(publishing.change(items=[{"item_id": f"b{n}", "title": f"purple lamp {n}"}]) for n in range(20)),
            publishing.change(dropped=["a"]),
            publishing.change(items=[{"item_id": "b3", "title": "green hose"}]),  # the last word on b3
        )
        await asyncio.to_thread(publishing.close)
        assert live.now.version == rest[-1]
        return [first, *rest]

    versions = asyncio.run(run())
    assert versions[0] == 2 and set(versions[1:]) == {3}
    index = Index.open(workspace / "index")
    assert len(index.items.find(["a"])) == 1 and index.facts["items"] == 12 + 20
    assert [hit.item_id for hit in index.search("kettle", mode="lexical")] == []
    assert {hit.item_id for hit in index.search("purple", k=50, mode="lexical")} == {f"b{n}" for n in range(20)} - {
        "b3"
    }


def test_changes_wait_for_another_writer_and_build_on_what_it_wrote(workspace: Path) -> None:
    from motherlode.index import versions

    async def run() -> int:
        publishing = Publishing(Live("shop", workspace / "index"), settings(workspace), Metrics())
        with versions.exclusive(workspace / "index"):
            waiting = asyncio.create_task(publishing.change(dropped=["i00"]))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        version = await waiting
        other = Index.open(workspace / "index")
        other.delete(["i01"])
        other.publish()
        await publishing.change(dropped=["i02"])
        await asyncio.to_thread(publishing.close)
        return version

    assert asyncio.run(run()) == 2
    assert Index.open(workspace / "index").facts["items"] == 9


def test_too_many_waiting_are_told_so_and_the_late_as_well(workspace: Path, monkeypatch: Any) -> None:
    began, release = threading.Event(), threading.Event()
    answers = Answering.answers

    def slow(self: Answering, asks: Any) -> Any:
        began.set()
        release.wait(30)
        return answers(self, asks)

    async def run() -> None:
        live, metrics = Live("shop", workspace / "index"), Metrics()
        searching = Searching(live, settings(workspace, waiting=3, batch=1), metrics)
        first = asyncio.create_task(searching.ask(Ask("red")))
        while not began.is_set():
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(searching.ask(Ask(f"red {n}"))) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as shed:
            await searching.ask(Ask("one too many"))
        assert shed.value.status == 429 and shed.value.retry_after == 1
        release.set()
        assert all(b'"hits":[{' in answer for answer in await asyncio.gather(first, *waiting))
        release.clear()
        hasty = Searching(live, settings(workspace, search_timeout=0.05), metrics)
        with pytest.raises(Refused) as late:
            await hasty.ask(Ask("blue"))
        assert late.value.status == 503 and late.value.code == "timeout"
        release.set()
        for one in (searching, hasty):
            await asyncio.to_thread(one.close)
        assert b"motherlode_shed_total 1.0" in metrics.text()

    monkeypatch.setattr(Answering, "answers", slow)
    asyncio.run(run())


def test_one_failing_search_does_not_fail_its_batch(workspace: Path, monkeypatch: Any) -> None:
    answers = Answering.answers

    def fragile(self: Answering, asks: Any) -> Any:
        if any(ask.query == "poison" for ask in asks):
            raise RuntimeError("broken")
        return answers(self, asks)

    monkeypatch.setattr(Answering, "answers", fragile)
    with client(workspace) as api:
        found: dict[str, int] = {}
        threads = [
            threading.Thread(target=lambda q=query: found.update({q: api.get("/search", params={"q": q}).status_code}))
            for query in ("poison", "red", "blue", "green")
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert found == {"poison": 500, "red": 200, "blue": 200, "green": 200}
        assert "broken" not in api.get("/search?q=poison").text


def test_waiting_changes_are_published_at_the_end(workspace: Path) -> None:
    write = {"Authorization": "Bearer " + keys.make(workspace / "serve/keys.json", "w", "write")}
    with client(workspace, publish_every=3) as api:
        api.post("/items", json={"items": [{"item_id": "first", "title": "purple"}]}, headers=write)
        answers: list[Any] = []
        body = {"items": [{"item_id": "second", "title": "purple"}]}
        late = threading.Thread(target=lambda: answers.append(api.post("/items", json=body, headers=write)))
        late.start()
        time.sleep(0.3)
        asked = time.monotonic()
    late.join()
    assert answers[0].status_code == 200 and time.monotonic() - asked < 60
    names = {hit.item_id for hit in Index.open(workspace / "index").search("purple", mode="lexical")}
    assert names == {"first", "second"}


def test_a_version_that_was_exchanged_is_let_go_though_nobody_asks_again(workspace: Path, monkeypatch: Any) -> None:
    """Its memory, and the disk under files that have no name any more; then free pages are given back."""
    given: list[int] = []
    monkeypatch.setattr("motherlode.serve.desk.give_back", lambda: given.append(live.now.version))
    with client(workspace) as api:
        live = api.app.state.desk.searching(None).live
        for _ in range(3):  # by the thread, by the loop, and ready-made
            assert api.get("/search?q=red+chair").json()["hits"]
        assert api.get("/facts").json()["filters"]["brand"]
        old = weakref.ref(live.now)
        index = Index.open(workspace / "index")
        index.delete(["i05"])
        index.publish()
        until = time.monotonic() + 30
        while not given and time.monotonic() < until:
            time.sleep(0.01)
        assert given == [2] and old() is None
        assert api.get("/search?q=red+chair").json()["index"]["version"] == 2


def test_a_change_that_is_refused_keeps_no_version_open(workspace: Path, monkeypatch: Any) -> None:
    """Each kept its files and its memory until the next full collection, which is rare in a large process."""
    from motherlode.index import versions

    def opened() -> int:
        return sum(type(one) is Index for one in gc.get_objects())

    async def run() -> None:
        live = Live("shop", workspace / "index")
        publishing = Publishing(live, settings(workspace, write_timeout=0.2), Metrics())
        before = opened()
        for _ in range(2):
            with versions.exclusive(workspace / "index"), pytest.raises(Refused) as refused:
                await publishing.change(dropped=["i00"])
            assert refused.value.status == 503
        del refused
        await asyncio.to_thread(publishing.close)
        assert opened() == before and live.now.version <= 2

    monkeypatch.setattr("motherlode.serve.publishing.LOG.disabled", True)  # pytest would keep what is logged
    gc.collect()
    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are not told anything")
def test_free_pages_between_held_ones_are_given_back() -> None:
    """A process of its own: 80 MB in pieces, of which every fiftieth stays."""
    program = """
import psutil
from motherlode.serve.memory import few_arenas, give_back
few_arenas()
held = [bytearray(4_000) for _ in range(20_000)]
full = psutil.Process().memory_info().rss
held = held[::50]
kept = psutil.Process().memory_info().rss
give_back()
print(full, kept, psutil.Process().memory_info().rss)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    full, kept, now = map(int, ran.stdout.split())
    assert full - kept < 20e6  # not by itself
    assert kept - now > 60e6
