"""What every page shares: style, script and the banner over simulated data, all inline."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from motherlode.atomic import write_text
from motherlode.report.markup import Markup, el, join


def write_page(path: Path, title: str, body: Markup, *, simulated: bool) -> Path:
    """Write one self-contained HTML page and return `path`; `simulated` puts a banner up."""
    banner = el("p", "Simulated data: these figures say nothing about real shoppers.", class_="banner", role="note")
    room = files("motherlode.report")
    parts = {name: room.joinpath(f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    page = Template(parts["html"]).substitute(
        title=join(title),
        style=parts["css"],
        script=parts["js"],
        banner=banner if simulated else "",
        body=body,
    )
    write_text(path, page)
    return path
