"""The short way for searches: what is asked rightly is answered without the framework.

Anything else takes the long way: the routes that OpenAPI describes, which say what is wrong with a request. Both ways
check with the same form and ask the same `Searching`, so an answer does not depend on the way it took.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pydantic import ValidationError

from motherlode.serve.asks import Ask, filter_of
from motherlode.serve.forms import Search

if TYPE_CHECKING:
    from motherlode.serve.desk import Desk

Headers = Mapping[bytes, bytes]
Straight = Callable[[Any, Headers, bytes], Awaitable[bytes | None]]  # scope, headers, body; None: take the long way


def straight(desk: Desk) -> dict[tuple[str, str], Straight]:
    """The short ways, by method and path."""

    def way(read: Callable[[Any, bytes], Search | None]) -> Straight:
        async def answer(scope: Any, headers: Headers, body: bytes) -> bytes | None:
            desk.may(scope, bearer(headers), "read")
            asked = read(scope, body)
            return await answer_to(desk, asked) if asked else None

        return answer

    return {("GET", "/search"): way(_by_address), ("POST", "/search"): way(_by_body)}


async def answer_to(desk: Desk, asked: Search) -> bytes:
    """What the index that is asked answers."""
    ask = Ask(asked.q, asked.k, asked.mode, asked.grade, asked.explain, filter_of(asked.filter))
    return await desk.searching(asked.index).ask(ask)


def bearer(headers: Headers) -> str | None:
    """The key that a request brings."""
    kind, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return given.strip() if kind.lower() == "bearer" else None


def _by_address(scope: Any, _: bytes) -> Search | None:
    values: dict[str, Any] = {"filter": []}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name == "filter":
            values[name].append(value)
        elif name in values:
            return None  # the framework says which of several counts
        else:
            values[name] = value
    try:
        return Search.model_validate(values)
    except ValidationError:
        return None


def _by_body(_: Any, body: bytes) -> Search | None:
    try:
        return Search.model_validate_json(body)
    except ValidationError:
        return None
