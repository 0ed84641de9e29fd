"""`shoal demo url`: the slow server, the story that the requester's log tells, and how it is drawn."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from shoal.cli.brought import Brought, rows
from shoal.cli.demo import url_picture, url_play
from shoal.cli.demo.url_origin import Pace, answer_to
from shoal.cli.demo.url_story import GRAIN, Result, UrlStory
from shoal.errors import ExitCode, NetworkError
from shoal.fetch.progress import MemberProgress, Phase, Progress
from shoal.testing.build import make_payload
from shoal.units import KIB, MIB

from .machines import POLL_EVERY
from .running import PATIENCE

SOURCE = Path(__file__).resolve().parents[2] / "src"

# -- the server

PAYLOAD = make_payload(300_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Half a MiB a second for a client, a quarter for a connection."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "f").write_bytes(PAYLOAD)
    (tmp_path / "secret").write_text("not served")
    words = [str(tmp_path / "served"), "127.0.0.1", str(512 * KIB), str(256 * KIB)]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "shoal.cli.demo.url_origin", *words],
        env={"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def connected(server: subprocess.Popen[str]) -> HTTPConnection:
    assert server.stdout is not None
    port = int(server.stdout.readline().rpartition(":")[2])
    return HTTPConnection("127.0.0.1", port, timeout=PATIENCE)


def test_it_serves_ranges_of_one_version_over_one_connection(server: subprocess.Popen[str]) -> None:
    connection = connected(server)
    versions = set()
    for asked, status, begin, end in (
        ("bytes=1000-1999", 206, 1000, 2000),
        ("bytes=299990-", 206, 299_990, 300_000),
        ("bytes=299990-400000", 206, 299_990, 300_000),
    ):
        connection.request("GET", "/f", headers={"Range": asked})
        response = connection.getresponse()
        assert response.status == status
        assert response.getheader("Content-Range") == f"bytes {begin}-{end - 1}/300000"
        assert response.read() == PAYLOAD[begin:end]
        versions.add(response.getheader("ETag"))
    assert len(versions) == 1
    connection.close()


def test_without_a_range_it_sends_all_no_faster_than_a_connection_may_and_tells_of_it(
    server: subprocess.Popen[str],
) -> None:
    connection = connected(server)
    began_at = time.monotonic()
    connection.request("GET", "/f")
    assert connection.getresponse().read() == PAYLOAD
    assert time.monotonic() - began_at > len(PAYLOAD) / (256 * KIB) - 0.2
    connection.close()
    assert server.stdout is not None
    assert json.loads(server.stdout.readline()) == {"client": "127.0.0.1", "bytes": len(PAYLOAD)}


@pytest.mark.parametrize("path", ["/absent", "/../secret", "/", "/.."])
def test_it_serves_nothing_but_the_files_of_its_folder(path: str, server: subprocess.Popen[str]) -> None:
    connection = connected(server)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_a_range_behind_the_end_is_refused() -> None:
    status, fields, begin, end = answer_to("GET /f HTTP/1.1\r\nrange: bytes=10-\r\n\r\n", 10)
    assert (status[:3], fields, end - begin) == ("416", ["Content-Range: bytes */10"], 0)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 0.5)), min_size=1, max_size=50))
def test_no_more_than_the_rate_passes_whenever_it_is_asked_for(asked: list[tuple[int, float]]) -> None:
    pace, now, through_at, total = Pace(1000), 100.0, 100.0, 0
    for count, pause in asked:
        now += pause
        through_at = max(through_at, now + pace.turn(count, now))
        total += count
    assert total <= 1000 * (through_at - 100.0) + 100 + 1e-6


def test_those_who_share_a_rate_wait_for_each_other() -> None:
    pace = Pace(1000)
    pace.turn(100, 5.0)  # what was not used before
    assert [pace.turn(500, 5.0) for _ in range(3)] == pytest.approx([0.5, 1.0, 1.5])


# -- what the log tells


@given(st.sets(st.integers(0, 200)))
def test_rows_of_pieces_are_all_pieces_and_none_touches_the_next(pieces: set[int]) -> None:
    found = list(rows(sum(1 << piece for piece in pieces)))
    assert [piece for first, count in found for piece in range(first, first + count)] == sorted(pieces)
    ends = [first + count for first, count in found]
    assert all(end < first for end, (first, _) in zip(ends, found[1:], strict=False))


def progress(*members: tuple[str, int]) -> Progress:
    return Progress(
        Phase.FETCHING, "f", 25, 0, 0.0, piece_length=10,
        members=tuple(MemberProgress(name, False, not name, 0, 0, 0.0, (), bits) for name, bits in members),
    )  # fmt: skip


def test_what_a_member_brought_is_told_once() -> None:
    brought = Brought()
    assert list(brought.news(progress())) == []
    ours = {"member": "", "is_us": True}
    other = {"member": "h:1", "is_us": False}
    assert list(brought.news(progress(("", 0b001), ("h:1", 0b010)))) == [
        {**ours, "begin": 0, "end": 10},
        {**other, "begin": 10, "end": 20},
    ]
    assert list(brought.news(progress(("", 0b101), ("h:1", 0b010)))) == [{**ours, "begin": 20, "end": 25}]


# -- the story


def make_story() -> UrlStory:
    """Half of it is here: a quarter from A itself, and one from C."""
    story = UrlStory(8 * GRAIN, ("requester A", "helper B", "helper C"), ("127.0.0.2", "127.0.0.3", "::1"))
    for begin, end, member, at in (
        (0, 2, "127.0.0.2:7", 10.0),
        (4, 5, "::1:6881", 11.0),
        (5, 6, "::1:6881", 12.5),
        (6, 7, "10.0.0.1:6881", 12.5),  # nobody of this demo
    ):
        story.tell(
            0,
            {
                "event": "brought",
                "time": at,
                "member": member,
                "is_us": member == "127.0.0.2:7",
                "begin": begin * GRAIN,
                "end": end * GRAIN,
            },
        )
    story.tell(0, {"event": "note", "time": 12.5, "message": "of no matter"})
    return story


def test_a_story_knows_who_brought_which_part() -> None:
    story = make_story()
    assert story.owners == [0, 0, None, None, 2, 2, None, None]
    assert story.fetched == [2 * GRAIN, 0, 2 * GRAIN]
    assert story.share_here == 0.5


def test_rates_are_of_the_last_two_seconds() -> None:
    story = make_story()
    assert story.rates(11.5) == [GRAIN, 0.0, GRAIN]
    assert story.rates(12.9) == [0.0, 0.0, GRAIN]
    assert story.rates(15.0) == [0.0] * 3


# -- the picture


def shown(what: object) -> list[str]:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_file_is_drawn_row_below_row_as_who_brought_it() -> None:
    strip = shown(url_picture.Field([0] * 5 + [None] * 4))
    assert strip == ["A" * 64, "A" * 43 + "·" * 21, "·" * 64]


def test_the_live_picture_has_each_member_with_what_it_brought_and_its_rate() -> None:
    lines = shown(url_picture.live(make_story(), "what goes on", 12.5))
    assert lines[0] == "what goes on"
    assert [line.split() for line in lines[-3:]] == [
        ["requester", "A", "32.0", "KiB"],
        ["helper", "B", "0", "B"],
        ["helper", "C", "32.0", "KiB", "↓", "16.0", "KiB/s"],
    ]


def test_the_result_compares_both_rates_and_says_what_the_server_sent() -> None:
    story = make_story()
    result = Result(2.0, 2 * GRAIN, 1.5, round(8.24 * GRAIN), 2 * MIB)
    lines = shown(url_picture.final(story, result))
    assert "The server gives 2.00 MiB/s to an address, half of that to a connection." in lines
    assert any(line.endswith("3.0 times as fast.") for line in lines)
    assert lines[-1].endswith("; the server sent 1.03 copies of the large one.")


def test_a_machine_without_addresses_of_its_own_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_play, "MEMBERS", {"requester A": "203.0.113.9"})  # of nobody (RFC 5737)
    with pytest.raises(NetworkError, match=r"no 203\.0\.113\.9") as refused:
        url_play.refuse_one_address()
    assert "ifconfig lo0 alias" in refused.value.hint


# -- the whole


@pytest.fixture
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the demo makes its folder; it must be empty at the end."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert not list(folder.iterdir())


def demo() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "shoal", "demo", "url"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_until(condition: Callable[[], object], process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert (process is None or process.poll() is None) and time.monotonic() < deadline
        time.sleep(POLL_EVERY)


@pytest.mark.slow
def test_three_helpers_make_it_faster_and_nothing_is_left(temporary_files: Path) -> None:
    with demo() as process:
        out, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    lines = out.decode().splitlines()
    assert not any("·" in line for line in lines)
    fetched = [line for line in lines if line.startswith(("requester", "helper"))]
    assert len(fetched) == 4 and sum(not line.endswith(" 0 %") for line in fetched) > 1  # one may be late
    assert any(line.startswith("With 3 helpers: 48.0 MiB in ") for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_demo_leaves_nothing(number: signal.Signals, temporary_files: Path) -> None:
    with demo() as process:
        wait_until(lambda: list(temporary_files.glob("*/helper-B/output")), process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.UNFINISHED
    assert errors.splitlines()[-1] == b"shoal: the demo was stopped; nothing of it is left"


@pytest.mark.slow
def test_a_killed_demo_is_cleared_away(temporary_files: Path) -> None:
    with demo() as process:
        wait_until(lambda: list(temporary_files.glob("*/helper-B/output")), process)
        process.kill()
        process.communicate(timeout=PATIENCE)  # the janitor holds its stderr: this waits for it too
    wait_until(lambda: not list(temporary_files.iterdir()))
