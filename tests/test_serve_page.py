"""The search page in a real browser, over real indexes: what it finds, and how it shows it."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import serve_page_case
from serve_page_case import NAMES, ROWS, T1, T2, Shop, api, asked_in, browsing, expect_items, items, until

shop, browser, visit = serve_page_case.shop, serve_page_case.browser, serve_page_case.visit  # fixtures
pytestmark = browsing


def test_results_at_every_key_press(shop: Shop, visit: Callable[..., Any], record_property: Any) -> None:
    page = visit()
    api.expect(page.locator(".notice >> visible=true")).to_contain_text("Type to search 9 items")
    page.evaluate(
        """() => {
        window.took = [];
        let pressed = null;
        document.querySelector("#q").addEventListener("keydown", () => (pressed = performance.now()));
        new MutationObserver(() => {
            const began = pressed;
            if (began === null) return;
            pressed = null;
            const seen = new MessageChannel();  // its message comes after the frame that the answer is painted in
            requestAnimationFrame(() => seen.port2.postMessage(0));
            seen.port1.onmessage = () => window.took.push(performance.now() - began);
        }).observe(document.querySelector(".hits"), { childList: true });
    }"""
    )
    index, typed = shop.index(), "red kettle"
    for end_ in range(1, len(typed) + 1):
        page.keyboard.press(typed[end_ - 1])  # nothing else: no Enter
        expect_items(page, index.search(typed[:end_], k=20))
    until(page, lambda: len(page.evaluate("window.took")) == len(typed))
    took = page.evaluate("window.took")
    record_property("key_to_paint_ms", [round(one, 1) for one in took])
    cosines = shop.cosines(typed)
    for hit in page.locator(".hit >> visible=true").all():
        cosine = cosines[hit.get_attribute("data-item")]
        grade = int(cosine >= T1) + int(cosine >= T2)
        assert hit.locator(".stratum").inner_text() == NAMES[grade]
        assert f"of{grade}" in hit.get_attribute("class").split()
    assert {int(cosine >= T1) + int(cosine >= T2) for cosine in cosines.values()} == {0, 1, 2}
    colours = page.evaluate(
        """["of0", "of1", "of2"].map((grade) => document.querySelector(`.hits .${grade}`))
            .map((hit) => getComputedStyle(hit, "::before").backgroundColor)"""
    )
    assert len(set(colours)) == 3
    api.expect(page.locator("#said")).to_have_text("9 items for “red kettle”.")
    assert asked_in(page)["q"] == [typed]
    assert {urlsplit(url).netloc for url in page.requests if url != "data:,"} == {urlsplit(shop.address).netloc}
    assert page.complaints == []


def test_legs_and_scores_on_demand(shop: Shop, visit: Callable[..., Any]) -> None:
    page = visit("/?q=red+kettle")
    hits = shop.index().search("red kettle", k=20)
    expect_items(page, hits)
    assert page.locator(".scores >> visible=true").count() == 0
    legs = shop.index().legs(["red kettle"], 100)
    places = {name: {row: n for n, row in enumerate(leg.rows[0].tolist(), 1)} for name, leg in legs.items()}
    cosines = shop.cosines("red kettle")
    page.locator(".why").first.click()
    assert page.locator(".scores >> visible=true").count() == 1
    page.locator("#to-scores").click()
    for hit, shown in zip(hits, page.locator(".hit .scores >> visible=true").all(), strict=True):
        score, dense, lexical = (value.inner_text() for value in shown.locator("dd").all()[:3])
        assert score == f"{hit.score:.3f}"
        assert dense == f"{cosines[hit.item_id]:.3f} rank {places['dense'][hit.row]}"
        assert lexical == (
            f"{hit.lexical:.2f} rank {places['lexical'][hit.row]}" if hit.lexical else "not found by this leg"
        )
        assert shown.locator("dd").last.inner_text() == hit.item_id
    assert page.locator(".told").first.get_attribute("title") == "Version 1 of the index one"
    assert asked_in(page)["scores"] == [""]


def test_the_threshold_shows_what_falls_away_and_the_expected_precision(shop: Shop, visit: Callable[..., Any]) -> None:
    page = visit("/?q=red+kettle")
    hits = shop.index().search("red kettle", k=20)
    expect_items(page, hits)
    cosines, (scores, grades) = shop.cosines("red kettle"), shop.pairs["one"]

    def check(threshold: float | None) -> int:
        least = -np.inf if threshold is None else threshold
        away = {item for item in cosines if cosines[item] < least}
        drawn = [hit.get_attribute("data-item") for hit in page.locator(".hit.away").all()]
        assert set(drawn) == away and page.locator(".falls >> visible=true").count() == len(away)
        assert page.locator(".tally").first.inner_text().startswith(f"{9 - len(away)} stay, {len(away)} fall away.")
        stay = scores >= least
        for grade in (1, 2):
            share = float((grades[stay] >= grade).mean())
            told = page.locator(f".key{grade} b").first.inner_text()
            assert abs(float(told.removesuffix(" %")) - 100 * share) <= 0.5
        told = re.search(r"Of the validation pairs ([\d.]+) % stay", page.locator(".tally").first.inner_text())
        assert told and abs(float(told[1]) - 100 * stay.mean()) <= 0.5
        return len(away)

    assert check(None) == 0
    page.keyboard.press("ArrowDown")  # out of the search box, where letters are letters
    page.keyboard.press("t")
    slider, counts = page.locator(".slider").first, []
    api.expect(slider).to_be_focused()
    for value in (0.0, 0.2, T1, 0.6, 0.9):
        slider.evaluate("(it, value) => { it.value = value; it.dispatchEvent(new Event('input')); }", value)
        set_ = float(slider.input_value())
        assert abs(set_ - value) <= 0.0011
        counts.append(check(set_))
    assert counts == sorted(counts) and counts[0] < counts[-1]
    before = float(slider.input_value())
    page.keyboard.press("ArrowLeft")
    assert float(slider.input_value()) == pytest.approx(before - 0.001, abs=2e-4)
    page.get_by_role("button", name="Grade 1: ≥ 0.45").first.click()
    check(T1)
    api.expect(page.locator("#said")).to_contain_text("fall away.")
    assert asked_in(page)["t"] == [str(T1)]
    page.reload()
    expect_items(page, hits)
    check(T1)
    page.get_by_role("button", name="All").first.click()
    check(None)
    assert "t" not in asked_in(page)


@pytest.mark.parametrize("other", [("two", "hybrid"), ("one", "lexical")])
def test_two_sides_with_their_differences(shop: Shop, visit: Callable[..., Any], other: tuple[str, str]) -> None:
    page = visit(f"/?q=kettle&index2={other[0]}&mode2={other[1]}")
    page.locator("#to-compare").click()
    lists = [shop.index().search("kettle", k=20), shop.index(other[0]).search("kettle", k=20, mode=other[1])]
    assert [hit.item_id for hit in lists[0]] != [hit.item_id for hit in lists[1]]
    cosines = [shop.cosines("kettle", name) for name in ("one", other[0])]
    grades = [{item: int(cosine >= T1) + int(cosine >= T2) for item, cosine in of.items()} for of in cosines]
    for side, found in enumerate(lists):
        expect_items(page, found, side)
        ranks = {hit.item_id: hit.rank for hit in lists[1 - side]}
        for hit in found:
            row = page.locator(".side").nth(side).locator(f'[data-item="{hit.item_id}"]')
            said = re.sub(r"\s+", " ", row.locator(".moved").text_content())
            by = ranks.get(hit.item_id, 0) - hit.rank
            here, there = "AB"[side], "BA"[side]
            if hit.item_id not in ranks:
                assert said == f"only {here}Only in {here}"
            elif by == 0:
                assert said.startswith(f"=Same place as in {there}")
            else:
                places = f"{abs(by)} place{'s' * (abs(by) > 1)}"
                way = f"▲ {by}{places} higher" if by > 0 else f"▼ {-by}{places} lower"
                assert said.startswith(f"{way} than in {there}")
            theirs, ours = grades[1 - side][hit.item_id], grades[side][hit.item_id]
            assert (f"grade {theirs} in {there}" in said) == (hit.item_id in ranks and theirs != ours)
    ranks = [{hit.item_id: hit.rank for hit in found} for found in lists]
    shared = set(ranks[0]) & set(ranks[1])
    same = sum(ranks[0][item] == ranks[1][item] for item in shared)
    alone = [len(side) - len(shared) for side in ranks]
    api.expect(page.locator("#difference")).to_have_text(
        f"{len(shared)} items on both sides, {same} in the same place; {alone[0]} only in A, {alone[1]} only in B."
    )
    held = asked_in(page)
    assert (held["compare"], held["index2"], held["mode2"]) == ([""], [other[0]], [other[1]])
    page.locator(".side").first.locator(".mode").select_option(other[1])
    page.locator(".side").first.locator(".index").select_option(other[0])
    expect_items(page, lists[1])
    api.expect(page.locator("#difference")).to_contain_text("0 only in A, 0 only in B")
    page.locator(".mode").first.focus()
    page.keyboard.press("c")  # a select's letters are its own
    page.locator(".hit").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('.side').ariaLabel") == "Results B"
    page.keyboard.press("c")
    api.expect(page.locator(".side >> visible=true")).to_have_count(1)
    api.expect(page.locator("#difference")).to_be_hidden()
    assert page.locator(".moved >> visible=true").count() == 0
    assert page.complaints == []


def test_filters(visit: Callable[..., Any]) -> None:
    page = visit("/?q=red+lamp")
    row = {entry[0]: entry for entry in ROWS}

    def check(meets: Callable[[Any], bool], *kept: str) -> None:
        wanted = [entry[0] for entry in ROWS if meets(entry)]
        api.expect(page.locator(".side").first.locator(".hit")).to_have_count(len(wanted))
        assert sorted(items(page)) == sorted(wanted)
        assert asked_in(page).get("filter", []) == list(kept)

    check(lambda _: True)
    page.locator("#to-filters").click()
    api.expect(page.locator("#taxonomy")).to_be_focused()
    page.locator("#taxonomy").select_option(label="Home/Office")
    check(lambda entry: entry[3][0] == "Home/Office", "taxonomy:Home\\/Office")
    api.expect(page.locator(".chip")).to_have_text(["category: Home/Office"])
    page.locator("#attribute").select_option(label="blue")
    check(lambda entry: entry[3][0] == "Home/Office" and entry[4] == "blue", "taxonomy:Home\\/Office", "colour:blue")
    page.locator(".hit >> visible=true").first.get_by_role("button", name="Lamps").click()  # narrower, in its place
    check(lambda entry: entry[0] == "f", "colour:blue", "taxonomy:Home\\/Office/Lamps")
    page.reload()
    check(lambda entry: entry[0] == "f", "colour:blue", "taxonomy:Home\\/Office/Lamps")
    api.expect(page.locator("#filter-count")).to_have_text("2")
    page.get_by_role("button", name="Drop the filter category").click()
    check(lambda entry: entry[4] == "blue", "colour:blue")
    page.get_by_role("button", name="Drop the filter colour").click()
    page.locator(".side").first.locator('[data-item="a"]').get_by_role("button", name="Acme").click()
    page.locator("#to-filters").click()
    page.locator("#brand").select_option(label="Bolt")
    check(lambda entry: entry[2] in ("Acme", "Bolt"), "brand:Acme", "brand:Bolt")  # any of them
    page.fill("#low", "25")
    page.keyboard.press("Tab")
    page.fill("#high", "35")
    page.keyboard.press("Tab")
    check(
        lambda entry: entry[2] in ("Acme", "Bolt") and 25 <= float(entry[5]) <= 35,
        "brand:Acme", "brand:Bolt", "price:25..35",
    )  # fmt: skip
    page.fill("#high", "")
    page.keyboard.press("Tab")
    page.fill("#low", "1000")
    page.keyboard.press("Tab")
    api.expect(page.locator(".notice >> visible=true")).to_contain_text("No item for “red lamp”.")
    page.get_by_role("button", name="Drop the filters").click()
    check(lambda entry: entry[0] in row)
    assert page.input_value("#low") == "" and page.complaints == []
