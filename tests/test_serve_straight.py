"""The short way of a search: the same answers as the routes give, nothing taken that they refuse, no thread needed."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motherlode.serve import keys
from motherlode.serve.answering import Answering
from motherlode.serve.asks import Ask
from motherlode.serve.live import Live
from motherlode.serve.metrics import Metrics
from motherlode.serve.searching import QUICK, Searching
from serve_case import build, client
from serve_case import settings as settings_of

for needed in ("fastapi", "httpx", "prometheus_client"):
    pytest.importorskip(needed, reason="the API needs 'motherlode[serve]'")

TEXTS = st.one_of(st.sampled_from(["red chair", "", " ", "x" * 501, "a&b=c", "+%2B", "é💩", "\0"]), st.text(max_size=8))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "q": TEXTS,
    "k": st.sampled_from(["3", "0", "101", "", "2.0", "2.5", " 4", "1_0", "x"]),
    "mode": st.sampled_from(["hybrid", "dense", "lexical", "Dense", ""]),
    "grade": st.sampled_from(["0", "1", "-1"]),
    "explain": st.sampled_from(["1", "true", "no", "off", "maybe", ""]),
    "filter": st.sampled_from(["brand:Acme", "colour:red", "price:..50", "price:cheap", "taxonomy:Home", "a:", ""]),
    "index": st.sampled_from(["shop", "nobody", ""]),
    "colour": st.just("red"),
}
VALUES = st.one_of(
    *FIELDS.values(), st.integers(-1, 120), st.floats(0, 9), st.booleans(), st.none(), st.lists(FIELDS["filter"])
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("straight")
    build(place, place / "index")
    return place


@pytest.fixture(scope="module")
def both(workspace: Path):
    """The same application twice, the second one without short ways."""
    with client(workspace, keys=None) as one, client(workspace, keys=None) as other:
        other.app._straight = {}
        yield one, other


def same(both: Any, method: str, path: str, **sent: Any) -> None:
    given = {"X-Request-ID": "one", "Content-Type": "application/json"}
    found = [one.request(method, path, headers=given, **sent) for one in both]
    bodies = [answer.json() for answer in found]
    for body in bodies:
        body.pop("took_ms", None)
    assert found[0].status_code == found[1].status_code, [answer.text for answer in found]
    assert bodies[0] == bodies[1]
    headers = [{name: value for name, value in answer.headers.items() if name != "content-length"} for answer in found]
    assert headers[0] == headers[1]


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(pairs=st.lists(st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name]))))
def test_an_address_is_answered_alike_both_ways(both: Any, pairs: list[tuple[str, str]]) -> None:
    asked = pairs if any(name == "q" for name, _ in pairs) else [("q", "red"), *pairs]
    same(both, "GET", "/search?" + urlencode(asked))


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(body=st.dictionaries(st.sampled_from(sorted(FIELDS)), VALUES), q=TEXTS)
def test_a_body_is_answered_alike_both_ways(both: Any, body: dict[str, Any], q: str) -> None:
    same(both, "POST", "/search", content=json.dumps({"q": q} | body))


@pytest.mark.parametrize(
    "query", ["q=a&q=b", "q=a;k=2", "q", "&&q=a", "q=%FF", "q=%", "Q=a", "q=a&k=1&k=2", "", "q=a#b"]
)
def test_strange_addresses_are_answered_alike_both_ways(both: Any, query: str) -> None:
    same(both, "GET", f"/search?{query}")


def test_most_searches_take_the_short_way(both: Any, monkeypatch: Any) -> None:
    """Were it never taken, all the tests above would hold nothing."""
    monkeypatch.setattr(both[0].app, "_app", None)  # the long way fails
    assert both[0].get("/search?q=red+chair&filter=brand:Acme&k=3").json()["hits"]
    assert both[0].post("/search", json={"q": "red chair", "mode": "dense"}).json()["hits"]
    assert both[0].get("/search?q=x&index=nobody").json()["error"]["code"] == "no_such_index"


def test_a_read_key_is_asked_for_on_the_short_way(workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    reader = keys.make(path, "till", "read")
    with client(workspace, keys=path) as api:
        assert api.get("/search?q=red").json()["error"]["code"] == "no_key"
        assert api.get("/search?q=red").headers["www-authenticate"] == "Bearer"
        assert api.get("/search?q=red", headers={"Authorization": "Bearer x"}).status_code == 401
        assert api.get("/search?q=red", headers={"Authorization": f"bearer  {reader}"}).status_code == 200


def test_the_unexpected_is_told_once_whichever_way(both: Any, monkeypatch: Any, caplog: Any) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("of which nobody outside may hear")

    for api in both:
        monkeypatch.setattr(api.app.state.desk, "searching", broken)
        for path in ("/search?q=red", "/similar?item_id=i00"):
            caplog.clear()
            answer = api.get(path, headers={"X-Request-ID": "one"})
            assert answer.status_code == 500 and answer.headers["x-request-id"] == "one"
            assert answer.json()["error"]["code"] == "internal" and "nobody" not in answer.text
            assert "content-security-policy" in answer.headers
            assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["a request failed"]


def _searched(workspace: Path, monkeypatch: Any, seconds: float) -> list[list[tuple[str, bool]]]:
    """Three asks one after another, then three at once; of each batch the queries, and whether a thread did it."""
    batches: list[list[tuple[str, bool]]] = []
    answers, own = Answering.answers, threading.current_thread()

    def noting(self: Answering, asks: Any) -> Any:
        batches.append([(ask.query, threading.current_thread() is not own) for ask in asks])
        threading.Event().wait(seconds)
        return answers(self, asks)

    async def run() -> None:
        searching = Searching(Live("shop", workspace / "index"), settings_of(workspace), Metrics())
        for query in ("red", "blue", "green"):
            assert b'"hits":[{' in await searching.ask(Ask(query))
            await asyncio.sleep(0)  # another turn of the loop, as for another request
        await asyncio.gather(*(searching.ask(Ask(query)) for query in ("chair", "table", "lamp")))
        await searching.ask(Ask("hose"))
        await asyncio.sleep(0)
        assert searching._under_way == 0
        await asyncio.to_thread(searching.close)

    monkeypatch.setattr(Answering, "answers", noting)
    asyncio.run(run())
    return batches


def test_a_quick_search_that_comes_alone_needs_no_thread(workspace: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("motherlode.serve.searching.QUICK", 10)  # however busy the machine is
    batches = _searched(workspace, monkeypatch, 0)
    apart = {query: thread for batch in batches for query, thread in batch}
    assert batches[0] == [("red", True)]  # nothing is known yet
    assert not (apart["blue"] or apart["green"] or apart["chair"] or apart["hose"])
    assert apart["table"] and apart["lamp"]  # they came with another


def test_a_slow_search_never_holds_the_loop_up(workspace: Path, monkeypatch: Any) -> None:
    assert all(thread for batch in _searched(workspace, monkeypatch, 2 * QUICK) for _, thread in batch)


def test_one_slow_search_changes_nothing_and_two_in_a_row_do(workspace: Path, monkeypatch: Any) -> None:
    apart: dict[str, bool] = {}
    answers, own = Answering.answers, threading.current_thread()

    def noting(self: Answering, asks: Any) -> Any:
        apart[asks[0].query] = threading.current_thread() is not own
        threading.Event().wait(1.0 if "slow" in asks[0].query else 0)
        return answers(self, asks)

    async def run() -> None:
        searching = Searching(Live("shop", workspace / "index"), settings_of(workspace), Metrics())
        for query in ("red", "blue", "slow red", "green", "slow blue", "slow green", "chair", "table"):
            await searching.ask(Ask(query))
            await asyncio.sleep(0)
        await asyncio.to_thread(searching.close)

    monkeypatch.setattr("motherlode.serve.searching.QUICK", 0.9)  # however busy the machine is
    monkeypatch.setattr(Answering, "answers", noting)
    asyncio.run(run())
    assert [query for query, thread in apart.items() if thread] == ["red", "chair"]
