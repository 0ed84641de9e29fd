"""`shoal demo`: a swarm of processes, told and drawn, and gone without a trace."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from shoal.cli.demo import files, janitor, picture
from shoal.cli.demo.stage import Lines, Stage
from shoal.cli.demo.story import Story
from shoal.errors import ChecksumError, DiskFullError, ExitCode, ShoalError, UnfinishedError, UsageError
from shoal.testing.build import make_payload
from shoal.units import KIB

from .machines import POLL_EVERY
from .running import PATIENCE

SOURCE = Path(__file__).resolve().parents[2] / "src"
Shoal = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the demo makes its folder; it must be empty at the end of every test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    assert not list(folder.iterdir())


# -- the whole


@pytest.mark.parametrize("size", [1, 16 * KIB, 48 * KIB + 1, 3_000_000])
def test_a_file_of_any_size_reaches_all_leechers(size: int, tmp_path: Path, shoal: Shoal) -> None:
    file = tmp_path / "a file with spaces \u2603.bin"
    file.write_bytes(make_payload(size))
    before = file.stat()
    result = shoal("demo", file, timeout=110)
    assert result.returncode == 0, result.stderr
    assert "3 machines have the" in result.stdout
    assert "each file verified by its SHA-256" in result.stdout
    assert file.read_bytes() == make_payload(size)
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_without_a_file_it_makes_one(shoal: Shoal, state_dir: Path) -> None:
    result = shoal("demo", timeout=110)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    (got,) = [line.split() for line in lines if line.startswith("got")]
    assert got == ["got", "64.0", "MiB", "64.0", "MiB", "64.0", "MiB", "192", "MiB"]
    assert any(line.startswith("seed A     AAAA") for line in lines)
    assert not list(state_dir.iterdir())


def demo(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "shoal", "demo", *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_for_machines(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the first leecher of a demo has a log."""
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob("*/leecher-C/log")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(POLL_EVERY)


