"""Compact peers: addresses packed as BEP 23 (IPv4, 6 bytes each) and BEP 7 (IPv6, 18 bytes each) say.

A peer is `(address, port)` with the address in its usual text form. Whether an address makes sense to dial
(port 0, multicast, our own) is not decided here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton  # text forms only; nothing is opened here

from shoal.errors import FormatError

Address = tuple[str, int]

_V4 = struct.Struct("!4sH")
_V6 = struct.Struct("!16sH")


def parse_compact_v4(data: bytes | bytearray | memoryview) -> list[Address]:
    """Peers of 6 bytes each, in their order. Refuses a length that is not a multiple of 6."""
    return _parse(data, _V4, AF_INET)


def parse_compact_v6(data: bytes | bytearray | memoryview) -> list[Address]:
    """Peers of 18 bytes each, in their order. Refuses a length that is not a multiple of 18."""
    return _parse(data, _V6, AF_INET6)


def encode_compact_v4(peers: Iterable[Address]) -> bytes:
    return b"".join(_V4.pack(inet_pton(AF_INET, host), port) for host, port in peers)


def encode_compact_v6(peers: Iterable[Address]) -> bytes:
    return b"".join(_V6.pack(inet_pton(AF_INET6, host), port) for host, port in peers)


def _parse(data: bytes | bytearray | memoryview, form: struct.Struct, family: int) -> list[Address]:
    if len(data) % form.size:
        raise FormatError(f"compact peers of {len(data)} bytes, which is no multiple of {form.size}")
    return [(inet_ntop(family, packed), port) for packed, port in form.iter_unpack(data)]
