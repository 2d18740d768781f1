"""A reader's query as one of the engine: each word in every form it may be written in, filters that do not touch the score."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import tantivy

from healtharchive.access import analysis
from healtharchive.access.analysis import STEMS
from healtharchive.access.query import Clause, Filter, Query, Term
from healtharchive.access.schema import PARTS, SCHEMA, bare, microseconds, stem_field, total_of
from healtharchive.access.snippets import Matcher
from healtharchive.warc import urls

_STEM_WEIGHT: Final = 0.8  # of a word that only shares its stem, against the word itself
_ADDRESS_WEIGHT: Final = 0.4
_CODE_WEIGHT: Final = 2.0
_FUZZY_WEIGHT: Final = 0.3
_PREFIX_LETTERS_MIN: Final = 2
_TIE_BREAKER: Final = 0.1

# Words of a term, such as a pasted paragraph: what a phrase costs grows with them.
_TERM_WORDS_MAX: Final = 24

_MUST: Final = tantivy.Occur.Must
_MUST_NOT: Final = tantivy.Occur.MustNot
_SHOULD: Final = tantivy.Occur.Should
_REGEX_SPECIAL: Final = re.compile(r"([.+*?()|\[\]{}\\^$#&~\-])")

_Clauses = list[tuple[tantivy.Occur, tantivy.Query]]


@dataclass(frozen=True)
class Plan:
    """The engine's query: what is asked of texts, and the filters by the name of what they look at."""

    wanted: tantivy.Query
    filters: tuple[tuple[str, tantivy.Occur, tantivy.Query], ...]

    @property
    def query(self) -> tantivy.Query:
        return self.without("")

    def without(self, name: str) -> tantivy.Query:
        """The query with the filters of one field left out."""
        clauses: _Clauses = [(_MUST, self.wanted)]
        clauses.extend((occur, query) for field, occur, query in self.filters if field != name)
        return tantivy.Query.boolean_query(clauses)

    def with_filter(self, query: tantivy.Query) -> tantivy.Query:
        return tantivy.Query.boolean_query([(_MUST, self.query), (_MUST, _silent(query))])

    def filters_by(self, name: str) -> bool:
        return any(field == name for field, _, _ in self.filters)


