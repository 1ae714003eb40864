"""Limits a minute, tokens and money: kept, in simulated and in real time."""

import asyncio
import heapq
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.endpoint.budget import Budget
from motherlode.endpoint.pace import Pace
from motherlode.endpoint.settings import EndpointSettings
from motherlode.grading.budget import BudgetSpent
from openai_server import Body, Response, Server, asked, completion, verdicts
from test_endpoint_judge import assert_truthful, grader, once, pairs_of


class Clock:
    """Time that passes only while everybody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self.now + seconds, self._count, waking))
        await waking

    async def run(self, tasks: list[asyncio.Task[Any]]) -> None:
        while not all(task.done() for task in tasks):
            for _ in range(5):
                await asyncio.sleep(0)
            if self._sleeping:
                self.now, _, waking = heapq.heappop(self._sleeping)
                waking.set_result(None)


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 4_000), min_size=1, max_size=40),
    st.one_of(st.none(), st.floats(1, 600)),
    st.one_of(st.none(), st.floats(5_000, 60_000)),
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 39), st.floats(0, 30)), max_size=3),
)
def test_no_minute_holds_more_than_the_limits(
    sizes: list[int], requests: float | None, tokens: float | None, workers: int, closings: list[tuple[int, float]]
) -> None:
    clock = Clock()
    pace = Pace(requests, tokens, clock, clock.sleep)
    went: list[tuple[float, int]] = []
    closed: list[tuple[float, float]] = []

    async def work(mine: list[int]) -> None:
        for size in mine:
            await pace.turn(size)
            went.append((clock.now, size))
            for place, seconds in closings:
                if place == len(went):
                    pace.close(seconds)
                    closed.append((clock.now, clock.now + seconds))

    async def everybody() -> None:
        await clock.run([asyncio.create_task(work(sizes[start::workers])) for start in range(workers)])

    asyncio.run(everybody())
    assert sorted(size for _, size in went) == sorted(sizes)
    if not closings:  # an opening lets those through who were waiting
        times, amounts = np.array([time for time, _ in went]), np.array([size for _, size in went])
        for start in times:
            within = (times >= start) & (times < start + 60 - 1e-6)
            if requests:
                assert within.sum() <= np.ceil(requests)
            if tokens:
                assert amounts[within][:-1].sum() <= tokens + 1e-6
        if requests and not tokens:  # and no slower than it must be
            assert times[-1] == pytest.approx((len(sizes) - 1) * 60 / requests)
    for since, until in closed:
        assert not any(since < time < until for time, _ in went)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500)), max_size=30), st.data())
def test_reserved_and_spent_never_pass_the_limit(asked_for: list[tuple[int, int, int]], data: st.DataObject) -> None:
    settings = EndpointSettings(model="m", budget_tokens=3_000, budget_money=0.004, input_price=1.0, output_price=4.0)
    budget = Budget(settings)
    under_way = []
    for tokens_in, tokens_out, really in asked_for:
        reservation = budget.reserve(tokens_in, tokens_out)
        if reservation is not None:
            under_way.append((reservation, min(really, tokens_out)))
        worst = budget.tokens + sum(one.tokens_in + one.tokens_out for one, _ in under_way)
        assert worst <= 3_000
        assert budget.money + sum(one.money for one, _ in under_way) <= 0.004 + 1e-12
        if reservation is None:  # refused only where it would have passed one of them
            money = budget.money + sum(one.money for one, _ in under_way) + budget.price(tokens_in, tokens_out)
            assert worst + tokens_in + tokens_out > 3_000 or money > 0.004 - 1e-12
        while under_way and data.draw(st.booleans()):
            one, out = under_way.pop(0)
            assert budget.settle(one, one.tokens_in, out) == pytest.approx((one.tokens_in + 4 * out) / 1e6)


def metered(factor: float = 1.0) -> Any:
    """A server that counts a token for every 4 bytes sent, times a factor, and 12 for each verdict."""

    def answer(body: Body) -> Response:
        given = verdicts(asked(body))
        text = json.dumps({"verdicts": given}) if given else "yes"
        size = len(json.dumps(body, ensure_ascii=False).encode())
        return Response(completion(text, (int(factor * size / 4), 12 * len(given))), delay=0.005)

    return answer


@pytest.mark.parametrize("kind", ["tokens", "money"])
def test_a_spent_budget_stops_cleanly_with_everything_that_was_paid_for(kind: str) -> None:
    pairs = pairs_of(400)
    limits = (
        {"budget_tokens": 20_000}
        if kind == "tokens"
        else {"budget_money": 0.02, "input_price": 1.0, "output_price": 2.0}
    )
    with Server(metered()) as server:
        judge = grader(server, concurrency=4, **limits)
        with pytest.raises(BudgetSpent, match="budget of tester is spent") as caught:
            judge.grade(pairs)
    spent = caught.value.graded
    assert_truthful(spent, pairs)
    assert 0 < caught.value.answered < 400
    assert caught.value.answered == sum(len(asked(body)) for body in server.bodies)  # all that was asked is there
    tally = judge.tally
    used = tally.tokens_in + tally.tokens_out if kind == "tokens" else tally.money
    limit = 20_000 if kind == "tokens" else 0.02
    assert 0.8 * limit < used <= limit
    counted = sum(len(json.dumps(body, ensure_ascii=False).encode()) // 4 for body in server.bodies)
    assert tally.tokens_in == counted and tally.tokens_out == 12 * caught.value.answered
    assert spent.cost.sum() == pytest.approx(tally.money)
    asked_before = len(server.bodies)
    with pytest.raises(BudgetSpent):  # and it stays spent
        judge.grade(pairs)
    assert len(server.bodies) == asked_before


def test_a_server_that_counts_more_than_can_be_known_overshoots_by_no_more_than_is_under_way() -> None:
    with Server(metered(factor=20.0)) as server:
        judge = grader(server, concurrency=3, budget_tokens=60_000)
        with pytest.raises(BudgetSpent):
            judge.grade(pairs_of(400))
        dearest = max(20 * len(json.dumps(body, ensure_ascii=False).encode()) / 4 for body in server.bodies) + 48
    assert judge.tally.tokens_in + judge.tally.tokens_out <= 60_000 + 3 * dearest


def test_a_request_that_may_have_been_charged_counts_and_one_that_was_refused_does_not() -> None:
    for bad, counted in ((Response("", reset=True), True), (Response("", 429), False)):
        with Server(once(lambda _, bad=bad: bad)) as server:  # type: ignore[misc]
            judge = grader(server, concurrency=1)
            judge.grade(pairs_of(1))
        assert (judge.tally.tokens_out > 20 + 64) == counted


def test_without_prices_tokens_are_counted_and_money_is_not() -> None:
    def uncounted(body: Body) -> Response:
        return Response(completion(json.dumps({"verdicts": verdicts(asked(body))}), usage=None))

    with Server(uncounted) as server:
        judge = grader(server)
        graded = judge.grade(pairs_of(8))
    assert judge.tally.estimated and judge.tally.tokens_in > 200 and judge.tally.tokens_out > 10
    assert judge.tally.money == 0.0 and not graded.cost.any()


def test_the_minute_limits_hold_against_a_real_server() -> None:
    import time

    times: list[float] = []

    def answer(body: Body) -> Response:
        times.append(time.monotonic())
        return metered()(body)

    with Server(answer) as server:
        assert grader(server, requests_per_minute=600.0, concurrency=8).grade(pairs_of(40)).answered.all()
    assert times[-1] - times[0] >= 0.9 * 0.9  # ten requests, a tenth of a second apart
