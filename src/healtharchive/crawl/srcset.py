"""The candidates of a `srcset`: URLs may hold commas, data URLs always do, and descriptors may hold parentheses.

Grammar: HTML standard, "parse a srcset attribute"; lenient where a browser would drop one bad candidate, because a crawler that
takes it costs one request and one that drops it may lose an image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_URL: Final = re.compile(r"[\s,]*([^\s,]\S*)")
# To the comma that ends the candidate; commas in parentheses belong to a descriptor.
_DESCRIPTORS: Final = re.compile(r"(?:[^,(]|\([^)]*\)?)*,?")

CANDIDATES_MAX: Final = 10_000


def candidates(srcset: str) -> Iterator[str]:
    """The URLs of a `srcset` or `imagesrcset` value, as written. At most CANDIDATES_MAX."""
    position = 0
    for _ in range(CANDIDATES_MAX):
        found = _URL.match(srcset, position)
        if found is None:
            return
        position = found.end()
        url = found.group(1)
        if url.endswith(","):
            # A comma that touches the URL ends the candidate.
            yield url.rstrip(",")
            continue
        yield url
        descriptors = _DESCRIPTORS.match(srcset, position)
        position = descriptors.end() if descriptors else position
