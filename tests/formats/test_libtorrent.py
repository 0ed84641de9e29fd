"""Golden checks: libtorrent reads what we make, and means the same torrent by it; and the other way round."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pytest

from shoal.formats.magnet import magnet_of
from shoal.formats.metainfo import is_piece_good, parse_metainfo
from shoal.formats.metainfo_build import Format

from .torrents import BLOCK, Contents, make

lt: Any = pytest.importorskip("libtorrent", reason="libtorrent is not installed")

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

rng = random.Random(5)
PAYLOADS: dict[str, Contents] = {
    "a file": {("a file",): rng.randbytes(200_001)},
    "a byte": {("a byte",): b"x"},
    "a folder": {
        ("b", "one"): rng.randbytes(5),
        ("b", "two"): b"",
        ("a",): rng.randbytes(100_000),
        ("zz", "ö"): rng.randbytes(3 * BLOCK),
        ("zzz",): b"",
    },
    "whole pieces": {("d",): bytes(2 * BLOCK), ("e",): rng.randbytes(4 * BLOCK)},
}
FORMATS: list[Format] = ["v1", "v2", "hybrid"]
FLAGS = {"v1": "v1_only", "v2": "v2_only", "hybrid": None}


def hashes_of(info: Any) -> tuple[bytes | None, bytes | None]:
    hashes = info.info_hashes()
    return (
        hashes.v1.to_bytes() if hashes.has_v1() else None,
        hashes.v2.to_bytes() if hashes.has_v2() else None,
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", PAYLOADS)
def test_libtorrent_reads_our_torrent_as_the_same(name: str, format: Format) -> None:
    made = make(
        name, PAYLOADS[name], 2 * BLOCK, format, trackers=[["http://t/announce"], ["udp://u:1"]], private=True
    )
    metainfo = parse_metainfo(made.data)
    info = lt.torrent_info(lt.bdecode(made.data))
    assert hashes_of(info) == (metainfo.info_hash_v1, metainfo.info_hash_v2)
    assert info.num_pieces() == metainfo.layout.piece_count
    assert info.priv()
    assert [tracker.url for tracker in info.trackers()] == ["http://t/announce", "udp://u:1"]
    files = info.layout() if hasattr(info, "layout") else info.files()
    is_padding = lt.file_flags_t.flag_pad_file
    sizes = [files.file_size(i) for i in range(files.num_files()) if not files.file_flags(i) & is_padding]
    assert sizes == [file.size for file in metainfo.files if not file.is_padding]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", PAYLOADS)
def test_we_read_libtorrents_torrent_and_find_its_pieces_good(
    tmp_path: Path, name: str, format: Format
) -> None:
    contents = PAYLOADS[name]
    for path, content in contents.items():
        place = tmp_path.joinpath(*(path if list(contents) == [(name,)] else (name, *path)))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    data = libtorrents(tmp_path, name, format)
    metainfo = parse_metainfo(data)
    assert hashes_of(lt.torrent_info(lt.bdecode(data))) == (metainfo.info_hash_v1, metainfo.info_hash_v2)
    run = b"".join(bytes(file.size) if file.is_padding else contents[file.path] for file in metainfo.files)
    for piece in range(metainfo.layout.piece_count):
        begin = metainfo.layout.piece_offset(piece)
        assert is_piece_good(metainfo, piece, run[begin : begin + metainfo.layout.piece_size(piece)])
    if format == "v2":  # where nothing is left to taste: no order of files, no padding
        assert (
            parse_metainfo(make(name, contents, 2 * BLOCK, format).data).info_hash_v2 == metainfo.info_hash_v2
        )


def libtorrents(folder: Path, name: str, format: Format) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        files = lt.file_storage()
        lt.add_files(files, str(folder / name))
        flag = FLAGS[format]
        creator = lt.create_torrent(files, 2 * BLOCK, getattr(lt.create_torrent, flag) if flag else 0)
        lt.set_piece_hashes(creator, str(folder))
        return bytes(lt.bencode(creator.generate()))


@pytest.mark.parametrize("format", FORMATS)
def test_libtorrent_follows_our_magnet_to_the_same_torrent(format: Format) -> None:
    metainfo = parse_metainfo(
        make("a & ö", {("a & ö",): b"x"}, BLOCK, format, trackers=[["http://t/?a=b&c"]]).data
    )
    wanted = lt.parse_magnet_uri(magnet_of(metainfo))
    hashes = wanted.info_hashes
    assert (hashes.v1.to_bytes() if hashes.has_v1() else None) == metainfo.info_hash_v1
    assert (hashes.v2.to_bytes() if hashes.has_v2() else None) == metainfo.info_hash_v2
    assert wanted.name == "a & ö"
    assert wanted.trackers == ["http://t/?a=b&c"]
