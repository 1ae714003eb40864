"""The text of an item as a judge reads it: everything the catalogue says, on one line."""

from collections.abc import Mapping, Sequence

DESCRIPTION = 600  # characters: more costs a judge time and seldom changes a grade


def judged_item(
    title: str,
    taxonomy: Sequence[str] | None = None,
    brand: str | None = None,
    attributes: Sequence[Mapping[str, str | None]] | None = None,
    description: str | None = None,
    *,
    limit: int = DESCRIPTION,
) -> str:
    """One text of all that a judge should weigh; parts that are empty are left out.

        "title | brand: B | category: A > B > C | name: value; name: value | description"

    Attributes are {"name", "value"} as the catalogue holds them. The description, last because readers of a fixed
    length cut there first, ends after a whole word within `limit` characters, with "…" where something is missing.
    Line breaks and runs of spaces become one space.
    """
    path = " > ".join(filter(None, (_line(level) for level in taxonomy or ())))
    facts = "; ".join(f"{_line(one['name'])}: {_line(one['value'])}" for one in attributes or () if _line(one["value"]))
    parts = (
        _line(title),
        _line(brand) and f"brand: {_line(brand)}",
        path and f"category: {path}",
        facts,
        cut(_line(description), limit),
    )
    return " | ".join(filter(None, parts))


def cut(text: str, limit: int) -> str:
    """The text up to the last whole word within `limit` characters, "…" included where it was cut.

    Text without a space in its second half (Japanese, Chinese, Thai) is cut at the character.
    """
    if len(text) <= limit:
        return text
    kept = text[: max(limit - 1, 0)]
    if text[len(kept)] != " ":
        space = kept.rfind(" ")
        kept = kept[:space] if space >= len(kept) // 2 else kept
    return kept.rstrip() + "…" if limit > 0 else ""


def _line(text: str | None) -> str:
    return " ".join(text.split()) if text else ""
