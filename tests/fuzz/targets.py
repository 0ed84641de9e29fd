"""What can be fuzzed: a function of any bytes, for each decoder of bytes from outside.

A target returns when the bytes gave a value or the decoder's own error, and raises for everything else: that
is a find. What was accepted must also come back the same when it is encoded, where the form has one spelling.
"""

from __future__ import annotations

from collections.abc import Callable

from shoal.formats.bencode import BencodeError, decode, encode
from shoal.formats.magnet import MagnetError, encode_magnet, parse_magnet
from shoal.formats.metainfo import MetainfoError, is_piece_good, parse_metainfo


def fuzz_bencode(data: bytes) -> None:
    try:
        value = decode(data)
    except BencodeError as error:
        assert 0 <= error.position <= len(data)
        return
    assert encode(value) == data


def fuzz_metainfo(data: bytes) -> None:
    try:
        metainfo = parse_metainfo(data, source="fuzz")
    except MetainfoError as error:
        assert str(error).startswith("fuzz: ") and "\n" not in str(error)
        return
    layout = metainfo.layout
    assert metainfo.info_bytes in data
    assert 0 < metainfo.payload_size <= layout.total_size
    assert len(metainfo.wire_hash) == 20
    for file_index in range(min(len(metainfo.files), 20)):
        assert all(element not in ("", ".", "..") for element in metainfo.disk_path(file_index))
    last = layout.piece_count - 1
    if layout.piece_size(last) <= 1 << 20:
        is_piece_good(metainfo, last, bytes(layout.piece_size(last)))


def fuzz_magnet(data: bytes) -> None:
    try:
        magnet = parse_magnet(data.decode("utf-8", "surrogateescape"))
    except MagnetError:
        return
    assert parse_magnet(encode_magnet(magnet)) == magnet


TARGETS: dict[str, Callable[[bytes], None]] = {
    "bencode": fuzz_bencode,
    "magnet": fuzz_magnet,
    "metainfo": fuzz_metainfo,
}
