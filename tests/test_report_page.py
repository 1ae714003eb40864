"""The page as a whole: it says what was measured, loads nothing, and keeps hostile text as text."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from motherlode.atomic import read_json, write_json
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.report.formats import change, plain
from motherlode.report.page import write
from report_case import HOSTILE, SYSTEMS, save, save_log, score, small_shop

VOID = {"meta", "rect", "line", "circle", "path"}


class Parsed(HTMLParser):
    """Tags that balance, their attributes, and the text outside script and style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    @property
    def headings(self) -> list[str]:
        titles = (
            "How well it ranks",
            "How far apart",
            "How it learned",
            "Where it helps",
            "Queries won and lost",
        )
        return [one for one in (*titles, "Every figure", "Where it comes from") if one in self.text]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    titles, queries, judged = small_shop()
    save(folder, titles, queries, judged)
    scores = score(titles, queries)
    features = [scores[SYSTEMS[role]][judged.query_rows, judged.items] for role in ("before", "lexical")]
    save_log(folder / "metrics.jsonl", judged, np.stack(features, axis=1))
    return folder


def page(folder: Path, out: Path, **changes: object) -> str:
    settings: dict = {
        "title": f"Small shop {HOSTILE}",
        "facts": {"data set": f"made by hand {HOSTILE}", "seed": 1, "fingerprints": {"tables": "0a1b"}},
        "fit_log": folder / "metrics.jsonl",
        "systems": SYSTEMS,
    }
    assert write(folder, out, **{**settings, **changes}) == out
    return out.read_text(encoding="utf-8")


def test_it_shows_the_measured_figures_and_all_sections(folder: Path, tmp_path: Path) -> None:
    parsed = Parsed(page(folder, tmp_path / "page.html"))
    assert len(parsed.headings) == 7
    metrics = read_json(folder / "metrics.json")
    for name in SYSTEMS.values():
        assert name in parsed.text
        for pool in ("catalogue", "judged"):
            for found in metrics["systems"][name][pool].values():
                assert plain(found["mean"]) in parsed.text
        for delta in metrics["deltas"].get(name, {}).values():
            assert change(delta)
    assert change(metrics["deltas"][SYSTEMS["after"]]["ndcg@10"]) in parsed.text
    assert "Gains 0 / 0.5 / 1" in parsed.text and "all 160 items" in parsed.text and "0a1b" in parsed.text
    assert "Simulated" not in parsed.text


