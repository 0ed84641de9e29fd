"""The lab with real namespaces: it ends, says what happened, and leaves nothing behind, however it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import swarm
from lab.parts import namespaces
from lab.parts.stopping import Stopped, stopped_by_signals, undisturbed

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--leechers", "2", "--size", "2MiB", "--rate", "200mbit", "--rounds", "1", "--only", "shoal"]
SLOW = [*SMALL, "--size", "64MiB"]  # not done when it is ended
LIMIT = 60.0  # seconds for anything
POLL_EVERY = 0.02  # seconds


@pytest.fixture(scope="module")
def networks() -> None:
    """Skips where no network can be made, and says why."""
    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(reason)


@contextmanager
def lab(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "lab.swarm", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def left_by(pid: int) -> list[str]:
    """Namespaces and folders of a run, and processes in its folder."""
    prefix = f"{namespaces.PREFIX}{pid}"
    left = [name for name in namespaces.namespaces() if name.startswith(f"{prefix}-")]
    left += [str(path) for path in namespaces.MEMORY.glob(f"{prefix}*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            folder = (process / "cwd").readlink()
        except OSError:  # it has just ended
            continue
        if prefix in folder.parts:
            left.append(process.name)
    return left


def wait_started(process: subprocess.Popen[str]) -> None:
    """Until its first leechers are being started."""
    second = namespaces.MEMORY / f"{namespaces.PREFIX}{process.pid}" / "run" / "download-2"
    deadline = time.monotonic() + LIMIT
    while not second.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(POLL_EVERY)


@pytest.mark.namespaces
@pytest.mark.usefixtures("networks")
def test_a_small_swarm_of_ours_is_measured_and_nothing_is_left() -> None:
    with lab(*SMALL) as process:
        said, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    assert "a link of 200 Mbit/s carries" in said
    assert [line.split()[1] for line in said.splitlines() if line.startswith("| ")] == ["leechers", "shoal"]
    assert left_by(process.pid) == []


@pytest.mark.namespaces
@pytest.mark.usefixtures("networks")
def test_a_run_that_is_told_to_end_takes_everything_down() -> None:
    with lab(*SLOW) as process:
        wait_started(process)
        process.terminate()
        _, errors = process.communicate(timeout=LIMIT)
    assert errors == "lab: shoal, round 1 ...\nlab: stopped by SIGTERM\n"
    assert process.returncode == 128 + signal.SIGTERM
    assert left_by(process.pid) == []


@pytest.mark.namespaces
@pytest.mark.usefixtures("networks")
def test_what_a_killed_run_left_is_swept_by_the_next() -> None:
    with lab(*SLOW) as process:
        wait_started(process)
        process.kill()
        process.wait(LIMIT)
    assert left_by(process.pid) != []
    namespaces.sweep()
    with namespaces.own_folder():
        assert left_by(process.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_ends_the_block_once_what_must_not_be_disturbed_is_done(number: signal.Signals) -> None:
    steps = []
    with pytest.raises(Stopped) as stopped, stopped_by_signals():
        with undisturbed():
            with ThreadPoolExecutor(1) as another_thread:  # the system may give the signal to any
                another_thread.submit(os.kill, os.getpid(), number).result()
            steps.append("tidied")
        steps.append("went on")
    assert steps == ["tidied"]
    assert stopped.value.exit_code == 128 + number


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("sys.platform", "darwin", "not Linux"),
        ("shutil.which", lambda program: None, "'ip' is missing: apt install iproute2"),
        ("os.geteuid", lambda: 1000, "needs root (CAP_NET_ADMIN)"),
    ],
)
def test_where_it_cannot_run_it_says_why_in_one_line_and_exits_with_77(
    name: str,
    value: object,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(name, value)
    assert swarm.main([]) == 77
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_rates_are_written_as_tc_writes_them() -> None:
    assert swarm.parse_options(["--rate", "2.5mbit"]).rate == 2_500_000
    assert swarm.parse_options(["--rate", "1gbit"]).rate == 10**9
