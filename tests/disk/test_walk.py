"""What `create` takes and what it leaves out, in an order that is the same everywhere."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.disk.walk import Payload, find_payload
from shoal.errors import FileError, NotFoundError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def put(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())


def names(payload: Payload) -> list[str]:
    return ["/".join(file.names) for file in payload.files]


def test_files_are_sorted_element_by_element_as_bytes(folder: Path) -> None:
    paths = ["Z", "a/b", "a.txt", "a/a/z", "a/a.b", "b", "é", "日本", "𝕏", "\uffee"]
    random.Random(1).shuffle(paths)
    put(folder, *paths)
    assert names(find_payload(folder)) == [
        "Z",
        "a/a/z",
        "a/a.b",
        "a/b",
        "a.txt",
        "b",
        "é",
        "日本",
        "\uffee",
        "𝕏",
    ]


def test_a_folder_has_its_name_and_its_empty_files_but_no_empty_folders(folder: Path) -> None:
    put(folder, "file")
    (folder / "empty file").touch()
    (folder / "empty folder").mkdir()
    payload = find_payload(folder)
    assert (payload.name, payload.is_single_file, payload.total_size) == ("folder", False, 4)
    assert names(payload) == ["empty file", "file"]


def test_a_file_is_a_torrent_of_its_own(folder: Path) -> None:
    put(folder, "file")
    payload = find_payload(folder / "file")
    assert (payload.name, payload.is_single_file, names(payload)) == ("file", True, ["file"])


@pytest.mark.parametrize("path", [".", "../folder", "sub/.."])
def test_a_path_without_a_name_is_named_by_where_it_leads(
    folder: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    put(folder, "file", "sub/file")
    monkeypatch.chdir(folder)
    assert find_payload(Path(path)).name == "folder"


def test_a_link_that_was_named_is_followed_and_gives_its_name(folder: Path, tmp_path: Path) -> None:
    put(folder, "file")
    (tmp_path / "alias").symlink_to(folder)
    payload = find_payload(tmp_path / "alias")
    assert (payload.name, names(payload)) == ("alias", ["file"])


@pytest.mark.parametrize(
    ("glob", "left"),
    [
        ("*.tmp", ["a/keep", "b/sub/deep.txt", "keep"]),
        ("b", ["a/keep", "a/x.tmp", "keep", "x.tmp"]),
        ("b/*", ["a/keep", "a/x.tmp", "keep", "x.tmp"]),
        ("b/sub", ["a/keep", "a/x.tmp", "keep", "x.tmp"]),
        ("a/?eep", ["a/x.tmp", "b/sub/deep.txt", "keep", "x.tmp"]),
        ("keep", ["a/x.tmp", "b/sub/deep.txt", "x.tmp"]),
        ("[kx]*", ["b/sub/deep.txt"]),
        ("KEEP", ["a/keep", "a/x.tmp", "b/sub/deep.txt", "keep", "x.tmp"]),
    ],
)
def test_what_matches_an_exclude_is_left_out(folder: Path, glob: str, left: list[str]) -> None:
    put(folder, "keep", "x.tmp", "a/keep", "a/x.tmp", "b/sub/deep.txt")
    assert names(find_payload(folder, excludes=[glob])) == left


def test_a_link_to_a_file_inside_is_that_file(folder: Path) -> None:
    put(folder, "blobs/one")
    (folder / "model").symlink_to("blobs/one")
    payload = find_payload(folder)
    assert names(payload) == ["blobs/one", "model"]
    assert payload.files[1].size == len("blobs/one")


def test_links_that_lead_elsewhere_are_left_out_and_told(folder: Path, tmp_path: Path) -> None:
    put(folder, "file")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "nowhere").symlink_to("not there")
    (folder / "loop").symlink_to(".")
    warnings: list[str] = []
    assert names(find_payload(folder, on_warning=warnings.append)) == ["file"]
    assert sorted(warning.split(": ")[0] for warning in warnings) == [
        str(folder / name) for name in ("loop", "nowhere", "out")
    ]


def test_pipes_and_sockets_are_left_out_and_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "file")
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        warnings: list[str] = []
        assert names(find_payload(folder, on_warning=warnings.append)) == ["file"]
    assert sorted(warnings) == [
        f"{folder / name}: left out: not a regular file" for name in ("pipe", "socket")
    ]


def test_nothing_to_share_is_refused(folder: Path) -> None:
    (folder / "empty").touch()
    for path in (folder, folder / "empty"):
        with pytest.raises(UsageError, match="no byte to share"):
            find_payload(path)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere: no such file or folder"):
        find_payload(tmp_path / "nowhere")


def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="neither a file nor a folder"):
        find_payload(tmp_path / "pipe")


def test_a_folder_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "file", "closed/file")
    real_scandir = os.scandir

    def scandir(path: Path) -> Iterator[os.DirEntry[str]]:
        if path.name == "closed":  # root may read everything, so permissions alone do not show it
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real_scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        with pytest.raises(FileError, match="closed: reading failed: Permission denied"):
            find_payload(folder)


def test_a_name_that_is_not_utf8_is_refused_unless_excluded(folder: Path) -> None:
    put(folder, "file")
    raw = os.fsencode(folder) + b"/\xff.bin"
    os.close(os.open(raw, os.O_WRONLY | os.O_CREAT))
    with pytest.raises(FileError, match=r"\\xff\.bin: the name is not UTF-8"):
        find_payload(folder)
    assert names(find_payload(folder, excludes=["*.bin"])) == ["file"]


@pytest.mark.system
def test_names_that_differ_only_by_case_are_told(folder: Path) -> None:
    put(folder, "README", "readme")
    if len(list(folder.iterdir())) < 2:
        pytest.skip("case does not count on this file system")
    warnings: list[str] = []
    assert names(find_payload(folder, on_warning=warnings.append)) == ["README", "readme"]
    assert len(warnings) == 1
    assert "where case does not count it becomes 'readme.1'" in warnings[0]
