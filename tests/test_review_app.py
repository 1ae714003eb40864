"""The review server over HTTP: what it tells whom, what it refuses, and what survives its death."""

import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from motherlode.errors import InputError, SettingError
from motherlode.grading.ledger import Ledger
from motherlode.review.app import create, serve
from motherlode.review.desk import Desk
from motherlode.review.facts import Facts
from motherlode.review.queue import check_queue
from motherlode.tables.tables import Tables
from review_case import PNG, RUBRIC, SECRET, Server, make_queue, make_tables

pytest.importorskip("fastapi", reason="the review page needs FastAPI: pip install 'motherlode[review]'")
pytest.importorskip("httpx", reason="calling the review page in a test needs httpx")
pytest.importorskip("uvicorn", reason="the review page needs uvicorn: pip install 'motherlode[review]'")

TOKEN = "a-token"
HEADER = {"X-Review-Token": TOKEN}
PAIRS = 6


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def client_of(tmp_path: Path, ledger: Ledger, queue: pl.DataFrame | None = None, **desk: Any):  # type: ignore[no-untyped-def]
    from starlette.testclient import TestClient

    tables = Tables(tmp_path / "tables") if (tmp_path / "tables").exists() else make_tables(tmp_path / "tables", PAIRS)
    queue = check_queue(make_queue(PAIRS) if queue is None else queue)
    app = create(Desk(queue, ledger, RUBRIC.version, **desk), Facts(tables, queue), RUBRIC, TOKEN)
    return TestClient(app)


def post(client: Any, path: str, **body: Any) -> dict[str, Any]:
    response = client.post(f"/api/{path}", json=body, headers=HEADER)
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_a_course_of_verdicts(tmp_path: Path, ledger: Ledger) -> None:
    client = client_of(tmp_path, ledger, source="audit:3")
    for number in range(PAIRS):
        told = post(client, "next", name="Anna ")
        assert told["name"] == "anna" and told["pair"]["query"] == f"query {number}" and told["pair"]["hidden"] == 2
        assert told["standing"]["done"] == number and told["standing"]["left"] == PAIRS - number
        answer = post(client, "judge", name="anna", key=told["pair"]["key"], grade=2)
        assert [one["grade"] for one in answer["earlier"]] == [number % 3, (number + 1) % 3]
        frame = ledger.verdicts(source="audit:3")
        assert frame.height == number + 1
        assert frame.filter(item_id=f"i{number}").select("grader", "rubric", "grade").row(0) == (
            "person/anna",
            RUBRIC.version,
            2,
        )
    assert post(client, "next", name="anna")["pair"] is None
    back = post(client, "undo", name="anna")
    assert back["pair"]["query"] == f"query {PAIRS - 1}" and back["standing"]["done"] == PAIRS - 1
    assert ledger.verdicts().height == PAIRS - 1
    assert post(client, "undo", name="nobody-yet")["pair"] is None


def test_nothing_of_the_earlier_verdicts_is_told_before_the_choice(tmp_path: Path, ledger: Ledger) -> None:
    client = client_of(tmp_path, ledger)
    for _ in range(2):
        response = client.post("/api/next", json={"name": "anna"}, headers=HEADER)
        pair = response.json()["pair"]
        for word in ("SECRET-REASON", "crowd", "judge-x", "label", "verdict_", "reason", "grade", "priority"):
            assert word not in response.text
        assert set(pair) == {"key", "query", "locale", "item", "engagement", "image", "hidden"}
        skipped = client.post("/api/skip", json={"name": "anna", "key": pair["key"]}, headers=HEADER)
        assert "SECRET-REASON" not in skipped.text and "crowd" not in skipped.text
    chosen = post(client, "judge", name="anna", key=pair["key"], grade=0)
    assert chosen["earlier"][1]["reason"] == SECRET
    # and what one has chosen is no news to the other
    other = client_of(tmp_path, ledger, double=1.0)
    told = other.post("/api/next", json={"name": "ben"}, headers=HEADER).text
    assert "anna" not in told


def test_two_people_never_see_one_pair_unless_it_is_doubled(tmp_path: Path, ledger: Ledger) -> None:
    client = client_of(tmp_path, ledger)
    first, second = post(client, "next", name="anna")["pair"], post(client, "next", name="ben")["pair"]
    assert first["key"] != second["key"]
    assert post(client, "next", name="anna")["pair"] == first  # a reload shows the same one
    post(client, "judge", name="anna", key=first["key"], grade=1)
    assert post(client, "next", name="ben")["pair"] == second

    doubled = client_of(tmp_path, ledger, double=1.0)
    assert post(doubled, "next", name="ben")["pair"]["key"] == first["key"]


