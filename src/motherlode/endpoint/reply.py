"""What a server sends back, read without trusting it."""

import json
from dataclasses import dataclass
from typing import Any


class UnreadableError(Exception):
    """The body is no chat completion."""


@dataclass(frozen=True)
class Token:
    """One token of an answer: its bytes, and the log probabilities of what could have stood in its place."""

    spelt: bytes
    alternatives: dict[str, float]


@dataclass(frozen=True)
class Reply:
    """The answer to one request; `tokens_in` and `tokens_out` are None where the server does not count."""

    text: str
    finish: str
    tokens: list[Token]
    tokens_in: int | None
    tokens_out: int | None


def read_reply(body: str) -> Reply:
    """A chat completion's first choice. Raises UnreadableError where there is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError(f"no JSON: {body[:80]!r}") from None
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        said = value.get("error") if isinstance(value, dict) else None
        raise UnreadableError(f"an error: {said}" if said else "a completion without choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise UnreadableError("a choice without a message")
    usage = value.get("usage")
    return Reply(
        _text(message.get("content")),
        str(choices[0].get("finish_reason") or ""),
        _tokens(choices[0].get("logprobs")),
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
    )


def complaint(body: str) -> str:
    """What an error's body says, in one printable line of at most 300 characters."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        value = body
    for key in ("error", "message", "detail"):
        if isinstance(value, dict) and value.get(key):
            value = value[key]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line[:300] or "no reason given"


def _text(content: Any) -> str:
    if isinstance(content, list):  # parts, as some servers send them
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count(usage: Any, key: str) -> int | None:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _tokens(logprobs: Any) -> list[Token]:
    """The tokens with their alternatives; none of them where any is malformed."""
    listed = logprobs.get("content") if isinstance(logprobs, dict) else None
    tokens = []
    try:
        for one in listed or []:
            spelt = bytes(one["bytes"]) if one.get("bytes") else one["token"].encode()
            given = [one, *(one.get("top_logprobs") or [])]
            tokens.append(Token(spelt, {str(other["token"]): float(other["logprob"]) for other in given}))
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    return tokens
