"""One question to one commit of the index: hits in order, by capture or by URL, and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import tantivy

from healtharchive.access.compiler import Plan
from healtharchive.access.model import FacetCount, Facets
from healtharchive.access.query import Query
from healtharchive.access.schema import FACETS, SCHEMA, total_of
from healtharchive.access.search import Match, Matches

EXACT_HITS_MAX: Final = 10_000
"""Up to as many hits, pages are counted one by one; beyond, their number is an estimate (HyperLogLog; 4 % off in 100,000)."""

_READ_MAX: Final = 100_000  # best hits that are read to fill one page of URLs
_FACET_VALUES_MAX: Final = 100


class Question:
    """One question to one commit."""

    def __init__(self, searcher: tantivy.Searcher, query: Query, plan: Plan, exact_hits_max: int) -> None:
        self._exact_hits_max = exact_hits_max
        self._searcher = searcher
        self._query = query
        self._plan = plan
        self._is_ranked = query.sort == "relevance" and query.has_terms

    def page(self, limit: int, offset: int) -> Matches:
        if self._query.view == "captures":
            return self._captures(limit, offset)
        return self._pages(limit, offset)

    def _captures(self, limit: int, offset: int) -> Matches:
        if offset + limit > _READ_MAX:
            # The engine sorts everything before the asked page: what lies so deep is found by narrowing, not by paging.
            limit, offset = 0, 0
        found = self._hits(self._plan.query, max(limit, 1), offset)
        total = total_of(found)
        ids = self._searcher.fast_field_values("id", [address for _, address in found.hits])
        matches = [
            Match(int(number), self._score(score))
            for (score, _), number in zip(found.hits, ids, strict=True)
            if number is not None
        ]
        return Matches(tuple(matches[:limit]), total, True, self._facets())

    def _pages(self, limit: int, offset: int) -> Matches:
        """Hits by URL, each as the latest capture that matches (the earliest when sorting so), in the order of its best hit."""
        wanted = min(offset + limit, _READ_MAX)
        size = min(max(200, wanted * 4), _READ_MAX)
        while True:
            found = self._hits(self._plan.query, size)
            total = total_of(found)
            if total <= self._exact_hits_max and size < total:
                size = max(total, 1)
                continue
            groups = self._grouped(found.hits)
            if len(groups) >= wanted or size >= min(total, _READ_MAX):
                break
            size = min(size * 4, _READ_MAX)
        is_exact = len(found.hits) >= total
        count = len(groups) if is_exact else int(self._searcher.cardinality(self._plan.query, "page"))
        if total <= self._exact_hits_max and self._is_ranked:
            # Equal scores come in the order of segments, which is chance: newest first instead. Only where every page reads all
            # hits: the order must not depend on how many were read.
            groups.sort(key=lambda group: (-group.score, -group.at, group.capture_id))
        shown = groups[offset:wanted]
        if not is_exact:
            shown = self._represented(shown)
        return Matches(tuple(Match(group.capture_id, group.score) for group in shown), count, is_exact, self._facets())

    def _hits(self, query: tantivy.Query, limit: int, offset: int = 0) -> tantivy.SearchResult:
        if self._is_ranked:
            return self._searcher.search(query, limit=limit, offset=offset)
        order = tantivy.Order.Asc if self._query.sort == "oldest" else tantivy.Order.Desc
        return self._searcher.search(query, limit=limit, offset=offset, order_by_field="at", order=order)

    def _score(self, score: float) -> float:
        return float(score) if self._is_ranked else 0.0

    def _grouped(self, hits: list[tuple[float, tantivy.DocAddress]]) -> list[Group]:
        addresses = [address for _, address in hits]
        columns = (self._searcher.fast_field_values(name, addresses) for name in ("page", "id", "at"))
        groups: dict[int, Group] = {}
        for (score, _), page, number, at in zip(hits, *columns, strict=True):
            if page is None or number is None or at is None:
                continue
            group = groups.get(int(page))
            if group is None:
                groups[int(page)] = Group(int(page), self._score(score), int(number), int(at))
            else:
                group.offer(int(number), int(at), is_oldest=self._query.sort == "oldest")
        return list(groups.values())

    def _represented(self, groups: list[Group]) -> list[Group]:
        """With all their hits, where only the best were read."""
        if not groups:
            return groups
        pages = tantivy.Query.term_set_query(SCHEMA, "page", [group.page for group in groups])
        found = self._searcher.search(self._plan.with_filter(pages), limit=_READ_MAX, order_by_field="at")
        by_page = {group.page: group for group in self._grouped(found.hits)}
        for group in groups:
            newest = by_page.get(group.page)
            if newest is not None:
                group.offer(newest.capture_id, newest.at, is_oldest=self._query.sort == "oldest")
        return groups

    def _facets(self) -> Facets:
        """Counts of the hits; a facet that is filtered by counts as if it were not, so that it can be widened."""
        shared: dict[str, tuple[FacetCount, ...]] = {}
        open_names = [name for name in FACETS if not self._plan.filters_by(name)]
        if open_names:
            shared = self._counted(self._plan.query, open_names)
        for name in FACETS:
            if name not in shared:
                shared |= self._counted(self._plan.without(name), [name])
        return Facets(**shared)

    def _counted(self, query: tantivy.Query, names: Sequence[str]) -> dict[str, tuple[FacetCount, ...]]:
        by_page = {"aggs": {"pages": {"cardinality": {"field": "page"}}}} if self._query.view == "pages" else {}
        asked = {name: {"terms": {"field": name, "size": _FACET_VALUES_MAX}, **by_page} for name in names}
        answer = self._searcher.aggregate(query, asked)
        counted = {}
        for name in names:
            counts = [
                FacetCount(str(bucket["key"]), int(bucket["pages"]["value"] if by_page else bucket["doc_count"]))
                for bucket in answer[name]["buckets"]
            ]
            counted[name] = tuple(sorted(counts, key=lambda count: (-count.count, count.value)))
        return counted


class Group:
    """The hits of one URL."""

    __slots__ = ("at", "capture_id", "page", "score")

    def __init__(self, page: int, score: float, capture_id: int, at: int) -> None:
        self.page = page
        self.score = score
        self.capture_id = capture_id
        self.at = at

    def offer(self, capture_id: int, at: int, *, is_oldest: bool) -> None:
        """Let a capture represent the URL if it is later (earlier, when sorting so)."""
        here, there = (self.at, self.capture_id), (at, capture_id)
        if (there < here) if is_oldest else (there > here):
            self.at, self.capture_id = at, capture_id
