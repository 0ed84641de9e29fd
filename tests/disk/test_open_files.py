"""A bounded number of descriptors, none of which closes under a thread that uses it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from shoal.disk.open_files import OpenFiles


@pytest.fixture
def opened() -> list[tuple[int, bool]]:
    return []


@pytest.fixture
def files(tmp_path: Path, opened: list[tuple[int, bool]]) -> OpenFiles:
    def opener(key: int, for_writing: bool) -> int:
        opened.append((key, for_writing))
        return os.open(tmp_path / str(key), os.O_RDWR | os.O_CREAT)

    return OpenFiles(opener, limit=3)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_file_is_opened_once(files: OpenFiles, opened: list[tuple[int, bool]]) -> None:
    first = files.get(1, for_writing=False)
    assert files.get(1, for_writing=False) is first
    assert opened == [(1, False)]


def test_a_file_open_for_reading_is_opened_anew_to_write(
    files: OpenFiles, opened: list[tuple[int, bool]]
) -> None:
    files.get(1, for_writing=False)
    assert files.get(1, for_writing=True).is_writable
    files.get(1, for_writing=False)
    assert opened == [(1, False), (1, True)]


def test_the_file_unused_for_longest_goes_first(files: OpenFiles, opened: list[tuple[int, bool]]) -> None:
    for key in (1, 2, 3, 1, 4):
        files.get(key, for_writing=False)
    assert len(files) == 3
    assert files.peek(2) is None
    assert files.peek(1) is not None


def test_a_descriptor_in_use_outlives_its_place(files: OpenFiles) -> None:
    used = files.get(0, for_writing=False)
    for key in range(1, 10):
        files.get(key, for_writing=False)
    assert files.peek(0) is None
    assert is_open(used.descriptor)
    descriptor = used.descriptor
    del used
    assert not is_open(descriptor)


def test_close_closes_what_nobody_uses(files: OpenFiles) -> None:
    descriptors = [files.get(key, for_writing=False).descriptor for key in range(3)]
    files.close()
    assert not any(is_open(descriptor) for descriptor in descriptors)


def test_peek_opens_nothing(files: OpenFiles, opened: list[tuple[int, bool]]) -> None:
    assert files.peek(1) is None
    assert opened == []


def test_threads_that_push_each_other_out_always_read_their_own_file(tmp_path: Path) -> None:
    for key in range(8):
        (tmp_path / str(key)).write_bytes(bytes([key]) * 100)
    files = OpenFiles(lambda key, _: os.open(tmp_path / str(key), os.O_RDONLY), limit=2)
    wrong: list[int] = []

    def read(seed: int) -> None:
        for step in range(500):
            key = (seed + step * 5) % 8
            file = files.get(key, for_writing=False)
            if os.pread(file.descriptor, 100, 0) != bytes([key]) * 100:
                wrong.append(key)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(files) <= 2
