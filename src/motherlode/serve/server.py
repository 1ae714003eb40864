"""Starting and ending the server: one process, or several with one that restarts those that die."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from motherlode.errors import MissingError, SettingError
from motherlode.serve.settings import Settings

if TYPE_CHECKING:
    from motherlode.serve.door import Door

TOLD = "MOTHERLODE_SERVE"  # settings, for worker processes
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # where they keep their figures; read when prometheus_client is imported
PATIENCE = 60  # seconds: one that loads a model on a busy machine is not dead
APPLICATION = "motherlode.serve.server:application"


def run(settings: Settings) -> None:
    """Serve until told to end; the address is printed once connections are accepted.

    At an interrupt or SIGTERM no new connection is accepted, running requests are answered, waiting changes are
    published. Raises MissingError without FastAPI or uvicorn, SettingError for an address that cannot be had,
    MissingError or InputError where an index cannot be opened.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingError("Serving needs FastAPI and uvicorn: pip install 'motherlode[serve]'.") from error
    options: dict[str, Any] = {
        "loop": "uvloop" if find_spec("uvloop") else "asyncio",
        "http": "httptools" if find_spec("httptools") else "h11",
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "limit_concurrency": settings.connections,
        "timeout_graceful_shutdown": settings.drain,
    }
    app = (
        application(settings) if settings.workers == 1 else None
    )  # fails here, in words, where an index cannot be read
    with _listening(settings) as listening, tempfile.TemporaryDirectory(prefix="motherlode-serve-") as shared:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        names = ", ".join(settings.indexes)
        print(f"Serving {names} at http://{host}:{listening.getsockname()[1]}/ (stop with Ctrl-C)", flush=True)
        with suppress(KeyboardInterrupt):  # the way to end it, handed on by uvicorn once it has closed
            if app is not None:
                uvicorn.Server(uvicorn.Config(app, **options)).run(sockets=[listening])
            else:
                os.environ |= {TOLD: settings.model_dump_json(), SHARED: shared}
                several = {"workers": settings.workers, "timeout_worker_healthcheck": PATIENCE}
                uvicorn.run(APPLICATION, factory=True, fd=listening.fileno(), **several, **options)


def application(settings: Settings | None = None) -> Door:
    """The application of this process; without settings, over those that the process was started with."""
    from motherlode.serve.app import create
    from motherlode.serve.logs import to_stderr
    from motherlode.serve.memory import few_arenas

    to_stderr()
    few_arenas()
    return create(settings or Settings.model_validate_json(os.environ[TOLD]))


def _listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except (OSError, OverflowError) as error:
        listening.close()
        where = f"{settings.host}:{settings.port}"
        raise SettingError(f"Cannot listen at {where} ({error}): choose another with --port.") from error
    listening.listen(256)  # from here on a client is kept waiting, not refused
    listening.set_inheritable(True)
    return listening
