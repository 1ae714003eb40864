"""The look before a job: figures that can be worked out by hand, and a verdict that follows from them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motherlode.endpoint.preflight import Floors, preflight
from motherlode.errors import InputError
from motherlode.grading.ledger import Ledger
from openai_server import Body, Response, Server, asked, completion, verdicts
from test_endpoint_judge import grader, pairs_of, truth

PRICES = {"input_price": 1.0, "output_price": 5.0}


def answer(body: Body) -> Response:
    """A tenth of a second, 400 + 40 tokens, verdicts on every pair but those on item 7."""
    given = [one for one, pair in zip(verdicts(asked(body)), asked(body), strict=True) if pair["item"] != "item 7"]
    return Response(completion(json.dumps({"verdicts": given}), (400, 40)), delay=0.1)


def test_the_figures_are_those_of_the_sample_and_the_estimates_grow_from_them(tmp_path: Path) -> None:
    pairs = pairs_of(40)
    grades = truth(pairs)
    grades[:6] = (grades[:6] + 1) % 3  # people see six of them otherwise; 0 -> 1, 1 -> 2, 2 -> 0
    with Server(answer) as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        judge = grader(server, concurrency=2, **PRICES)
        found = preflight(judge, pairs, grades, 10_000, ledger=ledger, floors=Floors(parsed=0.95, within_1=0.8))
        assert ledger.count(judge.judge) == 39
    assert found.go, str(found)
    assert found.parsed == 39 / 40 and found.repaired == 1
    assert found.agreement["accuracy"] == pytest.approx(33 / 39)
    assert found.interval["accuracy"]["low"] < 33 / 39 < found.interval["accuracy"]["high"]
    # eleven requests, the repair with them, for forty pairs
    assert found.tokens == pytest.approx(250 * 11 * 440)
    assert found.money == pytest.approx(250 * 11 * (400 + 5 * 40) / 1e6)
    assert found.seconds >= 250 * 11 * 0.1 / 2
    assert not found.probabilities
    assert "GO" in str(found).splitlines()
    json.dumps(found.facts())


@pytest.mark.parametrize(
    ("given", "floors", "against"),
    [
        ({}, Floors(parsed=0.99), "97.5% of the pairs got a usable answer, less than 99.0%"),
        ({}, Floors(parsed=0.9, accuracy=1.01), "accuracy is 1.000"),
        (PRICES, Floors(parsed=0.9, money=1.0), "cost about 1.65, more than 1.00"),
        ({}, Floors(parsed=0.9, hours=0.001), "hours, more than 0.0"),
        ({"budget_tokens": 3_000}, Floors(parsed=0.1), "budget of tester is spent"),
    ],
)
def test_what_speaks_against_it_is_said(given: dict[str, Any], floors: Floors, against: str) -> None:
    pairs = pairs_of(40)
    with Server(answer) as server:
        found = preflight(grader(server, **given), pairs, truth(pairs), 10_000, floors=floors)
    assert not found.go
    assert len(found.against) == 1 and against in found.against[0]
    assert f"NO GO: {found.against[0]}" in str(found)


def test_limits_a_minute_lengthen_the_job() -> None:
    pairs = pairs_of(8)
    with Server(answer) as server:
        slow = preflight(grader(server, requests_per_minute=300), pairs, truth(pairs), 80_000)
        lean = preflight(grader(server, tokens_per_minute=150_000), pairs, truth(pairs), 80_000)
    assert slow.seconds == pytest.approx(10_000 * 3 * 60 / 300)  # three requests, the repair with them, of eight pairs
    assert lean.seconds == pytest.approx(10_000 * 3 * (400 + 64 + 4 * 32) * 60 / 150_000)


def test_a_judge_that_always_says_the_same_is_none() -> None:
    def lazy(body: Body) -> Response:
        return Response(completion(json.dumps([{"id": pair["id"], "grade": 0} for pair in asked(body)])))

    pairs = pairs_of(30)
    grades = np.zeros(30, dtype=int)
    grades[:5] = 1
    with Server(lazy) as server:
        found = preflight(grader(server), pairs, grades, 100)
    assert found.agreement["accuracy"] > Floors().accuracy
    assert found.against == ("saying the most frequent grade every time would be right on 83.3% of the sample",)


def test_no_answer_at_all_is_no_go_and_no_crash() -> None:
    with Server(lambda _: Response(completion("I would rather not."))) as server:
        found = preflight(grader(server), pairs_of(8), [0] * 8, 100)
    assert found.parsed == 0 and not found.go and found.interval == {}
    assert "accuracy is unknown" in str(found)
    assert dataclasses.asdict(found)


def test_a_sample_that_is_none_is_refused() -> None:
    for pairs, grades in (([], []), (pairs_of(2), [0]), (pairs_of(2), [0, 3])):
        with pytest.raises(InputError, match="golden sample"):
            preflight(grader("http://127.0.0.1:9/v1"), pairs, grades, 10)
