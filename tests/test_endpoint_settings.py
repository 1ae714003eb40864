"""Settings that cannot be are refused in one sentence, and a key shows nowhere."""

import logging
import pickle
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from motherlode.endpoint.errors import EndpointError
from motherlode.endpoint.judge import EndpointGrader
from motherlode.endpoint.secret import Secret
from motherlode.endpoint.settings import EndpointSettings
from motherlode.errors import MissingError, SettingError
from motherlode.grading.grader import Pair
from motherlode.grading.ledger import Ledger
from motherlode.grading.rubric import Rubric
from openai_server import Body, Response, Server, completion, truthful

KEY = "sk-very-secret-0123456789"
RUBRIC = Rubric("test", "1", "Grade 2: right.\n")
PAIRS = [Pair("q", f"i{n}", "a query", f"item {n}") for n in range(4)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"modle": "x"}, "known here: url, model"),
        ({}, "endpoint.model cannot be"),
        ({"model": "x", "concurrency": 0}, "endpoint.concurrency"),
        ({"model": "x", "url": "localhost:8000"}, "such as http://localhost:8000/v1"),
        ({"model": "x", "url": f"http://me:{KEY}@host/v1"}, "environment variable"),
        ({"model": "x", "url": f"https://host/v1?key={KEY}"}, "environment variable"),
        ({"model": "x", "key_env": KEY}, "endpoint.key_env"),
        ({"model": "x", "api_key": KEY}, "not known"),
        ({"model": "x", KEY: True}, "not known"),
        ({"model": "x", "extra": {"temperature": 1}}, "temperature has its own setting"),
        ({"model": "x", "budget_money": 3.0}, "input_price"),
        ({"model": "x", "input_price": -1}, "endpoint.input_price"),
    ],
)
def test_wrong_settings_are_one_sentence_that_repeats_no_value(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words) as caught:
        EndpointSettings.read(values)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ValidationError) as direct:
        EndpointSettings(**values)
    if KEY not in values:  # as the name of an argument it is in the caller's own line
        assert KEY not in str(direct.value) + repr(direct.value)


def test_the_url_may_be_given_whole() -> None:
    for url in ("http://host:1/v1", "http://host:1/v1/", "http://host:1/v1/chat/completions"):
        assert EndpointSettings(url=url, model="m").url == "http://host:1/v1"


def test_the_key_is_sent_and_only_as_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server:
        monkeypatch.setenv("SHOP_KEY", f" {KEY}\n")
        EndpointGrader(EndpointSettings(url=server.url, model="m", key_env="SHOP_KEY"), RUBRIC).grade(PAIRS)
        monkeypatch.delenv("SHOP_KEY")
        EndpointGrader(EndpointSettings(url=server.url, model="m", key_env="SHOP_KEY"), RUBRIC).grade(PAIRS)
    with_key, without = server.headers
    assert with_key["Authorization"] == f"Bearer {KEY}" and "Authorization" not in without
    assert KEY not in str(server.bodies)


def echo_in_error(status: int, **headers: str) -> Response:
    return Response({"error": {"message": f"Incorrect key provided: {KEY}. {KEY}", "param": KEY}}, status, headers)


ECHOES = {
    "401": lambda _: echo_in_error(401),
    "400": lambda _: echo_in_error(400),
    "404": lambda _: echo_in_error(404),
    "500": lambda _: echo_in_error(500, **{"Retry-After": "0.01"}),
    "302": lambda _: echo_in_error(302, Location=f"http://elsewhere.example/?key={KEY}"),
    "a page": lambda _: Response(f"<html>{KEY}</html>"),
    "an answer": lambda body: echo_in_answer(body),
}


def echo_in_answer(body: Body) -> Response:
    text = str(truthful(body).body["choices"][0]["message"]["content"])
    spelt = "".join(f"\\u{ord(sign):04x}" for sign in KEY)
    return Response(completion(text.replace('"grade"', f'"rule": "{KEY}", "reason": "{spelt}", "grade"')))


@pytest.mark.parametrize("kind", ECHOES)
def test_a_key_that_the_server_sends_back_shows_nowhere(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    with Server(ECHOES[kind]) as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        settings = EndpointSettings(url=server.url, model="m", patience=0.3, backoff=0.01, concurrency=2)
        judge = EndpointGrader(settings, RUBRIC)
        try:
            graded = judge.grade(PAIRS)
        except EndpointError as error:
            assert kind != "an answer"
            shown += [str(error), repr(error), "".join(traceback.format_exception(error))]
        else:
            assert kind == "an answer" and graded.answered.all()
            assert graded.reasons[0] == "[key]: [key]"
            ledger.record(judge.judge, ["q"] * 4, [pair.item_id for pair in PAIRS], graded)
            shown += [repr(graded)]
        shown += [repr(settings), settings.model_dump_json(), repr(judge), repr(vars(judge)), str(judge.judge)]
    # what is asked of by others' debug logs is beyond us only where a server puts it in a header
    shown += [record.getMessage() for record in caplog.records if not (kind == "302" and "httpcore" in record.name)]
    shown += [pickle.dumps(settings).decode(errors="replace"), *capfd.readouterr()]
    shown += [file.read_bytes().decode(errors="replace") for file in tmp_path.iterdir()]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    for text in shown:
        assert KEY not in text
        assert "0123456789" not in text


@pytest.mark.parametrize("value", ["sk-two words", "sk-line\nend", "sk-ключ", "sk-\x07"])
def test_what_is_no_key_is_refused_without_being_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(SettingError, match="OPENAI_API_KEY holds no key") as caught:
        Secret("OPENAI_API_KEY").headers()
    assert "sk-" not in "".join(traceback.format_exception(caught.value)).replace(__file__, "")


def test_a_stand_in_for_a_key_is_not_struck_out_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert Secret("OPENAI_API_KEY").hide("none of these") == "none of these"


def test_without_httpx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingError, match=r"pip install 'motherlode\[endpoint\]'"):
        EndpointGrader(EndpointSettings(model="m"), RUBRIC)
