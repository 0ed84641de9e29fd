"""The rate limits on the command line: wrong ones are refused, and a limited command still ends at once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.testing.build import make_payload
from shoal.units import KIB

from ..conftest import Shoal
from .running import LOCAL, Offer, peer, start


@pytest.mark.parametrize(
    "command",
    [
        ("get", "t.torrent", "--max-download-rate"),
        ("get", "t.torrent", "--max-upload-rate"),
        ("seed", "t.torrent", "--dir", "seed", "--max-upload-rate"),
        ("share", "seed", "--max-upload-rate"),
    ],
)
def test_a_wrong_limit_is_refused_in_one_line_with_a_hint(shoal: Shoal, command: tuple[str, ...]) -> None:
    for wrong in ("0", "fast"):
        ended = shoal(*command, wrong)
        assert ended.returncode == ExitCode.USAGE
        assert f"'{wrong}'" in ended.stderr
        assert "hint: " in ended.stderr
        assert ended.stdout == ""


def test_a_limited_get_completes(tmp_path: Path) -> None:
    offer = Offer(tmp_path, make_payload(300 * KIB))
    limits = ("--max-upload-rate", "200k", "--max-download-rate", "0.5MiB/s")
    with (
        start(tmp_path, "seed", "t.torrent", "--dir", "seed", "--max-upload-rate", "1MB", *LOCAL) as seed,
        start(tmp_path, "get", "t.torrent", "--dir", "get", *limits, *LOCAL, *peer(seed.address())) as get,
    ):
        assert get.wait() == 0
        assert seed.stop() == 0
    assert offer.got() == offer.data


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_limited_get_is_stopped_amid_a_block_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    offer = Offer(tmp_path, make_payload(2048 * KIB))
    with offer.scripted() as source:
        command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())]
        with start(tmp_path, *command, "--max-download-rate", "2k") as get:
            source.wait_until(lambda: source.blocks_sent >= 1)
            assert get.stop(number) == ExitCode.UNFINISHED
        assert "the same command goes on from here" in get.err[-1]
    with offer.scripted() as source:
        command[-1] = peer(source.listen())[1]
        with start(tmp_path, *command) as get:
            assert get.wait() == 0
    assert offer.got() == offer.data