def test_nothing_is_loaded_and_hostile_text_stays_text(folder: Path, tmp_path: Path) -> None:
    html = page(folder, tmp_path / "page.html")
    parsed = Parsed(html)
    assert parsed.tags.count("script") == 1
    assert not {"img", "link", "iframe", "object", "a"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    assert not re.search(r"https?:|url\(|@import", html)
    assert "<script>alert" not in html
    assert parsed.text.count("<script>alert('x')</script>") >= 2  # in title and facts
    shown = {value for name, value in parsed.attributes if name == "aria-label"}
    assert shown  # every picture has words


def test_hostile_queries_titles_and_system_names_stay_text(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "evaluate"
    copy.mkdir()
    old, new = SYSTEMS["after"], "</svg><img src=x onerror=alert(1)>"
    (copy / "metrics.json").write_text(
        json.dumps(read_json(folder / "metrics.json")).replace(json.dumps(old), json.dumps(new)),
        encoding="utf-8",
    )
    for name in ("per_query", "pairs", "top"):
        frame = pl.read_parquet(folder / f"{name}.parquet").with_columns(pl.col("system").replace(old, new))
        hostile = [column for column in ("query", "title") if column in frame.columns]
        frame.with_columns(pl.lit("<script>" + new).alias(column) for column in hostile).write_parquet(
            copy / f"{name}.parquet"
        )
    html = page(copy, tmp_path / "page.html", systems={**SYSTEMS, "after": new})
    parsed = Parsed(html)
    assert "img" not in parsed.tags and parsed.tags.count("script") == 1
    assert parsed.text.count("<script>" + new) > 20


def test_every_picture_is_well_formed_and_finite(folder: Path, tmp_path: Path) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page(folder, tmp_path / "page.html"), re.DOTALL)
    assert len(drawings) == 3 + 2 + 2 + 2  # bars, ridges, curves, forests
    for drawing in drawings:
        root = ET.fromstring(drawing)
        assert root.get("aria-label")
        assert "nan" not in drawing and "inf" not in drawing


def test_bars_are_as_long_as_their_figures(folder: Path, tmp_path: Path) -> None:
    drawing = re.search(r"<svg.*?</svg>", page(folder, tmp_path / "page.html"), re.DOTALL)
    assert drawing
    metrics = read_json(folder / "metrics.json")
    means = [
        metrics["systems"][SYSTEMS[role]]["catalogue"]["ndcg@10"]["mean"]
        for role in ("lexical", "before", "after", "blend")
    ]
    widths = [float(bar.get("width", 0)) for bar in ET.fromstring(drawing.group()).iter("rect")]
    assert np.array(widths) / widths[0] == pytest.approx(np.array(means) / means[0], abs=2e-3)


def test_the_queries_are_those_that_changed_most(folder: Path, tmp_path: Path) -> None:
    html = page(folder, tmp_path / "page.html")
    frame = pl.read_parquet(folder / "per_query.parquet").pivot("system", index="query", values="ndcg@10")
    gain = frame[SYSTEMS["after"]] - frame[SYSTEMS["before"]]
    ordered = frame.with_columns(gain=gain).drop_nulls().sort("gain")
    won, lost = html.split("Lost most") if "Lost most" in html else (html, "")
    assert "Won most" in won
    shown = [float(value) for value in re.findall(r'class="delta up">\+([\d.]+)<', won)]
    assert shown == pytest.approx(ordered["gain"].tail(5).reverse().to_list(), abs=0.006)
    losses = ordered.filter(pl.col("gain") < 0)["gain"].head(5).to_list()
    shown = [-float(value) for value in re.findall(r'class="delta down">−([\d.]+)<', lost)]
    assert shown == pytest.approx(losses, abs=0.006)


def test_simulated_data_are_called_so(folder: Path, tmp_path: Path) -> None:
    assert "Simulated data" in Parsed(page(folder, tmp_path / "page.html", facts={"simulated": True})).text


def test_what_is_absent_is_left_out(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "evaluate"
    bare.mkdir()
    metrics = read_json(folder / "metrics.json")
    after = {"after": SYSTEMS["after"]}
    alone = {SYSTEMS["after"]: {"catalogue": metrics["systems"][SYSTEMS["after"]]["catalogue"]}}
    write_json(
        bare / "metrics.json",
        {
            **metrics,
            "systems": alone,
            "deltas": {},
            "slices": {},
            "baseline": SYSTEMS["after"],
            "items": None,
        },
    )
    html = page(bare, tmp_path / "page.html", systems=after, facts={}, fit_log=None)
    assert Parsed(html).headings == ["How well it ranks", "Every figure"]
    assert "all items of the catalogue" in html


def test_faults_are_named_and_leave_no_page(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    with pytest.raises(MissingError, match="motherlode evaluate"):
        page(tmp_path, out)
    with pytest.raises(SettingError, match="no system 'dense'"):
        page(folder, out, systems={"after": "dense"})
    with pytest.raises(SettingError, match="roles"):
        page(folder, out, systems={"before": SYSTEMS["before"]})
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    with pytest.raises(InputError, match="line 2"):
        page(folder, out, fit_log=log)
    broken = tmp_path / "evaluate"
    broken.mkdir()
    (broken / "metrics.json").write_bytes((folder / "metrics.json").read_bytes())
    pl.read_parquet(folder / "pairs.parquet").drop("score").write_parquet(broken / "pairs.parquet")
    with pytest.raises(InputError, match="lacks the column score"):
        page(broken, out)
    assert not out.exists()
