"""The audit from end to end on a generated shop, with a real (weak) judge and a simulated person."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from motherlode.audit import audit as whole
from motherlode.audit.audit import run_audit
from motherlode.audit.disagreements import ENGAGED, IGNORED, MODEL, doubts, joint_posterior, judged, sampled
from motherlode.audit.rejudge import adjudicate, decisions, discrepancies, rejudge
from motherlode.audit.settings import AuditSettings
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.grading.grader import Graded, Judge, Pair
from motherlode.grading.ledger import Ledger
from motherlode.grading.pairs import PairTexts
from motherlode.shop.generate import write
from motherlode.shop.truth import Truth
from motherlode.tables.schema import JUDGEMENTS
from motherlode.tables.tables import Tables, TableWriter

EVERYTHING = AuditSettings(share=1.0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    made = write(tmp_path_factory.mktemp("shop") / "a", items=800, queries=500, seed=3, label_errors=0.08)
    told = {"confidence": 0.5, "rating": 1.0, "rubric": "r0", "time": datetime(2026, 1, 1, tzinfo=UTC)}
    _replace(made, "judgements", made.frame("judgements").with_columns(**{k: pl.lit(v) for k, v in told.items()}))
    return made


@pytest.fixture(scope="module")
def truth(shop: Tables) -> dict[tuple[str, str], int]:
    pairs = shop.frame("judgements", ["query_id", "item_id"])
    grades = Truth(shop.folder).grade(pairs["query_id"].to_list(), pairs["item_id"].to_list()).tolist()
    return dict(zip(pairs.rows(), grades, strict=True))


@dataclass
class Words:
    """A judge that goes by the share of the query's words found in the item."""

    refuses: str = ""
    block: int = 64
    asked: list[tuple[str, str]] = field(default_factory=list)
    judge: Judge = field(default_factory=lambda: Judge("words", "1", "r1"))

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        self.asked += [(pair.query_id, pair.item_id) for pair in pairs]
        shares = [np.mean([word in pair.item.lower() for word in pair.query.split()]) for pair in pairs]
        grades = np.digitize(shares, [0.4, 0.9])
        p = 0.1 + 0.7 * np.eye(3)[grades]
        p[[bool(self.refuses) and pair.query_id.endswith(self.refuses) for pair in pairs]] = np.nan
        return Graded(p, reasons=[f"{share:.0%} of the words" for share in shares])


@dataclass
class Person:
    """A simulated person who knows the truth; keeps what it was shown."""

    truth: dict[tuple[str, str], int]
    name: str = "simulated"
    skips: bool = False
    shown: list[tuple[int, int]] = field(default_factory=list)

    @property
    def judge(self) -> Judge:
        return Judge(f"person/{self.name}", "1", "r1")

    def adjudicate(self, pairs: Sequence[Pair], first: np.ndarray, second: np.ndarray) -> np.ndarray:
        self.shown += zip(first.tolist(), second.tolist(), strict=True)
        grades = np.array([self.truth[pair.query_id, pair.item_id] for pair in pairs])
        return np.full(len(pairs), -1) if self.skips else grades


def rows(frame: pl.DataFrame) -> list[tuple[str, str]]:
    return frame.select("query_id", "item_id").rows()


def test_a_sample_is_random_and_stable() -> None:
    ids = pl.Series([f"x{number}" for number in range(20_000)])
    other = ids.reverse()
    chosen = sampled(ids, other, 0.3, 0)
    assert chosen.mean() == pytest.approx(0.3, abs=0.015)
    assert sampled(ids[5_000:], other[5_000:], 0.3, 0).tolist() == chosen[5_000:].tolist()
    assert (sampled(ids, other, 0.3, 1) != chosen).mean() == pytest.approx(0.42, abs=0.03)
    assert chosen[sampled(ids, other, 0.1, 0)].all()  # a smaller share is part of a larger
    assert sampled(ids, other, 1.0, 0).all()