class Compiler:
    """Of one query."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def plan(self) -> Plan:
        everything = _silent(tantivy.Query.term_query(SCHEMA, "kind", "capture"))
        clauses: _Clauses = [(_MUST, everything)]
        for clause in self._query.clauses:
            compiled = self._clause(clause)
            if compiled is not None:
                clauses.append((_MUST_NOT if clause.excluded else _MUST, compiled))
        return Plan(tantivy.Query.boolean_query(clauses), tuple(self._filters()))

    def rare_words(self, searcher: tantivy.Searcher, below: int) -> frozenset[Term]:
        """Plain words in fewer documents than `below`, long enough to be mistyped."""
        rare = set()
        for term in _wanted_terms(self._query):
            words = analysis.words(term.text)
            if term.kind == "word" and len(words) == 1 and len(words[0]) >= 4 and words[0].isalpha():
                found = tantivy.Query.disjunction_max_query(
                    [_term(stem_field(part, name), word) for part, name, word in _forms(term.text)]
                )
                if total_of(searcher.search(found, limit=1)) < below:
                    rare.add(term)
        return frozenset(rare)

    def matcher(self) -> Matcher:
        """Which words of a text answer the query; each distinct word is looked at once."""
        looks = [_Look(term) for term in _wanted_terms(self._query)]
        # Nine words in ten begin unlike every term and need no further look.
        initials = None if any(look.is_fuzzy for look in looks) else frozenset("".join(look.initials for look in looks))

        @lru_cache(maxsize=20_000)
        def match(word: str) -> int | None:
            if initials is not None and analysis.initial(word[0]) not in initials:
                return None
            forms = analysis.forms(word)
            return next((number for number, look in enumerate(looks) if look.at(forms)), None)

        return match

    # -- what texts must say -----------------------------------------------------------------------------------------------

    def _clause(self, clause: Clause) -> tantivy.Query | None:
        compiled = [query for term in clause.alternatives if (query := self._term(term)) is not None]
        if len(compiled) < 2:
            return compiled[0] if compiled else None
        return tantivy.Query.boolean_query([(_SHOULD, query) for query in compiled])

    def _term(self, term: Term) -> tantivy.Query | None:
        words = analysis.words(term.text)[:_TERM_WORDS_MAX]
        if not words:
            return None
        if term.kind == "prefix":
            return self._prefix(words)
        if term.kind == "fuzzy":
            return self._all([self._fuzzy(word) for word in words])
        if len(words) > 1:
            return self._best([*self._phrase(words), *self._codes(term)])
        if term.kind == "phrase":
            return self._best([*_weighted("exact", words[0]), *self._codes(term)])
        return self._best([*self._word(term.text), *self._codes(term)])

    def _word(self, text: str) -> Iterator[tantivy.Query]:
        for part, analyzer, word in _forms(text):
            weight = PARTS[part] * (1.0 if analyzer == "exact" else _STEM_WEIGHT)
            yield tantivy.Query.boost_query(_term(stem_field(part, analyzer), word), weight)
        for word in analysis.words(text):
            yield tantivy.Query.boost_query(_term("address", word), _ADDRESS_WEIGHT)

    def _phrase(self, words: Sequence[str]) -> Iterator[tantivy.Query]:
        for part, weight in PARTS.items():
            yield tantivy.Query.boost_query(tantivy.Query.phrase_query(SCHEMA, stem_field(part, "exact"), list(words)), weight)
        yield tantivy.Query.boost_query(tantivy.Query.phrase_query(SCHEMA, "address", list(words)), _ADDRESS_WEIGHT)

    def _codes(self, term: Term) -> Iterator[tantivy.Query]:
        for code in analysis.codes(term.text):
            yield tantivy.Query.boost_query(_term("code", code), _CODE_WEIGHT)

    def _prefix(self, words: Sequence[str]) -> tantivy.Query:
        if len(words[-1]) < _PREFIX_LETTERS_MIN:
            # One letter begins too much of the dictionary to be worth its cost.
            return self._best([*self._phrase(words)] if len(words) > 1 else [*self._word(words[0])])
        queries = []
        for field, weight in [
            *((stem_field(part, "exact"), weight) for part, weight in PARTS.items()),
            ("address", _ADDRESS_WEIGHT),
        ]:
            if len(words) > 1:
                query = tantivy.Query.phrase_prefix_query(SCHEMA, field, list(words))
            else:
                query = tantivy.Query.fuzzy_term_query(SCHEMA, field, words[0], 0, True, prefix=True)
            queries.append(tantivy.Query.boost_query(query, weight))
        return self._best(queries)

    def _fuzzy(self, word: str) -> tantivy.Query:
        near = []
        for part, weight in PARTS.items():
            query = tantivy.Query.fuzzy_term_query(SCHEMA, stem_field(part, "exact"), word, distance_of(word), True)
            near.append(tantivy.Query.boost_query(query, weight * _FUZZY_WEIGHT))
        return self._best([*self._word(word), *near])

    @staticmethod
    def _best(queries: Sequence[tantivy.Query]) -> tantivy.Query:
        return queries[0] if len(queries) == 1 else tantivy.Query.disjunction_max_query(list(queries), _TIE_BREAKER)

    @staticmethod
    def _all(queries: Sequence[tantivy.Query]) -> tantivy.Query:
        return queries[0] if len(queries) == 1 else tantivy.Query.boolean_query([(_MUST, query) for query in queries])

    # -- what captures must be -----------------------------------------------------------------------------------------------

    def _filters(self) -> Iterator[tuple[str, tantivy.Occur, tantivy.Query]]:
        query = self._query
        for name, values in (("source", query.sources), ("language", query.languages), ("type", query.mimes)):
            if values:
                yield name, _MUST, _any([_by_field(name, value) for value in values])
        if query.statuses:
            yield "status", _MUST, _silent(tantivy.Query.term_set_query(SCHEMA, "status", list(query.statuses)))
        else:
            yield "status", _MUST, _range("status", 200, 299)
        if query.urls:
            yield "url", _MUST, _any([_by_field("url", value) for value in query.urls])
        if query.sites:
            yield "site", _MUST, _any([_by_field("site", value) for value in query.sites])
        if query.date_from is not None or query.date_to is not None:
            first = microseconds(query.date_from) if query.date_from is not None else None
            last = microseconds(query.date_to) - 1 if query.date_to is not None else None
            yield "year", _MUST, _range("at", first, last)
        for item in query.excluded:
            yield item.field, _MUST_NOT, self._excluded(item)

    @staticmethod
    def _excluded(item: Filter) -> tantivy.Query:
        if item.field == "status":
            return _silent(tantivy.Query.term_query(SCHEMA, "status", int(item.value)))
        return _by_field(item.field, item.value)


class _Look:
    """Whether a word of a text answers one term."""

    def __init__(self, term: Term) -> None:
        words = analysis.words(term.text)[:_TERM_WORDS_MAX]
        self.is_fuzzy = term.kind == "fuzzy"
        self._kind = term.kind
        self._words = frozenset(words)
        self._last = words[-1] if words else ""
        self._codes = frozenset(analysis.codes(term.text))
        self._is_word = term.kind in ("word", "fuzzy") and len(words) == 1
        self._stems = {(analyzer, word) for _, analyzer, word in _forms(term.text)} if self._is_word else set()
        self.initials = "".join({word[:1] for word in (*self._words, *self._codes)})

    def at(self, forms: Mapping[str, Sequence[str]]) -> bool:
        exact = forms["exact"]
        if any(form in self._words or form in self._codes for form in exact):
            return True
        if self._kind == "prefix" and len(self._last) >= _PREFIX_LETTERS_MIN:
            return any(form.startswith(self._last) for form in exact)
        if self._is_word and any((name, form) in self._stems for name in _ANALYZER_NAMES for form in forms[name]):
            return True
        return self._kind == "fuzzy" and any(
            is_near(form, typed, distance_of(typed))
            for form in exact
            for typed in self._words
            if abs(len(form) - len(typed)) <= 2
        )


_ANALYZER_NAMES: Final = tuple(name for names in STEMS.values() for name in names)


def distance_of(word: str) -> int:
    """Typing errors that a word of this length may hold."""
    return 0 if len(word) < 3 else 1 if len(word) < 8 else 2


def is_near(first: str, second: str, distance: int) -> bool:
    """Whether at most `distance` insertions, deletions, changes or swaps lead from one word to the other."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        following = [i]
        for j, b in enumerate(second, start=1):
            cost = min(row[j] + 1, following[j - 1] + 1, row[j - 1] + (a != b))
            if before and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            following.append(cost)
        if min(following) > distance:
            return False
        before, row = row, following
    return row[-1] <= distance


