"""The pieces that a peer may ask for while it is choked (BEP 6).

Both sides can compute the set from the peer's address, so a peer gains nothing by connecting again. The
address counts only by its first three bytes, so a neighbour of it gains nothing either.
"""

from __future__ import annotations

import hashlib
import ipaddress
import struct

ALLOWED_FAST_COUNT = 10  # enough to begin tit for tat with, too few to live on

_NETWORK_MASK = 0xFFFFFF00
_NUMBERS = struct.Struct("!5I")


def allowed_fast_set(
    ip: str, info_hash: bytes, piece_count: int, count: int = ALLOWED_FAST_COUNT
) -> list[int]:
    """The allowed fast pieces of the peer at `ip`, in the order in which BEP 6 finds them.

    BEP 6 defines none for IPv6, so that is an empty list; of a small torrent it is every piece.
    """
    address = ipaddress.ip_address(ip)
    if not isinstance(address, ipaddress.IPv4Address):
        return []
    wanted_count = min(count, piece_count)
    chosen: dict[int, None] = {}  # in order
    digest = (int(address) & _NETWORK_MASK).to_bytes(4, "big") + info_hash
    while len(chosen) < wanted_count:
        digest = hashlib.sha1(digest).digest()
        for number in _NUMBERS.unpack(digest):
            if len(chosen) < wanted_count:
                chosen[number % piece_count] = None
    return list(chosen)
