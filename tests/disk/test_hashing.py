"""Hashes of payloads: against a straight-line reference, and against files that do not hold still."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk import hashing
from shoal.disk.check import check_pieces
from shoal.disk.hashing import PayloadHashes, hash_files
from shoal.disk.storage import Storage
from shoal.disk.walk import Payload, find_payload
from shoal.errors import FileError
from shoal.formats.bitfield import all_bits
from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.formats.metainfo_build import FileTree, Format, build_metainfo
from shoal.testing.torrents import make_torrent
from shoal.units import KIB, MIB

PIECE = 64 * KIB
SIZES = {"a": 3 * PIECE + 1, "b": 0, "c": 1, "m/é": PIECE, "z/0": 0, "z/1": 2 * PIECE, "z/2": 0}


def place(folder: Path, contents: Mapping[str, bytes]) -> Payload:
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return find_payload(folder)


def expected_of(metainfo: Metainfo) -> PayloadHashes:
    """The hashes of a torrent made by the reference builder."""
    trees = tuple(
        FileTree(file.pieces_root or b"", metainfo.piece_layers.get(file.pieces_root or b"", b""))
        for file in metainfo.files
        if not file.is_padding
    )
    return PayloadHashes(metainfo.piece_hashes, trees if metainfo.info_hash_v2 else ())


def rebuilt(payload: Payload, format: Format) -> Metainfo:
    """The metainfo that comes of a payload by way of the product's own builder."""
    hashes = hash_files(payload.files, PIECE, v1=format != "v2", v2=format != "v1")
    assert hashes is not None
    return parse_metainfo(
        build_metainfo(
            payload.name,
            [(file.names, file.size) for file in payload.files],
            PIECE,
            format=format,
            is_single_file=payload.is_single_file,
            piece_hashes=hashes.piece_hashes,
            file_trees={
                file.names: tree
                for file, tree in zip(payload.files, hashes.file_trees, strict=format != "v1")
            },
        )
    )


@pytest.mark.parametrize("format", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("path", ["", "a", "z/1"], ids=["folder", "file", "file of a folder"])
def test_a_torrent_of_these_hashes_finds_its_own_files_good(
    tmp_path: Path, format: Format, path: str
) -> None:
    rng = random.Random(3)
    place(tmp_path / "t", {name: rng.randbytes(size) for name, size in SIZES.items()})
    target = tmp_path / "t" / path
    metainfo = rebuilt(find_payload(target), format)
    storage = Storage(metainfo, target.parent, read_only=True)
    everything = all_bits(metainfo.layout.piece_count)
    assert check_pieces(metainfo, storage, everything) == everything
    storage.close()


@given(
    sizes=st.lists(
        st.integers(0, 5 * PIECE) | st.sampled_from([0, 1, 16 * KIB, PIECE, PIECE + 1, 2 * PIECE]),
        min_size=1,
        max_size=6,
    ).filter(any),
    formats=st.sampled_from([(True, False), (False, True), (True, True)]),
    threads=st.integers(1, 3),
)
def test_any_payload_hashes_as_the_reference_does(
    sizes: list[int], formats: tuple[bool, bool], threads: int
) -> None:
    v1, v2 = formats
    rng = random.Random(len(sizes))
    contents = {f"file{number}": rng.randbytes(size) for number, size in enumerate(sizes)}
    with TemporaryDirectory() as folder:
        payload = place(Path(folder), contents)
        found = hash_files(payload.files, PIECE, v1=v1, v2=v2, threads=threads)
    assert found == expected_of(make_torrent(contents, PIECE, v1=v1, v2=v2))


@pytest.mark.parametrize("piece_length", [16 * KIB, MIB, 4 * MIB])
def test_pieces_shorter_and_longer_than_what_is_read_at_once(tmp_path: Path, piece_length: int) -> None:
    contents = {"a": random.Random(1).randbytes(5 * MIB + 17), "b": random.Random(2).randbytes(40_000)}
    payload = place(tmp_path / "t", contents)
    found = hash_files(payload.files, piece_length, v1=True, v2=True)
    assert found == expected_of(make_torrent(contents, piece_length, v1=True, v2=True))


def test_every_byte_is_read_once_for_both_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = place(tmp_path / "t", {"a": bytes(3 * MIB), "b": bytes(100)})
    read: list[int] = []
    real_preadv = os.preadv

    def preadv(descriptor: int, buffers: list[memoryview], position: int) -> int:
        count = real_preadv(descriptor, buffers, position)
        read.append(count)
        return count

    monkeypatch.setattr(os, "preadv", preadv)
    hash_files(payload.files, MIB, v1=True, v2=True)
    assert sum(read) == payload.total_size


def test_progress_ends_with_the_bytes_of_the_payload(tmp_path: Path) -> None:
    payload = place(tmp_path / "t", {"a": bytes(MIB + 1), "b": bytes(100)})
    told: list[int] = []
    hash_files(payload.files, PIECE, v1=True, v2=True, on_progress=told.append)
    assert told[-1] == payload.total_size


def test_a_stop_gives_no_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "work_through", lambda *_, **__: False)
    payload = place(tmp_path / "t", {"a": b"x"})
    assert hash_files(payload.files, PIECE) is None


@pytest.mark.parametrize("change", ["shorter", "longer", "same length", "gone"])
def test_a_file_that_does_not_hold_still_is_an_error(tmp_path: Path, change: str) -> None:
    payload = place(tmp_path / "t", {"a": b"x" * 1000, "b": b"x" * 1000})
    path = tmp_path / "t" / "a"
    match change:
        case "shorter":
            path.write_bytes(b"x" * 999)
        case "longer":
            path.write_bytes(b"x" * 1001)
        case "same length":
            os.utime(path, ns=(1, 1))
        case "gone":
            path.unlink()
    with pytest.raises(FileError, match=r"a: (changed while it was hashed|reading failed: No such file)"):
        hash_files(payload.files, PIECE)


def test_a_read_error_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = place(tmp_path / "t", {"a": b"x" * 1000})

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(FileError, match="a: reading failed: Input/output error"):
        hash_files(payload.files, PIECE)
