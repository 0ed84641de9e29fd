"""The one door to files: what it lets through, and every way out of the root that it does not."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from shoal.disk.safe_path import SafeRoot, check_names
from shoal.errors import FileError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder


def read(root: Path, *names: str) -> bytes:
    descriptor = SafeRoot(root).open_for_reading(names)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def write(root: Path, *names: str) -> None:
    descriptor = SafeRoot(root).open_for_writing(names)
    try:
        os.write(descriptor, b"written")
    finally:
        os.close(descriptor)


def test_folders_and_file_are_made_by_writing(tmp_path: Path) -> None:
    write(tmp_path / "new" / "root", "a", "b", "c")
    assert read(tmp_path / "new" / "root", "a", "b", "c") == b"written"


def test_reading_makes_nothing(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(root, "a", "b")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    "names", [(), ("",), (".",), ("..",), ("a", ".."), ("..", "x"), ("/etc/passwd",), ("a/b",), ("a\0b",)]
)
def test_names_that_are_more_than_names_are_refused(root: Path, names: tuple[str, ...]) -> None:
    for use in (SafeRoot(root).open_for_reading, SafeRoot(root).open_for_writing, check_names):
        with pytest.raises(FileError):
            use(names)


def test_a_link_out_of_the_root_is_not_read(root: Path, outside: Path) -> None:
    (root / "file").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    for names in (("file",), ("folder", "secret")):
        with pytest.raises(FileError, match="leads out of"):
            read(root, *names)


def test_a_link_is_never_written_through(root: Path, outside: Path) -> None:
    (root / "inside").mkdir()
    (root / "to_file").symlink_to(outside / "secret")
    (root / "to_nothing").symlink_to(outside / "made")
    (root / "to_folder").symlink_to(outside)
    (root / "to_inside").symlink_to(root / "inside")
    for names in (("to_file",), ("to_nothing",), ("to_folder", "made"), ("to_inside", "made")):
        with pytest.raises(FileError, match="symbolic link"):
            write(root, *names)
    assert (outside / "secret").read_bytes() == b"secret"
    assert not (outside / "made").exists()
    assert list((root / "inside").iterdir()) == []


def test_a_link_that_stays_inside_is_read(root: Path) -> None:
    write(root, "blobs", "one")
    (root / "named").mkdir()
    (root / "named" / "model").symlink_to("../blobs/one")
    (root / "alias").symlink_to("named")
    assert read(root, "named", "model") == b"written"
    assert read(root, "alias", "model") == b"written"


def test_a_loop_of_links_is_an_error_and_not_a_hang(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        read(root, "a")


def test_the_root_itself_may_be_a_link(tmp_path: Path, root: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    write(tmp_path / "alias", "file")
    assert (root / "file").read_bytes() == b"written"


def test_what_is_no_regular_file_is_refused_at_once(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(FileError, match="not a regular file"):
        read(root, "pipe")
    with pytest.raises(FileError, match="not a regular file"):
        write(root, "pipe")


def test_a_folder_swapped_for_a_link_between_two_calls_lets_nothing_out(root: Path, outside: Path) -> None:
    """A neighbour swaps a folder and a link to the outside for each other all the time."""
    swapped = root / "swapped"
    stopped = threading.Event()

    def swap() -> None:
        while not stopped.is_set():
            shutil.rmtree(swapped, ignore_errors=True)
            with suppress(FileExistsError):  # the writer made the folder again
                swapped.symlink_to(outside)
                swapped.unlink()

    neighbour = threading.Thread(target=swap)
    neighbour.start()
    try:
        for number in range(500):
            with suppress(FileError, FileNotFoundError):
                write(root, "swapped", f"file{number}")
    finally:
        stopped.set()
        neighbour.join()
    assert [path.name for path in outside.iterdir()] == ["secret"]