def test_agreement_is_live(tmp_path: Path, ledger: Ledger) -> None:
    from sklearn.metrics import cohen_kappa_score

    client = client_of(tmp_path, ledger, double=1.0)
    anna, ben = [0, 1, 2, 2, 1, 0], [0, 2, 2, 1, 1, 2]
    for name, grades in (("anna", anna), ("ben", ben)):
        for at, grade in enumerate(grades):
            standing = post(client, "judge", name=name, key=post(client, "next", name=name)["pair"]["key"], grade=grade)
            told = standing["standing"]["agreement"]
            if name == "ben":
                assert told[0]["people"] == ["anna", "ben"] and told[0]["n"] == at + 1
    kappa = cohen_kappa_score(anna, ben, weights="quadratic")
    assert told[0]["quadratic_kappa"] == pytest.approx(kappa) and told[0]["accuracy"] == pytest.approx(3 / 6)
    summary = client.get("/api/agreement", headers=HEADER).json()
    assert summary == {"people": {"anna": 6, "ben": 6}, "agreement": told, "pairs": PAIRS}
    assert client.get("/api/standing", params={"name": "anna"}, headers=HEADER).json()["agreement"] == told
    assert client.get("/api/standing", params={"name": "carl"}, headers=HEADER).json()["agreement"] == []


@pytest.mark.parametrize("token", ["", "wrong", "a-toke", "ä"])
def test_without_the_token_nothing_is_told_or_done(tmp_path: Path, ledger: Ledger, token: str) -> None:
    client = client_of(tmp_path, ledger)
    key = post(client, "next", name="anna")["pair"]["key"]
    header = {"X-Review-Token": token.encode()}
    body = {"name": "anna", "key": key, "grade": 1}
    answers = [
        client.post("/api/judge", json=body, headers=header),
        client.post("/api/judge", json=body, params={"token": TOKEN}),  # an address alone does not do for a call
        client.post("/api/judge", json=body, headers={"Cookie": f"token={TOKEN}; X-Review-Token={TOKEN}"}),
        client.post("/api/undo", json={"name": "anna"}, headers=header),
        client.post("/api/next", json={"name": "anna"}, headers=header),
        client.get("/api/standing", params={"name": "anna"}, headers=header),
        client.get("/api/rubric", headers=header),
        client.get("/api/agreement", headers=header),
        client.get("/", params={"token": token}),
        client.get("/summary", params={"token": token}),
        client.get(f"/image/{key}", params={"token": token}),
    ]
    assert [answer.status_code for answer in answers] == [403] * len(answers)
    assert all("motherlode review" in answer.json()["detail"] for answer in answers)
    assert ledger.verdicts().height == 0


def test_another_website_is_not_answered(tmp_path: Path, ledger: Ledger) -> None:
    client = client_of(tmp_path, ledger)
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/api/judge", headers=asked | {"Access-Control-Request-Headers": "x-review-token"})
    assert not any(name.startswith("access-control") for name in answer.headers)  # so that its browser sends no call
    form = client.post(
        "/api/judge", data={"name": "anna", "key": "k", "grade": "1"}, headers={"Origin": "https://evil.example"}
    )
    assert form.status_code == 403


def test_every_answer_carries_the_guards(tmp_path: Path, ledger: Ledger) -> None:
    client = client_of(tmp_path, ledger)
    for path in (
        "/?token=a-token",
        "/summary?token=a-token",
        "/page.js",
        "/talk.js",
        "/summary.js",
        "/page.css",
        "/docs",
    ):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        # nothing of our own is fetched from elsewhere (a shop's images aside)
        assert not re.search(r"""(?:src|href|url|import)[\s=("']+(?:https?:)?//""", answer.text)
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 404


def test_images(tmp_path: Path, ledger: Ledger) -> None:
    client = client_of(tmp_path, ledger)
    first = post(client, "next", name="anna")["pair"]
    second = post(client, "skip", name="anna", key=first["key"])["pair"]
    assert first["image"] is None and second["image"] == f"image/{second['key']}"
    answer = client.get(f"/{second['image']}", params={"token": TOKEN})
    assert answer.content == PNG and answer.headers["content-type"] == "image/png"
    assert client.get(f"/image/{first['key']}", params={"token": TOKEN}).status_code == 404
    for path in ("..%2f..%2fledger.sqlite", "%2e%2e/queue", "x" * 16):
        assert client.get(f"/image/{path}", params={"token": TOKEN}).status_code in (400, 404)


