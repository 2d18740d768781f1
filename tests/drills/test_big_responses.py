"""Responses that want more memory, disk or time than they are given, each in a process of its own whose memory is measured."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.rigs.fetching import prove, records_of
from tests.rigs.rawserver import RawServer, Repeat, Script, raw_server

pytestmark = pytest.mark.drill

MIB = 1 << 20
GROWTH_BYTES_MAX = 64 * MIB

# Fetches, decodes and records one URL; prints what came and by how much the process grew at its largest.
CHILD = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
from healtharchive.crawl.exchange import Exchange
from healtharchive.crawl.recorder import Recorder
from tests.rigs.fetching import PROFILE, fetch_all

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

url, directory, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
before = peak()
outcome = fetch_all([url], directory, PROFILE, body_bytes_max=limit)[0]
if not isinstance(outcome, Exchange):
    print(json.dumps({"kind": outcome.kind, "grown": peak() - before}))
    sys.exit()
text = outcome.text_payload(4 << 20)
recorder = Recorder(directory, prefix="big", fence=1, serial=1, warcinfo={})
stored = recorder.add(outcome)
sealed = recorder.seal(directory / "warcs")
print(json.dumps({"size": outcome.body.size, "truncated": outcome.truncated, "text": len(text), "digest": stored.payload_digest,
                  "warc": sealed.name, "warc_bytes": sealed.size_bytes, "grown": peak() - before}))
"""


def run(server: RawServer, directory: Path, *, limit: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, server.url("/"), str(directory), str(limit)],
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.returncode == 0, done.stderr.decode()
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert outcome["grown"] < GROWTH_BYTES_MAX, f"{outcome['grown'] / MIB:.0f} MiB"
    return outcome


def test_body_of_ten_gigabytes_is_cut_at_the_limit_and_recorded_in_bounded_memory(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n"
    piece = os.urandom(4096) * 256
    with raw_server({"/": Script(head, Repeat(piece, 10_240))}) as server:
        outcome = run(server, tmp_path, limit=300 * MIB)
    assert (outcome["size"], outcome["truncated"]) == (300 * MIB, "length")
    path = tmp_path / "warcs" / outcome["warc"]
    prove(path)
    assert len(records_of(path)[-1].block) == len(head) + 300 * MIB


def test_endless_chunks_are_cut_at_the_limit(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server({"/": Script(head, Repeat(b"1\r\nx\r\n" * 10_000, 100_000))}) as server:
        outcome = run(server, tmp_path, limit=10 * MIB)
    assert (outcome["size"], outcome["truncated"]) == (10 * MIB, "length")


def test_gzip_bomb_is_stored_as_it_came_and_unpacked_only_as_far_as_asked(tmp_path: Path) -> None:
    inner = gzip.compress(bytes(200 * MIB), 9)
    bomb = gzip.compress(inner, 9)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with raw_server({"/": Script(head, bomb)}) as server:
        outcome = run(server, tmp_path, limit=300 * MIB)
    assert (outcome["size"], outcome["text"], outcome["truncated"]) == (len(bomb), 4 * MIB, None)
    assert records_of(tmp_path / "warcs" / outcome["warc"])[-1].block == head + bomb


def test_flood_of_headers_costs_no_memory(tmp_path: Path) -> None:
    with raw_server({"/": Script(b"HTTP/1.1 200 OK\r\n", Repeat(b"X: " + b"a" * 65_000 + b"\r\n", 5_000))}) as server:
        assert run(server, tmp_path, limit=MIB)["kind"] == "toobig"
