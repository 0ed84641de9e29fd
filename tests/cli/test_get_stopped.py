"""`shoal get`, stopped at any moment: it says so, forgets nothing, and the same command goes on."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from shoal.errors import ExitCode
from shoal.formats import bencode
from shoal.testing.build import make_payload
from shoal.testing.scripted_peer import Script
from shoal.units import GIB, KIB

from ..conftest import Shoal
from .machines import LOGGED, logged, wait_until
from .running import HOST, LOCAL, Offer, peer, start
from .web import web

STOPS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    return Offer(tmp_path, make_payload(2048 * KIB))


def events(targets: list[str]) -> list[str]:
    """What these announces were for."""
    return [parse_qs(urlsplit(target).query).get("event", [""])[0] for target in targets]


def pieces_of(log: Path) -> int:
    """How many came, by the log of who gets them."""
    return sum(one["event"] == "piece" for one in logged(log))


@pytest.mark.parametrize("number", STOPS)
def test_a_stopped_get_says_so_and_the_same_command_finishes(tmp_path: Path, number: signal.Signals) -> None:
    announces: dict[str, tuple[int, bytes]] = {
        "/announce": (200, bencode.encode({b"interval": 1800, b"peers": b""}))
    }
    with web(announces) as (base, asked):
        offer = Offer(tmp_path, make_payload(2048 * KIB), trackers=(base,))
        with offer.scripted(Script(stall_after_blocks=70)) as source:
            command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())]
            with start(tmp_path, *command, *LOGGED) as get:
                wait_until(lambda: asked and pieces_of(tmp_path / LOGGED[1]) >= 2, "announce, and pieces")
                assert get.stop(number) == ExitCode.UNFINISHED
                kept = pieces_of(tmp_path / LOGGED[1])
            assert "the same command goes on from here" in get.err[-1]
            assert "Traceback" not in "\n".join(get.err)
        wait_until(lambda: len(asked) >= 2, "goodbye")
        assert events(asked) == ["started", "stopped"]
        with offer.scripted(Script(seed=1)) as source:
            command[-1] = peer(source.listen())[1]
            with start(tmp_path, *command, "--json") as get:
                assert get.wait() == 0
        wait_until(lambda: len(asked) >= 5, "goodbye")
        assert events(asked[2:]) == ["started", "completed", "stopped"]
    assert offer.got() == offer.data
    fetched_again = sum(given["bytes"] for given in get.json()[-1]["sources"])
    assert fetched_again <= 2048 * KIB - kept * 64 * KIB


def test_a_stop_while_existing_data_is_checked_forgets_and_touches_nothing(
    tmp_path: Path, shoal: Shoal
) -> None:
    size = 48 * GIB  # to hash it takes half a minute
    torrent = bencode.encode(
        {
            b"info": {
                b"name": b"payload",
                b"piece length": 2**24,
                b"length": size,
                b"pieces": bytes(20 * (size >> 24)),
            }
        }
    )
    (tmp_path / "t.torrent").write_bytes(torrent)
    (tmp_path / "get").mkdir()
    payload = tmp_path / "get/payload"
    with payload.open("wb") as file:
        for offset in range(0, size, 2**24):  # data in each piece, so that each must be read
            os.pwrite(file.fileno(), b"x", offset)
        file.truncate(size)
    before = payload.stat()
    with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL) as get:
        get.wait_line("checking payload", on_stderr=True)
        assert get.stop() == ExitCode.UNFINISHED
    assert "stopped while checking" in get.err[-1]
    assert (payload.stat().st_size, payload.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_while_the_torrent_is_fetched_is_heard_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with socket.create_server((HOST, 0)) as silent:
        url = f"http://{HOST}:{silent.getsockname()[1]}/x.torrent"
        with start(tmp_path, "get", url, "--json") as get, closing(silent.accept()[0]):
            assert get.stop(number) == ExitCode.UNFINISHED
    assert get.json()[-1]["status"] == "unfinished"


def test_two_at_once_in_one_folder_do_not_mix(tmp_path: Path, offer: Offer, shoal: Shoal) -> None:
    with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL) as first:
        first.address()
        pid = first.process.pid
        second = shoal("get", "t.torrent", "--dir", "get", *LOCAL)
        assert second.returncode == ExitCode.EXISTS
        assert f"another shoal process (pid {pid}) is at work" in second.stderr
        assert first.stop() == ExitCode.UNFINISHED
