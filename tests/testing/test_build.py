"""Builders: what they make is what the product reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.formats.metainfo import is_piece_good, parse_metainfo
from shoal.formats.metainfo_build import Format
from shoal.testing.build import Payload, build_torrent, make_payload, write_payload
from shoal.units import KIB

FOLDER = {"a/one.bin": make_payload(100_000, 1), "b.bin": make_payload(5, 2), "empty": b""}


def test_the_same_seed_gives_the_same_payload() -> None:
    assert make_payload(1000, 1) == make_payload(1000, 1)
    assert make_payload(1000, 1) != make_payload(1000, 2)
    assert len(make_payload(12_345)) == 12_345


@pytest.mark.parametrize("format", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("payload", [make_payload(200_000), make_payload(10), FOLDER])
def test_every_piece_of_what_is_built_is_good(payload: Payload, format: Format, tmp_path: Path) -> None:
    metainfo = parse_metainfo(build_torrent(payload, piece_length=32 * KIB, format=format, name="shared"))
    write_payload(tmp_path, payload, name="shared")
    run = b"".join(
        bytes(file.size) if file.is_padding else tmp_path.joinpath(*metainfo.disk_path(number)).read_bytes()
        for number, file in enumerate(metainfo.files)
    )
    layout = metainfo.layout
    assert len(run) == layout.total_size
    for piece in range(layout.piece_count):
        start = layout.piece_offset(piece)
        data = run[start : start + layout.piece_size(piece)]
        assert is_piece_good(metainfo, piece, data)
        assert not is_piece_good(metainfo, piece, bytes([data[0] ^ 1]) + data[1:])


def test_trackers_web_seeds_and_privacy_are_carried() -> None:
    metainfo = parse_metainfo(
        build_torrent(
            b"x", trackers=[["http://t.example/announce"]], web_seeds=["http://w.example/f"], private=True
        )
    )
    assert metainfo.trackers == (("http://t.example/announce",),)
    assert metainfo.web_seeds == ("http://w.example/f",)
    assert metainfo.is_private
    assert metainfo.is_single_file
