"""The application: routes, who may use them, and what runs beside them."""

# No postponed annotations here: FastAPI reads them, and its own names are known only inside the functions.

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

from motherlode.errors import MissingError, MotherlodeError
from motherlode.serve import forms
from motherlode.serve.asks import Ask, filter_of
from motherlode.serve.errors import Refused, unexpected
from motherlode.serve.settings import Settings

if TYPE_CHECKING:
    from motherlode.serve.door import Door

LOG = logging.getLogger(__name__)
THREADS = 4  # for what is neither searched nor published: facts, grades, recommendations, opening versions
PAGE = (
    ("/", "page.html", "text/html"),
    ("/page.css", "page.css", "text/css"),
    ("/page.js", "page.js", "text/javascript"),
)
JSON = "application/json"
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": forms.Failure, "description": description}
    for status, description in (
        (400, "the body is not JSON"),
        (401, "a key is needed"),
        (403, "not with this key, or not from here"),
        (404, "there is no such thing"),
        (408, "the body came too slowly"),
        (409, "the index lacks what is asked for"),
        (413, "the body is too large"),
        (414, "the address is too long"),
        (415, "the body is no JSON"),
        (422, "a value cannot be"),
        (429, "too many requests wait: try again"),
        (503, "not in time, or the server is ending"),
    )
}


