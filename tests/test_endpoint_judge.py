"""A judge behind a server that behaves, and behind one that does not: no answer is lost, none is made up."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.endpoint.errors import EndpointError
from motherlode.endpoint.judge import EndpointGrader
from motherlode.endpoint.settings import EndpointSettings
from motherlode.grading.grader import Graded, Pair, decide
from motherlode.grading.rubric import Rubric
from openai_server import Body, Response, Server, asked, completion, true_grade, truthful, verdicts

RUBRIC = Rubric("test", "1", "Grade 2: right. Grade 1: near. Grade 0: wrong.\n")


def pairs_of(count: int) -> list[Pair]:
    return [Pair(f"q{n // 3}", f"i{n}", f"query {n // 3}", f"item {n}") for n in range(count)]


def grader(server: Server | str, **given: Any) -> EndpointGrader:
    quick = {
        "backoff": 0.01,
        "patience": 5.0,
        "timeout": 5.0,
        "concurrency": 3,
        "pairs_per_request": 4,
        "reasons": False,
    }
    url = server if isinstance(server, str) else server.url
    return EndpointGrader(EndpointSettings(url=url, model="tester", **(quick | given)), RUBRIC)


def truth(pairs: list[Pair]) -> np.ndarray:
    return np.array([true_grade(pair.query, pair.item) for pair in pairs])


def assert_truthful(graded: Graded, pairs: list[Pair]) -> None:
    """What is answered is what the server says of that very pair."""
    known = graded.answered
    np.testing.assert_array_equal(decide(graded.probabilities)[known], truth(pairs)[known])


def once(bad: Callable[[Body], Response], times: int = 1) -> Callable[[Body], Response]:
    """Behave badly so many times, then well."""
    left = [times]

    def answer(body: Body) -> Response:
        left[0] -= 1
        return bad(body) if left[0] >= 0 else truthful(body)

    return answer


def test_every_pair_gets_its_own_verdict_several_to_a_request() -> None:
    pairs = pairs_of(30)
    with Server(lambda body: Response(truthful(body).body, delay=0.05)) as server:
        judge = grader(server)
        graded = judge.grade(pairs)
    assert graded.answered.all()
    assert_truthful(graded, pairs)
    assert sorted(len(asked(body)) for body in server.bodies) == [2] + [4] * 7
    assert 1 < server.most_at_once <= 3
    assert judge.block == 3 * 4 * 4
    assert judge.tally.requests == 8 and judge.tally.answered == judge.tally.pairs == 30
    assert (judge.tally.tokens_in, judge.tally.tokens_out) == (800, 160)
    assert set(graded.probabilities.ravel()) == {0.0, 1.0}  # nothing was said of doubt
    assert judge.grade([]).probabilities.shape == (0, 3)


def test_what_is_sent_is_the_protocol() -> None:
    with Server() as server:
        grader(server, reasons=True, extra={"reasoning_effort": "low"}).grade(pairs_of(2))
    (body,) = server.bodies
    assert body["model"] == "tester" and body["temperature"] == 0 and body["reasoning_effort"] == "low"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert RUBRIC.text.strip() in body["messages"][0]["content"]
    form = body["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["strict"] is True
    fields = form["json_schema"]["schema"]["properties"]["verdicts"]["items"]["properties"]
    assert list(fields) == ["id", "rule", "reason", "grade"] and fields["grade"]["enum"] == [0, 1, 2]
    assert body["logprobs"] is True and body["top_logprobs"] == 10
    assert body["max_tokens"] == 64 + 2 * 160


def test_reasons_and_probabilities_are_read_where_they_are_given() -> None:
    def answer(body: Body) -> Response:
        (pair,) = asked(body)
        head = f'[{{"id": {pair["id"]}, "rule": "Substitutes", "reason": "other brand", "grade": '
        top = [{"token": "1", "logprob": np.log(0.7)}, {"token": "2", "logprob": np.log(0.2)}]
        tokens = [
            {"token": head, "logprob": 0.0, "top_logprobs": []},
            {**top[0], "top_logprobs": [*top, {"token": "0", "logprob": np.log(0.1)}]},
            {"token": "}]", "logprob": 0.0, "top_logprobs": []},
        ]
        return Response(completion(head + "1}]", logprobs={"content": tokens}))

    with Server(answer) as server:
        graded = grader(server, pairs_per_request=1, reasons=True).grade(pairs_of(2))
    np.testing.assert_allclose(graded.probabilities, [[0.1, 0.7, 0.2]] * 2)
    assert list(graded.reasons) == ["Substitutes: other brand"] * 2


TRANSIENT: dict[str, Callable[[Body], Response]] = {
    "429": lambda _: Response({"error": {"message": "slow down"}}, 429),
    "429 with a nonsense Retry-After": lambda _: Response("", 429, {"Retry-After": "soon"}),
    "429 with an endless Retry-After": lambda _: Response("", 429, {"Retry-After": "inf"}),
    "500": lambda _: Response({"error": {"message": "oops"}}, 500),
    "503": lambda _: Response("loading model", 503, kind="text/plain"),
    "time-out": lambda body: Response(truthful(body).body, delay=0.4),
    "reset": lambda _: Response("", reset=True),
    "half a body": lambda body: Response(truthful(body).body, cut=40),
    "half a document": lambda body: Response(truthful(body).raw[:60]),
    "a web page": lambda _: Response("<html>Bad gateway</html>", kind="text/html"),
    "no choices": lambda _: Response({"choices": []}),
    "no JSON": lambda _: Response(b"\xff\xfe\x00"),
    "an error with status 200": lambda _: Response({"error": {"message": "upstream failed", "code": 502}}),
    "a wrong encoding": lambda body: Response(truthful(body).body, headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("kind", TRANSIENT)
def test_trouble_that_passes_costs_no_verdict(kind: str) -> None:
    pairs = pairs_of(20)
    with Server(once(TRANSIENT[kind], times=3)) as server:
        judge = grader(server, timeout=0.3 if kind == "time-out" else 20.0)
        graded = judge.grade(pairs)
    assert graded.answered.all()
    assert_truthful(graded, pairs)
    assert (judge.tally.failures == 3 or kind == "time-out") and judge.tally.failures >= 3
    assert judge.tally.repairs == 0


def broken(change: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Body], Response]:
    """An answer whose true verdicts were changed in some way."""
    return lambda body: Response(completion(json.dumps({"verdicts": change(verdicts(asked(body)))})))


UNUSABLE: dict[str, Callable[[Body], Response]] = {
    "one too few": broken(lambda all: all[1:]),
    "the last one cut off": lambda body: Response(completion(truthful_text(body)[:-5], finish_reason="length")),
    "a grade out of range": broken(lambda all: [{**all[0], "grade": 5}, *all[1:]]),
    "a grade in words": broken(lambda all: [{**all[0], "grade": "relevant"}, *all[1:]]),
    "an id twice": broken(lambda all: [all[0], *all]),
    "counted from one": broken(lambda all: [{**one, "id": place} for place, one in enumerate(all, 1)]),
    "prose": lambda _: Response(completion("I would say that they are all fine.")),
    "nothing": lambda _: Response(completion("")),
    "a refusal": lambda _: Response(completion(None, finish_reason="content_filter")),
}


def truthful_text(body: Body) -> str:
    return str(truthful(body).body["choices"][0]["message"]["content"])


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_answer_is_repaired_once_for_the_pairs_it_concerns(kind: str) -> None:
    pairs = pairs_of(4)
    with Server(once(UNUSABLE[kind])) as server:
        judge = grader(server)
        graded = judge.grade(pairs)
    assert graded.answered.all()
    assert_truthful(graded, pairs)
    assert judge.tally.repairs == 1
    first, second = server.bodies
    usable = {"prose": 0, "nothing": 0, "a refusal": 0, "counted from one": 0}.get(kind, 3)
    assert len(asked(second)) == 4 - usable
    assert "could not be used" in second["messages"][0]["content"]
    assert "could not be used" not in first["messages"][0]["content"]
    with Server(UNUSABLE[kind]) as server:  # and if it stays so, nothing is made up
        judge = grader(server)
        graded = judge.grade(pairs)
    assert_truthful(graded, pairs)
    assert 0 <= graded.answered.sum() < 4
    assert judge.tally.repairs == 1 and len(server.bodies) == 2


def test_verdicts_in_prose_and_fences_need_no_repair() -> None:
    pairs = pairs_of(4)
    with Server(lambda body: Response(completion(f"Here:\n```json\n{truthful_text(body)}\n```\nDone."))) as server:
        judge = grader(server)
        assert_truthful(graded := judge.grade(pairs), pairs)
    assert graded.answered.all() and judge.tally.repairs == 0


@pytest.mark.parametrize("bad", ["500", "time-out", "reset", "400"])
def test_a_pair_that_no_server_can_take_does_not_take_others_with_it(bad: str) -> None:
    def answer(body: Body) -> Response:
        if any(pair["item"] == "item 13" for pair in asked(body)):
            return TRANSIENT[bad](body) if bad in TRANSIENT else Response({"error": {"message": "no"}}, 400)
        return truthful(body)

    pairs = pairs_of(20)
    with Server(answer) as server:
        graded = grader(server, timeout=0.3 if bad == "time-out" else 20.0).grade(pairs)
    assert np.flatnonzero(~graded.answered).tolist() == [13]
    assert_truthful(graded, pairs)


def test_a_request_that_is_too_long_is_halved() -> None:
    def answer(body: Body) -> Response:
        if len(asked(body)) > 2:
            return Response(
                {"error": {"message": "This model's maximum context length is 512 tokens (max_tokens)."}}, 400
            )
        return truthful(body)

    pairs = pairs_of(16)
    with Server(answer) as server:
        judge = grader(server, pairs_per_request=8)
        graded = judge.grade(pairs)
    assert graded.answered.all()
    assert_truthful(graded, pairs)
    assert all(body["response_format"]["type"] == "json_schema" for body in server.bodies)


def declines(body: Body, taken: set[str]) -> str | None:
    """What a server that takes only so much of the protocol says."""
    form = body.get("response_format", {}).get("type")
    if form == "json_schema" and "schema" not in taken:
        return "response_format: json_schema is not supported"
    if form == "json_object" and "json" not in taken:
        return "unknown field response_format"
    if "logprobs" in body and "logprobs" not in taken:
        return "This model does not support logprobs"
    if "max_tokens" in body and "max_tokens" not in taken:
        return "Unsupported parameter: use 'max_completion_tokens' instead of 'max_tokens'"
    if body["messages"][0]["role"] == "system" and "system" not in taken:
        return "System role not supported"
    return None


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    "taken",
    [{"json", "logprobs", "max_tokens", "system"}, {"logprobs", "system"}, {"schema"}, set()],
    ids=["no schema", "plain", "new limit and no system", "nothing"],
)
def test_the_server_is_asked_for_less_where_it_takes_less(taken: set[str], status: int) -> None:
    def answer(body: Body) -> Response:
        said = declines(body, taken) if asked(body) or "system" not in taken else None
        return Response({"error": {"message": said}}, status) if said else truthful(body)

    def truly(body: Body) -> Response:
        if body["messages"][0]["content"] == "Say yes.":
            return truthful(body)
        if body["messages"][0]["role"] == "user":  # policy and pairs in one message
            document = body["messages"][0]["content"].rpartition("\n\n")[2]
            body = {**body, "messages": [{"role": "user", "content": document}]}
            return (
                Response({"error": {"message": said}}, status)
                if (said := declines(body, taken | {"system"}))
                else truthful(body)
            )
        return answer(body)

    pairs = pairs_of(12)
    with Server(truly) as server:
        judge = grader(server)
        graded = judge.grade(pairs)
        learnt = len(server.bodies)
        again = judge.grade(pairs)
        assert len(server.bodies) == learnt + 3  # it does not have to find out twice
    assert graded.answered.all() and again.answered.all()
    assert_truthful(graded, pairs)
    last = server.bodies[-1]
    form = last.get("response_format", {}).get("type")
    assert form == ("json_schema" if "schema" in taken else "json_object" if "json" in taken else None)
    assert ("logprobs" in last) == ("logprobs" in taken)


def test_a_server_that_takes_less_than_it_did_is_asked_for_less() -> None:
    taken = {"schema", "logprobs", "max_tokens", "system"}

    def answer(body: Body) -> Response:
        said = declines(body, taken)
        return Response({"error": {"message": said}}, 400) if said else truthful(body)

    pairs = pairs_of(12)
    with Server(answer) as server:
        judge = grader(server)
        assert judge.grade(pairs).answered.all()
        taken.remove("schema")  # another server at the same address
        assert judge.grade(pairs).answered.all()
    assert "response_format" not in server.bodies[-1] and "logprobs" in server.bodies[-1]


FATAL: dict[str, tuple[Callable[[Body], Response], str]] = {
    "key": (lambda _: Response({"error": {"message": "bad key"}}, 401), "OPENAI_API_KEY"),
    "forbidden": (lambda _: Response("", 403), "OPENAI_API_KEY"),
    "unknown model": (lambda _: Response({"error": {"message": "no model tester"}}, 404), "'tester'"),
    "unpaid": (lambda _: Response("", 402), "paid"),
    "no quota": (lambda _: Response({"error": {"code": "insufficient_quota", "message": "pay"}}, 429), "used up"),
    "moved": (lambda _: Response("", 302, {"Location": "http://elsewhere.example/"}), "HTTP 302"),
    "temperature": (
        lambda _: Response({"error": {"message": "temperature: only 1 is supported"}}, 400),
        "temperature=0",
    ),
    "no": (lambda _: Response({"error": {"message": "go away"}}, 400), "go away"),
    "a web page": (lambda _: Response("<html>hello</html>"), "check the url"),
    "too long for one": (lambda _: Response({"error": {"message": "prompt too long"}}, 400), "too long"),
    "asks for an hour": (lambda _: Response("", 429, {"Retry-After": "3600"}), "3,600 s"),
}


@pytest.mark.parametrize("kind", FATAL)
def test_what_cannot_heal_ends_at_once_with_a_sentence(kind: str) -> None:
    bad, words = FATAL[kind]
    began = time.monotonic()
    with Server(bad) as server, pytest.raises(EndpointError, match=words) as caught:
        grader(server, patience=60.0).grade(pairs_of(20))
    assert time.monotonic() - began < 30  # half of what patience would allow
    assert server.url in str(caught.value) or kind == "temperature"
    assert caught.value.graded is not None and not caught.value.graded.answered.any()


def test_what_was_answered_before_the_end_is_handed_over() -> None:
    count = 0

    def answer(body: Body) -> Response:
        nonlocal count
        count += 1
        return truthful(body) if count <= 2 else Response("", 401)

    pairs = pairs_of(20)
    with Server(answer) as server, pytest.raises(EndpointError) as caught:
        grader(server, concurrency=1).grade(pairs)
    assert caught.value.graded is not None
    assert caught.value.graded.answered.tolist() == [True] * 8 + [False] * 12
    assert_truthful(caught.value.graded, pairs)


def test_a_server_that_is_away_is_waited_for_and_no_longer_than_that(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("motherlode.endpoint.client.QUIET", 0.1)
    with Server() as server:
        url, port = server.url, int(server.url.split(":")[2].split("/")[0])
    judge = grader(url, patience=0.5)
    began = time.monotonic()
    with pytest.raises(EndpointError, match=r"no answer for .* Run the same command again"):
        judge.grade(pairs_of(4))
    assert 0.5 <= time.monotonic() - began < 30
    with Server(port=port):  # it is back: the same judge goes on
        assert judge.grade(pairs_of(4)).answered.all()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 2 and "gives no answer" in said[0] and said[1] == f"{url} answers again"


@pytest.mark.parametrize("header", [{"Retry-After": "1.0"}, {"retry-after-ms": "1000"}])
def test_a_server_that_asks_to_wait_is_left_alone_for_so_long_by_all(header: dict[str, str]) -> None:
    times: list[float] = []
    refuse = once(lambda _: Response("", 429, header))

    def answer(body: Body) -> Response:
        times.append(time.monotonic())
        response = refuse(body)
        response.delay = 0.05
        return response

    with Server(answer) as server:  # fifty requests, three at once: they would take the second that was asked for
        assert grader(server).grade(pairs_of(200)).answered.all()
    since = np.array(times) - times[0]
    assert not ((since > 0.5) & (since < 1.0)).any()  # those under way when it spoke have long come and gone


def test_a_date_to_wait_for_is_understood() -> None:
    from email.utils import formatdate

    began = time.time()
    with Server(once(lambda _: Response("", 503, {"Retry-After": formatdate(began + 2, usegmt=True)}))) as server:
        assert grader(server).grade(pairs_of(1)).answered.all()
    assert time.time() >= int(began + 2)


def test_it_also_works_inside_a_running_loop() -> None:
    async def notebook() -> Graded:
        return judge.grade(pairs_of(5))

    with Server() as server:
        judge = grader(server)
        assert asyncio.run(notebook()).answered.all()


def test_the_version_changes_with_all_that_could_change_a_verdict() -> None:
    def version(rubric: Rubric = RUBRIC, **given: Any) -> str:
        return EndpointGrader(EndpointSettings(**({"model": "a"} | given)), rubric).judge.version

    same = version()
    assert version() == same == version(concurrency=2, timeout=9, input_price=3.0, url="http://elsewhere/v1")
    others = [
        version(model="b"),
        version(temperature=0.5),
        version(temperature=None),
        version(reasons=False),
        version(logprobs=False),
        version(extra={"reasoning_effort": "high"}),
        version(Rubric("test", "1", "Another policy.\n")),
    ]
    assert len({same, *others}) == 8


MOODS: list[Callable[[Body], Response]] = [truthful, truthful, *TRANSIENT.values(), *UNUSABLE.values()]
MOODS.remove(TRANSIENT["time-out"])  # slow, and seen above


@settings(max_examples=25)
@given(st.lists(st.sampled_from(MOODS), min_size=1, max_size=12), st.integers(1, 7), st.integers(1, 3))
def test_whatever_comes_back_verdicts_are_some_of_the_true_ones(
    moods: list[Callable[[Body], Response]], size: int, concurrency: int
) -> None:
    left = list(moods)
    pairs = pairs_of(9)
    with Server(lambda body: (left.pop() if left else truthful)(body)) as server:
        try:
            graded = grader(server, pairs_per_request=size, concurrency=concurrency, backoff=0.001).grade(pairs)
        except EndpointError as error:  # a server that has not said one sensible word is given up
            assert isinstance(error.graded, Graded)
            graded = error.graded
    assert_truthful(graded, pairs)
    again = [pair for pair, known in zip(pairs, graded.answered, strict=True) if not known]
    with Server() as server:
        assert_truthful(rest := grader(server).grade(again), again)
    assert rest.answered.all()
