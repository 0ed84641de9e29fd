"""Whole torrents from contents, hashed the plain way: what the code under test is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Any

from shoal.formats.metainfo_build import FileTree, Format, arrange_files, build_metainfo

Contents = Mapping[tuple[str, ...], bytes]
BLOCK = 16384


def plain_root(leaves: list[bytes], width: int) -> bytes:
    """The root of a tree of `width` leaves (a power of two), zeros where there is none."""
    level = leaves + [bytes(32)] * (width - len(leaves))
    while len(level) > 1:
        level = [sha256(level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
    return level[0]


def plain_tree(content: bytes, piece_length: int) -> FileTree:
    """A file's hashes as BEP 52 tells them, without a thought for speed."""
    leaves = [sha256(content[i : i + BLOCK]).digest() for i in range(0, len(content), BLOCK)]
    root = plain_root(leaves, 1 << (len(leaves) - 1).bit_length())
    if len(content) <= piece_length:
        return FileTree(root)
    per_piece = piece_length // BLOCK
    layer = [plain_root(leaves[i : i + per_piece], per_piece) for i in range(0, len(leaves), per_piece)]
    return FileTree(root, b"".join(layer))


@dataclass(frozen=True, slots=True)
class Made:
    """A torrent's bytes, and the run of bytes that its pieces are cut from."""

    data: bytes
    run: bytes


def make(name: str, contents: Contents, piece_length: int, format: Format = "v1", **more: Any) -> Made:
    """A torrent of `contents`; of one file where that is all there is and bears the torrent's name."""
    files = [(path, len(content)) for path, content in contents.items()]
    named = {tuple(element.encode() for element in path): content for path, content in contents.items()}
    entries = arrange_files(files, piece_length, format)
    run = b"".join(bytes(entry.size) if entry.is_padding else named[entry.path] for entry in entries)
    pieces = [sha1(run[i : i + piece_length]).digest() for i in range(0, len(run), piece_length)]
    data = build_metainfo(
        name,
        files,
        piece_length,
        format=format,
        is_single_file=list(contents) == [(name,)],
        piece_hashes=b"" if format == "v2" else b"".join(pieces),
        file_trees={path: plain_tree(content, piece_length) for path, content in contents.items() if content},
        **more,
    )
    return Made(data, run)
