"""The little Markdown a rubric is written in, as HTML: headings, lists, tables, quotes, emphasis, code."""

from __future__ import annotations

import re
from itertools import takewhile

from motherlode.report.markup import Markup, el, join

HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
BULLET = re.compile(r"(\s*)(?:[-*+]|(\d+)[.)])\s+(.*)")
RULE = re.compile(r"\s*([-*_])(\s*\1){2,}\s*$")
DELIMITER = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
INLINE = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])|(?<!\w)_([^_]+)_(?!\w)")


def markdown(text: str) -> Markup:
    """HTML of the text; front matter between two lines of --- is left out.

    Everything is escaped, links stay text; items of a list are one paragraph each, blank lines between them or not.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() == "---" and "---" in [line.strip() for line in lines[1:]]:
        end = next(at for at, line in enumerate(lines[1:], start=1) if line.strip() == "---")
        lines = lines[end + 1 :]
    return join(_blocks(lines))


def _blocks(lines: list[str]) -> list[Markup]:
    blocks: list[Markup] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif heading := HEADING.match(line):
            blocks.append(el(f"h{len(heading[1])}", inline(heading[2])))
            at += 1
        elif RULE.match(line):
            blocks.append(el("hr"))
            at += 1
        elif "|" in line and at + 1 < len(lines) and "-" in lines[at + 1] and DELIMITER.match(lines[at + 1]):
            body = list(takewhile(lambda row: "|" in row and bool(row.strip()), lines[at + 2 :]))
            blocks.append(_table(line, body))
            at += 2 + len(body)
        elif line.lstrip().startswith(">"):
            quoted = list(takewhile(lambda row: row.lstrip().startswith(">"), lines[at:]))
            blocks.append(el("blockquote", _blocks([re.sub(r"^\s*> ?", "", row) for row in quoted])))
            at += len(quoted)
        elif BULLET.match(line):
            block = _list_lines(lines[at:])
            blocks.append(_list(block))
            at += len(block)
        else:
            paragraph = [line, *takewhile(_goes_on, lines[at + 1 :])]
            blocks.append(el("p", inline(" ".join(row.strip() for row in paragraph))))
            at += len(paragraph)
    return blocks


def _goes_on(line: str) -> bool:
    """Whether a line belongs to the paragraph above it."""
    begins_anew = HEADING.match(line) or BULLET.match(line) or line.lstrip().startswith((">", "|"))
    return bool(line.strip()) and not begins_anew


def _list_lines(lines: list[str]) -> list[str]:
    """The lines of the list that begins here: its bullets and whatever is indented below them."""
    taken: list[str] = []
    numbered = _numbered(lines[0])
    for at, line in enumerate(lines):
        after = next((later for later in lines[at:] if later.strip()), "")
        indented = bool(line.strip()) and line.startswith(" ")
        lazy = bool(taken) and bool(taken[-1].strip()) and _goes_on(line)  # goes on at the margin
        another = _numbered(after) is not numbered and not after.startswith(" ")
        if not (indented or lazy or (BULLET.match(after) and not another)):
            break
        taken.append(line)
    return taken


def _numbered(line: str) -> bool:
    bullet = BULLET.match(line)
    return bool(bullet and bullet[2])


def _list(lines: list[str]) -> Markup:
    indent = len(lines[0]) - len(lines[0].lstrip())
    items: list[tuple[str, list[str]]] = []
    for line in lines:
        bullet = BULLET.match(line)
        if bullet and len(bullet[1]) <= indent:
            items.append((bullet[3], []))
        elif line.strip():
            text, below = items[-1]
            if bullet or below:
                below.append(line)
            else:
                items[-1] = (f"{text} {line.strip()}", below)
    written = [el("li", inline(text), _list(below) if below else None) for text, below in items]
    return el("ol" if _numbered(lines[0]) else "ul", written)


def _table(head: str, body: list[str]) -> Markup:
    titles = _cells(head)
    rows = [el("tr", [el("td", inline(cell)) for cell in _cells(line)]) for line in body]
    heads = el("thead", el("tr", [el("th", inline(title), scope="col") for title in titles]))
    return el("div", el("table", heads, el("tbody", rows)), class_="scroll", tabindex="0")


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.replace(r"\|", "|").strip() for cell in re.split(r"(?<!\\)\|", inner)]


def inline(text: str) -> Markup:
    """Emphasis and code inside a line."""
    parts: list[object] = []
    end = 0
    for found in INLINE.finditer(text):
        code, strong, *emphasis = found.groups()
        parts.append(text[end : found.start()])
        if code:
            parts.append(el("code", code))
        elif strong:
            parts.append(el("strong", inline(strong)))
        else:
            parts.append(el("em", inline(next(filter(None, emphasis)))))
        end = found.end()
    return join(*parts, text[end:])
