"""What the record beside a part file says, read without the product's own code."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from shoal.formats.bitfield import iter_bits

PAGE = 4096
HAVE_AT = 64  # within a slot; two sets of bits, CRCs and a SHA-256 follow


def remembered(record: Path, piece_count: int) -> set[int]:
    """The pieces that whoever goes on from it believes to have."""
    packed = record.read_bytes() if record.exists() else b""
    have_length = -(-piece_count // 8)
    end = HAVE_AT + 2 * have_length + 4 * piece_count
    newest = 0, 0
    for slot in (packed[PAGE : 2 * PAGE], packed[2 * PAGE :]):
        if slot[end : end + 32] == hashlib.sha256(slot[:end]).digest():
            have = int.from_bytes(slot[HAVE_AT : HAVE_AT + have_length], "little")
            newest = max(newest, (struct.unpack_from("<Q", slot, 40)[0], have))
    return set(iter_bits(newest[1]))
