"""What is durable, and what is told of the files without reading them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.disk.storage import Presence, Stamp, Storage
from shoal.errors import FileError
from shoal.formats.metainfo import Metainfo
from shoal.testing.torrents import make_torrent, whole_run
from shoal.units import KIB, MIB

PIECE = 16 * KIB
FIRST, SECOND = "folder0/file000", "folder1/file001"


def path_of(metainfo: Metainfo, root: Path, file_index: int) -> Path:
    return root.joinpath(*metainfo.disk_path(file_index))


@pytest.fixture
def metainfo() -> Metainfo:
    return make_torrent({FIRST: bytes(PIECE + 100), SECOND: bytes(2 * PIECE)}, PIECE)


@pytest.fixture
def storage(metainfo: Metainfo, tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(metainfo, tmp_path)
    yield storage
    storage.close()


# -- syncing --------------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were synced, in order."""
    paths: list[str] = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc to name descriptors by")


@needs_proc
def test_a_sync_covers_new_files_and_the_folders_they_are_in(
    storage: Storage, tmp_path: Path, synced: list[str]
) -> None:
    storage.write(0, b"x")
    storage.sync()
    assert set(synced) == {
        str(tmp_path / "t" / "folder0" / "file000"),
        str(tmp_path / "t" / "folder0"),
        str(tmp_path / "t"),
        str(tmp_path),
    }
    synced.clear()
    storage.sync()
    assert synced == []


@needs_proc
def test_a_sync_covers_files_that_are_no_longer_open(tmp_path: Path, synced: list[str]) -> None:
    contents = {f"file{number:03}": bytes([number]) * 100 for number in range(200)}
    metainfo = make_torrent(contents, PIECE)
    storage = Storage(metainfo, tmp_path)
    storage.write(0, whole_run(metainfo, contents))
    storage.sync()
    storage.close()
    assert {path for path in synced if Path(path).is_file()} == {
        str(tmp_path / "t" / path) for path in contents
    }


def test_a_sync_that_failed_is_done_again(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write(0, b"x")
    real_fsync = os.fsync
    calls: list[int] = []

    def fail_once(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(FileError, match="file000: syncing failed"):
        storage.sync()
    storage.sync()
    assert len(calls) == 1 + 4  # the file again, and its three folders


def test_a_write_during_a_sync_is_synced_by_the_next(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write(0, b"x")
    storage.sync()
    storage.write(1, b"x")
    count = 0

    def fsync(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == 1:
            writer = threading.Thread(target=storage.write, args=(2, b"x"))
            writer.start()
            writer.join()

    monkeypatch.setattr(os, "fsync", fsync)
    storage.sync()
    assert count == 1
    storage.sync()
    assert count == 2


# -- what is there --------------------------------------------------------------------------------------


def test_stamps_are_none_for_what_is_not_there_and_change_with_every_write(
    storage: Storage, metainfo: Metainfo, tmp_path: Path
) -> None:
    assert storage.stamps() == (None, None)
    storage.write(0, b"x")
    status = path_of(metainfo, tmp_path, 0).stat()
    before = storage.stamps()
    assert before == (Stamp(status.st_size, status.st_mtime_ns), None)
    os.utime(path_of(metainfo, tmp_path, 0), ns=(1, 1))
    assert storage.stamps() != before


def test_unwanted_files_have_the_stamp_of_the_parts_file(metainfo: Metainfo, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    storage = Storage(metainfo, tmp_path / "root", wanted_files={0}, parts_path=parts)
    storage.write(PIECE + 50, bytes(100))
    storage.close()
    status = parts.stat()
    assert storage.stamps()[1] == Stamp(status.st_size, status.st_mtime_ns, is_of_parts=True)


def test_presence_tells_absent_from_hole_from_data(tmp_path: Path) -> None:
    metainfo = make_torrent({"a": bytes(2 * MIB), "b": bytes(MIB)}, MIB)
    storage = Storage(metainfo, tmp_path)
    assert storage.presence(0, MIB) is Presence.ABSENT
    storage.write(0, b"x" * MIB)
    assert storage.presence(0, MIB) is Presence.DATA
    assert storage.presence(MIB, MIB) in (Presence.HOLE, Presence.DATA)  # some file systems know no holes
    assert storage.presence(MIB, MIB + 1) is Presence.ABSENT
    storage.close()


def test_holds_data_is_false_for_nothing_and_for_emptiness(
    storage: Storage, metainfo: Metainfo, tmp_path: Path
) -> None:
    path = path_of(metainfo, tmp_path, 0)
    assert not storage.holds_data(0)
    path.parent.mkdir(parents=True)
    path.touch()
    assert not storage.holds_data(0)
    path.write_bytes(b"x")
    assert storage.holds_data(0)


def test_a_file_where_a_folder_should_be_is_absent_to_readers_and_an_error_to_writers(
    storage: Storage, tmp_path: Path
) -> None:
    (tmp_path / "t").write_bytes(b"in the way")
    assert storage.stamps() == (None, None)
    assert storage.presence(0, 1) is Presence.ABSENT
    with pytest.raises(FileError, match="stands on the way"):
        storage.write(0, b"x")
