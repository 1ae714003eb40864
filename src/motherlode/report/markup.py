"""HTML and SVG from nested calls; whatever is not `Markup` is escaped, so a hostile title stays text."""

from __future__ import annotations

from html import escape

VOID = {"meta", "br", "hr", "rect", "line", "circle", "path"}  # elements written without an end tag


class Markup(str):
    """A string that is HTML already."""


def el(name: str, *children: object, **attributes: object) -> Markup:
    """<name attributes>children</name>.

    Children that are None are left out, lists are flattened, plain values are escaped. An attribute that is
    None is left out; underscores become hyphens and a trailing one falls away (class_, stroke_width).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """Children one after the other, escaped where they are not markup."""
    return Markup("".join(_text(child) for child in children))


def _text(child: object) -> str:
    if child is None:
        return ""
    if isinstance(child, (list, tuple)):
        return join(*child)
    return child if isinstance(child, Markup) else escape(str(child))
