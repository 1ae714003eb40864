"""The rubric's Markdown says what a full CommonMark renderer makes of it, and nothing in it is markup of its own."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from motherlode.grading.rubric import Rubric
from motherlode.review.markdown import markdown

OURS = {"h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "strong", "em", "code", "hr", "blockquote", "div"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td"}


class Events(HTMLParser):
    """Tags and texts in order, without attributes, white space and the wrapper we put around tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.add(tag)
        if tag != "div":
            self.found.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("div", "hr"):
            self.found.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        text = re.sub(r"\s+", " ", data)
        if text.strip():
            self.found.append(text)

    def told(self) -> str:
        return re.sub(r"\s*(</?(?!strong|em|code)\w+>)\s*", r"\1", "".join(self.found))


def standard(text: str) -> str:
    return Events(MarkdownIt("commonmark", {"html": False}).enable("table").render(text)).told()


PIECES = [
    "# One *heading*\n\n## Two `x` ##",
    "A paragraph\nover two lines, **bold *and* more**, 2 * 3 * 4 and snake_case_name.",
    "* one\n* two\n  goes on\n* **three** words",
    "1. one\n2. two\n   goes on\n3. three",
    "- a\n  - b\n  - c\n- d",
    "- a lazy\nline",
    "> quoted\n> still **so**",
    "---",
    "| a | b \\| c |\n|---|:-:|\n| 1 | <b>2</b> |\n| `3` | x & y |",
    "Text before\n- a list",
    "_under_ *star* `a * b`",
]


@pytest.mark.parametrize("text", [*PIECES, "\n\nBetween.\n\n".join(PIECES), PIECES[2] + "\n\n" + PIECES[3]])
def test_equals_commonmark(text: str) -> None:
    assert Events(markdown(text)).told() == standard(text)


def test_the_shipped_rubric_is_rendered_as_commonmark_would() -> None:
    text = Rubric.load().text
    ours = Events(markdown(text))
    assert ours.told() == standard(text)
    assert {"h1", "h2", "ul", "ol", "table"} <= ours.tags


def test_front_matter_is_left_out() -> None:
    assert markdown("---\nname: x\n---\n\nText\n") == "<p>Text</p>"


@given(st.text(alphabet=st.sampled_from("ab<>&\"'*_`#|-> \n1."), max_size=80))
def test_any_text_is_rendered_and_brings_no_tag_of_its_own(text: str) -> None:
    assert Events(markdown(text)).tags <= OURS | TABLE
    assert "<b>" not in markdown(f"<b>{text}")


def test_hostile_text_stays_text() -> None:
    html = markdown("# <script>alert(1)</script>\n\n[a](javascript:alert(1)) <img src=x onerror=alert(1)>")
    assert Events(html).tags == {"h1", "p"}
    assert "&lt;script&gt;" in html and "onerror=alert(1)&gt;" in html
