"""What a bad member says: payloads that do not parse, and far too many that do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from shoal.formats import bencode
from shoal.protocol.group.meeting import encode_meeting
from shoal.protocol.group.messages import Accuse, Claims, PieceRecord, Presence, Records
from shoal.protocol.group.pool import encode_pool

_HASH, _KEY = bytes(20), bytes(32)

MALFORMED_IN_MEETING = (
    b"",
    b"garbage",
    b"l" * 5_000,
    bencode.encode({"kind": "presence", "is_helper": 1, "pools": [_HASH] * 257, "origins": {}}),
    bencode.encode({"kind": "ask_help", "info_hash": _HASH, "url": "http://x/\r\nHost: y", "length": 1}),
    bencode.encode({"kind": "helping", "info_hash": _HASH[:19]}),
    bencode.encode({"kind": "pause", "origin": bytes(16), "seconds": -1}),
)
MALFORMED_IN_POOL = (
    b"",
    b"garbage",
    b"r" + bytes(131),
    b"r" + bytes(132 * 1_001),
    bencode.encode({"kind": "claims", "runs": [[0, 1]] * 65, "rate": 1}),
    bencode.encode({"kind": "claims", "runs": [[2**32 - 1, 2]], "rate": 1}),
    bencode.encode({"kind": "accuse", "author": _KEY, "piece": -1, "begin": 0}),
)


def flood_of_presence(count: int) -> list[bytes]:
    """It changes its mind about being a helper, and is in other pools each time."""
    return [
        encode_meeting(Presence(number % 2 == 0, (number.to_bytes(20, "big"),))) for number in range(count)
    ]


def flood_of_claims(count: int, piece_count: int) -> list[bytes]:
    """Each takes another piece and gives back the one before."""
    return [encode_pool(Claims(((number % piece_count, 1),), 1_000_000)) for number in range(count)]


def flood_of_accusations(authors: Iterable[bytes], piece_count: int) -> list[bytes]:
    """The first block of every piece is false, whoever brought it."""
    return [encode_pool(Accuse(author, piece, 0)) for author in authors for piece in range(piece_count)]


def invented_records(count: int, first_piece: int) -> list[bytes]:
    """Of pieces from `first_piece` on, by authors that do not exist, with signatures of nobody."""
    invented = [hashlib.sha256(b"invented %d" % number).digest() for number in range(count)]
    return [
        encode_pool(Records((PieceRecord(first_piece + number, author, author, author * 2),)))
        for number, author in enumerate(invented)
    ]
