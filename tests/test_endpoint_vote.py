"""A vote of several judges against the same worked out by loops."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.endpoint.errors import EndpointError
from motherlode.endpoint.vote import VoteGrader, combine, disagreement
from motherlode.errors import SettingError
from motherlode.grading.budget import BudgetSpent
from motherlode.grading.grader import Graded, decide
from motherlode.grading.ledger import Ledger
from openai_server import Response, Server, asked, completion, true_grade, truthful
from test_endpoint_judge import grader, pairs_of


def ballots(seed: int, judges: int, count: int) -> list[Graded]:
    rng = np.random.default_rng(seed)
    drawn = rng.dirichlet([0.5] * 3, (judges, count))
    drawn[rng.random((judges, count)) < 0.3] = np.nan
    return [Graded(one, rng.random(count), [f"r{n}" for n in range(count)]) for one in drawn]


@given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from(["mean", "majority"]))
def test_a_vote_equals_a_loop(seed: int, judges: int, rule: str) -> None:
    given_by = ballots(seed, judges, 7)
    names = [f"judge {n}" for n in range(judges)]
    found = combine(given_by, names, rule, judges // 2 + 1)  # type: ignore[arg-type]
    apart = disagreement(given_by)
    for row in range(7):
        told = [one.probabilities[row] for one in given_by if one.answered[row]]
        votes = [int(np.argmax(one)) for one in told]
        if len(told) < judges // 2 + 1:
            assert np.isnan(found.probabilities[row]).all()
        elif rule == "mean":
            np.testing.assert_allclose(found.probabilities[row], np.mean(told, axis=0))
        else:
            np.testing.assert_allclose(found.probabilities[row], [votes.count(g) / len(votes) for g in range(3)])
        differences = [abs(a - b) for n, a in enumerate(votes) for b in votes[:n]]
        np.testing.assert_allclose(apart[row], np.mean(differences) if differences else np.nan)
        assert found.cost[row] == pytest.approx(sum(one.cost[row] for one in given_by))
        reason = found.reasons[row] or ""
        assert reason.count("judge") == len(told)
        for vote in votes:
            assert f": {vote} (r{row})" in reason


def judge_of(server: Server, name: str, **given: object):  # type: ignore[no-untyped-def]
    return grader(server, name=name, extra={"who": name}, **given)


def test_every_judge_is_on_record_and_none_is_asked_twice(tmp_path: Path) -> None:
    pairs = pairs_of(10)
    wrong = [0, 0, 2, 2, 1]  # what the second one says, always

    def second(body):  # type: ignore[no-untyped-def]
        told = [{"id": pair["id"], "grade": wrong[int(pair["item"].split()[1]) % 5]} for pair in asked(body)]
        return Response(completion(str(told).replace("'", '"')))

    with Server() as a, Server(second) as b, Server() as c, Ledger(tmp_path / "ledger.sqlite") as ledger:
        judges = [judge_of(a, "a"), judge_of(b, "b"), judge_of(c, "c")]
        vote = VoteGrader(judges, "majority", ledger=ledger)
        graded = vote.grade(pairs)
        truth = [true_grade(pair.query, pair.item) for pair in pairs]
        assert decide(graded.probabilities).tolist() == truth  # two of three
        assert {judge.name for judge in ledger.judges()} == {"a", "b", "c"}
        assert ledger.verdicts(judges[1].judge)["grade"].to_list() == [wrong[n % 5] for n in range(10)]
        before = len(a.bodies)
        again = VoteGrader(judges, "mean", ledger=ledger).grade(pairs)
        assert len(a.bodies) == before
    np.testing.assert_allclose(again.probabilities, graded.probabilities)  # one-hot judges: shares are means
    assert vote.block == judges[0].block


def test_a_judge_whose_budget_ends_takes_no_half_vote(tmp_path: Path) -> None:
    pairs = pairs_of(60)
    with Server() as server, Ledger(tmp_path / "ledger.sqlite") as ledger:
        poor = judge_of(server, "poor", budget_tokens=1_900)
        rich = judge_of(server, "rich")
        with pytest.raises(BudgetSpent) as caught:
            VoteGrader([poor, rich], least=1, ledger=ledger).grade(pairs)
        known = ledger.known(poor.judge, [pair.query_id for pair in pairs], [pair.item_id for pair in pairs])
        assert 0 < known.sum() < 60
        np.testing.assert_array_equal(caught.value.graded.answered, known)
        assert ledger.count(rich.judge) == 60


def test_a_judge_that_fails_leaves_what_it_said_on_record(tmp_path: Path) -> None:
    pairs = pairs_of(12)
    left = [2]

    def dying(body):  # type: ignore[no-untyped-def]
        left[0] -= 1
        return truthful(body) if left[0] >= 0 else Response("", 401)

    with Server() as a, Server(dying) as b, Ledger(tmp_path / "ledger.sqlite") as ledger:
        judges = [judge_of(a, "a"), judge_of(b, "b", concurrency=1)]
        with pytest.raises(EndpointError):
            VoteGrader(judges, ledger=ledger).grade(pairs)
        assert ledger.count(judges[0].judge) == 12 and ledger.count(judges[1].judge) == 8


def test_a_vote_that_cannot_be_is_refused() -> None:
    one, two = grader("http://127.0.0.1:9/v1", name="one"), grader("http://127.0.0.1:9/v1", name="two", temperature=1.0)
    with pytest.raises(SettingError, match="two judges"):
        VoteGrader([one])
    with pytest.raises(SettingError, match="twice"):
        VoteGrader([one, one])
    with pytest.raises(SettingError, match="cannot need 3"):
        VoteGrader([one, two], least=3)
    versions = {
        VoteGrader([one, two], rule, least=least).judge.version for rule in ("mean", "majority") for least in (1, 2)
    }
    assert len(versions) == 4
    assert VoteGrader([two, one]).judge.version == VoteGrader([one, two]).judge.version
