"""Requests to one server: within its limits and the budget, tried again while there is hope, given up in words."""

import asyncio
import json
import logging
import random
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from motherlode.endpoint.budget import Budget
from motherlode.endpoint.errors import DeclinedError, EndpointError, GivenUpError, SpentError
from motherlode.endpoint.pace import Pace
from motherlode.endpoint.reply import Reply, UnreadableError, complaint, read_reply
from motherlode.endpoint.secret import Secret
from motherlode.endpoint.settings import EndpointSettings
from motherlode.endpoint.tally import Tally
from motherlode.errors import MissingError

if TYPE_CHECKING:
    import httpx

LARGEST = 8 << 20  # bytes of a reply that are read
LONGEST_WAIT = 30.0  # seconds between two tries, where the server names no time
CONNECT = 10.0  # seconds to wait for a connection: a server that is there takes it at once
QUIET = 5.0  # seconds of trouble before a word is said about it
SICK = {408, 409, 425, 429}  # with 5xx: may pass
TOO_LONG = (
    "context length",
    "context_length",
    "context window",
    "context size",
    "too long",
    "too large",
    "maximum length",
)
WORTHLESS = ("insufficient_quota", "billing_hard_limit", "exceeded your current quota")

log = logging.getLogger("motherlode.endpoint")


@dataclass(frozen=True)
class Trouble:
    """A try that failed and may be made again.

    Attributes:
        why: for people.
        sent: whether the server may have worked on it, and charge for that.
        speaks: whether what came back is the server's word on this request (5xx, nonsense), not on its load.
        nonsense: whether it was no chat completion at all.
        slow: whether it took too long.
        wait: seconds the server asks to wait.
    """

    why: str
    sent: bool = False
    speaks: bool = False
    nonsense: bool = False
    slow: bool = False
    wait: float | None = None


