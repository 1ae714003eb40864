"""Every request's way in and out: its id, what is too large or not for us, headers, the log line, the figures."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING

from motherlode.errors import InputError, MotherlodeError, SettingError
from motherlode.serve.errors import Refused, unexpected
from motherlode.serve.logs import FIELDS, access
from motherlode.serve.metrics import Metrics
from motherlode.serve.settings import LOOPBACK, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.applications import Starlette
    from starlette.types import Message, Receive, Scope, Send

    from motherlode.serve.straight import Straight

LOG = logging.getLogger(__name__)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
SMALL = 64 << 10  # bytes of a body anywhere but under /items
BODIES = ("POST", "DELETE", "PUT", "PATCH")
JSON = (b"content-type", b"application/json")
HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Door:
    """An application behind the checks that every request meets, and what every answer gets.

    Puts "request_id" and "began" into the scope; a body arrives in one piece or not at all. Requests in `straight`, by
    method and path, are answered here if that can be done, and go on to the application if not.
    """

    def __init__(
        self, app: Starlette, settings: Settings, metrics: Metrics, straight: Mapping[tuple[str, str], Straight]
    ) -> None:
        self._app, self._settings, self._metrics, self._straight = app, settings, metrics, straight
        self.state = app.state
        self._start, self._numbers = secrets.token_hex(4), count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, body = perf_counter(), 0, b""
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        name = given if REQUEST_ID.fullmatch(given) else f"{self._start}-{next(self._numbers):x}".encode()
        scope["began"], scope["request_id"] = began, name.decode()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name), *HEADERS]
            await send(message)

        try:
            self._check(scope, headers)
            if scope["method"] in BODIES:
                body = await self._body(scope["path"], headers, receive)
                receive = _once(body)
            straight = self._straight.get((scope["method"], scope["path"]))
            answer = await straight(scope, headers, body) if straight else None
            if answer is None:
                await self._app(scope, receive, sending)
            else:
                await _send(sending, 200, finished(scope, answer), [JSON])
        except MotherlodeError as error:
            await _send(sending, *refusal(error, scope))
        except ConnectionError:  # the client went before its request was whole
            status = 499
        except Exception:
            LOG.exception("a request failed", extra={FIELDS: {"request_id": scope["request_id"]}})
            if not status:
                await _send(sending, *refusal(unexpected(), scope))
        finally:
            self._tell(scope, status, perf_counter() - began)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Refuse what need not be read at all."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > self._settings.target_bytes:
            raise Refused(414, "too_long", f"The address is longer than {self._settings.target_bytes} bytes: use POST.")
        if self._settings.local:
            # a website may point a name of its own at this machine; then the browser would let it read answers
            host = headers.get(b"host", b"localhost").decode("latin-1").rsplit(":", 1)[0].strip("[]").lower()
            if host not in LOOPBACK and headers.get(b"host") not in (b"::1", b"[::1]"):
                raise Refused(403, "wrong_host", "This server answers on its own machine's address only.")

    async def _body(self, path: str, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body. Raises Refused where it is too large, too slow or not JSON."""
        most = self._settings.body_bytes if path == "/items" else min(SMALL, self._settings.body_bytes)
        too_large = Refused(413, "too_large", f"The body is larger than {most} bytes: send less at once.")
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared[:20]) > most:
            raise too_large
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size > most:
                        raise too_large
                    parts.append(part)
        except TimeoutError:
            raise Refused(408, "slow_body", "The body did not arrive in time: send it again.") from None
        # no other website's form can send this type without asking first, and nobody here says yes
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if size and kind != b"application/json":
            raise Refused(415, "not_json", "Send the body as application/json.")
        return b"".join(parts)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        known = (scope["method"], scope["path"]) in self._straight
        route: str = scope["path"] if known else getattr(scope.get("route"), "path", "other")
        self._metrics.request(route, status, seconds)
        if self._settings.log:
            access(
                {
                    "request_id": scope["request_id"],
                    "method": scope["method"][:16],
                    "route": route,
                    "status": status,
                    "ms": round(1e3 * seconds, 2),
                    "key": scope.get("key"),
                }
            )


def finished(scope: Scope, rest: bytes) -> bytes:
    """A whole answer: what is of the request alone, before what may be ready-made."""
    took = 1e3 * (perf_counter() - scope["began"])
    return b'{"request_id":"%s","took_ms":%.2f,' % (scope["request_id"].encode(), took) + rest


def error_body(code: str, message: str, request_id: str) -> bytes:
    """What every error looks like."""
    return json.dumps({"error": {"code": code, "message": message, "request_id": request_id}}).encode()


def refusal(error: MotherlodeError, scope: Scope) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers of the answer to what is refused."""
    if not isinstance(error, Refused):
        wrong = isinstance(error, (InputError, SettingError))
        error = Refused(422, "invalid", str(error)) if wrong else Refused(409, "missing", str(error))
    headers = [JSON]
    if error.retry_after:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status in (408, 413):  # what is left of the body must not be read as the next request
        headers.append((b"connection", b"close"))
    return error.status, error_body(error.code, str(error), scope["request_id"]), headers


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _once(body: bytes) -> Receive:
    """A `receive` that gives the body, then waits: what happens to the connection is seen when answering."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.Future()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
