"""`shoal seed` from outside."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.testing.build import make_payload
from shoal.testing.scripted_peer import Script
from shoal.units import KIB

from ..conftest import Shoal
from .machines import logged, wait_until
from .running import HOST, LOCAL, Offer, peer, start


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    return Offer(tmp_path, make_payload(1024 * KIB))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped_and_then_all_is_well(
    tmp_path: Path, offer: Offer, number: signal.Signals
) -> None:
    with start(tmp_path, "seed", "t.torrent", "--dir", "seed", *LOCAL) as seed:
        address = seed.address()
        with offer.scripted(Script(downloads=True), pieces=set()) as leecher:
            leecher.connect(address)
            leecher.wait_until(lambda: len(leecher.downloaded) == 64)
            assert leecher.downloaded_payload() == offer.data
        assert seed.stop(number) == 0
    assert seed.out == [f"listening on {HOST}:{address[1]}"]
    assert "Traceback" not in "\n".join(seed.err)


def test_what_is_there_is_served_also_when_parts_are_missing(tmp_path: Path, offer: Offer) -> None:
    with (tmp_path / "seed/payload").open("r+b") as file:
        file.seek(256 * KIB)
        file.write(bytes(256 * KIB))
    with start(tmp_path, "seed", "t.torrent", "--dir", "seed", *LOCAL) as seed:
        address = seed.address()
        seed.wait_line("12 of 16 pieces are there", on_stderr=True)
        with offer.scripted(Script(downloads=True), pieces={4, 5, 6, 7}) as leecher:
            leecher.connect(address)
            leecher.wait_until(lambda: len(leecher.downloaded) == 48)
            assert leecher.downloaded_payload() == offer.data
        assert seed.stop() == 0


def test_a_seed_fetches_and_writes_nothing(tmp_path: Path, offer: Offer) -> None:
    before = bytes(512 * KIB) + offer.data[512 * KIB :]
    (tmp_path / "seed/payload").write_bytes(before)
    with offer.scripted() as source:
        address = source.listen()
        with start(tmp_path, "seed", "t.torrent", "--dir", "seed", *LOCAL, *peer(address)) as seed:
            seed.address()
            source.wait_until(lambda: bool(source.conversations) and bool(source.conversations[0].handshake))
            assert seed.stop() == 0
        assert source.blocks_sent == 0
    assert offer.got("seed") == before


def test_a_folder_that_is_not_there_is_an_error(offer: Offer, shoal: Shoal) -> None:
    result = shoal("seed", "t.torrent", "--dir", "absent", *LOCAL)
    assert result.returncode == ExitCode.NOT_FOUND
    assert "absent: no such folder" in result.stderr


def test_a_folder_without_the_payload_is_served_as_empty_and_said(tmp_path: Path, offer: Offer) -> None:
    (tmp_path / "elsewhere").mkdir()
    with start(tmp_path, "seed", "t.torrent", "--dir", "elsewhere", *LOCAL) as seed:
        seed.wait_line(
            "nothing of it is there; elsewhere should be the folder that holds 'payload'", on_stderr=True
        )
        assert seed.stop() == 0
    assert list((tmp_path / "elsewhere").iterdir()) == []


def sent_by(log: Path) -> dict[int, int]:
    """Bytes of each piece."""
    sent: dict[int, int] = {}
    for line in logged(log):
        if line["event"] == "sent":
            sent[line["piece"]] = sent.get(line["piece"], 0) + line["bytes"]
    return sent


def test_the_log_tells_which_piece_went_to_whom(tmp_path: Path, offer: Offer) -> None:
    command = ["seed", "t.torrent", "--dir", "seed", *LOCAL, "--log", "log", "--name", "otto", "--quiet"]
    with start(tmp_path, *command) as seed:
        log = tmp_path / "log"
        with offer.scripted(Script(downloads=True), pieces=set()) as leecher:
            wait_until(lambda: logged(log), "address")
            listening = logged(log)[0]["address"]
            host, port = listening.split(":")
            leecher.connect((host, int(port)))
            leecher.wait_until(lambda: len(leecher.downloaded) == 64)
        all_of_it = dict.fromkeys(range(16), 64 * KIB)
        wait_until(lambda: sent_by(log) == all_of_it, "line of each piece")  # while it runs: it is flushed
        assert seed.stop() == 0
    assert {line["name"] for line in logged(log)} == {"otto"}
    assert sent_by(log) == all_of_it
    assert (seed.out, seed.err) == ([], [])
