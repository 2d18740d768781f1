from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from healtharchive.errors import ConfigurationError
from healtharchive.instance import create_instance
from healtharchive.web.serve import serve

_PROGRAM = """
import sys
from pathlib import Path
from healtharchive.instance import open_instance
from healtharchive.web.serve import serve
serve(open_instance(Path(sys.argv[1])), port=0, replay_port=0, on_ready=lambda s: print(s.public_url, s.replay_url, flush=True))
"""


def test_both_origins_answer_and_a_signal_ends_both(tmp_path: Path) -> None:
    create_instance(tmp_path / "archive").close()
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(tmp_path / "archive")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        public, replay = process.stdout.readline().split()
        assert httpx.get(f"{public}/en/").status_code == 200
        assert "Nothing has been archived yet" in httpx.get(f"{public}/en/").text
        assert httpx.get(f"{replay}/en/all/2025/https://a.example/").status_code == 404
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert time.monotonic() - begin < 10
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken_is_one_sentence_and_nothing_is_served(tmp_path: Path) -> None:
    instance = create_instance(tmp_path / "archive")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        before = threading.active_count()
        with pytest.raises(ConfigurationError, match=r"Cannot listen on 127\.0\.0\.1 port"):
            serve(instance, port=0, replay_port=taken.getsockname()[1])
        assert threading.active_count() == before
    instance.close()
