"""Payloads and torrents for tests: the same arguments give the same bytes.

A payload is a mapping from paths below the torrent's folder to contents, or bytes alone for a single file.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from shoal.formats import merkle
from shoal.formats.metainfo_build import FileTree, Format, arrange_files, build_metainfo
from shoal.units import KIB

Payload = Mapping[str, bytes] | bytes  # path with "/" -> bytes; or one file


def make_payload(size: int, seed: int = 0) -> bytes:
    """`size` bytes that no other seed gives, and that hold no piece twice."""
    return random.Random(seed).randbytes(size)


def build_torrent(
    payload: Payload,
    *,
    name: str = "payload",
    piece_length: int = 64 * KIB,
    format: Format = "v1",
    trackers: Sequence[Sequence[str]] = (),
    web_seeds: Sequence[str] = (),
    private: bool = False,
) -> bytes:
    """The bytes of the `.torrent`."""
    contents = _by_path({name: payload} if isinstance(payload, bytes) else payload)
    sizes = [(path, len(data)) for path, data in contents.items()]
    by_raw_path = {tuple(element.encode() for element in path): data for path, data in contents.items()}
    run = b"".join(
        bytes(entry.size) if entry.is_padding else by_raw_path[entry.path]
        for entry in arrange_files(sizes, piece_length, format)
    )
    return build_metainfo(
        name,
        sizes,
        piece_length,
        format=format,
        is_single_file=isinstance(payload, bytes),
        piece_hashes=b"" if format == "v2" else _piece_hashes(run, piece_length),
        file_trees=None if format == "v1" else _file_trees(contents, piece_length),
        trackers=trackers,
        web_seeds=web_seeds,
        private=private,
    )


def write_payload(folder: Path, payload: Payload, *, name: str = "payload") -> Path:
    """Lay the payload out below `folder` as a finished download of it would be; return its file or folder."""
    root = folder / name
    if isinstance(payload, bytes):
        root.write_bytes(payload)
        return root
    for path, data in payload.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return root


def _by_path(payload: Mapping[str, bytes]) -> dict[tuple[str, ...], bytes]:
    return {tuple(path.split("/")): data for path, data in payload.items()}


def _piece_hashes(run: bytes, piece_length: int) -> bytes:
    return b"".join(
        hashlib.sha1(run[start : start + piece_length]).digest() for start in range(0, len(run), piece_length)
    )


def _file_trees(
    contents: Mapping[tuple[str, ...], bytes], piece_length: int
) -> dict[tuple[str, ...], FileTree]:
    return {path: _file_tree(data, piece_length) for path, data in contents.items() if data}


def _file_tree(data: bytes, piece_length: int) -> FileTree:
    if len(data) <= piece_length:
        return FileTree(merkle.file_root(data))
    layer = b"".join(
        merkle.piece_hash(data[start : start + piece_length], piece_length)
        for start in range(0, len(data), piece_length)
    )
    return FileTree(merkle.layer_root(layer, piece_length), layer)
