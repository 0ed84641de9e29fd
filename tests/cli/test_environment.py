"""tools/environment.py: the lock, and what is made of pip's words."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "tools" / "environment.py"

HOLD = f"""
import importlib.util, pathlib, subprocess, sys
spec = importlib.util.spec_from_file_location("environment", {str(SOURCE)!r})
environment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(environment)
with environment.lock(pathlib.Path(sys.argv[1])) as descriptor:
    if sys.argv[2:] == ["child"]:
        subprocess.Popen(["cat"], pass_fds=(descriptor,))
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lock_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a file that may pass for the lock; temporary files go to a folder of the test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with (tmp_path / "lock").open("w") as file:
        yield file.fileno()


def hold_lock(venv: Path, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(venv), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_lock_leaves_nothing_behind(environment: ModuleType, tmp_path: Path) -> None:
    with environment.lock(tmp_path / "venv"):
        assert (tmp_path / "venv.lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_waits_until_the_first_is_done(environment: ModuleType, tmp_path: Path) -> None:
    first = hold_lock(tmp_path / "venv")
    second = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "venv")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert second.stdout is not None
    os.set_blocking(second.stdout.fileno(), False)
    assert second.stdout.read() is None
    first.communicate("")
    os.set_blocking(second.stdout.fileno(), True)
    assert second.communicate(b"")[0] == b"locked\n"
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_does_not_wedge_the_next(environment: ModuleType, tmp_path: Path) -> None:
    end(hold_lock(tmp_path / "venv"))
    assert (tmp_path / "venv.lock").exists()
    with environment.lock(tmp_path / "venv"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_holder_started_keeps_the_lock(tmp_path: Path) -> None:
    holder = hold_lock(tmp_path / "venv", "child")
    holder.kill()
    holder.wait()
    with (tmp_path / "venv.lock").open() as file, pytest.raises(BlockingIOError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    holder.communicate()  # ends the child: its stdin is closed


@pytest.mark.parametrize(
    ("log", "said", "advice"),
    [
        (
            "Looking in links\n  ERROR: No matching distribution found for click\n\nhint: See above\n",
            "ERROR: No matching distribution found for click",
            "needs the network",
        ),
        ("OSError: [Errno 28] No space left on device\n", "No space left on device", "disk is full"),
        ("something odd\nand odder\n\n", "and odder", ""),
        ("", "it said nothing", ""),
    ],
)
def test_a_failure_is_told_in_one_line(
    environment: ModuleType, tmp_path: Path, lock_descriptor: int, log: str, said: str, advice: str
) -> None:
    with (
        environment.Log(tmp_path, lock_descriptor) as failed,
        pytest.raises(environment.SetupError) as refusal,
    ):
        failed.run(sys.executable, "-c", f"print({log!r}, end=''); exit(1)")
    line = str(refusal.value)
    assert said in line
    assert advice in line
    assert "\n" not in line
    saved = Path(line.rpartition("all of it: ")[2])
    assert saved.parent == tmp_path / "tmp"
    assert saved.read_text() == log


def test_nobody_can_take_the_log_away_while_pip_runs(
    environment: ModuleType, tmp_path: Path, lock_descriptor: int
) -> None:
    with environment.Log(tmp_path, lock_descriptor) as log:
        log.run("echo", "first")
        assert list((tmp_path / "tmp").iterdir()) == []
        log.run("echo", "second")
        log.keep()
    assert (tmp_path / "install.log").read_text() == "first\nsecond\n"
