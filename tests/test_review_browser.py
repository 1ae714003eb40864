"""The review page in a real browser: what a person presses, sees, and finds in the ledger."""

import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest

from motherlode.grading.ledger import Ledger
from motherlode.review.app import create
from motherlode.review.desk import Desk
from motherlode.review.facts import Facts
from motherlode.review.queue import check_queue
from motherlode.tables.tables import Tables
from review_case import HOSTILE, RUBRIC, SECRET, Server, make_queue, make_tables

api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: pip install playwright")
pytest.importorskip("fastapi", reason="the review page needs FastAPI: pip install 'motherlode[review]'")
pytest.importorskip("uvicorn", reason="the review page needs uvicorn: pip install 'motherlode[review]'")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the browser tests need chromium or google-chrome on the PATH")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAIRS = 5


class Running:
    """The review server in a thread: quicker to have than a process, which only the test that kills it needs."""

    def __init__(self, folder: Path, queue: pl.DataFrame, settings: dict[str, Any]) -> None:
        import uvicorn

        tables = Tables(folder / "tables") if (folder / "tables").exists() else make_tables(folder / "tables", PAIRS)
        self.ledger, queue = Ledger(folder / "ledger.sqlite"), check_queue(queue)
        self.desk = Desk(queue, self.ledger, RUBRIC.version, **settings)
        app = create(self.desk, Facts(tables, queue), RUBRIC, "the-token")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.uvicorn = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        self.thread = Thread(target=self.uvicorn.run, kwargs={"sockets": [self.socket]})
        self.thread.start()

    def page(self, name: str = "") -> str:
        """The address a person opens."""
        return f"{self.address}/?token=the-token" + (f"&name={name}" if name else "")

    def end(self) -> None:
        """Stop it, without waiting for browsers that keep a connection open."""
        self.uvicorn.should_exit = self.uvicorn.force_exit = True
        self.thread.join(timeout=20)
        self.socket.close()
        self.ledger.close()


