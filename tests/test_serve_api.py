"""The API over HTTP: what it answers, what it refuses, what it never tells."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from motherlode.grading.ledger import Ledger
from motherlode.index.store import Index
from motherlode.serve import keys
from motherlode.serve.strata import fit_strata
from serve_case import build, client, settings

for needed in ("fastapi", "httpx", "prometheus_client"):
    pytest.importorskip(needed, reason="the API needs 'motherlode[serve]'")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("api")
    build(place, place / "index")
    return place


@pytest.fixture(scope="module")
def key(workspace: Path) -> str:
    return keys.make(workspace / "serve/keys.json", "tester", "write")


@pytest.fixture(scope="module")
def api(workspace: Path, key: str):
    assert key  # made before the server reads the file
    with client(workspace) as opened:
        yield opened


@pytest.fixture(scope="module")
def allowed(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def refused(answer: Any, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "request_id"} and error["code"] == code, answer.text
    assert error["request_id"] == answer.headers["x-request-id"] and error["message"].endswith(".")
    return str(error["message"])


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["item_id"] for hit in answer.json()["hits"]]


def test_a_search_by_address_and_by_body(api: Any, workspace: Path) -> None:
    wanted = [hit.item_id for hit in Index.open(workspace / "index").search("red chair", k=3)]
    answer = api.get("/search", params={"q": "red chair", "k": 3})
    assert ids(answer) == wanted
    body = answer.json()
    assert body["query"] == "red chair" and body["index"] == {"name": "shop", "version": 1} and body["took_ms"] >= 0
    assert body["request_id"] == answer.headers["x-request-id"] and body["nothing_relevant"] is False
    again = api.get("/search", params={"q": "red chair", "k": 3}).json()  # ready-made
    assert again["hits"] == body["hits"] and again["request_id"] != body["request_id"]
    assert api.post("/search", json={"q": "red chair", "k": 3}).json()["hits"] == body["hits"]
    assert ids(api.get("/search", params={"q": "chair", "filter": ["brand:Acme", "price:..15"]})) == ["i00"]
    assert ids(api.get("/search?q=hose&filter=taxonomy:garden/water&filter=colour:blue")) == ["i07"]
    assert ids(api.get("/search", params={"q": " "})) == []
    explained = api.get("/search", params={"q": "red chair", "explain": True}).json()["hits"][0]
    assert explained["dense"] == pytest.approx(1) and explained["lexical_rank"] == 1
    text = api.get("/metrics").text
    assert 'motherlode_cache_total{found="yes"} 2.0' in text and 'motherlode_index_items{index="shop"} 12.0' in text
    assert 'motherlode_requests_total{route="/search",status="200"}' in text


def test_like_an_item(api: Any) -> None:
    assert ids(api.get("/similar", params={"item_id": "i00", "like": "blue", "k": 1})) == ["i04"]
    assert "i00" not in ids(api.get("/similar", params={"item_id": "i00", "k": 100}))
    refused(api.get("/similar", params={"item_id": "../../etc/passwd"}), 404, "no_such_item")


def test_changes_are_found_once_they_are_answered(api: Any, allowed: dict[str, str], workspace: Path) -> None:
    before = api.get("/search", params={"q": "purple kettle"}).json()
    item = {"item_id": "new/../1", "title": "purple kettle", "attributes": [{"name": "price", "value": "3"}]}
    answer = api.post("/items", json={"items": [item]}, headers=allowed).json()
    assert answer["upserted"] == 1 and answer["version"] > before["index"]["version"]
    found = api.get("/search", params={"q": "purple kettle", "filter": "price:3..3"}).json()
    assert found["index"]["version"] == answer["version"] and found["hits"][0]["item_id"] == "new/../1"
    assert Index.open(workspace / "index").search("purple kettle")[0].item_id == "new/../1"  # on disk
    gone = api.request("DELETE", "/items", json={"item_ids": ["new/../1", "never"]}, headers=allowed).json()
    assert gone["deleted"] == 2 and gone["version"] > answer["version"]
    assert "new/../1" not in ids(api.get("/search", params={"q": "purple kettle"}))
    for wrong in ({"item_id": "x"}, {"item_id": "x", "title": ""}, {"item_id": "", "title": "x"},
                  {"item_id": "x", "title": "x", "colour": "red"}, {"item_id": "x" * 513, "title": "x"}):  # fmt: skip
        refused(api.post("/items", json={"items": [wrong]}, headers=allowed), 422, "invalid")


def test_an_item_in_no_words_is_refused_and_its_company_is_not(api: Any, allowed: dict[str, str]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    changes = [
        {"items": [{"item_id": "blank", "title": "\u2003"}]},
        {"items": [{"item_id": "mug-9", "title": "red mug"}]},
    ]
    with ThreadPoolExecutor(2) as pool:
        blank, mug = pool.map(lambda change: api.post("/items", json=change, headers=allowed), changes)
    assert "knows no word of item 'blank'" in refused(blank, 422, "invalid")
    assert mug.json()["upserted"] == 1
    assert "mug-9" in ids(api.get("/search", params={"q": "red mug", "k": 10}))
    api.request("DELETE", "/items", json={"item_ids": ["mug-9"]}, headers=allowed)


def test_who_may_what(api: Any, workspace: Path, key: str, tmp_path: Path) -> None:
    change = {"items": [{"item_id": "x", "title": "x"}]}
    refused(api.post("/items", json=change), 401, "no_key")
    assert api.post("/items", json=change).headers["www-authenticate"] == "Bearer"
    refused(api.post("/items", json=change, headers={"Authorization": "Bearer " + key[:-1]}), 401, "no_key")
    refused(api.request("DELETE", "/items", json={"item_ids": ["x"]}), 401, "no_key")
    refused(api.post("/grades", json={"query": "x", "item_id": "i00", "grade": 1}), 401, "no_key")
    assert api.get("/search?q=x").status_code == 200  # there is no read key
    other = tmp_path / "keys.json"
    with client(workspace, keys=other) as unlocked:
        refused(unlocked.post("/items", json=change), 403, "no_keys")
        reader = {"Authorization": "Bearer " + keys.make(other, "till", "read")}
        unlocked.app.state.desk.keys.refresh()
        for path in ("/search?q=x", "/similar?item_id=i00", "/facts", "/metrics"):
            refused(unlocked.get(path), 401, "no_key")
            assert unlocked.get(path, headers=reader).status_code == 200
        refused(unlocked.post("/items", json=change, headers=reader), 403, "read_only")
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert unlocked.get(path).status_code == 200


def test_grades_land_in_the_ledger(api: Any, workspace: Path, allowed: dict[str, str], tmp_path: Path) -> None:
    def give(grade: int, query: str = "red chair") -> dict[str, Any]:
        answer = api.post("/grades", json={"query": query, "item_id": "i00", "grade": grade}, headers=allowed)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    assert give(1)["query_id"] == "q1"  # the tables know the query
    give(2)
    give(2)
    made = give(0, "some other words")["query_id"]
    with Ledger(workspace / "ledger.sqlite") as ledger:
        held = {row["query_id"]: row for row in ledger.verdicts().to_dicts()}
    assert set(held) == {"q1", made} and held["q1"]["grade"] == 2 and held[made]["grade"] == 0
    assert held["q1"]["grader"] == "person/tester" and held["q1"]["source"] == "serve"
    assert held[made]["reason"] == "some other words" and made.startswith("served/")
    refused(
        api.post("/grades", json={"query": "x", "item_id": "nobody", "grade": 1}, headers=allowed), 404, "no_such_item"
    )
    refused(api.post("/grades", json={"query": "x", "item_id": "i00", "grade": 3}, headers=allowed), 422, "invalid")
    with client(workspace, keys=tmp_path / "none.json") as unlocked:  # this machine alone, and no keys
        assert unlocked.get("/facts").json()["grading"] is True
        body = {"query": "red chair", "item_id": "i01", "grade": 1}
        assert unlocked.post("/grades", json=body).status_code == 200
    with client(workspace, keys=tmp_path / "none.json", host="0.0.0.0") as public:
        assert public.get("/facts").json()["grading"] is False
        refused(public.post("/grades", json=body), 403, "no_keys")


def test_strata_come_and_go_with_their_file(workspace: Path) -> None:
    with client(workspace, keys=None) as api:
        facts = api.get("/facts").json()
        assert facts["indexes"][0]["thresholds"] is None and facts["filters"]["taxonomy"] == ["Home", "Garden"]
        assert facts["filters"]["brand"] == ["Acme", "Behr"]
        assert facts["filters"]["attributes"] == {"colour": ["blue", "green", "red"]}
        refused(api.get("/search?q=red&grade=1"), 409, "no_thresholds")
        weights = facts["indexes"][0]["weights"]
        live = api.app.state.desk.searching(None).live
        try:
            fit_strata([0.2, 0.99, 1.0], [0, 2, 2], weights="another").save(workspace / "thresholds")
            live.look()
            assert api.get("/facts").json()["indexes"][0]["thresholds"] is None  # of another encoder
            fit_strata([0.2, 0.99, 1.0], [0, 2, 2], weights=weights).save(workspace / "thresholds")
            live.look()
            assert api.get("/facts").json()["indexes"][0]["thresholds"] == {"1": 0.99, "2": 0.99}
            best = api.get("/search?q=red+chair&grade=2").json()
            assert [hit["item_id"] for hit in best["hits"]] == ["i00"] and best["hits"][0]["grade"] == 2
            assert best["hits"][0]["expected_precision"] == 1.0
            assert api.get("/search?q=red").json()["nothing_relevant"] is True
        finally:
            (workspace / "thresholds/thresholds.json").unlink(missing_ok=True)


def test_no_recommender_is_said(api: Any) -> None:
    refused(api.post("/recommend", json={"history": ["i00"]}), 409, "no_recommender")
    refused(api.post("/recommend", json={}), 422, "invalid")
    refused(api.post("/recommend", json={"history": []}), 422, "invalid")


def test_several_indexes_are_told_apart(workspace: Path, tmp_path: Path) -> None:
    build(tmp_path, tmp_path / "other", seed=1)
    with client(workspace, indexes={"shop": workspace / "index", "other": tmp_path / "other"}) as api:
        names = [one["name"] for one in api.get("/facts").json()["indexes"]]
        assert names == ["shop", "other"]
        assert api.get("/search?q=red&index=other").json()["index"]["name"] == "other"
        refused(api.get("/search?q=red&index=nobody"), 404, "no_such_index")
        refused(api.post("/grades", json={"query": "x", "item_id": "i00", "grade": 1, "index": "other"}), 401, "no_key")


RUBBISH = [
    ("GET", "/search", {}, b"", 422),  # no query
    ("GET", "/search?q=x&k=0", {}, b"", 422),
    ("GET", "/search?q=x&k=101", {}, b"", 422),
    ("GET", "/search?q=x&k=9999999999999999999999999", {}, b"", 422),
    ("GET", "/search?q=x&colour=red", {}, b"", 422),
    ("GET", "/search?q=x&mode=psychic", {}, b"", 422),
    ("GET", "/search?q=" + "x" * 501, {}, b"", 422),
    ("GET", "/search?q=x&filter=price:cheap", {}, b"", 422),
    ("GET", "/search?q=x" + "&filter=a:b" * 21, {}, b"", 422),
    ("GET", "/search?q=" + "%F0%9F%92%A9" * 3_000, {}, b"", 414),
    ("POST", "/search", {}, b"", 422),
    ("POST", "/search", {}, b"{", 400),
    ("POST", "/search", {}, b"\xff\xfe\x00", 400),
    ("POST", "/search", {}, b"[" * 60_000, 400),
    ("POST", "/search", {}, b'{"q": ' + b"1" * 5_000 + b"}", 400),
    ("POST", "/search", {}, b'{"q": "\\ud800"}', 422),
    ("POST", "/search", {}, b'{"q": NaN}', 422),
    ("POST", "/search", {}, b"null", 422),
    ("POST", "/search", {}, b'{"q":"' + b"x" * 70_000 + b'"}', 413),
    ("POST", "/search", {"content-type": "text/plain"}, b'{"q": "x"}', 415),
    ("POST", "/search", {"content-length": "99999999999999999999999"}, b"", 413),
    ("POST", "/search", {"content-length": "-1"}, b"", 413),
    ("PUT", "/search", {}, b"{}", 405),
    ("GET", "/../../../etc/passwd", {}, b"", 404),
    ("GET", "/%2e%2e/%2e%2e/etc/passwd", {}, b"", 404),
    ("GET", "/page.css/../../app.py", {}, b"", 404),
    ("GET", "/nothing%00here", {}, b"", 404),
    ("GET", "/search?q=x", {"host": "evil.example"}, b"", 403),
    ("GET", "/search?q=x", {"host": "127.0.0.1.evil.example:8480"}, b"", 403),
]


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), RUBBISH)
def test_rubbish_is_refused_in_words(api: Any, method: str, path: str, headers: Any, body: bytes, status: int) -> None:
    headers = {"content-type": "application/json"} | headers
    answer = api.request(method, path, headers=headers, content=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"] and "Traceback" not in answer.text
    assert api.get("/search?q=red+chair").status_code == 200  # nobody else notices


@pytest.mark.parametrize(
    "query", ["\0", "a\0b", "💩" * 500, "ﷺ" * 500, "\u202e\u0301" * 250, "' OR 1=1 --", "a" * 500, '"\\']
)
def test_strange_queries_are_answered(api: Any, query: str) -> None:
    for answer in (api.get("/search", params={"q": query}), api.post("/search", json={"q": query})):
        assert answer.status_code == 200, answer.text
        assert answer.json()["query"] == query


def test_bodies_are_limited_though_they_do_not_say_their_length(api: Any, allowed: dict[str, str]) -> None:
    headers = allowed | {"content-type": "application/json"}
    endless = (b" " * 65_536 for _ in range(200))
    refused(api.post("/items", content=endless, headers=headers), 413, "too_large")


def test_nothing_secret_is_logged(workspace: Path, key: str, caplog: Any, capfd: Any) -> None:
    with client(workspace, log=True) as api, caplog.at_level(logging.DEBUG):
        headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "given-1"}
        api.get("/search", params={"q": "private words"}, headers=headers)
        api.post("/items", json={"items": [{"item_id": "private words"}]}, headers=headers)
        assert api.get("/search?q=x", headers={"X-Request-ID": "bad id\n"}).headers["x-request-id"] != "bad id\n"
        assert api.get("/healthz", headers={"X-Request-ID": "given-1"}).headers["x-request-id"] == "given-1"
    records = [record.__dict__ for record in caplog.records if record.name.startswith("motherlode.serve")]
    told = json.dumps(records, default=str) + "".join(capfd.readouterr())
    assert "given-1" in told and '"status":422' in told
    assert key not in told and "private" not in told


def test_headers_of_every_answer(api: Any) -> None:
    for path in ("/search?q=x", "/nothing", "/healthz", "/", "/page.js", "/page.css"):
        headers = api.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"] and "unsafe" not in str(headers)
        assert headers["x-content-type-options"] == "nosniff" and "access-control-allow-origin" not in headers
    assert api.get("/docs").status_code == 404


def test_openapi_has_examples(api: Any) -> None:
    schema = api.get("/openapi.json").json()
    assert {
        "/search",
        "/similar",
        "/recommend",
        "/items",
        "/grades",
        "/facts",
        "/healthz",
        "/readyz",
        "/metrics",
    } <= set(schema["paths"])
    for form in ("Search", "Similar", "Recommend", "Upsert", "Delete", "Grade"):
        if form in schema["components"]["schemas"]:
            assert schema["components"]["schemas"][form]["examples"], form
    assert "bearer" in json.dumps(schema["components"]["securitySchemes"])


def test_the_recommender_beside_the_index_answers(tmp_path: Path) -> None:
    import numpy as np

    from motherlode.recommend.sequences import Sequences
    from motherlode.recommend.serving import Recommender
    from motherlode.recommend.towers import TowerSettings, UserItemTwoTower

    index = build(tmp_path, tmp_path / "index")
    names = [index.items[row]["item_id"] for row in range(len(index.items))]
    model = UserItemTwoTower(len(names), TowerSettings(width=8), seed=0)
    events = Sequences.from_events(np.array([0, 0]), np.array([1, 2]), len(names), n_users=1)
    made = Recommender.build(tmp_path / "recommender", model, names, names, users=(["u"], events))
    wanted = [one.item_id for one in made.recommend(["i01", "i02"], 4)]
    with client(tmp_path) as api:
        assert ids(api.post("/recommend", json={"user_id": "u", "k": 4})) == wanted
        assert ids(api.post("/recommend", json={"history": ["i01", "i02"], "k": 4})) == wanted
        refused(api.post("/recommend", json={"user_id": "nobody"}), 404, "no_such_user")
        refused(api.post("/recommend", json={"history": ["nobody"]}), 404, "no_such_item")


def test_settings_bind_to_this_machine_by_default(tmp_path: Path) -> None:
    assert settings(tmp_path).host == "127.0.0.1" and settings(tmp_path).local
    assert not settings(tmp_path, host="0.0.0.0").local