def create(settings: Settings) -> "Door":
    """The application over settings; its lifespan opens the indexes and, at its end, answers what still waits.

    Raises MissingError without FastAPI, MissingError or InputError where an index cannot be opened.
    """
    try:
        from fastapi import Depends, FastAPI, Query, Request, Response
        from fastapi.exceptions import RequestValidationError
        from fastapi.responses import JSONResponse
        from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
        from starlette.exceptions import HTTPException

        from motherlode.serve.desk import Desk
        from motherlode.serve.door import Door, error_body, finished, refusal
        from motherlode.serve.metrics import KIND
        from motherlode.serve.straight import answer_to, bearer, straight
    except ImportError as error:
        raise MissingError("Serving needs FastAPI and more: pip install 'motherlode[serve]'.") from error

    desk = Desk(settings)
    pool = ThreadPoolExecutor(THREADS, "serve")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await desk.begin()
        try:
            yield
        finally:
            await desk.end()
            pool.shutdown(cancel_futures=True)

    app = FastAPI(
        title="motherlode",
        description="Graded search over a catalogue.",
        version="1",
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.desk = desk
    scheme = HTTPBearer(auto_error=False, description="an API key made with `motherlode key`")
    Given = Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]

    async def reads(request: Request) -> None:  # not in OpenAPI, which cannot say "only where a read key was made"
        desk.may(request.scope, bearer(dict(request.scope["headers"])), "read")

    async def writes(request: Request, given: Given) -> None:
        desk.may(request.scope, given.credentials if given else None, "write")

    async def grades(request: Request, given: Given) -> None:
        if desk.keys.any or not settings.local:
            desk.may(request.scope, given.credentials if given else None, "write")

    async def apart(work: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *values)

    def answered(request: Request, rest: bytes) -> Response:
        return Response(finished(request.scope, rest), media_type=JSON)

    def told(request: Request, status: int, code: str, message: str, headers: Any = None) -> Response:
        return Response(error_body(code, message, request.scope["request_id"]), status, headers, JSON)

    def refuse(request: Request, error: MotherlodeError) -> Response:
        status, body, headers = refusal(error, request.scope)
        return Response(body, status, {name.decode(): value.decode() for name, value in headers})

    @app.exception_handler(MotherlodeError)
    async def refused(request: Request, error: MotherlodeError) -> Response:
        return refuse(request, error)

    @app.exception_handler(Exception)
    async def broken(request: Request, _: Exception) -> Response:  # the door, which it reaches next, logs it
        return refuse(request, unexpected())

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return told(request, 400, "malformed", "The body is not JSON.")
        where = ".".join(str(part) for part in first["loc"][1:])[:100] or "the body"
        return told(request, 422, "invalid", f"{where}: {first['msg']}.".encode("utf-8", "replace").decode())

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        code = {400: "malformed", 404: "no_such_route", 405: "no_such_method"}.get(error.status_code, "http")
        return told(request, error.status_code, code, f"{error.detail}.", error.headers)

    found: dict[str, Any] = {
        "response_class": Response,
        "responses": FAILURES | {200: {"model": forms.Found, "description": "hits, best first"}},
        "dependencies": [Depends(reads)],
    }

    @app.get("/search", **found)
    async def search_by_address(request: Request, asked: Annotated[forms.Search, Query()]) -> Response:
        """The items that fit a query."""
        return answered(request, await answer_to(desk, asked))

    @app.post("/search", **found)
    async def search_by_body(request: Request, asked: forms.Search) -> Response:
        """The same, for queries that are too long for an address or should not be in one."""
        return answered(request, await answer_to(desk, asked))

    @app.get("/similar", **found)
    async def similar(request: Request, asked: Annotated[forms.Similar, Query()]) -> Response:
        """Items like an item; with `like`, those that fit these words as well (an intersection, not a sum)."""
        wanted = filter_of(asked.filter)
        ask = Ask(asked.like.strip(), asked.k, explain=asked.explain, wanted=wanted, item_id=asked.item_id)
        return answered(request, await desk.searching(asked.index).ask(ask))

    @app.post("/recommend", **found)
    async def recommend(request: Request, asked: forms.Recommend) -> Response:
        """Items for a user, or for somebody who took these items."""
        if asked.user_id is None and not asked.history:
            raise Refused(422, "invalid", "Give a user_id or a history of item ids.")
        recommending = desk.recommending(asked.index)
        return answered(request, await apart(recommending.answer, asked, desk.searching(asked.index).live.now))

    @app.post("/items", dependencies=[Depends(writes)], responses=FAILURES)
    async def upsert(request: Request, asked: forms.Upsert) -> forms.Upserted:
        """Add or replace items; answered when they are on disk and can be found."""
        items = [item.model_dump() for item in asked.items]
        version = await desk.publishing(asked.index).change(items=items)
        return forms.Upserted(request_id=request.scope["request_id"], upserted=len(items), version=version)

    @app.delete("/items", dependencies=[Depends(writes)], responses=FAILURES)
    async def delete(request: Request, asked: forms.Delete) -> forms.Deleted:
        """Drop items; answered when they are gone."""
        version = await desk.publishing(asked.index).change(dropped=asked.item_ids)
        return forms.Deleted(request_id=request.scope["request_id"], deleted=len(asked.item_ids), version=version)

    @app.post("/grades", dependencies=[Depends(grades)], responses=FAILURES)
    async def grade(request: Request, asked: forms.Grade) -> forms.Graded:
        """A person's grade of a query and an item; it is in the ledger when this is answered."""
        held = desk.grades(asked.index)
        if await apart(desk.searching(asked.index).live.now.row_of, asked.item_id) is None:
            raise Refused(404, "no_such_item", f"The index holds no item {asked.item_id[:80]!r}.")
        person = request.scope.get("key") or "page"
        query_id = await apart(held.record, person, asked.query, asked.item_id, asked.grade)
        return forms.Graded(request_id=request.scope["request_id"], query_id=query_id, grade=asked.grade)

    @app.get("/facts", dependencies=[Depends(reads)], responses=FAILURES)
    async def facts() -> dict[str, Any]:
        """What is served: indexes, thresholds, and values to filter by."""
        return dict(await apart(desk.facts))

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        """The process answers."""
        return {"alive": True}

    @app.get("/readyz", responses={503: {"description": "starting or ending"}})
    async def readyz() -> JSONResponse:
        """Requests may be sent here."""
        return JSONResponse({"ready": desk.ready}, 200 if desk.ready else 503)

    @app.get("/metrics", dependencies=[Depends(reads)], response_class=Response, responses=FAILURES)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(desk.metrics.text(), media_type=KIND)

    def page(content: str, kind: str) -> Callable[[], Any]:
        async def served() -> Response:
            return Response(content, media_type=kind)

        return served

    for address, name, kind in PAGE:
        content = files("motherlode.serve").joinpath(name).read_text(encoding="utf-8")
        app.get(address, response_class=Response, include_in_schema=False)(page(content, kind))
    return Door(app, settings, desk.metrics, straight(desk))
