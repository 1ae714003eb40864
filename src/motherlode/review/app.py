"""The review server: the page on which people judge, and the few calls it makes. Nothing is fetched from elsewhere."""

# No postponed annotations here: FastAPI reads them, and its own names are known only inside the functions.

import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel

from motherlode.errors import MissingError, MotherlodeError, SettingError
from motherlode.review.desk import Conflict, Desk
from motherlode.review.facts import PICTURES, Facts
from motherlode.review.markdown import markdown
from motherlode.review.people import agreements, name_of
from motherlode.review.queue import Entry

if TYPE_CHECKING:
    import polars as pl
    from fastapi import FastAPI

    from motherlode.grading.ledger import Ledger
    from motherlode.grading.rubric import Rubric
    from motherlode.tables.tables import Tables

PORT = 8470
HEADERS = {
    # images of a shop lie anywhere; everything else is ours
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data: http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the address holds the token, and a shop's images may lie elsewhere
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
REFUSED = "This address is not valid (any more): open the one that `motherlode review` printed when it started."


class Person(BaseModel, extra="forbid"):
    """Who asks."""

    name: str


class Chosen(Person):
    """Which pair is meant."""

    key: str


class Verdict(Chosen):
    """Which grade it gets."""

    grade: int


def serve(
    tables: "Tables",
    ledger: "Ledger",
    queue: "pl.DataFrame",
    rubric: "Rubric",
    *,
    name: str | None = None,
    source: str = "review",
    double: float = 0.0,
    seed: int = 0,
    skips: Path | None = None,
    host: str = "127.0.0.1",
    port: int = PORT,
) -> None:
    """Serve the queue until interrupted; the address, with this start's secret token, is printed once it answers.

    name: who opens the printed address (others open it and write theirs). source, double, seed, skips: as in `Desk`.
    port 0 takes a free one. Raises MissingError without FastAPI or uvicorn, SettingError for an address that cannot
    be had, InputError for pairs the tables do not have.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingError("The review page needs FastAPI and uvicorn: pip install 'motherlode[review]'.") from error
    person = name_of(name) if name else None
    desk = Desk(queue, ledger, rubric.version, source=source, double=double, seed=seed, skips=skips)
    token = secrets.token_urlsafe(24)
    app = create(desk, Facts(tables, queue), rubric, token)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except (OSError, OverflowError) as error:
            raise SettingError(f"Cannot listen at {host}:{port} ({error}): choose another with --port.") from error
        listening.listen()  # from here on a browser is kept waiting, not refused
        query = urlencode({"token": token} | ({"name": person} if person else {}))
        print(f"{len(desk):,} pairs to review at http://{host}:{listening.getsockname()[1]}/?{query}", flush=True)
        print("Stop with Ctrl-C; every verdict is in the ledger as soon as it is given.", flush=True)
        with suppress(KeyboardInterrupt):  # the way to end it, handed on by uvicorn once it has closed
            uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listening])


def create(desk: Desk, facts: Facts, rubric: "Rubric", token: str) -> "FastAPI":
    """The application. All but the page's own style and script want the token: in the header X-Review-Token, which no
    other website can send, or for pages and images in the address.
    """
    try:
        from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
        from fastapi.responses import FileResponse, JSONResponse
    except ImportError as error:
        raise MissingError("The review page needs FastAPI: pip install 'motherlode[review]'.") from error

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # FastAPI's own pages load scripts from elsewhere
    rendered = markdown(rubric.text)

    def in_header(x_review_token: Annotated[str, Header()] = "") -> None:
        refuse_unless(x_review_token)

    def in_address(token: str = "") -> None:
        refuse_unless(token)

    def refuse_unless(given: str) -> None:
        if not secrets.compare_digest(given.encode(), token.encode()):
            raise HTTPException(403, REFUSED)

    called, opened = [Depends(in_header)], [Depends(in_address)]

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(MotherlodeError)
    def told(_: Request, error: MotherlodeError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409 if isinstance(error, Conflict) else 400)

    def pair(entry: Entry | None) -> dict[str, Any] | None:
        """What the page may know before the person has chosen: nothing of the earlier verdicts but that they exist."""
        if entry is None:
            return None
        image = facts.image(entry.item_id)
        return {
            "key": entry.key,
            **facts.of(entry.query_id, entry.item_id),
            "image": f"image/{entry.key}" if isinstance(image, Path) else image,
            "hidden": len(entry.earlier),
        }

    def standing(person: str) -> dict[str, Any]:
        shared = [one for one in agreements(desk.shared()) if person in one["people"]]
        return desk.progress(person) | {"agreement": shared}

    def following(person: str) -> dict[str, Any]:
        return {"pair": pair(desk.next(person)), "standing": standing(person)}

    @app.post("/api/next", dependencies=called)
    def next_pair(body: Person) -> dict[str, Any]:
        person = name_of(body.name)
        return {"name": person, **following(person)}

    @app.post("/api/judge", dependencies=called)
    def judge(body: Verdict) -> dict[str, Any]:
        person = name_of(body.name)
        desk.judge(person, body.key, body.grade)
        return {"earlier": desk.shown(person, body.key), "standing": standing(person)}

    @app.post("/api/undo", dependencies=called)
    def undo(body: Person) -> dict[str, Any]:
        person = name_of(body.name)
        entry = desk.undo(person)
        return {"pair": pair(entry), "standing": standing(person)}

    @app.post("/api/skip", dependencies=called)
    def skip(body: Chosen) -> dict[str, Any]:
        person = name_of(body.name)
        desk.skip(person, body.key)
        return following(person)

    @app.get("/api/standing", dependencies=called)
    def my_standing(name: str) -> dict[str, Any]:
        return standing(name_of(name))

    @app.get("/api/rubric", dependencies=called)
    def policy() -> dict[str, str]:
        return {"version": rubric.version, "html": rendered}

    @app.get("/api/agreement", dependencies=called)
    def agreement() -> dict[str, Any]:
        return {"people": desk.counts(), "agreement": agreements(desk.shared()), "pairs": len(desk)}

    @app.get("/image/{key}", dependencies=opened)
    def image(key: str) -> Response:
        path = facts.image(desk.entry(key).item_id)
        if not isinstance(path, Path):
            raise HTTPException(404, "There is no image file for this item inside the tables' folder.")
        return FileResponse(path, media_type=PICTURES[path.suffix.lower()])

    def served(content: str, kind: str) -> Callable[[], Response]:
        return lambda: Response(content, media_type=kind)

    room = files("motherlode.review")
    for address, name, kind, needs in (
        ("/", "page.html", "text/html", opened),
        ("/summary", "summary.html", "text/html", opened),
        ("/page.css", "page.css", "text/css", []),
        ("/page.js", "page.js", "text/javascript", []),
        ("/talk.js", "talk.js", "text/javascript", []),
        ("/summary.js", "summary.js", "text/javascript", []),
    ):
        content = room.joinpath(name).read_text(encoding="utf-8")
        app.get(address, dependencies=needs, response_class=Response)(served(content, kind))
    return app
