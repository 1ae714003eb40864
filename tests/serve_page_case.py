"""A small shop served over two indexes, for the tests of the search page."""

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from motherlode.grading.ledger import Ledger
from motherlode.index.store import Hit, Index
from motherlode.tables.tables import Tables, TableWriter
from test_review_browser import CHROMIUM, QUIET

api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: pip install playwright")
for needed in ("fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(needed, reason="the search page needs its server: pip install 'motherlode[serve]'")
api.expect.set_options(timeout=15_000)  # what is waited for does come, though not soon on a busy machine
browsing = pytest.mark.skipif(CHROMIUM is None, reason="the browser tests need chromium or google-chrome on the PATH")

HOSTILE = '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2"> red lamp'
ROWS = [  # id, title, brand, path, colour, price
    ("a", "red kettle", "Acme", ["Kitchen", "Kettles"], "red", "20"),
    ("b", "blue kettle", "Acme", ["Kitchen", "Kettles"], "blue", "30"),
    ("c", "red toaster", "Bolt", ["Kitchen", "Toasters"], "red", "40"),
    ("d", "kettle stand", "Bolt", ["Kitchen", "Kettles"], "blue", "10"),
    ("e", "red lamp", None, ["Home/Office", "Lamps"], "red", "50"),
    ("f", "blue lamp shade", "Acme", ["Home/Office", "Lamps"], "blue", "15"),
    ("g", "garden hose", "Bolt", ["Garden"], "green", "25"),
    ("h", "hose reel", "Acme", ["Garden"], "green", "35"),
    ("x", HOSTILE, "<b>Brand</b>", ["<i>Aisle</i>"], "<u>odd</u>", "60"),
]
T1, T2 = 0.45, 0.8
NAMES = ["0 Irrelevant", "1 Moderately relevant", "2 Relevant"]


@dataclass
class Shop:
    """A server in a thread over two indexes of one catalogue, "one" and "two", and what tests know of them."""

    folder: Path
    address: str = ""
    pairs: dict[str, Any] = field(default_factory=dict)  # index -> scores and grades its curve was drawn from

    def index(self, name: str = "one") -> Index:
        return Index.open(self.folder / name)

    def cosines(self, query: str, name: str = "one") -> dict[str, float]:
        """item -> cosine of query and item, straight from the encoder."""
        encode = self.index(name).encode
        return dict(zip([row[0] for row in ROWS], encode([row[1] for row in ROWS]) @ encode([query])[0], strict=True))

    def grades(self) -> dict[tuple[str, str], int]:
        """(query, item) -> grade, of what a person gave."""
        with Ledger(self.folder / "ledger.sqlite") as ledger:
            found = ledger.verdicts().select("grader", "query_id", "reason", "item_id", "grade").rows()
        assert all(grader.startswith("person/") for grader, *_ in found)
        return {(why or query, item): grade for _, query, why, item, grade in found}


def encoder(folder: Path, seed: int) -> Any:
    """A table of random token vectors, saved as a sentence-transformers folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = sorted({word for row in ROWS for word in row[1].split()})
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(["?", *words])}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.random.default_rng(seed).standard_normal((len(words) + 1, 24)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights), Normalize()])
    model.save(str(folder))
    return model


def make_shop(folder: Path) -> Shop:
    """Tables, and indexes of two encoders with thresholds T1 and T2 and a curve drawn from known pairs."""
    from motherlode.serve.strata import Strata, fit_strata
    from motherlode.thresholds.boundary import measured

    held = Shop(folder)
    with TableWriter(held.folder / "tables", "catalogue") as writer:
        item_id, title, brand, taxonomy, colour, price = zip(*ROWS, strict=True)
        attributes = [
            [{"name": "colour", "value": c}, {"name": "price", "value": p}] for c, p in zip(colour, price, strict=True)
        ]
        writer.write(
            {
                "item_id": list(item_id),
                "title": list(title),
                "brand": list(brand),
                "taxonomy": list(taxonomy),
                "attributes": attributes,
            }
        )
    with TableWriter(held.folder / "tables", "queries") as writer:
        writer.write({"query_id": ["q1"], "text": ["kettle"]})
    for seed, name in enumerate(("one", "two")):
        model = encoder(held.folder / f"encoder-{name}", seed)
        vectors = model.encode_document(list(title), show_progress_bar=False)
        np.save(held.folder / "vectors.npy", vectors)
        tables = Tables(held.folder / "tables")
        Index.build(tables, held.folder / "vectors.npy", held.folder / f"encoder-{name}", held.folder / name, 0.5, {})
        draw = np.random.default_rng([7, seed])
        scores = draw.uniform(-0.2, 1, 60)
        grades = (scores + draw.normal(0, 0.2, 60) > 0.4).astype(int) + (scores + draw.normal(0, 0.1, 60) > 0.75)
        held.pairs[name] = scores, grades
        fitted = fit_strata(scores, grades)
        edges = {grade: measured(grade, t, "by hand", scores, grades) for grade, t in ((1, T1), (2, T2))}
        Strata(edges, fitted.knots, fitted.curve, fitted.pairs).save(held.folder / name)
    return held


def serving(folder: Path, **settings: Any) -> tuple[Any, Thread, socket.socket]:
    """The server of a folder's indexes, begun."""
    import uvicorn

    from motherlode.serve.app import create
    from motherlode.serve.settings import Settings

    indexes = {name: folder / name for name in ("one", "two")}
    app = create(Settings(indexes=indexes, workspace=folder, log=False, **settings))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    return server, thread, listening


def end(server: Any, thread: Thread, listening: socket.socket) -> None:
    """Stop it, without waiting for browsers that keep a connection open."""
    server.should_exit = server.force_exit = True
    thread.join(timeout=20)
    listening.close()


def where(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


def items(page: Any, side: int = 0) -> list[str]:
    return [hit.get_attribute("data-item") for hit in page.locator(".side").nth(side).locator(".hit").all()]


def expect_items(page: Any, hits: list[Hit], side: int = 0) -> None:
    """Wait until a side shows just these."""
    list_ = page.locator(".side").nth(side).locator(".hit .title")
    api.expect(list_).to_have_text([hit.title for hit in hits])
    assert items(page, side) == [hit.item_id for hit in hits]


def until(page: Any, there: Callable[[], bool]) -> None:
    """Wait for what has no element to wait for."""
    patience = time.monotonic() + 20
    while not there():
        assert time.monotonic() < patience
        page.wait_for_timeout(20)


def asked_in(page: Any) -> dict[str, list[str]]:
    """What the address of the page keeps, once it has settled."""
    page.wait_for_timeout(400)
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: Any) -> Iterator[Shop]:
    held = make_shop(tmp_path_factory.mktemp("shop"))
    server, thread, listening = serving(held.folder)
    held.address = where(listening)
    yield held
    end(server, thread, listening)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Any, shop: Shop) -> Iterator[Callable[..., Any]]:
    """Open the page in a browser profile of its own; what it asked for and complained of is kept on it."""
    contexts = []

    def open_page(path: str = "/", address: str = "", route: Any = None, ready: bool = True, **profile: Any) -> Any:
        contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | profile)))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.requests, page.complaints = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
        if route:
            page.route("**/search?*", route)
        page.goto((address or shop.address) + path)
        if ready:
            api.expect(page.locator("#taxonomy option")).not_to_have_count(0)  # the facts are there
        return page

    yield open_page
    for context in contexts:
        context.close()
