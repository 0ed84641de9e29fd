"""Records <-> bytes: `r`, then 132 bytes each (piece, author, SHA-256, signature), no length and no end mark.

Packed because there is one for each piece, told to each neighbour. A bencoded dict begins with `d`, so the first byte
tells the two forms apart.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Final

from shoal.errors import FormatError
from shoal.protocol.group.messages import MAX_RECORDS, PieceRecord, Records

RECORDS_MARK: Final = b"r"
_RECORD: Final = struct.Struct(">I32s32s64s")
RECORD_LENGTH: Final = _RECORD.size


def encode_records(message: Records) -> bytes:
    """`split_records` makes messages that are short enough."""
    if len(message.records) > MAX_RECORDS:
        raise ValueError(f"{len(message.records)} records in one message, more than {MAX_RECORDS}")
    packed = (_RECORD.pack(one.piece, one.author, one.digest, one.signature) for one in message.records)
    return RECORDS_MARK + b"".join(packed)


def parse_records(payload: bytes | memoryview) -> Records:
    """A payload that begins with the mark. Raises `FormatError`."""
    packed = memoryview(payload)[len(RECORDS_MARK) :]
    count, rest = divmod(len(packed), RECORD_LENGTH)
    if rest:
        raise FormatError(f"records: byte {1 + count * RECORD_LENGTH}: {rest} bytes where a record has 132")
    if count > MAX_RECORDS:
        raise FormatError(f"records: {count} of them, more than {MAX_RECORDS}")
    return Records(tuple(starmap(PieceRecord, _RECORD.iter_unpack(packed))))


def split_records(records: Sequence[PieceRecord]) -> Iterator[Records]:
    """The fewest messages that say them all, in order."""
    for start in range(0, len(records), MAX_RECORDS):
        yield Records(tuple(records[start : start + MAX_RECORDS]))
