"""The one fixed sentence that an item's text is."""

from collections.abc import Iterable, Sequence


def item_text(title: str, taxonomy: Sequence[str] | None, levels: int = 2) -> str:
    """Title and the first `levels` of the taxonomy path in one fixed sentence.

        "{title}, a product in {level 1} > {level 2}"

    An item without a taxonomy, or `levels=0`, is its title alone. Source: Mine and Refine (arXiv 2602.17654)
    §4.2 for title + two levels in one fixed format; its wording is undisclosed, this one is ours.
    """
    path = [level for level in (taxonomy or ())[:levels] if level]
    return f"{title}, a product in {' > '.join(path)}" if path else title


def item_texts(titles: Iterable[str], taxonomies: Iterable[Sequence[str] | None], levels: int = 2) -> list[str]:
    """`item_text` over two aligned columns."""
    return [item_text(title, path, levels) for title, path in zip(titles, taxonomies, strict=True)]
