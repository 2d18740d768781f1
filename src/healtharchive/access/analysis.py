"""How words of texts and words of queries are made alike: one set of rules for both sides.

    exact       lower case, accents folded                                     vaccinées -> vaccinees
    english     the same, then the English stem                                vaccines -> vaccin
    french      the same, then the French stem                                 hopitaux -> hopital
    accented    lower case, the French stem, then accents folded               vaccinées -> vaccin

Folding first finds every word that is typed without its accents; stemming first joins a few forms that folding parts
(evidence/index.md section 3: 100 % against 76 % of the accented words, 7,258 against 6,997 stems). French is indexed both ways.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import tantivy

ANALYSIS: Final = 1
"""Version of everything in this module; part of the name of a search index."""

WORD_CHARACTERS_MAX: Final = 64
CODES_MAX: Final = 500
"""Codes of one document that are kept whole; further ones are still found as words."""

STEMS: Final = {"en": ("english",), "fr": ("french", "accented")}
"""The analyzers of each language."""

_LONG: Final = tantivy.Filter.remove_long(WORD_CHARACTERS_MAX + 1)


def _analyzer(*filters: tantivy.Filter) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for item in (_LONG, tantivy.Filter.lowercase(), *filters):
        builder = builder.filter(item)
    return builder.build()


ANALYZERS: Final = {
    "exact": _analyzer(tantivy.Filter.ascii_fold()),
    "english": _analyzer(tantivy.Filter.ascii_fold(), tantivy.Filter.stemmer("english")),
    "french": _analyzer(tantivy.Filter.ascii_fold(), tantivy.Filter.stemmer("french")),
    "accented": _analyzer(tantivy.Filter.stemmer("french"), tantivy.Filter.ascii_fold()),
}

_ELISION: Final = re.compile(r"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|presqu)['’ʼ](?=\w)", re.IGNORECASE)
_CODE: Final = re.compile(r"[^\W_]+(?:[-./‐‑–][^\W_]+)*")
_CODE_JOINTS: Final = re.compile(r"[-./‐‑–]")
_CODE_CHARACTERS_MAX: Final = 32
_TRIMMED: Final = re.compile(r"\d")


def prepared(text: str) -> str:
    """A text as the analyzers expect it: composed characters, elided articles (l', d', qu') split off and dropped."""
    return _ELISION.sub(" ", unicodedata.normalize("NFC", text.replace("\0", " ")))


def words(text: str, analyzer: str = "exact") -> list[str]:
    """The terms of a text, in order."""
    return list(ANALYZERS[analyzer].analyze(prepared(text)))


@lru_cache(maxsize=50_000)
def forms(word: str) -> dict[str, tuple[str, ...]]:
    """Every form of one word of a text, by analyzer. Remembered: most words of most texts are the same ones."""
    composed = unicodedata.normalize("NFC", word)
    return {name: tuple(analyzer.analyze(composed)) for name, analyzer in ANALYZERS.items()}


@lru_cache(maxsize=4_000)
def initial(letter: str) -> str:
    """The first letter of every form of words that begin with `letter`: stemming only changes ends."""
    return "".join(ANALYZERS["exact"].analyze(letter))[:1]


def codes(text: str) -> Iterator[str]:
    """The codes of a text, each in one form: `covid19` of COVID-19. A code has letters and digits and no space."""
    for match in _CODE.finditer(text):
        whole = match[0]
        if _TRIMMED.search(whole) and any(char.isalpha() for char in whole):
            compact = _CODE_JOINTS.sub("", whole)
            if len(compact) <= _CODE_CHARACTERS_MAX:
                yield from ANALYZERS["exact"].analyze(compact)


def distinct_codes(texts: Iterable[str]) -> list[str]:
    """The codes of some texts, each once, at most CODES_MAX of them."""
    found: dict[str, None] = {}
    for text in texts:
        for code in codes(text):
            found[code] = None
            if len(found) >= CODES_MAX:
                return list(found)
    return list(found)
