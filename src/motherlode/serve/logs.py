"""Logs as lines of JSON on stderr. Keys, headers, queries and bodies are never among what is logged."""

from __future__ import annotations

import json
import logging
import sys
import time
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

FIELDS = "fields"  # attribute of a log record that holds what its line says besides
ACCESS = "motherlode.serve.access"  # logger named in the line of a request


class Lines(logging.Formatter):
    """One record, one line: {"time", "level", "logger", "message", ...}."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. Of an exception it tells the kind and the place, not the message, which may quote a request."""
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            trace = record.exc_info[2]
            places = []
            while trace:
                places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
                trace = trace.tb_next
            line["at"] = places[-8:]
        return json.dumps(line, ensure_ascii=True, default=str)


def access(fields: dict[str, Any]) -> None:
    """The line of a request that was answered; past `logging`, which costs as much as all else that HTTP does."""
    line = {"time": _time(time.time()), "level": "info", "logger": ACCESS, "message": "request", **fields}
    sys.stderr.write(to_json(line).decode() + "\n")


def _time(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int(1e3 * (seconds - whole)):03d}Z"


@lru_cache(1)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def to_stderr(level: int = logging.INFO) -> None:
    """Send our log and the server's to stderr as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in ("motherlode.serve", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level if name == "motherlode.serve" else logging.WARNING)