class ChatClient:
    """One server for the life of a judge; `async with` opens its connections for a block.

    Attributes:
        answered: whether it has ever answered.
    """

    def __init__(self, settings: EndpointSettings, budget: Budget, tally: Tally) -> None:
        self.settings, self.budget, self.tally = settings, budget, tally
        self.answered = False
        self._secret = Secret(settings.key_env)
        self._pace = Pace(settings.requests_per_minute, settings.tokens_per_minute)
        self._random = random.Random()  # from the system: two processes must not try again in step
        self._trouble_since: float | None = None
        self._told = False

    async def __aenter__(self) -> Self:
        import httpx

        limits = httpx.Limits(max_connections=self.settings.concurrency)
        timeout = httpx.Timeout(self.settings.timeout, connect=min(CONNECT, self.settings.timeout))
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, verify=_certificates())
        self._under_way = 0
        self._settled = asyncio.Event()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, body: dict[str, Any], tokens_out: int, tries: int = 4) -> tuple[Reply, float]:
        """The server's answer to this request, and what it cost.

        Raises DeclinedError where the request itself is at fault, GivenUpError where it fails `tries` times and a
        tiny request does not, SpentError where the budget ends, EndpointError where the server cannot be used.
        """
        content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
        failures = spoken = 0
        while True:
            began = time.monotonic()
            outcome = await self._attempt(content, tokens_out)
            if isinstance(outcome, tuple):
                self._well(time.monotonic() - began)
                return outcome
            failures += 1
            spoken += outcome.speaks
            self.tally.failures += 1
            wait = self._wait(outcome, failures)
            if outcome.speaks and spoken >= tries:
                if outcome.nonsense and not self.answered:
                    raise EndpointError(
                        f"{self.settings.url} answers, but with no chat completion ({outcome.why}): check the url."
                    )
                if await self._answers_others(body):
                    raise GivenUpError(outcome.why, outcome.slow)
            await asyncio.sleep(wait)

    async def _attempt(self, content: bytes, tokens_out: int) -> tuple[Reply, float] | Trouble:
        """Send it once, when budget and limits allow."""
        estimate = self.tally.estimate(len(content))
        reservation = await self._reserve(estimate, tokens_out)
        used = (0, 0)
        try:
            await self._pace.turn(estimate + tokens_out)
            outcome = await self._send(content)
            if isinstance(outcome, Trouble):
                used = (estimate, tokens_out) if outcome.sent else (0, 0)
            else:
                used = self._count(outcome, len(content), estimate)
        finally:
            self._under_way -= 1
            money = self.budget.settle(reservation, *used)
            self._settled.set()
        self.tally.money += money
        self.tally.tokens_in += used[0]
        self.tally.tokens_out += used[1]
        return outcome if isinstance(outcome, Trouble) else (outcome, money)

    async def _reserve(self, tokens_in: int, tokens_out: int) -> Any:
        while (reservation := self.budget.reserve(tokens_in, tokens_out)) is None:
            if not self._under_way:
                raise SpentError
            self._settled.clear()
            await self._settled.wait()
        self._under_way += 1
        return reservation

    def _count(self, reply: Reply, size: int, estimate: int) -> tuple[int, int]:
        if reply.tokens_in is None or reply.tokens_out is None:
            self.tally.estimated = True
            return estimate, self.tally.estimate(len(reply.text.encode(errors="replace")))
        self.tally.learn(size, reply.tokens_in)
        return reply.tokens_in, reply.tokens_out

    async def _send(self, content: bytes) -> Reply | Trouble:
        import httpx

        headers = {"Content-Type": "application/json", **self._secret.headers()}
        url = f"{self.settings.url}/chat/completions"
        raw = bytearray()
        try:
            async with (
                asyncio.timeout(self.settings.timeout),  # httpx limits each read, and bytes may drip for ever
                self._http.stream("POST", url, content=content, headers=headers) as response,
            ):
                async for piece in response.aiter_bytes():
                    raw += piece
                    if len(raw) > LARGEST:
                        break
        except (TimeoutError, httpx.TimeoutException) as error:
            unsent = isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            return Trouble(
                f"no answer within {self.settings.timeout:g} s", sent=not unsent, speaks=not unsent, slow=True
            )
        except httpx.ConnectError as error:
            return Trouble(self._printable(str(error)) if str(error) else "no connection")
        except (httpx.TransportError, httpx.DecodingError) as error:
            return Trouble(f"the connection broke ({type(error).__name__})", sent=True, speaks=True)
        return self._read(response, self.hide(raw.decode(errors="replace")))

    def _read(self, response: "httpx.Response", text: str) -> Reply | Trouble:
        """What a response means. Raises EndpointError or DeclinedError where trying again is no use."""
        status = response.status_code
        if status == 200:
            try:
                return read_reply(text)
            except UnreadableError as error:
                return Trouble(self._printable(str(error)), sent=True, speaks=True, nonsense=True)
        said, url, model = f"HTTP {status}: {self._printable(text)}", self.settings.url, self.settings.model
        if status in SICK or status >= 500:
            if any(word in text for word in WORTHLESS):
                raise EndpointError(f"{url} says that its account is used up: pay, or take another model ({said}).")
            return Trouble(said, speaks=status != 429, wait=_retry_after(response))
        if status in (401, 403):
            variable = self.settings.key_env
            raise EndpointError(
                f"{url} refuses the key: set the environment variable {variable} to a good one ({said})."
            )
        if status == 402:
            raise EndpointError(f"{url} wants to be paid first ({said}).")
        if status in (404, 405, 410):
            raise EndpointError(f"{url} has no chat completions of a model '{model}': check url and model ({said}).")
        if status < 400:
            raise EndpointError(f"{url} sends elsewhere (HTTP {status}): set url to where the server really is.")
        too_long = status == 413 or any(word in text.lower() for word in TOO_LONG)
        raise DeclinedError(said, too_long)

    def _wait(self, trouble: Trouble, failures: int) -> float:
        """Seconds until the next try. Raises EndpointError when patience is at its end."""
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
        away, patience, url = now - self._trouble_since, self.settings.patience, self.settings.url
        again = "Run the same command again when it does: what was answered is kept."
        if away >= patience:
            raise EndpointError(f"{url} has given no answer for {away:,.0f} s ({trouble.why}). {again}")
        if trouble.wait is not None and trouble.wait > patience:
            raise EndpointError(
                f"{url} asks to wait {trouble.wait:,.0f} s, more than the patience of {patience:g} s "
                f"({trouble.why}). {again}"
            )
        if away > QUIET and not self._told:
            self._told = True
            log.warning("%s gives no answer (%s); trying for up to %g s", url, trouble.why, patience)
        jitter = self._random.uniform(0.5, 1.0)
        if trouble.wait is not None:
            self._pace.close(trouble.wait)
            return trouble.wait + jitter * self.settings.backoff
        wait = jitter * min(LONGEST_WAIT, self.settings.backoff * 2.0 ** min(failures - 1, 20))
        return min(wait, patience - away)

    def _well(self, seconds: float) -> None:
        if self._told:
            log.warning("%s answers again", self.settings.url)
        self.answered, self._trouble_since, self._told = True, None, False
        self.tally.requests += 1
        self.tally.seconds += seconds

    async def _answers_others(self, body: dict[str, Any]) -> bool:
        """Whether the server is well and so the fault is this request's: ask for one word."""
        kept = {key: value for key, value in body.items() if key in ("model", "temperature")}
        limit = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
        tiny = kept | {"messages": [{"role": "user", "content": "Say yes."}], limit: 16}
        try:
            outcome = await self._attempt(json.dumps(tiny).encode(), 16)
        except DeclinedError:
            return True
        return not isinstance(outcome, Trouble)

    def hide(self, text: str) -> str:
        """The text without the key: a server may send it back."""
        return self._secret.hide(text)

    def _printable(self, text: str) -> str:
        return self.hide(complaint(text))


def require_httpx() -> None:
    """Raise MissingError where httpx is not installed."""
    try:
        import httpx  # noqa: F401
    except ImportError:
        raise MissingError("Judges behind an endpoint need httpx: pip install 'motherlode[endpoint]'.") from None


@cache
def _certificates() -> ssl.SSLContext:
    """The trusted certificates: reading them takes longer than many a request."""
    import httpx

    return httpx.create_ssl_context()


def _retry_after(response: "httpx.Response") -> float | None:
    """Seconds the server asks to wait: retry-after-ms, or Retry-After as seconds or a date (RFC 9110, 10.2.3)."""
    for header, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = response.headers.get(header, "")
        try:
            seconds = float(value) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        until = parsedate_to_datetime(response.headers.get("retry-after", ""))
        return max(0.0, until.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
