"""The grader from cheap signals: words, signals against slow loops, training, folders that load or say why not."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.errors import InputError, MissingError
from motherlode.grading.features import ARRAYS, FACTS, NAMES, TOKENIZER, FeaturesGrader
from motherlode.grading.features_fit import fit_features
from motherlode.grading.grader import Pair
from motherlode.grading.pair_features import NAMES as WORD_NAMES
from motherlode.grading.pair_features import Corpus, pair_features
from motherlode.grading.words import letters, likeness, measures, singular, words
from motherlode.text.judged_item import judged_item

COLOURS, THINGS = ("red", "blue", "green", "black"), ("chair", "lamp", "rug")
TITLES = ("Acme 5 gal. bucket", "Acme steel ladder 6 ft", "Bolt steel bucket", "ladder hook", "Acme paint 1 gal. white")


def of(query: str, item: str) -> Pair:
    return Pair(query, item, query, item)


def coloured() -> tuple[list[Pair], np.ndarray]:
    """Grade 2: thing and colour fit; 1: the thing alone; 0: another thing."""
    made, grades = [], []
    for colour in COLOURS:
        for thing in THINGS:
            for other in COLOURS:
                for good in THINGS:
                    made.append(of(f"{colour} {thing}", f"{other} {good}"))
                    grades.append(0 if thing != good else 2 if colour == other else 1)
    return made, np.array(grades)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, grades = coloured()
    folder = tmp_path_factory.mktemp("features") / "best"
    fit_features(made * 12, np.tile(grades, 12), made, grades, folder, origin={"rubric": "r1"})
    return folder


def test_words_are_cut_folded_and_singular() -> None:
    assert words('5gal Büchsen, 3/4" x 2.5 ft boxes') == [
        "5",
        "gal",
        "buchsen",
        "3/4",
        "inch",
        "x",
        "2.5",
        "ft",
        "boxe",
    ]
    assert words("12' ladder, men's") == ["12", "foot", "ladder", "men", "s"]
    pairs = {"ladders": "ladder", "batteries": "battery", "glass": "glass", "bus": "bus", "shoes": "shoe", "gas": "gas"}
    assert {word: singular(word) for word in pairs} == {**pairs, "shoes": "shoes"}  # "oes" stays, as Harman has it
    assert measures(words("two 5 gal. buckets 6 ft 8 foot")) == {"gallon": {"5"}, "foot": {"6", "8"}}


@given(st.text("aesiüßé5/.\"' ", max_size=20))
def test_words_have_no_case(text: str) -> None:
    assert words(text.upper()) == words(text) and all(words(text))


@given(st.text("abc", min_size=1, max_size=8), st.text("abc", min_size=1, max_size=8))
def test_likeness_is_dice_over_runs_of_three(first: str, second: str) -> None:
    runs = [{f"^{word}$"[at : at + 3] for at in range(len(word))} for word in (first, second)]
    shared = sum(run in runs[1] for run in runs[0])
    assert likeness(letters(first), letters(second)) == pytest.approx(2 * shared / (len(runs[0]) + len(runs[1])))
    assert likeness(letters(first), letters(first)) == 1


def test_signals_equal_a_slow_reckoning() -> None:
    corpus = Corpus.of(TITLES)
    held = [words(title) for title in TITLES]
    mean = sum(map(len, held)) / len(held)

    def idf(word: str) -> float:
        count = sum(word in title for title in held)
        return math.log(1 + (len(held) - count + 0.5) / (count + 0.5))

    for query in ("acme bucket 5 gallon", "steel ladders", "zebra", "white paint paint"):
        asked = words(query)
        found = pair_features([of(query, title) for title in TITLES], corpus)
        for row, title in enumerate(held):
            bm25 = 0.0
            for word in asked:
                times = title.count(word)
                bm25 += idf(word) * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * len(title) / mean))
            total = sum(map(idf, asked))
            expected = {
                "share": sum(word in title for word in asked) / len(asked),
                "rare share": sum(idf(word) for word in asked if word in title) / total,
                "bm25": bm25,
                "bm25 share": bm25 / (2.2 * total),
                "unknown": sum(not any(word in one for one in held) for word in asked) / len(asked),
                "last word": float(asked[-1] in title),
                "rarest missing": max((idf(word) for word in asked if word not in title), default=0),
                "density": sum(word in asked for word in title) / len(title),
            }
            for name, value in expected.items():
                assert found[row, WORD_NAMES.index(name)] == pytest.approx(value, abs=1e-5), (query, title, name)


def test_measures_brands_and_misspellings_are_told_apart() -> None:
    corpus = Corpus.of(TITLES)
    text = judged_item("5 gal. bucket", ["Home", "Paint"], "Acme", [{"name": "colour", "value": "white"}], "for paint")

    def signal(query: str, name: str, item: str = text) -> float:
        return float(pair_features([of(query, item)], corpus)[0, WORD_NAMES.index(name)])

    assert (signal("5 gallon bucket", "measures met"), signal("5 gallon bucket", "measures in conflict")) == (1, 0)
    assert (signal("3 gallon bucket", "measures met"), signal("3 gallon bucket", "measures in conflict")) == (0, 1)
    assert signal("bucket", "numbers share") == -1 and signal("bucket 3", "numbers in conflict") == 1
    assert signal("acme bucket", "brand in query") == 1 and signal("bolt bucket", "brand in query") == 0
    assert signal("bucket", "brand in query", "bucket") == -1
    assert signal("home bucket", "category share") == 0.5
    assert signal("white buckt", "like share") > signal("white xyzzy", "like share")
    assert signal("white bucket", "whole share") == 1 and signal("white bucket", "share") == 0.5
    assert signal("", "words") == 0


def test_pieces_equal_a_slow_loop_whatever_the_order(trained: Path) -> None:
    soft = FeaturesGrader.load(trained).signals.soft
    pairs = [of(q, t) for q in ("red chair", "", "lamp") for t in ("blue chair | brand: X", "red lamp", " | red")]
    found = soft.features(pairs)
    order = np.random.default_rng(0).permutation(len(pairs))
    np.testing.assert_allclose(soft.features([pairs[row] for row in order]), found[order], atol=1e-6)
    table = soft.units.astype(np.float64) * soft.lengths[:, None]
    for pair, row in zip(pairs, found, strict=True):
        asked, title = (soft.tokenizer.encode(one, add_special_tokens=False).ids for one in (pair.query, pair.item))
        title = soft.tokenizer.encode(pair.item.split(" | ")[0], add_special_tokens=False).ids
        if not asked or not title:
            assert not row.any()
            continue
        near = [[float(table[a] @ table[b]) / math.dist(table[a], 0 * table[a]) / math.dist(table[b], 0 * table[b])
                 for b in title] for a in asked]  # fmt: skip
        rare = [float(soft.lengths[a]) for a in asked]
        theirs = [float(soft.lengths[b]) for b in title]
        best = [max(line) for line in near]
        covered = [max(line[at] for line in near) for at in range(len(title))]
        means = table[asked].mean(0), table[title].mean(0)
        expected = [
            means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1]),
            sum(w * s for w, s in zip(rare, best, strict=True)) / sum(rare),
            min(best),
            sum(best) / len(best),
            best[-1],
            sum(w * s for w, s in zip(theirs, covered, strict=True)) / sum(theirs),
        ]
        np.testing.assert_allclose(row, expected, atol=1e-4)


def test_learns_and_answers_as_its_arrays_say(trained: Path) -> None:
    made, grades = coloured()
    grader = FeaturesGrader.load(trained)
    found = grader.grade(made).probabilities
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found.argmax(1) == grades).mean() > (grades == 0).mean() + 0.2
    arrays, values = {name: one.tolist() for name, one in grader.arrays.items()}, grader.signals(made[:3])
    for row in range(3):
        hidden = [
            min(max((v - m) / s, -5), 5)
            for v, m, s in zip(values[row].tolist(), arrays["mean"], arrays["scale"], strict=True)
        ]
        for layer in ("1", "2", "3"):
            columns = zip(*arrays[f"w{layer}"], strict=True)
            hidden = [sum(map(math.prod, zip(hidden, column, strict=True))) + b
                      for column, b in zip(columns, arrays[f"b{layer}"], strict=True)]  # fmt: skip
            hidden = hidden if layer == "3" else [max(one, 0.0) for one in hidden]
        weights = [math.exp(one - max(hidden)) for one in hidden]
        np.testing.assert_allclose(found[row], np.array(weights) / sum(weights), atol=1e-6)
    assert len(grader.grade([]).probabilities) == 0 and values.shape[1] == len(NAMES)


def test_the_same_seed_gives_the_same_judge(trained: Path, tmp_path: Path) -> None:
    made, grades = coloured()
    for seed in (0, 1):
        fit_features(
            made * 12, np.tile(grades, 12), made, grades, tmp_path / str(seed), origin={"rubric": "r1"}, seed=seed
        )
    judges = [FeaturesGrader.load(folder).judge for folder in (trained, tmp_path / "0", tmp_path / "1")]
    assert judges[0] == judges[1] and judges[0].version != judges[2].version
    assert judges[0].name == "features" and judges[0].rubric == "r1"
    assert sorted(path.name for path in trained.iterdir()) == sorted([ARRAYS, TOKENIZER, FACTS])


@pytest.mark.parametrize("name", [ARRAYS, TOKENIZER, FACTS])
def test_a_damaged_folder_gets_one_sentence(trained: Path, tmp_path: Path, name: str) -> None:
    for path in trained.iterdir():
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(data[: len(data) // 2] if path.name == name else data)
    with pytest.raises(InputError, match=r"is damaged .*train it again"):
        FeaturesGrader.load(tmp_path)


def test_what_cannot_be(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="holds no grader from features"):
        FeaturesGrader.load(tmp_path)
    for path in trained.iterdir():
        text = path.read_bytes()
        (tmp_path / path.name).write_bytes(text.replace(b'"layout": 1', b'"layout": 0') if path.name == FACTS else text)
    with pytest.raises(InputError, match="trained on other signals"):
        FeaturesGrader.load(tmp_path)
    made, grades = coloured()
    with pytest.raises(InputError, match="29 training pairs are too few"):
        fit_features(made[:29], grades[:29], made, grades, tmp_path / "few", origin={})
