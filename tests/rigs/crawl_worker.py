"""A worker process for drills that crawls for real: `python crawl_worker.py INSTANCE`. Its profile: INSTANCE/profile.json."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from healtharchive.crawl.engine import CrawlProfile
from healtharchive.instance import open_instance
from healtharchive.jobs.worker import Worker

PROFILE_FILE = "profile.json"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    root = Path(sys.argv[1])
    profile = CrawlProfile.from_json(json.loads((root / PROFILE_FILE).read_text()))
    Worker(open_instance(root), profiles=lambda conn, job: profile).run()


if __name__ == "__main__":
    main()
