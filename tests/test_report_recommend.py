"""The recommender's page: hostile text stays text, what is absent is left out, what is wrong is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from motherlode.errors import SettingError
from motherlode.report.recommend import HEADLINE, PARTS, write_recommend
from motherlode.semantics.codes import Codes
from motherlode.semantics.inspect_codes import describe_codes
from report_case import HOSTILE

KEYS = [*HEADLINE, *(f"recall@{k}/{part}" for part in PARTS for k in (50, 200))]


def figures(rng: np.random.Generator, delta: bool) -> dict[str, Any]:
    """Made-up figures in the form of the stage: nobody has a cold target."""
    found = {}
    for key in KEYS:
        value = float(rng.random())
        known: dict[str, Any] = {"low": value - 0.1, "high": value + 0.1, "n": 9}
        if delta:
            known |= {"delta": value, "relative": value, "relative_low": value - 0.1, "relative_high": value + 0.1}
        else:
            known["mean"] = value
        found[key] = dict.fromkeys(known) | {"n": 0} if "cold" in key else known
    return found


def made(out: Path, **changes: Any) -> str:
    rng = np.random.default_rng(3)
    codes = Codes(
        np.array([0, 0, 1, 1, 2], np.int32), np.array([0, 0, 1, 0, 1], np.int32), np.eye(4, dtype=np.float32), 2,
        np.ones(5, bool),
    )  # fmt: skip
    titles = [f"{HOSTILE} {row}" for row in range(5)]
    metrics = {
        "users": 9, "items": 5, "resamples": 100, "seed": 0, "simulated": False, "best baseline": HOSTILE,
        "targets": {"head": 4, "torso": 3, "tail": 2, "cold": 0}, "left out": {"ALS": "needs a library"},
        "systems": {"two-tower": figures(rng, False), HOSTILE: figures(rng, False)},
        "against": {HOSTILE: figures(rng, True)},
    }  # fmt: skip
    example = {
        "user": HOSTILE, "gain": -0.5, "values": {"two-tower": 0.1, HOSTILE: 0.6}, "history": titles, "events": 5,
        "targets": titles[:1], "lists": {"two-tower": [{"title": HOSTILE, "hit": True}], HOSTILE: []},
    }  # fmt: skip
    given: dict[str, Any] = {
        "title": HOSTILE, "metrics": metrics, "trained": "two-tower", "examples": [example],
        "log": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}],
        "views": {"names": [HOSTILE], "present": {HOSTILE: 0.5}, "alignment": None},
        "described": describe_codes(codes, {HOSTILE: ["a", "b", None, "a", "a"]}), "codes": codes, "titles": titles,
        "facts": {HOSTILE: HOSTILE},
    }  # fmt: skip
    return write_recommend(out, **{**given, **changes}).read_text(encoding="utf-8")


def test_hostile_text_stays_text(tmp_path):
    html = made(tmp_path / "page.html")
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert") > 20
    assert html.count("<script>") == 1  # the page's own
    assert "ALS is left out: it needs a library." in html
    assert "Lost most" in html and "Won most" not in html
    assert "Recall@50, tail: 2 targets" in html and "cold: 0" not in html


def test_the_inspector_names_cells_leaves_and_neighbours(tmp_path):
    html = made(tmp_path / "page.html", titles=["red", "blue", "green", "black", "white"])
    inside = html[html.index("What shares a code") :]
    for cell, listed in (("0.0: 2", ["red", "blue"]), ("1.1: 1", ["green"]), ("1.0: 1", ["black"])):
        start = inside.index(f"<h4>leaf {cell}</h4>")
        assert [
            word for word in ("red", "blue", "green", "black", "white") if word in inside[start:].split("</ol>")[0]
        ] == listed
    assert "nearest: 1, 2<" in inside  # of cell 0: all centres are equally far, the empty cell 3 is none
    assert "Cell 3<" not in inside


def test_what_is_absent_is_left_out_and_what_is_wrong_is_named(tmp_path):
    html = made(tmp_path / "page.html", examples=[], log=[])
    assert "Users won and lost" not in html and "How it learned" not in html
    with pytest.raises(SettingError, match="no system 'three-tower': they have two-tower"):
        made(tmp_path / "other.html", trained="three-tower")
    assert not (tmp_path / "other.html").exists()
