"""The SHA-256 hash trees of v2 torrents (BEP 52).

Each file has its own tree, with two children a node, over its 16 KiB blocks. Level 0 is the blocks' hashes;
the level whose nodes cover one piece each is the *piece layer*; the top is the *pieces root*. A level is
one run of bytes, 32 a hash. Where the file ends before the tree does, the missing blocks count as 32 zero
bytes, and whole missing subtrees as what follows from that (`pad_hash`).
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from shoal.formats.layout import BLOCK_LENGTH

HASH_LENGTH = 32


@cache
def pad_hash(level: int) -> bytes:
    """The hash at `level` of a subtree without any block."""
    if level == 0:
        return bytes(HASH_LENGTH)
    below = pad_hash(level - 1)
    return sha256(below + below).digest()


def hash_blocks(data: bytes | bytearray | memoryview) -> bytes:
    """Level 0 over `data`, whose last block may be short."""
    view = memoryview(data)
    return b"".join(
        sha256(view[begin : begin + BLOCK_LENGTH]).digest() for begin in range(0, len(view), BLOCK_LENGTH)
    )


def reduce_level(hashes: bytes, level: int, top: int) -> bytes:
    """What the hashes at `level` give at the level `top` above it, padded where the count is odd."""
    for height in range(level, top):
        if len(hashes) % (2 * HASH_LENGTH):
            hashes += pad_hash(height)
        hashes = b"".join(
            sha256(hashes[pair : pair + 2 * HASH_LENGTH]).digest()
            for pair in range(0, len(hashes), 2 * HASH_LENGTH)
        )
    return hashes


def levels_above(node_count: int) -> int:
    """How many levels the root lies above a level of `node_count` nodes."""
    return (node_count - 1).bit_length()


def piece_level(piece_length: int) -> int:
    """The level whose nodes cover `piece_length`, a power of two, each."""
    return levels_above(piece_length // BLOCK_LENGTH)


def piece_hash(data: bytes | bytearray | memoryview, piece_length: int) -> bytes:
    """A piece's node in the piece layer. `data` ends with the file; it holds at least one byte.

    For files longer than a piece. One that is no longer has no piece layer, but `file_root`.
    """
    return reduce_level(hash_blocks(data), 0, piece_level(piece_length))


def file_root(data: bytes | bytearray | memoryview) -> bytes:
    """The pieces root of a file that is all there and no longer than a piece."""
    hashes = hash_blocks(data)
    return reduce_level(hashes, 0, levels_above(len(hashes) // HASH_LENGTH))


def layer_root(layer: bytes, piece_length: int) -> bytes:
    """The pieces root above a piece layer."""
    level = piece_level(piece_length)
    return reduce_level(layer, level, level + levels_above(len(layer) // HASH_LENGTH))