def _wanted_terms(query: Query) -> list[Term]:
    return [term for clause in query.clauses if not clause.excluded for term in clause.alternatives]


def _forms(text: str) -> Iterator[tuple[str, str, str]]:
    """Part of the page, analyzer and form: every way in which a word may be in the index."""
    for analyzer in ("exact", *_ANALYZER_NAMES):
        for word in analysis.words(text, analyzer)[:1]:
            for part in PARTS:
                yield part, analyzer, word


def _weighted(analyzer: str, word: str) -> Iterator[tantivy.Query]:
    for part, weight in PARTS.items():
        yield tantivy.Query.boost_query(_term(stem_field(part, analyzer), word), weight)


def _term(field: str, value: str) -> tantivy.Query:
    return tantivy.Query.term_query(SCHEMA, field, value, "freq")


def _silent(query: tantivy.Query) -> tantivy.Query:
    """A condition that does not change the order of hits."""
    return tantivy.Query.const_score_query(query, 0.0)


def _any(queries: Sequence[tantivy.Query]) -> tantivy.Query:
    return queries[0] if len(queries) == 1 else _silent(tantivy.Query.boolean_query([(_SHOULD, query) for query in queries]))


def _range(field: str, first: int | None, last: int | None) -> tantivy.Query:
    return _silent(tantivy.Query.range_query(SCHEMA, field, tantivy.FieldType.Integer, first, last))


def _raw(field: str, value: str) -> tantivy.Query:
    return _silent(tantivy.Query.term_query(SCHEMA, field, value, "basic"))


def _by_field(name: str, value: str) -> tantivy.Query:
    if name == "type" and "/" in value:
        return _raw("mime", value)
    if name == "site":
        return _by_site(value)
    if name == "url":
        return _by_url(value)
    return _raw(name, value)


def _by_site(value: str) -> tantivy.Query:
    """`canada.ca` and everything below it; with a path, what lies below that."""
    href = urls.normalize(value if value.startswith(("http://", "https://")) else f"http://{value.strip('/')}")
    if href is None:
        return tantivy.Query.empty_query()
    parts = urls.split(href)
    site = _raw("site", parts.host)
    path = parts.path.rstrip("/*")
    if not path:
        return site
    below = _matching("url", f"([^/]*[.])?{_literal(parts.host)}{_literal(path)}([/?].*)?")
    return _silent(tantivy.Query.boolean_query([(_MUST, site), (_MUST, below)]))


def _by_url(value: str) -> tantivy.Query:
    """A whole URL, everything that begins with one (`*` at its end), or words of one."""
    begins = value.endswith("*")
    plain = value.rstrip("*")
    if plain.startswith(("http://", "https://")):
        href = urls.normalize(plain)
        if href is None:
            return tantivy.Query.empty_query()
        # The root's slash is ours: `https://example.org*` has none.
        known = bare(href if plain.endswith("/") or not href.endswith("/") else href[:-1]) if begins else bare(href)
        return _matching("url", f"{_literal(known)}.*") if begins else _raw("url", known)
    words = analysis.words(plain)[:_TERM_WORDS_MAX]
    if not words:
        return tantivy.Query.empty_query()
    if begins and len(words) == 1:
        return _silent(tantivy.Query.fuzzy_term_query(SCHEMA, "address", words[0], 0, True, prefix=True))
    if begins:
        return _silent(tantivy.Query.phrase_prefix_query(SCHEMA, "address", list(words)))
    return _silent(tantivy.Query.phrase_query(SCHEMA, "address", list(words)) if len(words) > 1 else _term("address", words[0]))


def _literal(text: str) -> str:
    """A text as a regular expression of the engine that matches just it."""
    return _REGEX_SPECIAL.sub(r"\\\1", text)


def _matching(field: str, pattern: str) -> tantivy.Query:
    """Terms of a field by a pattern. Compiled to an automaton: linear in the dictionary, whatever the pattern."""
    try:
        return _silent(tantivy.Query.regex_query(SCHEMA, field, pattern))
    except ValueError:  # longer than the engine's automata may be
        return tantivy.Query.empty_query()
