"""A disk that really is full, and a limit that really is met."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.disk.storage import Storage
from shoal.errors import DiskFullError, FileError
from shoal.testing.torrents import make_torrent
from shoal.units import MIB


def test_a_full_disk_is_an_error_that_loses_nothing_written_before(small_disk: Path) -> None:
    metainfo = make_torrent({"big": bytes(2 * MIB)}, MIB // 2)
    storage = Storage(metainfo, small_disk)
    storage.write(0, b"a" * (MIB // 2))
    with pytest.raises(DiskFullError, match=r"disk full: .*big: No space left on device"):
        storage.write(MIB, b"b" * MIB)
    found = memoryview(bytearray(MIB // 2))
    storage.read_into(0, found)
    storage.close()
    assert found == b"a" * (MIB // 2)


def test_after_making_room_the_same_write_succeeds(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(MIB * 3 // 4))
    storage = Storage(make_torrent({"big": bytes(MIB // 2)}, MIB // 2), small_disk)
    with pytest.raises(DiskFullError):
        storage.write(0, b"a" * (MIB // 2))
    ballast.unlink()
    storage.write(0, b"a" * (MIB // 2))
    storage.close()
    assert (small_disk / "t" / "big").read_bytes() == b"a" * (MIB // 2)


_WRITER = """
import resource, sys
from pathlib import Path
from shoal.disk.storage import Storage
from shoal.errors import FileError
from shoal.testing.torrents import make_torrent
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
storage = Storage(make_torrent({"big": bytes(1 << 20)}, 1 << 20), Path(sys.argv[1]))
try:
    storage.write(0, b"x" * 100)
except FileError as error:
    print(error, "/", error.hint)
"""


def test_a_limit_on_the_length_of_files_is_an_error_and_no_signal(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _WRITER, tmp_path], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert "big: writing failed: File too large / the file system or a resource limit" in ended.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 65536, "the limit was the child's alone"


def test_too_many_open_files_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(make_torrent({"a": b"x"}, MIB), tmp_path)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(FileError, match="Too many open files") as caught:
        storage.write(0, b"x")
    assert "ulimit" in caught.value.hint
