"""`shoal tracker` as a process."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal.cli.log import EventLog
from shoal.cli.settings.tracker import served_hashes
from shoal.cli.tracker import BugReports, announce_recorder
from shoal.formats.bencode import decode
from shoal.formats.metainfo import parse_metainfo
from shoal.net.http import get
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.query import encode_announce_query

SECONDS = 60  # of patience
SOURCE = Path(__file__).resolve().parents[2] / "src"
Shoal = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def running(
    *arguments: str, end_with: int = signal.SIGTERM, **environ: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A tracker process and the HTTP URL that it printed first; it must end cleanly."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "shoal", "tracker", "--bind", "127.0.0.1", "--port", "0", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environ},
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
        process.wait(SECONDS)
        if sys.exc_info()[0] is not None:  # or else the test reads the rest
            process.communicate()


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What else it printed, on stdout and on stderr."""
    assert process.stdout is not None
    output = process.stdout.read()  # what was read ahead with the first line, too
    return output, process.communicate()[1]


def announce(url: str, info_hash: bytes = bytes(20), port: int = 1001) -> bytes:
    query = encode_announce_query(AnnounceRequest(info_hash, b"p" * 20, port, left=7))
    return asyncio.run(get(f"{url}?{query}")).body


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_cleanly(number: int) -> None:
    with running(end_with=number) as (url, process):
        assert url.startswith("http://127.0.0.1:") and url.endswith("/announce")
        assert b"8:intervali" in announce(url)
    output, errors = rest(process)
    assert (process.returncode, output, errors) == (0, f"tracker {url.replace('http', 'udp')}\n", "")


def test_without_udp_there_is_one_place() -> None:
    with running("--no-udp") as (_, process):
        pass
    assert rest(process) == ("", "")


def test_what_no_option_says_comes_from_a_variable_and_then_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[tracker]\ninterval = "10m"\nmin_interval = 77\nudp = false\nport = 1\n')
    with running(SHOAL_CONFIG=str(path), SHOAL_TRACKER_INTERVAL="200", SHOAL_TRACKER_UDP="yes") as (
        url,
        process,
    ):
        told = decode(announce(url))
        assert 180 <= told[b"interval"] <= 220
        assert told[b"min interval"] == 77
    assert rest(process)[0].startswith("tracker udp://")


def test_a_wrong_setting_is_told_where_it_stands_before_anything_is_opened(
    shoal: Shoal, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text("[tracker]\n\nport = 'x'\n")
    refused = shoal("tracker", "--config", "c.toml")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "shoal: c.toml:3: tracker.port: a string, not a whole number\n"


def test_a_secret_is_in_no_error(shoal: Shoal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_TRACKER_STORE", "redis//:hunter2@localhost")
    monkeypatch.setenv("SHOAL_DEBUG", "1")
    refused = shoal("tracker")
    assert refused.returncode == 2
    assert refused.stderr.startswith("shoal: SHOAL_TRACKER_STORE: neither 'memory' nor a URL of redis://")
    assert "hunter2" not in refused.stderr


def test_it_may_listen_on_several_addresses() -> None:
    with running("--bind", "::1") as (url, process):
        announce(url)
        announce(url.replace("127.0.0.1", "[::1]"))
    process.communicate()


def test_a_hash_may_be_served_without_its_torrent() -> None:
    with running("--only", bytes(20).hex()) as (url, process):
        assert b"8:intervali" in announce(url)
        assert b"this tracker does not serve that torrent" in announce(url, b"x" * 20)
    process.communicate()


def test_workers_are_one_tracker_to_whoever_looks_at_its_output(tmp_path: Path) -> None:
    with running("--workers", "2", "--log", str(tmp_path / "log")) as (url, process):
        for number in range(4):
            announce(url, bytes([0] * 19 + [number]))
    output, errors = rest(process)
    assert (process.returncode, output, errors) == (0, f"tracker {url.replace('http', 'udp')}\n", "")
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(events) == ["announce"] * 4 + ["listening"]


def test_the_status_counts_and_lists() -> None:
    with running("--status-every", "0.1", "-v") as (url, process):
        announce(url)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(line == "1 swarm, 0 seeders, 1 leecher, 1 announce\n" for line in lines)
        assert next(lines) == f"  {bytes(20).hex()} leecher 127.0.0.1:1001\n"
    process.communicate()


def test_the_status_of_several_workers_is_one() -> None:
    with running("--workers", "2", "--status-every", "0.1") as (url, process):
        for number in range(8):  # each over a connection of its own, which the system gives to either
            announce(url, bytes([0] * 19 + [number]))
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        assert any(line == "8 swarms, 0 seeders, 8 leechers, 8 announces\n" for line in lines)
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


def test_what_all_workers_find_wrong_is_said_once(shoal: Shoal, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    refused = shoal("tracker", "--port", "0", "--workers", "3", "--passkeys", str(absent))
    assert (refused.returncode, refused.stderr) == (3, f"shoal: {absent}: no such file\n")


def test_workers_share_their_port_with_nobody_else(shoal: Shoal) -> None:
    with running("--workers", "2") as (url, process):
        port = url.removesuffix("/announce").rpartition(":")[2]
        refused = shoal("tracker", "--bind", "127.0.0.1", "--port", port, "--workers", "2")
        assert refused.returncode == 6
        assert f"port {port} is in use" in refused.stderr
    process.communicate()


def test_workers_that_are_told_to_end_while_they_start_end() -> None:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "shoal", "tracker", "--bind", "127.0.0.1", "--port", "0", "--workers", "16",
         "-v", "--status-every", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and children.exists() and not children.read_text():
        assert time.monotonic() < deadline
    process.terminate()
    assert process.communicate(timeout=SECONDS)[1] == ""
    assert process.returncode == 0


def test_a_log_that_cannot_be_written_keeps_nobody_from_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = AnnounceRequest(bytes(20), b"p" * 20, 1, left=0)
    with EventLog(tmp_path / "log") as log:
        record = announce_recorder(log)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "write", lambda *_: fail(OSError(errno.ENOSPC, "No space left on device")))
            record(request, bytes(4), "")
            record(request, bytes(4), "")
        record(request, bytes(4), "")
    assert capsys.readouterr().err.count("announces are answered, and not recorded") == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_a_mistake_of_ours_in_a_callback_is_told_once_and_kept(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SHOAL_DEBUG", raising=False)

    async def err_twice() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(BugReports())
        for _ in range(2):
            loop.call_soon(lambda: [][0])
        await asyncio.sleep(0)

    asyncio.run(err_twice())
    assert capsys.readouterr().err.count("internal error: IndexError") == 1
    assert len(list(state_dir.glob("crashes/*.txt"))) == 1


def fail(error: Exception) -> None:
    raise error
