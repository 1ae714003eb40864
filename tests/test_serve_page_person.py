"""The search page in a real browser, over real indexes: what a person does to it, and what goes wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import serve_page_case
from serve_page_case import HOSTILE, Shop, api, browsing, end, expect_items, serving, until, where
from test_review_browser import low_contrast

shop, browser, visit = serve_page_case.shop, serve_page_case.browser, serve_page_case.visit  # fixtures
pytestmark = browsing


def test_grades_land_in_the_ledger(shop: Shop, visit: Callable[..., Any]) -> None:
    page = visit("/?q=lamp&compare=&mode2=dense")
    hits = shop.index().search("lamp", k=20)
    expect_items(page, hits)
    first, second = hits[0].item_id, hits[1].item_id
    row = page.locator(".side").first.locator(".hit").first
    twin = page.locator(".side").nth(1).locator(f'[data-item="{first}"] [aria-pressed="true"]')
    row.locator('[data-grade="2"]').click()
    api.expect(row.locator('[aria-pressed="true"][data-grade]')).to_have_text("2")
    api.expect(twin).to_have_text("2")  # the same pair
    api.expect(page.locator("#said")).to_have_text(f"Saved: Relevant, {hits[0].title}.")
    assert shop.grades()[("lamp", first)] == 2
    row.focus()
    page.keyboard.press("j")
    page.keyboard.press("1")
    api.expect(page.locator("#said")).to_have_text(f"Saved: Moderately relevant, {hits[1].title}.")
    page.keyboard.press("0")  # thought better of it
    api.expect(page.locator("#said")).to_have_text(f"Saved: Irrelevant, {hits[1].title}.")
    assert shop.grades()[("lamp", second)] == 0
    page.keyboard.press("Control+2")
    page.keyboard.press("/")
    page.keyboard.type("kettle 2")  # digits in the search box are digits
    expect_items(page, shop.index().search("kettle 2", k=20))
    assert page.locator('[data-grade][aria-pressed="true"]').count() == 0  # those were of another query
    assert {key: grade for key, grade in shop.grades().items() if key[0].startswith("kettle")} == {}
    assert page.complaints == []


def test_a_grade_is_of_the_query_that_was_answered(shop: Shop, visit: Callable[..., Any]) -> None:
    held: list[Any] = []

    def slow(route: Any) -> None:
        held.append(route) if "q=reel" in route.request.url else route.continue_()

    page = visit("/?q=hose", route=slow)
    hits = shop.index().search("hose", k=20)
    expect_items(page, hits)
    page.fill("#q", "reel")
    page.locator(".hit").first.locator('[data-grade="1"]').click()
    api.expect(page.locator("#said")).to_have_text(f"Saved: Moderately relevant, {hits[0].title}.")
    assert shop.grades()[("hose", hits[0].item_id)] == 1
    assert not any(query == "reel" for query, _ in shop.grades())
    held[0].continue_()
    expect_items(page, shop.index().search("reel", k=20))


def test_stale_answers_are_dropped(shop: Shop, visit: Callable[..., Any]) -> None:
    held: dict[str, Any] = {}

    def late(route: Any) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        if asked["q"] == ["lamp"] or (asked["q"] == ["hose"] and asked["mode"] == ["hybrid"]):
            held[asked["q"][0]] = route
        else:
            route.continue_()

    page = visit(route=late)
    page.fill("#q", "lamp")
    until(page, lambda: "lamp" in held)
    page.fill("#q", "kettle")
    newest = shop.index().search("kettle", k=20)
    expect_items(page, newest)
    held["lamp"].continue_()
    page.wait_for_timeout(200)
    expect_items(page, newest)
    page.fill("#q", "hose")  # its answer would be the newest, but is of a mode that is no longer chosen
    page.locator(".mode").first.select_option("lexical")
    words = shop.index().search("hose", k=20, mode="lexical")
    expect_items(page, words)
    held["hose"].continue_()
    page.wait_for_timeout(200)
    expect_items(page, words)
    page.fill("#q", "")
    api.expect(page.locator(".side").first.locator(".hit")).to_have_count(0)
    assert page.complaints == []


def test_hostile_texts_stay_texts(visit: Callable[..., Any]) -> None:
    page = visit(
        "/?q=%3Cscript%3Ewindow.hacked+%3D+9%3C%2Fscript%3E+red+lamp&filter=%3Cb%3Ename:%3Ci%3E&scores=&compare="
    )
    api.expect(page.locator(".chip")).to_have_text("<b>name: <i>")
    page.locator(".chip").click()
    row = page.locator(".side").first.locator('[data-item="x"]')
    api.expect(row.locator(".title")).to_have_text(HOSTILE)
    api.expect(row.locator(".where")).to_have_text("<b>Brand</b> · <i>Aisle</i>")
    row.get_by_role("button", name="<b>Brand</b>").click()
    api.expect(page.locator(".chip")).to_have_text("brand: <b>Brand</b>")
    row.locator('[data-grade="1"]').click()
    api.expect(page.locator("#said")).to_contain_text("<script>")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, main img, main b:not(.letter, .scores b, .key b), main u, #chips b").count() == 0
    assert [text for text in page.complaints if "422" not in text] == []


def test_what_goes_wrong_is_said_in_a_sentence(shop: Shop, visit: Callable[..., Any]) -> None:
    server, thread, listening = serving(shop.folder)
    page = visit("/?q=kettle&filter=brand:Acme", where(listening))
    api.expect(page.locator(".side").first.locator(".hit")).to_have_count(4)
    page.fill("#q", "zzz")
    api.expect(page.locator(".notice >> visible=true")).to_have_text(
        "Nothing relevant for “zzz”. The nearest items are below."
    )
    page.locator(".chip").click()
    page.fill("#q", "kettle")
    expect_items(page, shop.index().search("kettle", k=20))
    api.expect(page.locator(".notice >> visible=true")).to_have_count(0)
    end(server, thread, listening)
    page.fill("#q", "hose")
    api.expect(page.locator("#error")).to_contain_text("The server does not answer")
    page.locator(".hit").first.locator('[data-grade="2"]').click()
    api.expect(page.locator("#error")).to_contain_text("The server does not answer")
    assert page.locator('[data-grade][aria-pressed="true"]').count() == 0  # not shown as saved, for it is not
    page = visit("/?q=lamp&index=gone&t=abc&mode=none", route=lambda route: route.continue_())
    expect_items(page, shop.index().search("lamp", k=20))  # an address that names what is not there
    failing = {"error": {"code": "busy", "message": "Too many searches wait: <b>try</b> again.", "request_id": "1"}}
    page.route("**/search?*", lambda route: route.fulfill(status=429, body=json.dumps(failing)))
    page.fill("#q", "hose")
    api.expect(page.locator("#error")).to_have_text("Too many searches wait: <b>try</b> again.")
    page.unroute("**/search?*")
    page.fill("#q", "hoses")
    api.expect(page.locator("#error")).to_be_hidden()


def test_a_key_is_asked_for_where_one_is_needed(shop: Shop, visit: Callable[..., Any], tmp_path: Path) -> None:
    from motherlode.serve.keys import make

    make(tmp_path / "keys.json", "reader", "read")
    key = make(tmp_path / "keys.json", "anna", "write")
    server, thread, listening = serving(shop.folder, keys=tmp_path / "keys.json")
    try:
        page = visit("/?q=hose+reel", where(listening), ready=False)
        api.expect(page.locator("#locked")).to_be_visible()
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        hits = shop.index().search("hose reel", k=20)
        expect_items(page, hits)
        api.expect(page.locator("#error")).to_be_hidden()
        page.locator(".hit").first.locator('[data-grade="2"]').click()
        api.expect(page.locator("#said")).to_have_text(f"Saved: Relevant, {hits[0].title}.")
        assert shop.grades()[("hose reel", hits[0].item_id)] == 2
        assert key not in page.url and key not in page.content()
    finally:
        end(server, thread, listening)


def test_by_keyboard_alone(shop: Shop, visit: Callable[..., Any]) -> None:
    page = visit()
    page.keyboard.type("red kettle")  # the field has the focus already
    hits = shop.index().search("red kettle", k=20)
    expect_items(page, hits)

    def here() -> str:
        return str(page.evaluate("document.activeElement.dataset.item ?? document.activeElement.id"))

    course = [("ArrowDown", 0), ("ArrowDown", 1), ("j", 2), ("k", 1), ("ArrowUp", 0)]
    for press, place in course:
        page.keyboard.press(press)
        assert here() == hits[place].item_id
    page.keyboard.press("Enter")
    api.expect(page.locator(".scores >> visible=true")).to_have_count(1)
    page.keyboard.press("Enter")
    api.expect(page.locator(".scores >> visible=true")).to_have_count(0)
    page.keyboard.press("s")
    api.expect(page.locator(".scores >> visible=true")).to_have_count(len(hits))
    page.keyboard.press("?")
    api.expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    api.expect(page.locator(".scores >> visible=true")).to_have_count(len(hits))
    page.keyboard.press("ArrowUp")
    assert here() == "q"
    page.keyboard.type("s")
    assert page.input_value("#q") == "red kettles"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("/")
    assert here() == "q"
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select")].filter((it) => it.checkVisibility()
            && !(it.ariaLabel || it.textContent.trim() && it.matches("button") || it.labels?.length))
            .map((it) => it.outerHTML)"""
    )
    assert unnamed == [] and page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(shop: Shop, visit: Callable[..., Any], scheme: str) -> None:
    size = {"width": 390, "height": 844}
    page = visit("/?q=red+kettle&t=0.3", viewport=size, is_mobile=True, has_touch=True, color_scheme=scheme)
    hits = shop.index().search("red kettle", k=20)
    expect_items(page, hits)
    fits = "document.documentElement.scrollWidth <= 390"
    assert page.evaluate(fits) and low_contrast(page) == []
    assert page.locator(".hit").first.bounding_box()["y"] < 500  # results, not controls, fill the first screen
    assert not page.locator(".slider").first.is_visible()
    page.locator("summary").first.tap()
    api.expect(page.locator(".slider").first).to_be_visible()
    row = page.locator(".hit").first
    row.locator(".why").tap()
    row.locator('[data-grade="2"]').tap()
    api.expect(page.locator("#said")).to_contain_text("Saved: Relevant")
    for button in row.locator("button[data-grade]").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 40 and box["x"] + box["width"] <= 390
    assert page.evaluate(fits) and low_contrast(page) == []
    page.locator("#to-filters").tap()
    page.locator("#to-compare").tap()
    expect_items(page, shop.index("two").search("red kettle", k=20), 1)
    assert page.evaluate(fits) and low_contrast(page) == []
    sides = [side.bounding_box() for side in page.locator(".side").all()]
    assert sides[0]["x"] + sides[0]["width"] <= sides[1]["x"] and abs(sides[0]["y"] - sides[1]["y"]) < 1
    assert page.complaints == []
