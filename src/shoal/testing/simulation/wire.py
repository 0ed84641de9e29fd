"""The product's own codecs, as hosts use them: messages out of an outbox to bytes, and bytes to messages.

A `have` goes to every neighbour: a lone one is written once and read once for each piece, and the result is used for
all of them. That is sound because a whole `have` says the same on every connection of one torrent: it needs no
extension, and a connection keeps nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from shoal.protocol.peer import messages as m
from shoal.protocol.peer.connection import PeerConnection
from shoal.protocol.peer.handshake import Handshake, encode_handshake

HAVE_LENGTH = 9  # bytes on the wire
INFO_HASH = bytes(range(20))


class Wire:
    """The language of one torrent."""

    def __init__(self, piece_count: int) -> None:
        self._piece_count = piece_count
        self._written: dict[int, bytes] = {}  # piece -> its `have`
        self._read: dict[bytes, list[m.Message]] = {}  # and back

    def open_connection(self, *, has_fast: bool) -> PeerConnection:
        """One that has shaken hands."""
        connection = PeerConnection(_no_block)
        connection.receive_data(
            memoryview(encode_handshake(Handshake(INFO_HASH, bytes(20), has_fast, False)))
        )
        connection.open(self._piece_count)
        return connection

    def write(self, outbox: Sequence[m.Message]) -> bytes:
        if len(outbox) > 1:
            return b"".join([m.encode_message(message) for message in outbox])
        message = outbox[0]
        if type(message) is not m.Have:
            return m.encode_message(message)
        data = self._written.get(message.piece)
        if data is None:
            data = self._written[message.piece] = m.encode_message(message)
        return data

    def read(self, connection: PeerConnection, data: bytes) -> list[m.Message]:
        """Raises `PeerError` for what nobody may say."""
        messages = self._read.get(data)
        if messages is None:
            messages = connection.receive_data(memoryview(data))
            if len(data) == HAVE_LENGTH and data[4] == m.HAVE:
                self._read[data] = messages
        return messages


def _no_block(piece: int, begin: int, view: memoryview) -> None:
    raise AssertionError(f"block {begin} of piece {piece} came as bytes; blocks travel as lengths here")
