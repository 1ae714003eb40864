"""A fine-tuning file teaches the very conversation that the judge will have."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motherlode.endpoint.finetune_export import export_finetune
from motherlode.endpoint.judge import EndpointGrader
from motherlode.endpoint.settings import EndpointSettings
from motherlode.errors import InputError, SettingError
from motherlode.grading.pairs import PairTexts
from motherlode.tables.tables import Tables, TableWriter
from openai_server import Server, asked
from test_endpoint_judge import RUBRIC

SETTINGS = EndpointSettings(model="m", reasons=False, pairs_per_request=4)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> PairTexts:
    folder = tmp_path_factory.mktemp("tables")
    with TableWriter(folder, "queries") as queries:
        queries.write({"query_id": [f"q{n}" for n in range(60)], "text": [f"wanted {n}" for n in range(60)]})
    with TableWriter(folder, "catalogue") as items:
        items.write({"item_id": [f"i{n}" for n in range(9)], "title": [f"größe \u2028 {n}" for n in range(9)]})
    return PairTexts(Tables(folder))


def pairs(count: int = 400) -> tuple[list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = rng.permutation(60 * 9)[:count]
    return [f"q{n // 9}" for n in drawn], [f"i{n % 9}" for n in drawn], rng.integers(0, 3, count)


def lines(folder: Path, side: str) -> list[list[dict[str, Any]]]:
    # by \n alone: other line ends may stand inside texts
    text = (folder / f"{side}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line)["messages"] for line in text.removesuffix("\n").split("\n")]


def test_every_pair_is_taught_once_with_its_grade_and_no_query_on_both_sides(texts: PairTexts, tmp_path: Path) -> None:
    queries, items, grades = pairs()
    facts = export_finetune(queries, items, grades, texts, RUBRIC, SETTINGS, tmp_path, validation=0.25)
    taught: dict[str, dict[tuple[str, str], int]] = {}
    for side in ("train", "validation"):
        taught[side] = {}
        for system, user, assistant in lines(tmp_path, side):
            assert [system["role"], user["role"], assistant["role"]] == ["system", "user", "assistant"]
            given = json.loads(assistant["content"])["verdicts"]
            document = json.loads(user["content"])["pairs"]
            assert [one["id"] for one in given] == [one["id"] for one in document]
            for pair, verdict in zip(document, given, strict=True):
                taught[side][pair["query"], pair["item"]] = verdict["grade"]
        assert facts[side]["pairs"] == len(taught[side]) == sum(facts[side]["grades"])
        assert facts[side]["conversations"] == len(lines(tmp_path, side))
    expected = {
        (f"wanted {query[1:]}", f"größe {item[1:]}"): grade
        for query, item, grade in zip(queries, items, grades, strict=True)
    }
    assert taught["train"] | taught["validation"] == expected
    spread = sum(
        len({pair["query"] for pair in json.loads(user["content"])["pairs"]}) for _, user, _ in lines(tmp_path, "train")
    )
    # together: in order of the queries, each conversation adds at most one that the one before had
    assert spread <= facts["train"]["conversations"] + len({query for query, _ in taught["train"]})
    sides = [{query for query, _ in taught[side]} for side in ("train", "validation")]
    assert not sides[0] & sides[1]
    assert 5 <= len(sides[1]) <= 25
    assert json.loads((tmp_path / "finetune.json").read_text()) == facts


def test_it_is_what_the_judge_sends(texts: PairTexts, tmp_path: Path) -> None:
    queries, items, grades = pairs()
    export_finetune(queries, items, grades, texts, RUBRIC, SETTINGS, tmp_path)
    system, user, _ = lines(tmp_path, "train")[0]
    place = {(f"wanted {q[1:]}", f"größe {i[1:]}"): (q, i) for q, i in zip(queries, items, strict=True)}
    keys = [place[pair["query"], pair["item"]] for pair in json.loads(user["content"])["pairs"]]
    with Server() as server:
        settings = SETTINGS.model_copy(update={"url": server.url})
        EndpointGrader(settings, RUBRIC).grade(texts.pairs([q for q, _ in keys], [i for _, i in keys]))
    assert server.bodies[0]["messages"] == [system, user]
    assert asked(server.bodies[0])


def test_same_seed_same_bytes_and_conversations_are_shuffled(texts: PairTexts, tmp_path: Path) -> None:
    queries, items, grades = pairs()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        export_finetune(queries, items, grades, texts, RUBRIC, SETTINGS, tmp_path / name, seed=seed)
    same = [(tmp_path / name / "train.jsonl").read_bytes() for name in "abc"]
    assert same[0] == same[1] != same[2]
    firsts = [json.loads(user["content"])["pairs"][0]["query"] for _, user, _ in lines(tmp_path / "a", "train")]
    assert firsts != sorted(firsts)


def test_what_cannot_be_taught_is_refused_and_nothing_is_written(texts: PairTexts, tmp_path: Path) -> None:
    queries, items, grades = pairs()
    with pytest.raises(SettingError, match="reasons to false"):
        export_finetune(queries, items, grades, texts, RUBRIC, EndpointSettings(model="m"), tmp_path)
    with pytest.raises(InputError, match="Pair 3 has grade 7"):
        export_finetune(queries, items, [0, 1, 2, 7, *grades[4:]], texts, RUBRIC, SETTINGS, tmp_path)
    with pytest.raises(InputError, match="fewer than 10"):
        export_finetune(queries[:20], items[:20], grades[:20], texts, RUBRIC, SETTINGS, tmp_path)
    with pytest.raises(InputError, match="one of each"):
        export_finetune(queries, items[:5], grades, texts, RUBRIC, SETTINGS, tmp_path)
    with pytest.raises(InputError, match="query_id"):
        export_finetune(["unknown", *queries[1:]], items, grades, texts, RUBRIC, SETTINGS, tmp_path, validation=0.0)
    assert list(tmp_path.iterdir()) == []
