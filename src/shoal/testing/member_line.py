"""One connection of a member that is not the product: handshakes, the peer wire and the messages of the group.

It understands with the product's own codecs and decides nothing. Use `open`, then iterate over `messages`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

from shoal.errors import PeerError
from shoal.formats.bitfield import all_bits
from shoal.protocol.group.meeting import parse_meeting
from shoal.protocol.group.messages import MEETING, POOL, MeetingMessage, PoolMessage
from shoal.protocol.group.pool import parse_pool
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.connection import OnBlock, PeerConnection
from shoal.protocol.peer.extended import (
    ExtendedHandshake,
    encode_extended_handshake,
    parse_extended_handshake,
)
from shoal.protocol.peer.handshake import Handshake, encode_handshake

NUMBERS = {MEETING: 1, POOL: 2}  # under which we want to receive them
PEER_ID = b"-XM0001-hostile-memb"
READ_SIZE = 65_536

Heard: TypeAlias = m.Message | MeetingMessage | PoolMessage


class MemberLine:
    """`info_hash` is None where the other side dialled: it says which swarm it means."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        info_hash: bytes | None,
        on_block: OnBlock,
    ) -> None:
        self.writer = writer
        self.info_hash = info_hash or b""
        self.heard: list[Heard] = []  # messages of the group
        self.has = 0  # pieces of the other side, as bits
        self.hello = ExtendedHandshake()
        self.is_open = False  # both said hello
        self.is_serving_us = False
        self.end = ""  # why it is over; empty while it is not
        self._reader = reader
        self._is_dialling = info_hash is not None
        self._connection = PeerConnection(on_block)
        self._piece_count = 0
        self._waiting: deque[m.Message] = deque()

    async def open(self, piece_count_of: Callable[[bytes], int], listen_port: int) -> None:
        """Say hello and wait until the other side has; nothing else is said. Raises `PeerError`, `FormatError`."""
        if self._is_dialling:
            self._introduce()
        while self._connection.handshake is None:
            self._connection.receive_data(await self._read())
        if not self._is_dialling:
            self.info_hash = self._connection.handshake.info_hash
            self._introduce()
        if self._connection.handshake.info_hash != self.info_hash:
            raise PeerError("another info hash in the answer")
        self._piece_count = piece_count_of(self.info_hash)
        self._waiting.extend(self._connection.open(self._piece_count))
        hello = ExtendedHandshake(NUMBERS, "Hostile Member", listen_port)
        self.send(m.Extended(0, encode_extended_handshake(hello)))
        while not any(isinstance(one, m.Extended) and one.number == 0 for one in self._waiting):
            self._waiting.extend(self._connection.receive_data(await self._read()))
        for message in [one for one in self._waiting if isinstance(one, m.Extended) and one.number == 0]:
            self.hello = parse_extended_handshake(message.payload)
        self.is_open = True

    async def messages(self) -> AsyncIterator[Heard]:
        """Until the other side hangs up. Raises `PeerError`, `FormatError`, `OSError`."""
        while True:
            while self._waiting:
                message = self._understood(self._waiting.popleft())
                if message is not None:
                    yield message
            data = await self._reader.read(READ_SIZE)
            if not data:
                return
            self._waiting.extend(self._connection.receive_data(memoryview(data)))

    def send(self, message: m.Message) -> None:
        self.writer.write(m.encode_message(message))

    def say(self, name: str, payload: bytes) -> None:
        """An extended message, if the other side wants to hear those of that name."""
        number = self.hello.message_id(name)
        if number is not None:
            self.send(m.Extended(number, payload))

    def send_block(self, piece: int, begin: int, data: bytes) -> None:
        self.writer.write(m.encode_block_head(piece, begin, len(data)) + data)

    def _introduce(self) -> None:
        self.writer.write(encode_handshake(Handshake(self.info_hash, PEER_ID)))

    async def _read(self) -> memoryview:
        data = await self._reader.read(READ_SIZE)
        if not data:
            raise PeerError("the other side hung up before it had said hello")
        return memoryview(data)

    def _understood(self, message: m.Message) -> Heard | None:
        match message:
            case m.Extended(0):
                return None  # read when the line was opened
            case m.Extended(number, payload):
                parse = parse_meeting if number == NUMBERS[MEETING] else parse_pool
                heard = parse(payload)
                if heard is not None:
                    self.heard.append(heard)
                return heard
            case m.Have(piece):
                self.has |= 1 << piece
            case m.Bitfield(bits):
                self.has = bits
            case m.HaveAll():
                self.has = all_bits(self._piece_count)
        return message
