"""The 68 bytes that open a peer connection (BEP 3), with the reserved bits we understand (BEP 6, 10)."""

from __future__ import annotations

from dataclasses import dataclass

from shoal.errors import PeerError

PROTOCOL_NAME = b"\x13BitTorrent protocol"
HANDSHAKE_LENGTH = 68

# Reserved bits, counted as (byte, mask) from the left, as the BEPs do.
_FAST = (7, 0x04)  # BEP 6
_EXTENDED = (5, 0x10)  # BEP 10


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a peer says first. `info_hash` and `peer_id` are 20 bytes each."""

    info_hash: bytes
    peer_id: bytes
    has_fast: bool = True
    has_extended: bool = True


def encode_handshake(handshake: Handshake) -> bytes:
    reserved = bytearray(8)
    for (position, mask), wanted in ((_FAST, handshake.has_fast), (_EXTENDED, handshake.has_extended)):
        if wanted:
            reserved[position] |= mask
    return PROTOCOL_NAME + reserved + handshake.info_hash + handshake.peer_id


def check_beginning(data: bytes | bytearray) -> None:
    """Refuse at the first byte that cannot belong to a handshake, so that strangers do not linger."""
    seen = bytes(data[: len(PROTOCOL_NAME)])
    if not PROTOCOL_NAME.startswith(seen):
        raise PeerError(f"not a BitTorrent handshake: it begins with {seen!r}")


def parse_handshake(data: bytes | bytearray | memoryview) -> Handshake:
    """`data` is exactly 68 bytes. Raises `PeerError` if they are something else."""
    data = bytes(data)
    if len(data) != HANDSHAKE_LENGTH:
        raise PeerError(f"a handshake has {HANDSHAKE_LENGTH} bytes, this has {len(data)}")
    check_beginning(data)
    reserved = data[20:28]
    return Handshake(
        info_hash=data[28:48],
        peer_id=data[48:68],
        has_fast=bool(reserved[_FAST[0]] & _FAST[1]),
        has_extended=bool(reserved[_EXTENDED[0]] & _EXTENDED[1]),
    )