def test_engagement_names_labels_that_are_wrong(shop: Tables, truth: dict) -> None:
    frame = doubts(shop, EVERYTHING).frame
    frame = frame.with_columns(true=pl.Series([truth[pair] for pair in rows(frame)]))
    doubted = frame.filter(pl.col("kind").is_not_null())
    assert doubted.height > 30
    assert (doubted["label"] != doubted["true"]).mean() > 0.65
    assert set(doubted.select("kind", "label").unique().rows()) <= {(ENGAGED, 0), (IGNORED, 2)}
    assert (doubted["looks"] >= EVERYTHING.looks).all()
    revealable = frame.filter(pl.col("looks") >= 5, pl.col("label") == 0, pl.col("true") == 2)
    assert revealable.height > 10
    assert revealable["kind"].is_not_null().mean() > 0.6


def test_deciles_doubt_the_two_kinds_and_find_more_than_chance(shop: Tables, truth: dict) -> None:
    frame = doubts(shop, EVERYTHING.model_copy(update={"signal": "deciles"})).frame
    doubted = frame.filter(pl.col("kind").is_not_null())
    assert set(doubted.select("kind", "label").unique().rows()) == {(ENGAGED, 0), (IGNORED, 2)}
    wrong = np.array([truth[pair] for pair in rows(doubted)]) != doubted["label"].to_numpy()
    base = np.array([truth[pair] for pair in rows(frame)]) != frame["label"].to_numpy()
    assert wrong.mean() > 1.5 * base.mean()


def noisy_model(shop: Tables, truth: dict, seed: int) -> pl.DataFrame:
    """Simulated probabilities of a model that is right in two cases of three."""
    frame = shop.frame("judgements", ["query_id", "item_id"])
    rng = np.random.default_rng(seed)
    true = np.array([truth[pair] for pair in rows(frame)])
    p = np.exp(rng.normal(0, 1, (len(true), 3)) - 1.3 * np.abs(np.arange(3) - true[:, None]))
    p /= p.sum(axis=1, keepdims=True)
    return frame.with_columns(**{f"p{grade}": p[:, grade] for grade in range(3)})


def test_two_signals_join_as_their_names_say(shop: Tables, truth: dict) -> None:
    model = noisy_model(shop, truth, 0)

    def chosen(signal: str, share: float = 1.0) -> set[tuple[str, str]]:
        settings = EVERYTHING.model_copy(update={"signal": signal})
        frame = doubts(shop, settings, model.head(int(share * model.height)).reverse()).frame
        return set(rows(frame.filter(pl.col("kind").is_not_null())))

    def precision(pairs: set[tuple[str, str]]) -> float:
        labels = dict(zip(rows(judgements), judgements["grade"], strict=True))
        return float(np.mean([labels[pair] != truth[pair] for pair in pairs]))

    judgements = shop.frame("judgements", ["query_id", "item_id", "grade"])
    engagement, confident = chosen("engagement"), chosen("confident")
    assert chosen("both") == engagement & confident and chosen("either") == engagement | confident
    assert precision(chosen("both")) > max(precision(engagement), precision(confident))
    joint = chosen("joint")
    assert precision(joint) > 0.65
    assert len(joint) > 1.5 * len(engagement)
    # pairs the model does not know are left to engagement
    assert chosen("joint", 0.0) == engagement and chosen("confident", 0.0) == set()


def test_kinds_of_the_joined_signals(shop: Tables, truth: dict) -> None:
    settings = EVERYTHING.model_copy(update={"signal": "confident"})
    frame = doubts(shop, settings, noisy_model(shop, truth, 1)).frame
    assert frame["kind"].drop_nulls().unique().to_list() == [MODEL]
    assert set(frame.filter(pl.col("kind").is_not_null())["label"]) == {0, 1, 2}


def test_joint_posterior_is_the_product(shop: Tables, truth: dict) -> None:
    found = doubts(shop, EVERYTHING)
    labels = found.frame["label"].to_numpy().astype(int)
    p = noisy_model(shop, truth, 2).select("p0", "p1", "p2").to_numpy().copy()
    p[5] = np.nan
    joint = joint_posterior(found.evidence, labels, p)
    counts = np.bincount(labels, minlength=3)
    for row in range(40):
        if row == 5:
            np.testing.assert_allclose(joint[row], found.evidence.posterior[row])
            continue
        slow = []
        for grade in range(3):
            column = [counts[label] * found.evidence.noise[label, grade] for label in range(3)]
            told = column[labels[row]] / sum(column)
            slow.append(np.exp(found.evidence.likelihood[row, grade]) * p[row, grade] * told)
        np.testing.assert_allclose(joint[row], np.array(slow) / sum(slow))