def wait_empty(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while list(folder.iterdir()):
        assert time.monotonic() < deadline, list(folder.rglob("*"))
        time.sleep(POLL_EVERY)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_demo_leaves_nothing(number: int, temporary_files: Path) -> None:
    process = demo()
    wait_for_machines(temporary_files, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == ExitCode.UNFINISHED
    assert errors.splitlines()[-1] == b"shoal: the demo was stopped; nothing of it is left"
    assert not list(temporary_files.iterdir())


def test_a_killed_demo_is_cleared_away(temporary_files: Path) -> None:
    process = demo()
    wait_for_machines(temporary_files, process)
    process.kill()
    process.communicate(timeout=PATIENCE)  # the janitor holds its stderr: this waits for it too
    wait_empty(temporary_files)


def test_what_cannot_be_spread_is_refused(tmp_path: Path, shoal: Shoal) -> None:
    (tmp_path / "empty").touch()
    assert shoal("demo", "empty").returncode == ExitCode.USAGE
    assert shoal("demo", tmp_path).returncode == ExitCode.USAGE
    result = shoal("demo", "absent")
    assert (result.returncode, result.stderr) == (ExitCode.NOT_FOUND, "shoal: absent: no such file\n")


# -- the stage


def wait_ended(stage: Stage) -> None:
    for actor in stage.actors:
        actor.process.wait(PATIENCE)


def test_a_machine_that_fails_is_quoted() -> None:
    with Stage() as stage:
        actor = stage.start("seed A", "seed", "absent.torrent", "--dir", ".")
        wait_ended(stage)
        with pytest.raises(ShoalError, match=r"^seed A ended with exit code 3: .*absent\.torrent"):
            actor.check()


def test_a_machine_that_ends_too_early_is_a_failure() -> None:
    with Stage() as stage:
        actor = stage.start("seed A", "--help")
        wait_ended(stage)
        with pytest.raises(ShoalError, match=r"^seed A ended with exit code 0: no complaint$"):
            actor.check()
        actor.end_is_expected = True
        actor.check()


def test_a_machine_that_is_killed_is_a_failure() -> None:
    with Stage() as stage:
        actor = stage.start("tracker", "tracker", "--bind", "127.0.0.1", "--port", "0")
        actor.process.kill()
        wait_ended(stage)
        with pytest.raises(ShoalError, match=r"^tracker was killed by signal 9: no complaint$"):
            actor.check()


def test_machines_end_with_their_stage() -> None:
    with Stage() as stage:
        actor = stage.start("tracker", "tracker", "--bind", "127.0.0.1", "--port", "0")
        folder = stage.folder
    assert actor.process.returncode == -signal.SIGKILL
    assert not folder.exists()


def test_the_janitor_works_when_its_input_ends(temporary_files: Path) -> None:
    folder = temporary_files / "left"
    (folder / "behind").mkdir(parents=True)
    sleeper = subprocess.Popen(["sleep", "60"], process_group=0)
    program = [sys.executable, "-I", "-S", str(janitor.__file__), str(folder)]
    subprocess.run(program, input=b"%d\n" % sleeper.pid, check=True, timeout=PATIENCE)
    assert sleeper.wait(PATIENCE) == -signal.SIGKILL
    assert not folder.exists()


def test_a_line_is_read_once_and_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = Lines(path)
    assert lines.read() == []
    with path.open("wb", buffering=0) as file:
        file.write(b'{"a": 1}\n{"a"')
        assert lines.read_json() == [{"a": 1}]
        assert lines.read_json() == []
        file.write(b": 2}\n")
        assert lines.read_json() == [{"a": 2}]


# -- the files


@given(size=st.integers(0, 200), middle=st.integers(0, 250), chunk=st.integers(1, 64))
def test_the_halves_make_up_the_whole(
    size: int, middle: int, chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("halves")
    data = make_payload(size)
    (folder / "whole").write_bytes(data)
    halves = [folder / "first", folder / "second"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "CHUNK", chunk)
        sha256 = files.lay_out_halves(folder / "whole", middle, halves, lambda: False)
    first, second = (half.read_bytes() for half in halves)
    assert first == data[:middle]
    assert second == (bytes(middle) + data[middle:] if data[middle:] else b"")
    assert sha256 == hashlib.sha256(data).digest()


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "payload"
    path.write_bytes(b"right")
    files.verify(path, hashlib.sha256(b"right").digest(), "leecher C", lambda: False)
    with pytest.raises(ChecksumError, match=r"^the file of leecher C is not the one that was spread$"):
        files.verify(path, hashlib.sha256(b"other").digest(), "leecher C", lambda: False)
    with pytest.raises(UnfinishedError):
        files.verify(path, b"", "leecher C", lambda: True)


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    files.refuse_full_disk(tmp_path, 0)
    with pytest.raises(DiskFullError, match="the demo needs"):
        files.refuse_full_disk(tmp_path, 2**60)


def test_a_device_is_no_file() -> None:
    with pytest.raises(UsageError, match="not a file"):
        files.payload_size(Path(os.devnull))


# -- the story


def make_story() -> Story:
    """Two seeds with two pieces each; machine 2 got three pieces, one of them from machine 3 that dialled it."""
    story = Story(4, [("seed A", (0, 1)), ("seed B", (2, 3)), ("leecher C", ()), ("leecher D", ())])
    story.tell(2, {"time": 9.0, "event": "connected", "peer": "h:1001"})
    story.tell(2, {"time": 9.0, "event": "listens", "peer": "h:1001", "address": "h:4"})
    story.tell(2, {"time": 10.0, "event": "piece", "piece": 0, "sources": {"h:1": 70, "h:1001": 30}})
    story.tell(2, {"time": 10.5, "event": "piece", "piece": 2, "sources": {"h:1001": 100}})
    story.tell(2, {"time": 12.0, "event": "piece", "piece": 3, "sources": {"h:2": 100}})
    for machine in range(4):  # who is where is learnt last: logs are read one after the other
        story.tell(machine, {"time": 8.0, "event": "listening", "address": f"h:{machine + 1}"})
    return story


def test_a_story_knows_who_has_what_from_whom() -> None:
    story = make_story()
    assert story.piece_givers(0) == [0, 0, None, None]
    assert story.piece_givers(2) == [0, None, 3, 1]
    assert story.matrix() == [[0, 0, 70, 0], [0, 0, 100, 0], [0, 0, 0, 0], [0, 0, 130, 0]]
    assert [story.share_had(machine) for machine in range(4)] == [0.5, 0.5, 0.75, 0]
    assert story.seconds == 2.0


def test_a_story_ends_when_all_pieces_are_there() -> None:
    story = make_story()
    assert not story.has_all(2)
    story.tell(2, {"time": 13.0, "event": "piece", "piece": 1, "sources": {"h:1": 100}})
    assert story.has_all(2)


def test_rates_are_of_the_last_second() -> None:
    story = make_story()
    assert story.rates(11.2) == [(0, 0), (0, 100), (200, 0), (0, 100)]
    assert story.rates(12.9) == [(0, 0), (0, 100), (100, 0), (0, 0)]
    assert story.rates(99) == [(0, 0)] * 4


# -- the picture


def shown(what: object, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@given(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1), st.integers(1, 100))
def test_a_strip_is_drawn_from_the_pieces_in_their_order(givers: list[int | None], width: int) -> None:
    samples = picture.sampled(givers, width)
    assert len(samples) == width
    if width == len(givers):
        assert samples == givers
    if width % len(givers) == 0:
        assert samples == [giver for giver in givers for _ in range(width // len(givers))]


def test_without_colours_pieces_are_letters() -> None:
    assert picture.strip_letters([0, None, 2, 1], 8) == "AA··CCBB"


def test_with_colours_a_character_has_two_pieces() -> None:
    (segment,) = picture.strip_segments([0, None], 1)
    assert segment.style is not None
    assert segment.style.color is not None and segment.style.color.name == picture.COLOURS[0]
    assert segment.style.bgcolor is not None and segment.style.bgcolor.name == picture.GROUND


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_live_picture_has_a_whole_line_for_each_machine(width: int) -> None:
    lines = shown(picture.live(make_story(), "what goes on", 11.2), width)
    assert lines[0] == "what goes on"
    assert [line[:9] for line in lines[2:]] == ["seed A   ", "seed B   ", "leecher C", "leecher D"]
    assert lines[4].split()[-5:] == ["75", "%", "↓", "200", "B/s"]
    assert lines[5].split()[-5:] == ["0", "%", "↑", "100", "B/s"]


def test_the_final_picture_adds_up() -> None:
    story = make_story()
    story.tell(2, {"time": 13.0, "event": "piece", "piece": 1, "sources": {"h:1": 100}})
    lines = shown(picture.final(story, [2, 3], 400, 5.0))
    matrix = [line.split() for line in lines if " B" in line]
    assert ["seed", "A", "170", "B", "0", "B", "170", "B"] in matrix
    assert ["got", "400", "B", "0", "B", "400", "B"] in matrix
    assert "The seeds sent 0.68 copies of it; 32 % of all bytes came from other leechers." in lines
