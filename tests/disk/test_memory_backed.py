"""Files in memory are known as such, and read at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.disk.memory_backed import is_in_memory
from shoal.disk.storage import Storage
from shoal.testing.torrents import make_torrent

MEMORY = Path("/dev/shm")


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


needs_memory = pytest.mark.skipif(not MEMORY.is_dir(), reason="this system has no /dev/shm")


@pytest.mark.system
@needs_memory
def test_a_file_in_memory_is_known_as_one(memory_folder: Path) -> None:
    with (memory_folder / "file").open("wb") as file:
        assert is_in_memory(file.fileno())


def test_a_device_is_not_a_file_in_memory() -> None:
    with Path(os.devnull).open("rb") as device:
        assert is_in_memory(device.fileno()) is False


@pytest.mark.system
@needs_memory
def test_a_file_in_memory_is_read_without_waiting_once_it_is_open(memory_folder: Path) -> None:
    payload = os.urandom(50_000)
    storage = Storage(make_torrent({"payload": payload}, 16384), memory_folder)
    storage.write(0, payload)
    buffer = memoryview(bytearray(50_000))
    storage.read_cached_into(0, buffer)  # the first try may only find out what kind of file it is
    assert storage.read_cached_into(0, buffer)
    assert bytes(buffer) == payload
    storage.close()
