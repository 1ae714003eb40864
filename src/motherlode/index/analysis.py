"""How text becomes terms: one analyser for items and queries alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tantivy import TextAnalyzer

# A term is one East Asian character (those scripts put no spaces between words), a run of letters, or a
# number with its fraction. Letters and digits part company: "5gal" meets "5 gal", "2x4" meets "2 x 4".
TERM = r"[\p{Han}\p{Hiragana}\p{Katakana}]|[^\W\d_]+|\d+(?:[./]\d+)*"
# the language, and marketplaces whose code is no other language's ("uk" is Ukrainian, "ca" Catalan)
ENGLISH = ("en", "us", "gb", "au", "nz")
LONGEST = 64  # bytes; longer runs of letters are no words, and would only swell the dictionary


def analyser(locale: str) -> TextAnalyzer:
    """The analyser of a locale: terms as in `TERM`, lower case, accents folded; English stems for "en...".

    `analyser(locale).analyze(text)` lists the terms of a text. Stop words stay: BM25 weighs them down.
    """
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    builder = (
        TextAnalyzerBuilder(Tokenizer.regex(TERM))
        .filter(Filter.lowercase())
        .filter(Filter.ascii_fold())
        .filter(Filter.remove_long(LONGEST))
    )
    return (builder.filter(Filter.stemmer("english")) if is_english(locale) else builder).build()


def is_english(locale: str) -> bool:
    """Whether a locale such as "en", "en_US" or "en-gb", or a marketplace such as ESCI's "us", is English."""
    return locale.lower().replace("-", "_").split("_")[0] in ENGLISH


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, replaced by "?"."""
    return text.encode("utf-8", "replace").decode("utf-8")
