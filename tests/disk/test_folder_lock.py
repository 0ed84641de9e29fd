"""A folder that one process alone works in."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.disk.folder_lock import LOCK_NAME, FolderLock
from shoal.errors import DiskFullError, ExistsError, FileError

from ..cli.running import environment

HOLD = "import sys; from pathlib import Path; from shoal.disk.folder_lock import FolderLock; \
lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_the_second_to_come_is_told_who_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    lock = FolderLock(folder)
    with pytest.raises(ExistsError) as caught:
        FolderLock(folder)
    assert caught.value.message == f"{folder}: another shoal process (pid {os.getpid()}) works in this folder"
    lock.release()
    FolderLock(folder).release()


def test_who_is_killed_holds_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(ExistsError, match=rf"pid {process.pid}\)"):
            FolderLock(tmp_path)
        process.kill()
    FolderLock(tmp_path).release()


def test_a_full_disk_is_said_with_the_folder_and_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        with pytest.raises(DiskFullError, match=str(tmp_path)):
            FolderLock(tmp_path)
    FolderLock(tmp_path).release()


def test_no_link_is_followed_and_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError, match="writing failed"):
        FolderLock(tmp_path)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(FileError, match=r"^/dev/null/cache: writing failed"):
        FolderLock(Path("/dev/null/cache"))
