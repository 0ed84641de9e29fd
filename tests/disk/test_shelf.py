"""Whole files that several share."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shoal.disk.shelf import Shelf
from shoal.errors import FileError

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_is_written_read_replaced_and_removed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "new" / "shelf")
    assert shelf.read("a", 10) is None
    shelf.write("a", b"one")
    before = shelf.stamps()["a"]
    shelf.write("a", b"other")
    assert shelf.read("a", 10) == b"other"
    assert shelf.read("a", 2) == b"ot"
    assert shelf.stamps()["a"] != before
    shelf.remove("a")
    shelf.remove("a")
    assert shelf.stamps() == {}


def test_what_a_kill_left_is_swept_away_and_never_listed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / ".unfinished-0123").write_bytes(b"half")
    shelf.write("a", b"whole")
    assert set(shelf.stamps()) == {"a"}
    shelf.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path)
    shelf.write("a", b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(FileError, match="writing failed: Input/output error"):
        shelf.write("a", b"new")
    assert shelf.read("a", 10) == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_the_lock_is_held_by_one_thread_or_process_at_a_time(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    code = (
        "import sys; from pathlib import Path; from shoal.disk.shelf import Shelf\n"
        "with Shelf(Path(sys.argv[1])).locked(): print('locked', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-P", "-c", code, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "locked\n"
        got = threading.Event()

        def take() -> None:
            with shelf.locked():
                got.set()

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        assert not got.wait(0.2)
        other.kill()  # the kernel lets go of it
        assert got.wait(60)
        thread.join(60)
