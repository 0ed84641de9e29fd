"""Sources that are given up: a stream that never comes to its end, dead mirrors, and what people hear of it."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from shoal.errors import ExitCode, NetworkError
from shoal.fetch import patience
from shoal.fetch.patience import DEFAULT_MOST_TRIES, PROGRESS
from shoal.fetch.sources import Sources
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

from .test_download import fetch, names

BODY = random.Random(5).randbytes(600 * KIB)
CUT = NetworkError("closed early")


def test_a_stream_that_is_always_cut_off_comes_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.001)
    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(BODY, takes_ranges=False, closes_after=300_000)
        with pytest.raises(NetworkError, match=r"\(8 tries\)") as caught:
            fetch(tmp_path, origin.url("/file.bin"))
        assert len(origin.asked) == DEFAULT_MOST_TRIES
    assert caught.value.exit_code == ExitCode.NETWORK
    assert "ends the file early" in caught.value.hint
    assert names(tmp_path) == []


def test_what_is_brought_in_vain_is_no_progress_and_the_waits_grow() -> None:
    sources, now, waits = Sources([("http://a.example/f", "a.example")], 1.0, random.Random(1)), 1.0, []
    while not sources.are_given_up:
        (source,) = sources
        sources.source_for(1, now)
        sources.on_bytes(1, 10 * PROGRESS, now)
        sources.on_failure(1, now, CUT, is_in_vain=True)
        sources.leave(1)
        waits.append(source.patience.ready_at - now)
        now = source.patience.ready_at
    assert len(waits) == DEFAULT_MOST_TRIES
    assert waits == sorted(waits) and waits[-1] > 20


@pytest.mark.parametrize("takes_ranges", [True, False])
def test_a_dead_mirror_is_named_once_while_the_others_go_on(takes_ranges: bool, tmp_path: Path) -> None:
    notes: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with HostileOrigin() as good, HostileOrigin("127.0.0.2") as dead:
        good.pages["/file.bin"] = Page(BODY, takes_ranges=takes_ranges, rate=100 * KIB)
        urls = (dead.url("/gone"), f"http://127.0.0.1:{port}/file.bin", good.url("/file.bin"))
        fetch(tmp_path, *urls, notes=notes)
    said = [note for note in notes if note.endswith("; goes on without it")]
    assert len(said) == 2
    assert said[0] == f"{dead.url('/gone')}: the server answers 404 Not Found; goes on without it"
    assert said[1].startswith(f"127.0.0.1:{port}: cannot connect")


def test_the_last_one_is_told_of_by_the_error_alone(tmp_path: Path) -> None:
    notes: list[str] = []
    with HostileOrigin() as one, HostileOrigin("127.0.0.2") as two, pytest.raises(NetworkError) as caught:
        one.pages["/file.bin"] = Page(status=508)
        two.pages["/file.bin"] = Page(b"x" * MIB, headers=(("Transfer-Encoding", "?\x00"),))
        fetch(tmp_path, one.url("/file.bin"), two.url("/absent"), notes=notes)
    assert "none of 2 sources" in caught.value.message
    assert len(notes) <= 1