Start = Callable[..., Running]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Serve the small shop's queue from a thread; settings as of `Desk`, `queue` for another queue."""
    servers: list[Running] = []

    def begin(queue: pl.DataFrame | None = None, **settings: Any) -> Running:
        servers.append(Running(tmp_path, make_queue(PAIRS) if queue is None else queue, settings))
        return servers[-1]

    yield begin
    for server in servers:
        server.end()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page in a browser profile of its own; what it asked for and complained of is kept on it."""
    contexts = []

    def open_page(address: str, **profile: Any) -> Any:
        contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | profile)))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.requests, page.complaints = [], []
        page.on("request", lambda request: page.requests.append(request))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()


def verdicts(folder: Path) -> dict[str, int]:
    """item -> grade, of what lies in the ledger at this moment."""
    with Ledger(folder / "ledger.sqlite") as ledger:
        return dict(ledger.verdicts().select("item_id", "grade").iter_rows())


def asked(page: Any, query: str) -> None:
    """Wait until the page asks for a grade of this query."""
    api.expect(page.locator("#query")).to_have_text(query)
    api.expect(page.locator("#choosing")).to_be_visible()


def shown(page: Any) -> list[str]:
    """Wait for the earlier verdicts, and return what they say."""
    api.expect(page.locator("#revealed")).to_be_visible()
    return [re.sub(r"\s+", " ", text) for text in page.locator("#verdicts tr").all_inner_texts()]


def test_a_course_by_keyboard_alone(start: Start, visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit(start(source="audit:5").page())
    page.keyboard.type("Anna")  # the field has the focus already
    page.keyboard.press("Enter")
    asked(page, "query 0")
    api.expect(page.locator("#count")).to_have_text("0 of 5 verdicts")
    for number, (key, grade) in enumerate([("1", 0), ("2", 1), ("3", 2)]):
        asked(page, f"query {number}")
        assert page.evaluate("document.activeElement.id") == "query"
        before = page.content()
        assert "SECRET-REASON" not in before and "judge-x" not in before and "crowd" not in before
        assert len(verdicts(tmp_path)) == number
        page.keyboard.press(key)
        rows = shown(page)
        assert verdicts(tmp_path)[f"i{number}"] == grade  # at once, before anything else is pressed
        names = ["Irrelevant", "Moderately relevant", "Relevant"]
        for row, said, role in zip(rows, [grade, number % 3, (number + 1) % 3], ["You", "Label", "Judge"], strict=True):
            assert row.startswith(role) and names[said] in row
            assert role == "You" or ("as you" in row) == (said == grade)
        assert SECRET in rows[2] and "judge-x@1" in rows[2] and "crowd" in rows[1]
        assert page.evaluate("document.activeElement.id") == "onward"
        assert page.locator("#said").inner_text().startswith(f"Saved: {names[grade]}. Label:")
        page.keyboard.press("3")  # not meant for the next pair, which is not on the screen yet
        assert len(verdicts(tmp_path)) == number + 1
        page.keyboard.press("Enter" if number else "Space")
    asked(page, "query 3")
    page.keyboard.press("s")
    asked(page, "query 4")
    api.expect(page.locator("#time")).to_contain_text("2 left (1 skipped)")
    page.keyboard.press("u")
    asked(page, "query 2")
    assert verdicts(tmp_path) == {"i0": 0, "i1": 1}
    assert "SECRET-REASON" not in page.locator("#bar").inner_text()
    page.keyboard.press("2")
    shown(page)
    page.keyboard.press("u")  # also while the verdicts are shown
    asked(page, "query 2")
    for query, key in [("query 2", "1"), ("query 4", "3"), ("query 3", "2")]:
        asked(page, query)
        page.keyboard.press(key)
        shown(page)
        page.keyboard.press("Enter")
    api.expect(page.locator("#done")).to_be_visible()
    api.expect(page.locator("#done-title")).to_have_text("Nothing is left for you")
    assert verdicts(tmp_path) == {"i0": 0, "i1": 1, "i2": 0, "i4": 2, "i3": 1}
    page.keyboard.press("u")
    asked(page, "query 3")
    assert len(verdicts(tmp_path)) == 4
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert set(ledger.verdicts().select("grader", "source").rows()) == {("person/anna", "audit:5")}
    assert page.complaints == []


def test_nothing_is_told_early_or_fetched_from_elsewhere(start: Start, visit: Callable[..., Any]) -> None:
    server = start()
    page = visit(server.page("anna"))
    asked(page, "query 0")
    page.keyboard.press("s")
    asked(page, "query 1")
    api.expect(page.locator("#image")).to_be_visible()  # a file of the tables' folder
    assert page.evaluate("document.querySelector('#image').naturalWidth") == 1
    answers = [request.response().text() for request in page.requests if request.resource_type in ("fetch", "document")]
    assert len(answers) >= 4
    for text in answers:
        assert "SECRET-REASON" not in text and "judge-x" not in text and "crowd" not in text
    page.keyboard.press("1")
    shown(page)
    assert {request.url.split("/")[2] for request in page.requests if request.url != "data:,"} == {
        server.address.removeprefix("http://")
    }


def test_hostile_texts_stay_texts(start: Start, visit: Callable[..., Any], tmp_path: Path) -> None:
    evil = "<script>window.hacked = 9</script>"
    queue = make_queue(1).with_columns(reason=pl.lit(evil), verdict_source=pl.lit(evil), label_source=pl.lit(evil))
    tables = make_tables(tmp_path / "tables", PAIRS)
    tables.frame("queries").with_columns(text=pl.lit(evil), locale=pl.lit(evil)).write_parquet(tables.path("queries"))
    page = visit(start(queue).page("anna"))
    asked(page, evil)
    assert page.locator("#title").inner_text() == HOSTILE
    assert "<b>Aisle 0</b>" in page.locator("#taxonomy").inner_text()
    page.keyboard.press("2")
    assert evil in shown(page)[2]
    assert evil in page.locator("#said").inner_text() or page.locator("#said").inner_text().startswith("Saved")
    assert "<script>window.hacked = 3</script>" in page.locator("#rubric").inner_text()
    api.expect(page.locator("#rubric strong")).to_have_text("asked")
    assert page.locator("#rubric table td").count() == 2
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, footer script, main img:not(#image)").count() == 0
    assert page.complaints == []


def test_help_repeats_and_chords_judge_nothing(start: Start, visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit(start().page("anna"))
    asked(page, "query 0")
    page.keyboard.press("?")
    api.expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    api.expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("Control+1")
    page.keyboard.press("Alt+2")
    page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: '3', repeat: true, bubbles: true}))")
    page.keyboard.press("x")
    page.keyboard.press("u")  # there is nothing to take back
    api.expect(page.locator("#said")).to_have_text("There is nothing to take back.")
    assert verdicts(tmp_path) == {}
    page.keyboard.press("3")
    shown(page)
    assert verdicts(tmp_path) == {"i0": 2}


def test_pairs_without_earlier_verdicts_go_on_at_once(start: Start, visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit(start(make_queue(PAIRS).select("query_id", "item_id")).page("anna"))
    for number in range(PAIRS):
        asked(page, f"query {number}")
        width = page.evaluate(
            "document.querySelector('#progress-bar').style.width + document.querySelector('#progress').ariaValueNow"
        )
        assert width == f"{number * 20}%{number * 20}"
        page.keyboard.press("123"[number % 3])
    api.expect(page.locator("#done-title")).to_be_visible()
    assert verdicts(tmp_path) == {f"i{number}": number % 3 for number in range(PAIRS)}
    api.expect(page.locator("#time")).to_contain_text("0 left · ")
    assert re.search(r"[\d.]+ s each$", page.locator("#time").inner_text())


def test_two_people_at_once(start: Start, visit: Callable[..., Any], tmp_path: Path) -> None:
    server = start()
    anna, ben = visit(server.page("anna")), visit(server.page("ben"))
    asked(anna, "query 0")
    asked(ben, "query 1")
    anna.reload()
    asked(anna, "query 0")
    for page, key in ((ben, "1"), (anna, "2"), (ben, "3"), (anna, "1")):
        api.expect(page.locator("#choosing")).to_be_visible()
        page.keyboard.press(key)
        shown(page)
        page.keyboard.press("Enter")
        api.expect(page.locator("#revealed")).to_be_hidden()
    assert sorted(verdicts(tmp_path)) == ["i0", "i1", "i2", "i3"]
    asked(ben, "query 4")
    api.expect(anna.locator("#done")).to_be_visible()
    api.expect(anna.locator("#done-title")).to_have_text("Others have the last pairs on their screens")
    ben.keyboard.press("s")  # only his: it comes back to him, as nothing else is there
    asked(ben, "query 4")


def test_agreement_of_two_is_shown_live(start: Start, visit: Callable[..., Any]) -> None:
    server = start(double=1.0)
    pages = {"anna": visit(server.page("anna")), "ben": visit(server.page("ben"))}
    for name, keys in (("anna", "113"), ("ben", "133")):
        for number, key in enumerate(keys):
            asked(pages[name], f"query {number}")
            pages[name].keyboard.press(key)
            shown(pages[name])
            assert "anna" not in " ".join(shown(pages[name]))  # another person's grade is never told pair by pair
            pages[name].keyboard.press("Enter")
    # grades 0 0 2 and 0 2 2: kappa = 1 - sum (i - j)² / (sum over all 9 crossings / 3) = 1 - 4 / (20 / 3)
    api.expect(pages["ben"].locator("#agreement")).to_have_text("anna: 67 %, κ 0.40, n 3")
    api.expect(pages["anna"].locator("#agreement")).to_have_text("ben: 67 %, κ 0.40, n 3")  # without a click of hers
    pages["ben"].click("#to-summary")
    api.expect(pages["ben"].locator("#agreement tbody tr")).to_have_text("anna and ben367 %67 %0.40")
    api.expect(pages["ben"].locator("#people tbody tr")).to_have_text(["anna3", "ben3"])
    pages["ben"].click("#back")
    asked(pages["ben"], "query 3")  # still ben


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(start: Start, visit: Callable[..., Any], tmp_path: Path, scheme: str) -> None:
    size = {"width": 390, "height": 844}
    page = visit(start().page("anna"), viewport=size, is_mobile=True, has_touch=True, color_scheme=scheme)
    asked(page, "query 0")
    for number in range(2):
        asked(page, f"query {number}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("document.querySelector('#main').scrollWidth") <= 390
        for button in page.locator(".grade").all():
            box = button.bounding_box()
            assert box["height"] >= 48 and box["x"] >= 0 and box["x"] + box["width"] <= 390
            assert box["y"] + box["height"] <= 844  # in reach without scrolling
        assert low_contrast(page) == []
        page.locator(".grade").nth(number).tap()
        shown(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert low_contrast(page) == []
        assert page.locator("#onward").bounding_box()["y"] < 800
        page.locator("#onward").tap()
    page.locator("#undo").tap()
    asked(page, "query 1")
    page.locator("#skip").tap()
    asked(page, "query 2")
    assert verdicts(tmp_path) == {"i0": 0}
    page.locator("#rubric-box summary").tap()  # closed at first: the pair comes first on a small screen
    api.expect(page.locator("#rubric")).to_be_visible()
    assert page.evaluate("document.querySelector('#main').scrollWidth") <= 390
    page.locator("#to-summary").tap()
    api.expect(page.locator("#people tbody tr")).to_have_text("anna1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert low_contrast(page) == []


def test_nothing_is_lost_when_the_server_is_killed(start: Start, visit: Callable[..., Any], tmp_path: Path) -> None:
    make_tables(tmp_path / "tables", PAIRS)
    make_queue(PAIRS).write_parquet(tmp_path / "queue.parquet")
    server = Server(tmp_path)
    try:
        page = visit(server.page("anna"))
        asked(page, "query 0")
        page.keyboard.press("2")
        shown(page)
        page.keyboard.press("Enter")
        asked(page, "query 1")
    finally:
        server.end(signal.SIGKILL)
    page.keyboard.press("3")
    api.expect(page.locator("#error")).to_contain_text("nothing was changed")
    asked(page, "query 1")
    again = start()
    page.goto(again.page("anna"))
    asked(page, "query 1")
    assert verdicts(tmp_path) == {"i0": 1}
    page.goto(f"{again.address}/?token={server.token}")
    assert "open the one that `motherlode review` printed" in page.content()


def test_a_name_that_cannot_be_used_is_asked_for_again(start: Start, visit: Callable[..., Any]) -> None:
    page = visit(start().page("a%20b"))
    api.expect(page.locator("#error")).to_contain_text("cannot be used")
    api.expect(page.locator("#name")).to_be_focused()
    page.fill("#name", "anna")
    page.keyboard.press("Enter")
    asked(page, "query 0")
    api.expect(page.locator("#error")).to_be_hidden()
    assert "name=anna" in page.url


def test_another_website_can_judge_nothing(start: Start, visit: Callable[..., Any], tmp_path: Path) -> None:
    server = start()
    key = server.desk.entries[0].key
    page = visit("about:blank")
    script = f"""<form id=f method=post enctype=text/plain action="{server.address}/api/judge">
    <input name='{{"name":"anna","key":"{key}","grade":1,"x":"' value='"}}'></form>"""
    page.route("http://evil.example/**", lambda route: route.fulfill(body=script, content_type="text/html"))
    page.goto("http://evil.example/")
    tried = page.evaluate(
        """async ([address, key]) => {
            const body = JSON.stringify({ name: "anna", key, grade: 1 });
            const kinds = [{ mode: "no-cors" }, { mode: "no-cors", credentials: "include" },
                { headers: { "X-Review-Token": "guess", "Content-Type": "application/json" } }];
            const ends = kinds.map((kind) => fetch(address + "/api/judge", { method: "POST", body, ...kind })
                .then((answer) => answer.type + answer.status, () => "refused"));
            return Promise.all(ends);
        }""",
        [server.address, key],
    )
    assert all(end in ("opaque0", "refused") for end in tried) and tried[2] == "refused"
    page.evaluate("document.querySelector('#f').submit()")
    page.wait_for_url(f"{server.address}/**")
    assert "is not valid" in page.content()
    assert verdicts(tmp_path) == {}


def test_a_shops_image_from_elsewhere(start: Start, visit: Callable[..., Any], tmp_path: Path) -> None:
    tables = make_tables(tmp_path / "tables", PAIRS)
    image = (tables.folder / "images/one.png").read_bytes()
    remote = tables.frame("catalogue").with_columns(image=pl.lit("http://shop.example/") + pl.col("item_id") + ".png")
    remote.write_parquet(tables.path("catalogue"))
    server, asked_for = start(), []
    page = visit("about:blank")

    def answer(route: Any) -> None:
        asked_for.append(route.request.all_headers())
        if "i0.png" in route.request.url:
            route.fulfill(body=image, content_type="image/png")
        else:
            route.abort()

    page.route("http://shop.example/**", answer)
    page.goto(server.page("anna"))
    asked(page, "query 0")
    api.expect(page.locator("#image")).to_be_visible()
    page.keyboard.press("s")
    asked(page, "query 1")
    api.expect(page.locator("#no-image")).to_have_text("The image cannot be loaded")
    api.expect(page.locator("#image")).to_be_hidden()
    assert asked_for and not any("referer" in headers for headers in asked_for)  # the token is in our address


def low_contrast(page: Any) -> list[str]:
    """Texts on the screen whose contrast to what lies behind them is under 4.5 (WCAG 2.1, success criterion 1.4.3)."""
    return list(
        page.evaluate(
            """() => {
            const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
            const behind = (node) => {
                for (let at = node; at; at = at.parentElement) {
                    const [r, g, b, a = 1] = parts(getComputedStyle(at).backgroundColor);
                    if (a > 0) return [r, g, b];
                }
                return [255, 255, 255];
            };
            const light = (rgb) => rgb.slice(0, 3).map((one) => one / 255)
                .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
                .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
            const poor = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            let seen = 0;
            while (walk.nextNode()) {
                const node = walk.currentNode.parentElement;
                if (!walk.currentNode.data.trim() || !node.checkVisibility() || node.closest("noscript")) continue;
                const pair = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
                const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
                seen += 1;
                if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${walk.currentNode.data.trim()}`);
            }
            return seen < 5 ? ["nothing was looked at"] : poor;
        }"""
        )
    )
