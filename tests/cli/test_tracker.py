"""`shoal tracker` as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal.cli.tracker import served_hashes
from shoal.formats.metainfo import parse_metainfo
from shoal.net.http import get
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.query import encode_announce_query

SOURCE = Path(__file__).resolve().parents[2] / "src"
Shoal = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def running(*arguments: str, end_with: int = signal.SIGTERM) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A tracker process and the URL it printed; it must end cleanly."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "shoal", "tracker", "--bind", "127.0.0.1", "--port", "0", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        word, url = process.stdout.readline().split()
        assert word == "tracker"
        yield url, process
    finally:
        process.send_signal(end_with)
        process.wait(20)
        if sys.exc_info()[0] is not None:  # or else the test reads the rest
            process.communicate()


def announce(url: str, info_hash: bytes = bytes(20), port: int = 1001) -> bytes:
    query = encode_announce_query(AnnounceRequest(info_hash, b"p" * 20, port, left=7))
    return asyncio.run(get(f"{url}?{query}")).body


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_cleanly(number: int) -> None:
    with running(end_with=number) as (url, process):
        assert url.startswith("http://127.0.0.1:") and url.endswith("/announce")
        assert b"8:intervali" in announce(url)
    output, errors = process.communicate()
    assert (process.returncode, output, errors) == (0, "", "")


def test_the_status_counts_and_lists() -> None:
    with running("--status-every", "0.1", "-v") as (url, process):
        announce(url)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(line == "1 swarm, 0 seeders, 1 leecher, 1 announce\n" for line in lines)
        assert next(lines) == f"  {bytes(20).hex()} leecher 127.0.0.1:1001\n"
    process.communicate()


def test_each_announce_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with running("--log", str(path), "--name", "here") as (url, process):
        announce(url)
    process.communicate()
    listening, announced = map(json.loads, path.read_text().splitlines())
    assert (listening["event"], listening["address"] + "/announce") == ("listening", url)
    del announced["time"]
    assert announced == {
        "name": "here",
        "event": "announce",
        "info_hash": bytes(20).hex(),
        "peer": "127.0.0.1:1001",
        "reason": "",
        "left": 7,
    }


def test_a_busy_port_is_one_line_and_a_hint(shoal: Shoal) -> None:
    with running() as (url, process):
        port = url.removesuffix("/announce").rpartition(":")[2]
        refused = shoal("tracker", "--bind", "127.0.0.1", "--port", port)
        assert refused.returncode == 6
        assert refused.stdout == ""
        assert f"port {port} is in use" in refused.stderr
        assert "\nhint: choose another with --port" in refused.stderr
    process.communicate()


def test_only_the_named_torrents_are_served_under_both_hashes(shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(b"abc")
    assert shoal("create", "payload", "--format", "hybrid").returncode == 0
    path = tmp_path / "payload.torrent"
    metainfo = parse_metainfo(path.read_bytes())
    assert metainfo.info_hash_v1 is not None and metainfo.info_hash_v2 is not None
    hashes = {metainfo.info_hash_v1, metainfo.info_hash_v2[:20]}
    assert served_hashes([path]) == hashes
    with running("--only", str(path)) as (url, process):
        for info_hash in hashes:
            assert b"8:intervali" in announce(url, info_hash)
        assert b"this tracker does not serve that torrent" in announce(url)
    process.communicate()


def test_a_torrent_that_does_not_parse_is_named(shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "bad.torrent").write_bytes(b"what")
    refused = shoal("tracker", "--port", "0", "--only", "bad.torrent")
    assert refused.returncode == 26
    assert refused.stderr.startswith("shoal: bad.torrent: ")
