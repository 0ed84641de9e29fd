"""Small torrents for tests, made in a straight line from contents in memory.

Independent of `disk/hashing.py` and of the product's own builder on purpose, so that it can judge them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha1

from shoal.formats import bencode, merkle
from shoal.formats.metainfo import Metainfo, parse_metainfo

Contents = Mapping[str, bytes]  # path with "/" -> bytes


def make_torrent(
    contents: Contents, piece_length: int, *, name: str = "t", v1: bool = True, v2: bool = False
) -> Metainfo:
    """The metainfo of a folder with these files, in this order (for v2: give them sorted)."""
    info: dict[bytes, bencode.Value] = {b"name": name.encode(), b"piece length": piece_length}
    top: dict[bytes, bencode.Value] = {b"info": info}
    if v1:
        info[b"files"], run = _v1_files(contents, piece_length, aligned=v2)
        info[b"pieces"] = b"".join(
            sha1(run[begin : begin + piece_length]).digest() for begin in range(0, len(run), piece_length)
        )
    if v2:
        info[b"meta version"] = 2
        info[b"file tree"] = _file_tree(contents, piece_length)
        top[b"piece layers"] = _piece_layers(contents, piece_length)
    return parse_metainfo(bencode.encode(top))


def whole_run(metainfo: Metainfo, contents: Contents) -> bytes:
    """All bytes of the torrent, padding included, by torrent offset."""
    return b"".join(
        bytes(file.size) if file.is_padding else contents["/".join(file.path)] for file in metainfo.files
    )


def _v1_files(contents: Contents, piece_length: int, *, aligned: bool) -> tuple[bencode.Value, bytes]:
    files: list[bencode.Value] = []
    run = b""
    for path, data in contents.items():
        gap = -len(run) % piece_length
        if aligned and gap and data:
            files.append({b"attr": b"p", b"length": gap, b"path": [b".pad", b"%d" % gap]})
            run += bytes(gap)
        files.append({b"length": len(data), b"path": list(path.encode().split(b"/"))})
        run += data
    return files, run


def _file_tree(contents: Contents, piece_length: int) -> bencode.Value:
    tree: dict[bytes, bencode.Value] = {}
    for path, data in contents.items():
        folder = tree
        for element in path.encode().split(b"/"):
            below = folder.setdefault(element, {})
            assert isinstance(below, dict)
            folder = below
        folder[b""] = {b"length": len(data)} | ({b"pieces root": _root(data, piece_length)} if data else {})
    return tree


def _piece_layers(contents: Contents, piece_length: int) -> bencode.Value:
    longer = [data for data in contents.values() if len(data) > piece_length]
    return {_root(data, piece_length): _layer(data, piece_length) for data in longer}


def _root(data: bytes, piece_length: int) -> bytes:
    if len(data) <= piece_length:
        return merkle.file_root(data)
    return merkle.layer_root(_layer(data, piece_length), piece_length)


def _layer(data: bytes, piece_length: int) -> bytes:
    return b"".join(
        merkle.piece_hash(data[begin : begin + piece_length], piece_length)
        for begin in range(0, len(data), piece_length)
    )
