"""How many of a query's words an item's title holds already."""

import re

_TOKEN = re.compile(r"\w+")


def token_overlap(query: str, title: str) -> float:
    """Share of the query's distinct tokens found in the title; 1 for a query without any.

    A token is a run of letters, digits and underscores, case folded, as in `evaluation.slices.token_overlap`.
    """
    tokens = set(_TOKEN.findall(query.casefold()))
    return len(tokens & set(_TOKEN.findall(title.casefold()))) / len(tokens) if tokens else 1.0
