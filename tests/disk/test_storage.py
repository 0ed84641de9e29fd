"""Torrent bytes in files: any layout, any range, and the promises of the module's first page."""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk.faults import MissingDataError
from shoal.disk.storage import Storage
from shoal.errors import DiskFullError, FileError
from shoal.formats.metainfo import Metainfo
from shoal.testing.torrents import Contents, make_torrent, whole_run
from shoal.units import KIB, MIB

PIECE = 16 * KIB


def contents_of(sizes: Sequence[int], seed: int = 0) -> dict[str, bytes]:
    rng = random.Random(seed)
    return {f"folder{number % 3}/file{number:03}": rng.randbytes(size) for number, size in enumerate(sizes)}


def read(storage: Storage, offset: int, length: int) -> bytes:
    buffer = bytearray(b"\xee" * length)
    storage.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def path_of(metainfo: Metainfo, root: Path, file_index: int) -> Path:
    return root.joinpath(*metainfo.disk_path(file_index))


def place(contents: Contents, root: Path) -> None:
    """The files of a finished download."""
    for path, data in contents.items():
        target = root / "t" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


@pytest.fixture
def two_files() -> dict[str, bytes]:
    return contents_of([PIECE + 100, 2 * PIECE])


@pytest.fixture
def metainfo(two_files: dict[str, bytes]) -> Metainfo:
    return make_torrent(two_files, PIECE)


@pytest.fixture
def storage(metainfo: Metainfo, tmp_path: Path) -> Iterator[Storage]:
    storage = Storage(metainfo, tmp_path)
    yield storage
    storage.close()


# -- writing and reading --------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(0, 3 * PIECE), min_size=1, max_size=8).filter(any),
    cuts=st.lists(st.floats(0, 1), max_size=12),
    is_hybrid=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_what_was_written_in_any_slices_and_order_is_read_in_any(
    sizes: list[int], cuts: list[float], is_hybrid: bool, order: random.Random
) -> None:
    contents = dict(sorted(contents_of(sizes).items()))
    metainfo = make_torrent(contents, PIECE, v2=is_hybrid)
    run = whole_run(metainfo, contents)
    edges = sorted({0, len(run), *(int(cut * len(run)) for cut in cuts)})
    slices = list(itertools.pairwise(edges))
    order.shuffle(slices)
    with TemporaryDirectory() as folder:
        storage = Storage(metainfo, Path(folder))
        for begin, end in slices:
            storage.write(begin, memoryview(run)[begin:end])
        order.shuffle(slices)
        for begin, _ in slices:
            length = order.randint(0, len(run) - begin)
            assert read(storage, begin, length) == run[begin : begin + length]
        storage.create_empty_files()
        storage.close()
        for path, data in contents.items():
            assert (Path(folder) / "t" / path).read_bytes() == data
        made = sum(1 for found in Path(folder).rglob("*") if found.is_file())
        assert made == len(contents), "padding is nowhere on the disk"


@given(
    sizes=st.lists(st.integers(0, 2 * PIECE), min_size=2, max_size=6).filter(any),
    wanted=st.sets(st.integers(0, 5)),
)
def test_unwanted_files_are_not_made_and_their_bytes_are_kept_apart(
    sizes: list[int], wanted: set[int]
) -> None:
    contents = contents_of(sizes)
    metainfo = make_torrent(contents, PIECE)
    run = whole_run(metainfo, contents)
    with TemporaryDirectory() as folder:
        root, parts = Path(folder) / "root", Path(folder) / "state" / "parts"
        storage = Storage(metainfo, root, wanted_files=wanted, parts_path=parts)
        storage.write(0, run)
        assert read(storage, 0, len(run)) == run
        storage.create_empty_files()
        storage.sync()
        storage.close()
        for file_index in range(len(sizes)):
            assert path_of(metainfo, root, file_index).exists() == (file_index in wanted)
        assert parts.exists() == any(size and index not in wanted for index, size in enumerate(sizes))


def test_a_file_has_its_full_length_from_the_first_write_and_is_sparse(tmp_path: Path) -> None:
    metainfo = make_torrent({"big": bytes(4 * MIB)}, MIB)
    storage = Storage(metainfo, tmp_path)
    storage.write(2 * MIB, b"x" * MIB)
    status = path_of(metainfo, tmp_path, 0).stat()
    storage.close()
    assert status.st_size == 4 * MIB
    assert status.st_blocks * 512 < 2 * MIB


def test_a_short_file_is_lengthened_and_a_long_one_is_left(
    storage: Storage, metainfo: Metainfo, tmp_path: Path
) -> None:
    short, long = path_of(metainfo, tmp_path, 0), path_of(metainfo, tmp_path, 1)
    for path, size in ((short, 10), (long, 2 * PIECE + 7)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"z" * size)
    storage.write(PIECE, b"x" * 200)  # the last 100 bytes of one file, the first 100 of the next
    assert short.read_bytes() == b"z" * 10 + bytes(PIECE - 10) + b"x" * 100
    assert long.read_bytes() == b"x" * 100 + b"z" * (2 * PIECE - 93)


