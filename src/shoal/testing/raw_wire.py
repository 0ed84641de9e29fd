"""The peer wire spelled out once more, for tests: right messages, and wrong ones.

It shares no code with the product on purpose: a mistake in our codecs cannot cancel itself out here.
Sources: BEP 3, BEP 6, BEP 10.
"""

from __future__ import annotations

import enum
import random
import struct
from collections.abc import Iterable

BLOCK_LENGTH = 16_384
HANDSHAKE_LENGTH = 68
KEEP_ALIVE = -1  # our name for a message without an id


class MessageId(enum.IntEnum):
    CHOKE = 0
    UNCHOKE = 1
    INTERESTED = 2
    NOT_INTERESTED = 3
    HAVE = 4
    BITFIELD = 5
    REQUEST = 6
    PIECE = 7
    CANCEL = 8
    PORT = 9
    SUGGEST = 13
    HAVE_ALL = 14
    HAVE_NONE = 15
    REJECT = 16
    ALLOWED_FAST = 17
    EXTENDED = 20


def encode_message(message_id: int, payload: bytes = b"") -> bytes:
    return struct.pack(">IB", 1 + len(payload), message_id) + payload


def encode_bitfield(pieces: Iterable[int], piece_count: int) -> bytes:
    bits = bytearray(-(-piece_count // 8))
    for piece in pieces:
        bits[piece // 8] |= 0x80 >> piece % 8
    return encode_message(MessageId.BITFIELD, bytes(bits))


def encode_request(piece: int, begin: int, length: int = BLOCK_LENGTH) -> bytes:
    return encode_message(MessageId.REQUEST, struct.pack(">III", piece, begin, length))


def encode_block(piece: int, begin: int, data: bytes) -> bytes:
    return encode_message(MessageId.PIECE, struct.pack(">II", piece, begin) + data)


def encode_handshake(info_hash: bytes, peer_id: bytes, *, fast: bool, extension: bool) -> bytes:
    reserved = bytearray(8)
    reserved[5] |= 0x10 if extension else 0
    reserved[7] |= 0x04 if fast else 0
    return b"\x13BitTorrent protocol" + bytes(reserved) + info_hash + peer_id


# ---- things a bad peer sends

OVERSIZE_LENGTH = struct.pack(">IB", 0xFFFF_FFFF, MessageId.PIECE)


def garbage(seed: int, length: int = 4096) -> bytes:
    return random.Random(seed).randbytes(length)


def requests_out_of_range(piece_count: int, piece_length: int) -> bytes:
    """A piece past the end, an offset past the piece, a length past the piece, and one of 2 GiB."""
    return (
        encode_request(piece_count, 0)
        + encode_request(0, piece_length)
        + encode_request(0, piece_length - 1, BLOCK_LENGTH)
        + encode_request(0, 0, 0x8000_0000)
    )


def request_flood(count: int) -> bytes:
    """The same block over and over."""
    return encode_request(0, 0) * count