def test_a_log_in_parts_and_without_places_is_read(shop: Tables, tmp_path: Path) -> None:
    parts = Tables(_copy(shop, tmp_path / "parts"))
    engagement = shop.frame("engagement")
    half = engagement.with_columns(pl.col("impressions", "clicks", "adds", "purchases") // 2)
    rest = engagement.with_columns(pl.col(name) - half[name] for name in ("impressions", "clicks", "adds", "purchases"))
    _replace(parts, "engagement", pl.concat([half, rest]))
    assert_frame_equal(judged(parts, 3), judged(shop, 3), rel_tol=1e-6)

    blind = Tables(_copy(shop, tmp_path / "blind"))
    engagement.drop("position").write_parquet(blind.path("engagement"))  # as tables of an older version
    found = doubts(blind, EVERYTHING)
    assert (found.examination.values == 1).all()
    shown = found.frame["impressions"].fill_null(0)
    assert found.frame["looks"].to_list() == shown.to_list()


def test_what_a_signal_needs_is_asked_for(shop: Tables, truth: dict, tmp_path: Path) -> None:
    bare = Tables(_copy(shop, tmp_path / "bare"))
    bare.path("engagement").unlink()
    with pytest.raises(MissingError, match=r"engagement\.parquet"):
        doubts(bare, EVERYTHING)
    confident = EVERYTHING.model_copy(update={"signal": "confident"})
    with pytest.raises(SettingError, match="probabilities"):
        doubts(shop, confident)
    model = noisy_model(shop, truth, 3)
    with pytest.raises(InputError, match="p2"):
        doubts(shop, confident, model.drop("p2"))
    assert doubts(bare, confident, model).frame["kind"].is_not_null().sum() > 50
    bare.path("judgements").unlink()
    with Ledger(tmp_path / "ledger") as ledger, pytest.raises(MissingError, match=r"judgements\.parquet"):
        run_audit(bare, ledger, Words(), EVERYTHING, tmp_path / "audit")


def test_the_ledger_keeps_all_three_verdicts_and_people_do_not_know_whose_is_whose(
    shop: Tables, truth: dict, tmp_path: Path
) -> None:
    judge, person = Words(), Person(truth)
    texts = PairTexts(shop)
    frame = doubts(shop, EVERYTHING.model_copy(update={"signal": "deciles", "looks": 1})).frame
    doubted = frame.filter(pl.col("kind").is_not_null())
    with Ledger(tmp_path / "ledger") as ledger:
        rejudged, report = rejudge(doubted, texts, judge, ledger, "audit:x")
        assert report.graded == doubted.height > 100
        queue = discrepancies(rejudged)
        assert rows(queue) == rows(
            rejudged.filter(pl.col("label") != pl.col("verdict"))
            .with_columns(far=(pl.col("label") - pl.col("verdict")).abs() + pl.col("certainty"))
            .sort("far", "query_id", "item_id", descending=[True, False, False])
        )
        assert queue["reason"].str.ends_with("of the words").all()
        assert 40 < queue.height < doubted.height
        assert adjudicate(queue, texts, person, ledger, "audit:x", 0) == queue.height
        assert adjudicate(queue, texts, person, ledger, "audit:x", 0) == 0
        given = {(row["query_id"], row["item_id"]): row for row in queue.iter_rows(named=True)}
        verdicts = ledger.verdicts(source="audit:x")
        for name, column in (("label/simulated", "label"), ("words", "verdict")):
            own = verdicts.filter(pl.col("grader") == name)
            known = {pair: grade for pair, grade in zip(rows(own), own["grade"], strict=True) if pair in given}
            assert known == {pair: row[column] for pair, row in given.items()}
        people = verdicts.filter(pl.col("grader") == "person/simulated")
        assert dict(zip(rows(people), people["grade"], strict=True)) == {pair: truth[pair] for pair in given}
    shown = np.array(person.shown)
    stated = queue.select("label", "verdict").to_numpy()
    swapped = (shown != stated).any(axis=1)
    assert (np.sort(shown, axis=1) == np.sort(stated, axis=1)).all()
    assert 0.25 < swapped.mean() < 0.75


def test_the_majority_decides_and_a_tie_does_not(shop: Tables, tmp_path: Path) -> None:
    queue = shop.frame("judgements", ["query_id", "item_id"]).head(4)

    def say(ledger: Ledger, name: str, grades: list[int | None], rubric: str = "r1") -> None:
        p = np.array([np.full(3, np.nan) if grade is None else np.eye(3)[grade] for grade in grades])
        ledger.record(Judge(f"person/{name}", "1", rubric), queue["query_id"], queue["item_id"], Graded(p))

    with Ledger(tmp_path / "ledger") as ledger:
        assert decisions(queue, ledger)["decided"].to_list() == [None] * 4
        say(ledger, "anna", [2, 0, 1, None])
        say(ledger, "ben", [2, 1, 1, None])
        say(ledger, "carl", [0, None, 1, None])
        ledger.record(Judge("words", "1", "r1"), queue["query_id"], queue["item_id"], Graded(np.eye(3)[[0, 0, 0, 0]]))
        found = decisions(queue, ledger)
        assert found["decided"].to_list() == [2, None, 1, None]
        assert found["people"].to_list() == [3, 2, 3, 0]
        assert found["decider"].to_list() == [
            "person/anna, person/ben",
            None,
            "person/anna, person/ben, person/carl",
            None,
        ]
        say(ledger, "anna", [None, 1, None, None], rubric="r2")  # she has one vote, under the newer rubric
        found = decisions(queue, ledger)
        assert found["decided"].to_list() == [2, 1, 1, None] and found["people"].to_list() == [3, 2, 3, 0]


def test_from_doubt_to_corrected_judgements(shop: Tables, truth: dict, tmp_path: Path) -> None:
    before = shop.fingerprint()
    settings = AuditSettings(share=0.6, seed=1, precision=0.4)
    judge, folder = Words(refuses="7"), tmp_path / "audit"
    with Ledger(tmp_path / "ledger") as ledger:
        first = run_audit(shop, ledger, judge, settings, folder)
        assert first["settled"] == 0 and first["win_rate"]["rate"] is None and first["product"] is None
        assert_frame_equal(pl.read_parquet(folder / "corrected/judgements.parquet"), shop.frame("judgements"))
        asked = len(judge.asked)

        # people work in between, in any process that has the ledger; then the audit is run again
        queue = pl.read_parquet(folder / "queue.parquet")
        adjudicate(queue.head(queue.height - 3), PairTexts(shop), Person(truth), ledger, first["source"], 0)
        found = run_audit(shop, ledger, judge, settings, folder)
        assert found["run"] == first["run"]
        unanswered = found["unanswered"]
        assert unanswered > 0 and len(judge.asked) == asked + 2 * unanswered  # only what it had no answer to, twice

    sample = pl.read_parquet(folder / "sample.parquet")
    doubted = pl.read_parquet(folder / "disagreements.parquet")
    inside = sampled(sample["query_id"], sample["item_id"], 0.6, 1)
    assert inside.all() and set(rows(doubted)) <= set(rows(sample)) and set(rows(queue)) <= set(rows(doubted))
    labels = dict(zip(rows(sample), sample["label"], strict=True))
    verdicts = dict(zip(rows(doubted), doubted["verdict"], strict=True))
    differ = [pair for pair, grade in verdicts.items() if grade is not None and grade != labels[pair]]
    assert sorted(differ) == sorted(rows(queue))
    settled = rows(queue)[:-3]
    wins = sum(verdicts[pair] == truth[pair] for pair in settled)
    kept = sum(labels[pair] == truth[pair] for pair in settled)
    answered = sum(grade is not None for grade in verdicts.values())
    total = shop.count("judgements")
    assert found["annotated"] == total and found["sampled"] == len(labels)
    assert found["looked_at"] == (sample["looks"] >= 5).sum() > found["doubted"]["hits"]
    assert found["doubted"]["rate"] == pytest.approx(len(verdicts) / len(labels))
    assert found["diff_rate"]["rate"] == pytest.approx(len(differ) / answered)
    assert found["win_rate"]["rate"] == pytest.approx(wins / len(settled))
    assert found["label_rate"]["hits"] == kept and found["neither_rate"]["hits"] == len(settled) - wins - kept
    assert found["changed_share"]["rate"] == pytest.approx((len(settled) - kept) / total)
    assert found["changed_of_sample"]["rate"] == pytest.approx((len(settled) - kept) / len(labels))
    expected = len(labels) / total * len(differ) / answered * wins / len(settled)
    assert found["product"] == pytest.approx(expected)
    assert sum(change["count"] for change in found["changes"]) == len(settled) - kept
    for rates in ("kinds", "buckets"):
        assert sum(row["doubted"] for row in found[rates]) == len(verdicts)
        assert sum(row["discrepant"] for row in found[rates]) == len(differ)
        assert sum(row["changed"] for row in found[rates]) == len(settled) - kept
    assert found == json.loads((folder / "outcome.json").read_text())

    corrected = Tables(_copy(shop, tmp_path / "mended"))
    (folder / "corrected/judgements.parquet").replace(corrected.path("judgements"))
    after = corrected.frame("judgements")
    assert next(corrected.batches("judgements")).schema.equals(JUDGEMENTS)
    old = shop.frame("judgements")
    assert rows(after) == rows(old)
    for was, now in zip(old.iter_rows(named=True), after.iter_rows(named=True), strict=True):
        pair = was["query_id"], was["item_id"]
        if pair in settled and truth[pair] != was["grade"]:
            assert now["grade"] == truth[pair] and now["source"] == "audited" and now["grader"] == "person/simulated"
            assert now["rubric"] == "r1"
            assert now["confidence"] is now["rating"] is now["time"] is None
        else:
            assert now == was
    assert shop.fingerprint() == before


def test_half_of_what_engagement_can_reveal_is_mended(shop: Tables, truth: dict, tmp_path: Path) -> None:
    @dataclass
    class Knowing(Words):
        """A simulated judge, right in nine cases of ten."""

        def grade(self, pairs: Sequence[Pair]) -> Graded:
            grades = np.array([truth[pair.query_id, pair.item_id] for pair in pairs])
            slips = np.array([int(pair.item_id[1:]) % 10 == 0 for pair in pairs])
            return Graded(np.eye(3)[np.where(slips, (grades + 1) % 3, grades)])

    with Ledger(tmp_path / "ledger") as ledger:
        run_audit(shop, ledger, Knowing(), EVERYTHING, tmp_path / "audit", adjudicator=Person(truth))
        found = json.loads((tmp_path / "audit/outcome.json").read_text())["planted"]
    looks = pl.read_parquet(tmp_path / "audit/sample.parquet", columns=["query_id", "item_id", "looks"])
    after = pl.read_parquet(tmp_path / "audit/corrected/judgements.parquet")
    after = after.join(looks, on=["query_id", "item_id"]).with_columns(
        true=pl.Series([truth[pair] for pair in rows(after)])
    )
    before = shop.frame("judgements")
    true = np.array([truth[pair] for pair in rows(before)])
    hidden = ((before["grade"] == 0).to_numpy() & (true > 0)) | ((before["grade"] == 2).to_numpy() & (true == 0))
    hidden &= (after["looks"] >= 5).to_numpy()
    still = after["grade"].to_numpy() != true
    assert hidden.sum() > 30 and still[hidden].mean() <= 0.5
    assert not (still & (before["grade"].to_numpy() == true)).any()

    # what the audit says of itself, derived again
    wrong = before["grade"].to_numpy() != true
    doubted = set(rows(pl.read_parquet(tmp_path / "audit/disagreements.parquet")))
    queue = set(rows(pl.read_parquet(tmp_path / "audit/queue.parquet")))
    assert found["errors"] == wrong.sum() and found["revealable"] == hidden.sum()
    for name, pairs in (("doubted", doubted), ("queue", queue)):
        inside = np.array([pair in pairs for pair in rows(before)])
        assert found[name]["n"] == len(pairs) == inside.sum()
        assert found[name]["precision"] == pytest.approx(wrong[inside].mean())
        assert found[name]["recall"] == pytest.approx(inside[hidden].mean())
        assert found[name]["recall_all"] == pytest.approx(inside[wrong].mean())
    assert found["error_rate"] == {"before": pytest.approx(wrong.mean()), "after": pytest.approx(still.mean())}
    assert found["removed"] == pytest.approx(1 - still[hidden].mean()) and found["made_wrong"] == 0
    frame = doubts(shop, EVERYTHING).frame
    doubt = np.where((frame["looks"] >= 5) & (frame["label"] != 1), frame["doubt"], -1.0)
    for point in found["curve"][:: max(1, len(found["curve"]) // 5)]:
        least = np.sort(doubt[hidden])[::-1][round(point["recall"] * hidden.sum()) - 1]
        assert point["precision"] == pytest.approx(wrong[doubt >= least].mean(), abs=0.02)
    assert found["curve"][-1]["recall"] == 1


def test_other_settings_are_another_run_and_a_kill_costs_nothing(
    shop: Tables, truth: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, settings = tmp_path / "audit", AuditSettings(share=0.5)
    with Ledger(tmp_path / "ledger") as ledger:
        judge = Words()
        with monkeypatch.context() as patch:
            patch.setattr(whole, "discrepancies", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                run_audit(shop, ledger, judge, settings, folder)
        assert not (folder / "outcome.json").exists()
        asked, stamp = len(judge.asked), (folder / "sample.parquet").stat().st_mtime_ns
        assert asked > 0
        (folder / ".queue.parquet.x.tmp").write_text("left by a kill")
        first = run_audit(shop, ledger, judge, settings, folder)
        assert len(judge.asked) == asked and (folder / "sample.parquet").stat().st_mtime_ns == stamp
        assert not list(folder.glob(".*.tmp"))
        assert run_audit(shop, ledger, judge, settings, folder) == first

        seen = {first["run"]}
        model = noisy_model(shop, truth, 4)
        for other in (
            {"settings": AuditSettings(share=0.5, seed=5)},
            {"judge": Words(judge=Judge("words", "2", "r1"))},
            {"settings": AuditSettings(share=0.5, signal="joint"), "probabilities": model},
            {"settings": AuditSettings(share=0.5, signal="joint"), "probabilities": noisy_model(shop, truth, 5)},
        ):
            given = {"settings": settings, "judge": judge} | other
            found = run_audit(
                shop, ledger, given["judge"], given["settings"], folder, probabilities=given.get("probabilities")
            )
            assert found["run"] not in seen
            seen.add(found["run"])
            asks = sampled(model["query_id"], model["item_id"], 0.5, given["settings"].seed)
            assert found["sampled"] == asks.sum() == pl.read_parquet(folder / "sample.parquet").height


def test_a_person_who_skips_decides_nothing(shop: Tables, truth: dict, tmp_path: Path) -> None:
    real = Tables(_copy(shop, tmp_path / "real"))  # without a known truth
    with Ledger(tmp_path / "ledger") as ledger:
        settings = AuditSettings(share=0.4)
        assert run_audit(real, ledger, Words(), settings, tmp_path / "b")["planted"] is None
        found = run_audit(shop, ledger, Words(), settings, tmp_path / "a", adjudicator=Person(truth, skips=True))
    assert found["discrepancies"] > 0 and found["settled"] == found["changed_share"]["hits"] == 0


def test_settings_that_cannot_be_are_refused() -> None:
    for bad in ({"share": 0}, {"share": 1.2}, {"signal": "luck"}, {"high": 0.3}, {"unknown": 1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            AuditSettings(**bad)


def _copy(shop: Tables, folder: Path) -> Path:
    folder.mkdir()
    for kind in ("catalogue", "queries", "judgements", "engagement"):
        (folder / f"{kind}.parquet").write_bytes(shop.path(kind).read_bytes())
    return folder


def _replace(tables: Tables, kind: str, frame: pl.DataFrame) -> None:
    with TableWriter(tables.folder, kind) as writer:
        writer.write(frame.to_arrow())
