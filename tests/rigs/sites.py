"""Real websites from Debian's documentation packages, to be served by `tests.rigs.nginx`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.rigs.nginx import Site
from tests.rigs.require import require


@dataclass(frozen=True)
class RealSite:
    """Where a documentation package keeps its HTML, and its front page."""

    name: str
    package: str
    directory: str
    front: str = "index.html"

    def serve(self, *, gzip: bool = True, address: str = "127.0.0.1", extra: str = "") -> Site:
        """The server for `nginx()`. Skips the test, or fails in CI, if the package is not installed."""
        front = require(Path(self.directory) / self.front, self.package)
        return Site(self.name, front.parent.resolve(), gzip=gzip, index=self.front, address=address, extra=extra)


DEBIAN_REFERENCE_EN = RealSite("debian-reference-en", "debian-reference-en", "/usr/share/debian-reference", "index.en.html")
# The same directory as the English one; its pages link to French pages only.
DEBIAN_REFERENCE_FR = RealSite("debian-reference-fr", "debian-reference-fr", "/usr/share/debian-reference", "index.fr.html")
PYTHON_DOC = RealSite("python3-doc", "python3-doc", "/usr/share/doc/python3-doc/html")
POSTGRESQL_DOC = RealSite("postgresql-doc-15", "postgresql-doc-15", "/usr/share/doc/postgresql-doc-15/html")

REAL_SITES = (DEBIAN_REFERENCE_EN, DEBIAN_REFERENCE_FR, PYTHON_DOC, POSTGRESQL_DOC)


def html_files(site: Site) -> Iterator[str]:
    """Paths of the HTML files of a site, as they appear in its URLs, sorted."""
    for path in sorted(site.root.rglob("*.html")):
        yield "/" + path.relative_to(site.root).as_posix()
