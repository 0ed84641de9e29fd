"""The messages of the peer wire as values, and their bytes (BEP 3, 6, 10).

Encoding has no state and no opinion; what may be said when is `connection.py`'s business. Blocks have no
value of their own: 65,536 of them go by for every GiB, so they travel as (header, view) pairs.
On the wire a request names a byte `begin` within a piece; only this floor says `begin`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from shoal.formats.bitfield import bits_to_wire

CHOKE: Final = 0
UNCHOKE: Final = 1
INTERESTED: Final = 2
NOT_INTERESTED: Final = 3
HAVE: Final = 4
BITFIELD: Final = 5
REQUEST: Final = 6
PIECE: Final = 7
CANCEL: Final = 8
PORT: Final = 9
SUGGEST: Final = 13
HAVE_ALL: Final = 14
HAVE_NONE: Final = 15
REJECT: Final = 16
ALLOWED_FAST: Final = 17
EXTENDED: Final = 20

KEEP_ALIVE: Final = bytes(4)

# One request as people and code pass it on: (piece, begin, length), all in bytes but the first.
Request = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Choke:
    """We (or they) answer no more requests until `Unchoke`."""


@dataclass(frozen=True, slots=True)
class Unchoke:
    """Requests will be answered."""


@dataclass(frozen=True, slots=True)
class Interested:
    """The other side has something we want."""


@dataclass(frozen=True, slots=True)
class NotInterested:
    """The other side has nothing we want."""


@dataclass(frozen=True, slots=True)
class Have:
    piece: int


@dataclass(frozen=True, slots=True)
class Bitfield:
    """All pieces of the sender, as a set (bit i is piece i)."""

    bits: int
    piece_count: int


@dataclass(frozen=True, slots=True)
class HaveAll:
    """BEP 6: a bitfield of ones."""


@dataclass(frozen=True, slots=True)
class HaveNone:
    """BEP 6: a bitfield of zeros."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Some requests that came (or go) together, in order."""

    items: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    piece: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class Reject:
    """BEP 6: this request will not be answered."""

    piece: int
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class Suggest:
    """BEP 6: ask for this piece, it suits the sender."""

    piece: int


@dataclass(frozen=True, slots=True)
class AllowedFast:
    """BEP 6: this piece may be asked for while choked."""

    piece: int


@dataclass(frozen=True, slots=True)
class Port:
    """BEP 5: the sender's DHT port."""

    port: int


@dataclass(frozen=True, slots=True)
class Extended:
    """BEP 10: number 0 is the extended handshake; the others are numbers the receiver handed out."""

    number: int
    payload: bytes


Message = (
    Choke | Unchoke | Interested | NotInterested | Have | Bitfield | HaveAll | HaveNone
    | Requests | Cancel | Reject | Suggest | AllowedFast | Port | Extended
)  # fmt: skip

_LENGTH_KIND = struct.Struct(">IB")
_ONE_NUMBER = struct.Struct(">IBI")
_THREE_NUMBERS = struct.Struct(">IBIII")
_BLOCK_HEAD = struct.Struct(">IBII")
_PORT = struct.Struct(">IBH")
_EXTENDED = struct.Struct(">IBB")

_BARE = {
    Choke: CHOKE, Unchoke: UNCHOKE, Interested: INTERESTED, NotInterested: NOT_INTERESTED,
    HaveAll: HAVE_ALL, HaveNone: HAVE_NONE,
}  # fmt: skip

pack_block_head = _BLOCK_HEAD.pack
BLOCK_HEAD_LENGTH: Final = _BLOCK_HEAD.size


def encode_block_head(piece: int, begin: int, length: int) -> bytes:
    """The 13 bytes that stand before `length` bytes of a block."""
    return pack_block_head(9 + length, PIECE, piece, begin)


def encode_message(message: Message) -> bytes:
    """One message (or one batch of requests) as the bytes of the wire."""
    match message:
        case Requests(items):
            pack = _THREE_NUMBERS.pack
            return b"".join([pack(13, REQUEST, *item) for item in items])
        case Have(piece):
            return _ONE_NUMBER.pack(5, HAVE, piece)
        case Bitfield(bits, piece_count):
            wire = bits_to_wire(bits, piece_count)
            return _LENGTH_KIND.pack(1 + len(wire), BITFIELD) + wire
        case Cancel(piece, begin, length):
            return _THREE_NUMBERS.pack(13, CANCEL, piece, begin, length)
        case Reject(piece, begin, length):
            return _THREE_NUMBERS.pack(13, REJECT, piece, begin, length)
        case Suggest(piece):
            return _ONE_NUMBER.pack(5, SUGGEST, piece)
        case AllowedFast(piece):
            return _ONE_NUMBER.pack(5, ALLOWED_FAST, piece)
        case Port(port):
            return _PORT.pack(3, PORT, port)
        case Extended(number, payload):
            return _EXTENDED.pack(2 + len(payload), EXTENDED, number) + payload
        case _:
            return _LENGTH_KIND.pack(1, _BARE[type(message)])
