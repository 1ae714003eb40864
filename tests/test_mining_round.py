"""A round against a slow loop over brute-force neighbours; killed, out of money, unanswered, and run again."""

import multiprocessing
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mining_case import ITEMS, QUERIES, TruthGrader, ground, shop, words
from motherlode.atomic import read_json
from motherlode.errors import InputError, SettingError
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.mining.mined import read_mined
from motherlode.mining.plan import RoundSettings
from motherlode.mining.round import Round, mine_round
from motherlode.mining.selection import Rule
from motherlode.shop.truth import Truth

K = 40
SETTINGS = RoundSettings(k=K, rule=Rule(negatives=6, positives=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("mining") / "shop").folder


def run(
    folder: Path, place: Path, grader: TruthGrader, settings: RoundSettings = SETTINGS, earlier=(), **changed: object
) -> Round:
    with Ledger(place / "ledger.sqlite") as ledger:
        texts = PairTexts(shop(folder))
        return mine_round(ground(folder, **changed), texts, grader, ledger, place / "round", settings, earlier)


def pairs_of(frame: pl.DataFrame) -> set[tuple[str, str]]:
    return set(frame.select("query_id", "item_id").iter_rows())


def slow_round(folder: Path, among: list[int] | None = None) -> tuple[dict, list[tuple[int, int, int]]]:
    """(query, item) -> (rank, grade) of what is to be mined; (decile, grade, original grade or -1) of neighbours."""
    shopped, truth = ground(folder), Truth(folder)
    originals = {row[:2]: row[2] for row in shopped.originals.select("query_id", "item_id", "grade").iter_rows()}
    held_out = pairs_of(shopped.held_out)
    expected, seen = {}, []
    for query, vector in zip(shopped.query_ids, shopped.queries.astype(np.float64), strict=True):
        scores = (shopped.items.astype(np.float64) @ vector).astype(np.float32)
        rows = range(ITEMS) if among is None else among
        nearest = sorted(rows, key=lambda row: (-scores[row], row))[:K]
        found = []
        for rank, row in enumerate(nearest, start=1):
            item = shopped.item_ids[row]
            if (query, item) in held_out:
                continue
            grade = int(truth.grade([query], [item])[0])
            seen.append(((rank - 1) * 10 // K, grade, originals.get((query, item), -1)))
            if (query, item) not in originals:
                found.append((rank, grade, item))
        negatives = [one for one in found if one[1] == 0 and one[0] <= K / 2][:6]
        positives = [one for one in found if one[1] > 0 and one[0] > K / 2][-2:]
        expected |= {(query, item): (rank, grade) for rank, grade, item in negatives + positives}
    return expected, seen


def as_dict(frame: pl.DataFrame) -> dict:
    return {(q, i): (r, g) for q, i, r, g in frame.select("query_id", "item_id", "rank", "grade").iter_rows()}


def test_a_round_is_the_slow_loop(folder, tmp_path):
    grader = TruthGrader(folder)
    made = run(folder, tmp_path, grader)
    expected, seen = slow_round(folder)
    assert as_dict(made.mined) == expected
    assert set(made.mined["grade"]) == {0, 1, 2}  # or the case shows too little
    known = ground(folder)
    assert not set(grader.asked) & (pairs_of(known.originals) | pairs_of(known.held_out))
    report = made.report
    open_pairs = [one for one in seen if one[2] < 0]
    naive = [one for one in seen if one[2] <= 0]
    assert report.open == report.asked == report.bought == len(grader.asked) == len(open_pairs)
    assert report.queries == QUERIES and report.neighbours == QUERIES * K
    assert report.judged == len(seen) - len(open_pairs)
    assert report.naive == len(naive)
    assert report.false_negatives == sum(grade > 0 for _, grade, _ in naive)
    assert report.false_negatives_2 == sum(grade == 2 for _, grade, _ in naive)
    assert report.false_negative_rate == report.false_negatives / report.naive
    assert report.naive_by_decile == [sum(d == decile for d, *_ in naive) for decile in range(10)]
    assert report.false_by_decile == [sum(d == decile and g > 0 for d, g, _ in naive) for decile in range(10)]
    assert report.grades_by_decile == [
        [sum(d == decile and g == grade for d, g, _ in open_pairs) for grade in range(3)] for decile in range(10)
    ]
    assert report.mined == [sum(grade == g for _, grade in expected.values()) for g in range(3)]
    assert report.cost == pytest.approx(0.25 * len(grader.asked))
    assert report.search["kind"] == "exact" and report.search["recall"] == 1


def test_every_mined_row_says_where_it_comes_from(folder, tmp_path):
    made = run(folder, tmp_path, TruthGrader(folder))
    said = made.mined.select("miner", "weights", "judge", "rubric").unique().rows()
    assert said == [("neighbours", "w1", "truth@1", "r1")]
    assert made.mined["confidence"].to_list() == pytest.approx([0.8] * len(made.mined))
    known = ground(folder)
    rows = {one: row for row, one in enumerate(known.query_ids)}, {one: row for row, one in enumerate(known.item_ids)}
    for query, item, score in made.mined.select("query_id", "item_id", "score").iter_rows():
        assert score == pytest.approx(float(known.queries[rows[0][query]] @ known.items[rows[1][item]]), abs=1e-6)


def test_all_originals_are_in_the_judgements_and_on_disk(folder, tmp_path):
    made = run(folder, tmp_path, TruthGrader(folder))
    originals = ground(folder).originals
    assert made.judgements[: len(originals)].select(originals.columns).equals(originals)
    assert pairs_of(made.judgements) == pairs_of(originals) | pairs_of(made.mined)
    assert len(made.judgements) == len(originals) + len(made.mined)
    assert pl.read_parquet(tmp_path / "round" / "judgements.parquet").equals(made.judgements)
    assert read_mined(tmp_path / "round" / "mined.parquet").equals(made.mined)


def test_only_the_given_items_are_mined(folder, tmp_path):
    among = list(range(0, ITEMS, 3))
    made = run(folder, tmp_path, TruthGrader(folder), among=np.array(among[::-1]))
    assert as_dict(made.mined) == slow_round(folder, among)[0]
    assert made.report.search["items"] == len(among)


def test_a_finished_round_is_read_back(folder, tmp_path):
    made = run(folder, tmp_path, TruthGrader(folder))
    again = TruthGrader(folder)
    same = run(folder, tmp_path, again)
    assert not again.asked and same.mined.equals(made.mined) and same.report == made.report


@pytest.mark.parametrize("changed", ["weights", "vectors", "originals", "rule"])
def test_anything_new_makes_a_new_round_but_no_pair_is_bought_twice(folder, tmp_path, changed):
    first = TruthGrader(folder)
    run(folder, tmp_path, first)
    known, second = ground(folder), TruthGrader(folder)
    new = {
        "weights": {"weights": "w2"},
        "vectors": {"items": words(shop(folder).frame("catalogue")["title"].str.slice(0, 12).to_list())},
        "originals": {"originals": known.originals[5:]},
        "rule": {"settings": RoundSettings(k=K, rule=Rule(negatives=1))},
    }[changed]
    made = run(folder, tmp_path, second, **new)
    assert not set(first.asked) & set(second.asked)
    assert made.report.remembered > 0 and made.report.bought == len(second.asked)
    fresh = run(folder, tmp_path / "fresh", TruthGrader(folder), **new)
    assert made.mined.equals(fresh.mined)
    assert (made.report.weights == "w2") == (changed == "weights")


def die(folder: Path, place: Path, settings: RoundSettings) -> None:
    run(folder, place, TruthGrader(folder, dies_at=3), settings)


@pytest.mark.parametrize("verdicts", [None, 300])
def test_a_killed_round_goes_on(folder, tmp_path, verdicts):
    settings = RoundSettings(k=K, rule=SETTINGS.rule, verdicts=verdicts, first="rank")
    job = multiprocessing.get_context("spawn").Process(target=die, args=(folder, tmp_path, settings))
    job.start()
    job.join(60)
    assert job.exitcode == -signal.SIGKILL
    assert (tmp_path / "round" / "plan.npz").exists() and not (tmp_path / "round" / "round.json").exists()
    grader = TruthGrader(folder)
    resumed = run(folder, tmp_path, grader, settings)
    whole = run(folder, tmp_path / "whole", TruthGrader(folder), settings)
    assert resumed.mined.equals(whole.mined) and resumed.judgements.equals(whole.judgements)
    assert len(grader.asked) == whole.report.bought - 3 * grader.block  # what was answered is not asked again
    assert resumed.report.bought == whole.report.bought == (verdicts or whole.report.open)


def test_a_pair_without_an_answer_is_never_a_negative(folder, tmp_path):
    made = run(folder, tmp_path, TruthGrader(folder, silent=True))
    assert made.report.unanswered > 0
    assert not made.mined["item_id"].str.ends_with("7").any()
    graded = sum(map(sum, made.report.grades_by_decile))
    assert graded == made.report.bought == made.report.asked - made.report.unanswered


def test_a_round_whose_money_ends_says_so_and_goes_on(folder, tmp_path):
    made = run(folder, tmp_path, TruthGrader(folder, money=150))
    assert made.report.stopped == "the money is spent" and made.report.bought == 150
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert pairs_of(made.mined) <= pairs_of(ledger.verdicts())
    rich = TruthGrader(folder)
    ended = run(folder, tmp_path, rich)
    whole = run(folder, tmp_path / "whole", TruthGrader(folder))
    assert ended.report.stopped is None and ended.mined.equals(whole.mined)
    assert len(rich.asked) == whole.report.bought - 150
    assert read_json(tmp_path / "round" / "round.json")["bought"] == whole.report.bought


@pytest.mark.parametrize("first", ["random", "rank", "disagreement", "uncertainty", "spread", "mixed"])
def test_a_budget_of_verdicts_is_kept_and_spent_on_the_first_pairs(folder, tmp_path, first):
    settings = RoundSettings(k=K, verdicts=90, first=first)
    legs = {"lexical": np.tile(np.arange(50), (QUERIES, 1))}
    grader = TruthGrader(folder)
    made = run(folder, tmp_path, grader, settings, legs=legs)
    assert len(set(grader.asked)) == len(grader.asked) == made.report.bought == 90
    known = ground(folder)
    items = {one: row for row, one in enumerate(known.item_ids)}
    listed = [items[item] for _, item in grader.asked]
    with np.load(tmp_path / "round" / "plan.npz") as plan:
        rank = {(q, r): n for q, row in enumerate(plan["rows"]) for n, r in enumerate(row.tolist())}
    ranks = [rank[known.query_ids.to_list().index(query), items[item]] for query, item in grader.asked]
    if first == "rank":
        assert max(ranks) <= 7 and ranks == sorted(ranks)
    if first == "disagreement":  # the near that the other leg does not have, or the far that it has first
        gaps = [abs(np.log((n + 1) / (row + 1 if row < 50 else 51))) for n, row in zip(ranks, listed, strict=True)]
        assert (np.diff(gaps) < 1e-9).all() and gaps[-1] > 1
    assert pairs_of(made.mined) <= set(grader.asked)


def test_rounds_add_up(folder, tmp_path):
    first = run(folder, tmp_path / "1", TruthGrader(folder))
    other = words(shop(folder).frame("catalogue")["title"].str.slice(0, 12).to_list())
    second = run(folder, tmp_path / "2", TruthGrader(folder), earlier=(first.mined,), items=other, weights="w2")
    originals = pairs_of(ground(folder).originals)
    assert pairs_of(second.judgements) == originals | pairs_of(first.mined) | pairs_of(second.mined)
    assert pairs_of(first.mined) - pairs_of(second.mined)


def test_what_does_not_fit_is_refused(folder, tmp_path):
    known = ground(folder)
    with pytest.raises(InputError, match="30 query ids and 29 query vectors"):
        ground(folder, queries=known.queries[1:])
    with pytest.raises(InputError, match="'q000000' comes twice"):
        ground(folder, query_ids=pl.Series(["q000000"] * QUERIES))
    with pytest.raises(InputError, match="leg 'bm25'"):
        ground(folder, legs={"bm25": np.zeros((3, 5), np.int64)})
    with pytest.raises(InputError, match=r"rows to mine among must lie in 0\.\.399"):
        run(folder, tmp_path, TruthGrader(folder), among=np.array([3, 400]))
    with pytest.raises(SettingError, match="k = 1"):
        run(folder, tmp_path, TruthGrader(folder), RoundSettings(k=1))
    with pytest.raises(SettingError, match="first = 'best'"):
        RoundSettings(first="best")
    with pytest.raises(SettingError, match="verdicts = -1"):
        RoundSettings(verdicts=-1)
