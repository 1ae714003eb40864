"""The verbs of serving: the search API with its page, and the keys to it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from motherlode.cli_common import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, place_of, say

app = typer.Typer()


class Scope(StrEnum):
    read = "read"
    write = "write"


@app.command()
def serve(
    place: Annotated[
        Path, typer.Argument(metavar="[WORKSPACE]", callback=place_of, help="What to serve.")
    ] = DEFAULT_WORKSPACE,
    others: Annotated[
        list[str] | None, typer.Option("--also", metavar="NAME=FOLDER", help="Another index or workspace beside it.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for everybody.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8480,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log no requests.")] = False,
) -> None:
    """Serve the workspace's index: search API, page, metrics; Ctrl-C ends it."""
    from motherlode.errors import MissingError, SettingError
    from motherlode.serve.keys import FILE
    from motherlode.serve.server import run
    from motherlode.serve.settings import Settings

    indexes = {place.resolve().name or "index": place / "index"}
    for other in others or ():
        name, sign, folder = other.partition("=")
        if not (name and sign and folder) or name in indexes:
            raise SettingError(f"--also {other!r} must be NAME=FOLDER, each name once.")
        inner = Path(folder) / "index"
        indexes[name] = inner if inner.is_dir() else Path(folder)
    for index in indexes.values():
        if not (index / "current").exists():
            raise MissingError(f"{index} holds no index: build one with `motherlode index`.")
    run(
        Settings(
            indexes={name: folder.resolve() for name, folder in indexes.items()},
            workspace=place.resolve(),
            keys=place.resolve() / FILE,
            host=host,
            port=port,
            workers=workers,
            log=not quiet,
        )
    )


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Whose key: small letters, digits, dots, hyphens.")],
    scope: Annotated[Scope, typer.Option(help="A write key may read as well.")] = Scope.write,
    remove: Annotated[bool, typer.Option("--remove", help="Take the key away.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Make an API key for `serve`, or take one away; a running server follows within a second."""
    from motherlode.serve import keys

    path = workspace / keys.FILE
    if remove:
        keys.remove(path, name)
        say(f"Removed the key '{name}'.", as_json, {"removed": name})
        return
    made = keys.make(path, name, scope.value)
    text = f"{made}\nThis is shown once: {path} holds only its digest. Next: motherlode serve {workspace}."
    say(text, as_json, {"name": name, "scope": scope.value, "key": made})
