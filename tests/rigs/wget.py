"""`wget --mirror` as the judge of what a site consists of: an old, independent crawler with a WARC of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.rigs.require import require

# Some link of the site was broken. wget has followed all others.
_SERVER_ERROR = 8


def mirror(url: str, directory: Path) -> Path:
    """Mirror a site with its page requisites, robots.txt ignored, on one host; returns the WARC of everything wget fetched."""
    wget = require("wget", "wget")
    directory.mkdir(parents=True)
    done = subprocess.run(
        [
            wget, "--no-config", "--mirror", "--page-requisites", "--execute", "robots=off", "--no-verbose", "--no-proxy",
            "--tries=3", "--waitretry=0", "--directory-prefix", str(directory / "files"), "--warc-file", str(directory / "wget"),
            "--warc-tempdir", str(directory), "--output-file", str(directory / "wget.log"), url,
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # that a WARC disables timestamps, said before the log is open
        timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, _SERVER_ERROR), (directory / "wget.log").read_text(errors="replace")[-3000:]
    return directory / "wget.warc.gz"
