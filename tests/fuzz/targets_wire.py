"""What can be fuzzed of the peer wire. As in `targets.py`: anything but a value or the named error is a find.

An input of `wire` begins with four bytes that set the scene (two for the number of pieces, one for the extension, one
for the cuts); the rest is what a peer says after its handshake. The same bytes must mean the same whole and in parts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from shoal.errors import FormatError, PeerError
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.connection import MAX_FRAME_LENGTH, PeerConnection
from shoal.protocol.peer.extended import encode_extended_handshake, parse_extended_handshake
from shoal.protocol.peer.handshake import Handshake, encode_handshake

SCENE_LENGTH = 4
MOST_PIECES = 2000


@dataclass(slots=True)
class Heard:
    """What one connection made of the bytes, requests one by one."""

    messages: list[m.Message] = field(default_factory=list)
    blocks: list[tuple[int, int, bytes]] = field(default_factory=list)
    is_refused: bool = False


def fuzz_wire(data: bytes) -> None:
    scene, stream = data[:SCENE_LENGTH].ljust(SCENE_LENGTH, b"\0"), data[SCENE_LENGTH:]
    piece_count = 1 + int.from_bytes(scene[:2], "big") % MOST_PIECES
    has_fast = not scene[2] & 1
    whole = hear([stream], piece_count, has_fast)
    parts = hear(cut(stream, random.Random(scene[3])), piece_count, has_fast)
    assert parts.is_refused == whole.is_refused
    assert parts.blocks == whole.blocks
    assert whole.is_refused or parts.messages == whole.messages
    again = hear([b"".join(map(m.encode_message, whole.messages))], piece_count, has_fast)
    assert again.messages == whole.messages


def hear(parts: Iterable[bytes], piece_count: int, has_fast: bool) -> Heard:
    heard = Heard()
    connection = PeerConnection(lambda piece, begin, view: heard.blocks.append((piece, begin, bytes(view))))
    connection.receive_data(memoryview(encode_handshake(Handshake(bytes(20), bytes(20), has_fast=has_fast))))
    connection.open(piece_count)
    try:
        for part in parts:
            for message in connection.receive_data(memoryview(part)):
                if isinstance(message, m.Requests):
                    heard.messages += [m.Requests((item,)) for item in message.items]
                else:
                    heard.messages.append(message)
            assert len(connection._kept) < 4 + MAX_FRAME_LENGTH
    except PeerError as error:
        assert "\n" not in error.message
        heard.is_refused = True
    return heard


def cut(stream: bytes, rng: random.Random) -> list[bytes]:
    parts = []
    while stream:
        length = rng.choice((1, 2, 5, 13, 17, 100, 5000))
        parts.append(stream[:length])
        stream = stream[length:]
    return parts


def fuzz_extended(data: bytes) -> None:
    try:
        hello = parse_extended_handshake(data)
    except FormatError:
        return
    assert hello.client.isprintable()
    assert parse_extended_handshake(encode_extended_handshake(hello)) == hello


TARGETS: dict[str, Callable[[bytes], None]] = {
    "extended": fuzz_extended,
    "wire": fuzz_wire,
}