def test_remote_images_are_addresses(tmp_path: Path, ledger: Ledger) -> None:
    tables = make_tables(tmp_path / "tables", PAIRS)
    remote = tables.frame("catalogue").with_columns(image=pl.lit("https://shop.example/a.jpg"))
    remote.write_parquet(tables.path("catalogue"))
    assert post(client_of(tmp_path, ledger), "next", name="anna")["pair"]["image"] == "https://shop.example/a.jpg"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("next", {"name": "a/b"}, 400, "cannot be used"),
        ("judge", {"name": "anna", "key": "0" * 16, "grade": 1}, 400, "not in the queue"),
        ("judge", {"name": "anna", "key": "KEY", "grade": 3}, 400, "does not exist"),
        ("judge", {"name": "anna", "key": "KEY", "grade": "high"}, 422, ""),
        ("judge", {"name": "anna", "key": "KEY"}, 422, ""),
        ("next", {"name": "anna", "grade": 1}, 422, ""),
    ],
)
def test_wrong_calls_are_told_and_change_nothing(
    tmp_path: Path, ledger: Ledger, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    client = client_of(tmp_path, ledger)
    key = post(client, "next", name="anna")["pair"]["key"]
    if body.get("key") == "KEY":
        body = body | {"key": key}
    answer = client.post(f"/api/{path}", json=body, headers=HEADER)
    assert answer.status_code == status and message in str(answer.json()["detail"])
    assert ledger.verdicts().height == 0


def test_two_grades_for_one_pair_are_a_conflict(tmp_path: Path, ledger: Ledger) -> None:
    client = client_of(tmp_path, ledger)
    key = post(client, "next", name="anna")["pair"]["key"]
    for _ in range(2):  # an answer lost on its way, and asked for again
        assert len(post(client, "judge", name="anna", key=key, grade=1)["earlier"]) == 2
    answer = client.post("/api/judge", json={"name": "anna", "key": key, "grade": 2}, headers=HEADER)
    assert answer.status_code == 409 and "undo" in answer.json()["detail"]
    assert ledger.verdicts()["grade"].to_list() == [1]


def test_the_rubric_is_rendered(tmp_path: Path, ledger: Ledger) -> None:
    told = client_of(tmp_path, ledger).get("/api/rubric", headers=HEADER).json()
    assert told["version"] == RUBRIC.version
    assert "<strong>asked</strong>" in told["html"] and "<table>" in told["html"] and "<script" not in told["html"]


def test_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    make_tables(tmp_path / "tables", PAIRS)
    make_queue(PAIRS).write_parquet(tmp_path / "queue.parquet")
    server = Server(tmp_path, name="Anna", source="audit:9")
    try:
        assert f"{PAIRS:,} pairs to review at http://127.0.0.1:" in server.line and server.line.endswith("&name=anna\n")
        first = server.post("next", name="anna")["pair"]
        second = server.post("skip", name="anna", key=first["key"])["pair"]
        server.post("judge", name="anna", key=second["key"], grade=2)
        third = server.post("next", name="anna")["pair"]
        server.post("judge", name="anna", key=third["key"], grade=0)
    finally:
        server.end(signal.SIGKILL)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        found = ledger.verdicts().sort("item_id").select("grader", "item_id", "grade", "source").rows()
    assert found == [("person/anna", "i1", 2, "audit:9"), ("person/anna", "i2", 0, "audit:9")]

    again = Server(tmp_path, source="audit:9")
    try:
        assert again.token != server.token
        told = again.post("next", name="anna")
        assert told["pair"]["query"] == "query 3" and told["standing"]["mine"] == 2 and told["standing"]["skipped"] == 1
        assert again.post("undo", name="anna")["pair"]["key"] == third["key"]  # also what was given before the kill
        for _ in range(4):
            again.post("judge", name="anna", key=again.post("next", name="anna")["pair"]["key"], grade=1)
        assert again.post("next", name="anna")["pair"]["key"] == first["key"]  # put off, and now the last one
    finally:
        assert again.end(signal.SIGINT) == 0
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert dict(ledger.verdicts().select("item_id", "grade").iter_rows()) == {
            "i1": 2,
            "i2": 1,
            "i3": 1,
            "i4": 1,
            "i5": 1,
        }


def test_what_cannot_be_served_is_said_before_anything_is_open(tmp_path: Path, ledger: Ledger) -> None:
    tables, queue = make_tables(tmp_path / "tables", PAIRS), check_queue(make_queue(PAIRS))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingError, match="--port"):
            serve(tables, ledger, queue, RUBRIC, port=taken.getsockname()[1])
    with pytest.raises(SettingError, match="--port"):
        serve(tables, ledger, queue, RUBRIC, port=99_999)
    with pytest.raises(InputError, match="cannot be used"):
        serve(tables, ledger, queue, RUBRIC, name="a b")
    with pytest.raises(InputError, match="row 7: query 'q6'"):
        serve(tables, ledger, check_queue(make_queue(PAIRS + 1)), RUBRIC, port=0)


@pytest.mark.parametrize("absent", ["fastapi", "uvicorn"])
def test_a_missing_package_is_named(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    from motherlode.errors import MissingError

    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingError, match=r"pip install 'motherlode\[review\]'"):
        serve(make_tables(tmp_path / "tables", 2), ledger, check_queue(make_queue(2)), RUBRIC, port=0)


def test_a_long_queue_answers_at_once(ledger: Ledger) -> None:
    """No call looks at the whole queue: with a hundred times the pairs, its cost in Python steps stays the same."""

    def steps(pairs: int) -> int:
        desk = Desk(check_queue(make_queue(pairs)), ledger, f"r{pairs}", double=0.1)
        count = 0

        def tick(*_: object) -> object:
            nonlocal count
            count += 1
            return tick

        entry = desk.next("anna")
        assert entry
        sys.settrace(tick)  # type: ignore[arg-type]
        try:
            desk.judge("anna", entry.key, 1)
            desk.next("anna")
            desk.progress("anna")
        finally:
            sys.settrace(None)
        return count

    short = steps(200)
    assert short > 0 and steps(20_000) < 2 * short