def test_a_file_that_is_too_long_is_named_and_cut_when_asked(
    storage: Storage, metainfo: Metainfo, two_files: dict[str, bytes], tmp_path: Path
) -> None:
    place(two_files, tmp_path)
    long = path_of(metainfo, tmp_path, 1)
    long.write_bytes(long.read_bytes() + b"more")
    assert storage.too_long_files() == [1]
    storage.cut_too_long([1])
    assert storage.too_long_files() == []
    assert long.read_bytes() == list(two_files.values())[1]


def test_an_empty_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    metainfo = make_torrent({"empty": b"", "full": b"x"}, PIECE)
    precious = path_of(metainfo, tmp_path, 0)
    precious.parent.mkdir()
    precious.write_bytes(b"precious")
    storage = Storage(metainfo, tmp_path)
    storage.create_empty_files()
    storage.close()
    assert precious.read_bytes() == b"precious"


def test_reading_what_is_not_there_names_the_file_and_makes_nothing(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"file000: no such file"):
        read(storage, 0, 10)
    assert list(tmp_path.iterdir()) == []


def test_reading_past_the_end_of_a_short_file_names_the_byte(
    storage: Storage, metainfo: Metainfo, tmp_path: Path
) -> None:
    path = path_of(metainfo, tmp_path, 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"z" * 50)
    with pytest.raises(MissingDataError, match=r"file000: ends at byte 50, 14 more were expected"):
        read(storage, 40, 24)


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (3 * PIECE + 100, 1), (0, 4 * PIECE)])
def test_a_range_outside_of_the_torrent_is_a_mistake(storage: Storage, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        storage.write(offset, bytes(length))
    with pytest.raises(ValueError, match="outside"):
        read(storage, offset, length)


def test_many_threads_write_and_read_more_files_than_may_be_open(tmp_path: Path) -> None:
    contents = contents_of([3000] * 300)
    metainfo = make_torrent(contents, PIECE)
    run = whole_run(metainfo, contents)
    storage = Storage(metainfo, tmp_path)
    pieces = list(range(metainfo.layout.piece_count))
    random.Random(1).shuffle(pieces)

    def write_and_read(piece: int) -> bool:
        begin, size = metainfo.layout.piece_offset(piece), metainfo.layout.piece_size(piece)
        storage.write(begin, run[begin : begin + size])
        return read(storage, begin, size) == run[begin : begin + size]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_and_read, pieces))
    storage.sync()
    storage.close()
    assert all((tmp_path / "t" / path).read_bytes() == data for path, data in contents.items())


# -- cached reads ---------------------------------------------------------------------------------------


def test_a_cached_read_gives_all_or_says_no(
    storage: Storage, metainfo: Metainfo, two_files: dict[str, bytes]
) -> None:
    run = whole_run(metainfo, two_files)
    buffer = bytearray(len(run))
    assert not storage.read_cached_into(0, memoryview(buffer)), "nothing is open yet"
    storage.write(0, run)
    if storage.read_cached_into(0, memoryview(buffer)):
        assert buffer == run


def test_a_system_that_cannot_tell_is_asked_once_a_file(
    storage: Storage, two_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def refuse(descriptor: int, buffers: list[memoryview], position: int, flags: int) -> int:
        asked.append(position)
        raise OSError(errno.EOPNOTSUPP, "not supported")

    storage.write(0, bytes(100))
    monkeypatch.setattr(os, "preadv", refuse)
    buffer = memoryview(bytearray(10))
    assert not any(storage.read_cached_into(position, buffer) for position in (0, 10, 20))
    assert asked == [0]


def test_a_short_cached_read_counts_as_not_cached(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write(0, bytes(100))
    monkeypatch.setattr(os, "preadv", lambda *_: 5)
    assert not storage.read_cached_into(0, memoryview(bytearray(10)))


# -- refusals -------------------------------------------------------------------------------------------


def test_a_storage_for_reading_writes_nothing(metainfo: Metainfo, tmp_path: Path) -> None:
    storage = Storage(metainfo, tmp_path, read_only=True)
    with pytest.raises(FileError, match="reading only"):
        storage.write(0, b"x")
    assert list(tmp_path.iterdir()) == []


def test_unwanted_files_need_a_parts_file(metainfo: Metainfo, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parts file"):
        Storage(metainfo, tmp_path, wanted_files={0})


def test_a_link_in_place_of_a_file_is_not_written_through(
    storage: Storage, metainfo: Metainfo, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    path = path_of(metainfo, tmp_path, 0)
    path.parent.mkdir(parents=True)
    path.symlink_to(precious)
    with pytest.raises(FileError, match="symbolic link"):
        storage.write(0, b"x" * 100)
    assert precious.read_bytes() == b"precious"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_file_and_the_way_on(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(descriptor: int, data: bytes, position: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiskFullError, match=r"disk full: .*file000: ") as caught:
        storage.write(0, b"x")
    assert "again" in caught.value.hint


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.EROFS, errno.EFBIG])
def test_other_refusals_name_the_file(storage: Storage, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(FileError, match=r"file000: writing failed: ") as caught:
        storage.write(0, b"x")
    assert caught.value.hint


def test_a_write_cut_short_goes_on(
    storage: Storage, metainfo: Metainfo, two_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = whole_run(metainfo, two_files)
    whole_pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, position: whole_pwrite(fd, data[:1000], position))
    storage.write(0, run)
    assert read(storage, 0, len(run)) == run
