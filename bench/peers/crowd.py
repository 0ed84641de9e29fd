"""Many plain peers in one process, all connected to one address: a load for memory and bookkeeping.

    crowd.py seeds ADDR TORRENT PAYLOAD COUNT      serve whatever is asked, until the other side leaves
    crowd.py leechers ADDR TORRENT PAYLOAD COUNT   ask for random blocks, `PIPELINE` at a time

It prints "connected" once all have shaken hands, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import sys
from functools import partial
from pathlib import Path

from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.testing.raw_wire import (
    BLOCK_LENGTH,
    HANDSHAKE_LENGTH,
    MessageId,
    encode_block,
    encode_handshake,
    encode_message,
    encode_request,
)

PIPELINE = 250  # requests under way for each leecher: what fast clients keep


class Crowd:
    def __init__(self, verb: str, metainfo: Metainfo, payload: Path, count: int) -> None:
        self.is_seeding = verb == "seeds"
        self.metainfo = metainfo
        self.count = count
        self.rng = random.Random(count)  # the same blocks in every run
        self.all_greeted = asyncio.Event()
        self._file = os.open(payload, os.O_RDONLY)
        self._greeted = 0

    def on_greeted(self) -> None:
        self._greeted += 1
        if self._greeted == self.count:
            self.all_greeted.set()

    def block(self, piece: int, begin: int, length: int) -> bytes:
        return os.pread(self._file, length, self.metainfo.layout.piece_offset(piece) + begin)

    def random_request(self) -> bytes:
        layout = self.metainfo.layout
        piece = self.rng.randrange(layout.piece_count)
        block = self.rng.randrange(layout.block_count(piece))
        return encode_request(piece, block * BLOCK_LENGTH, layout.block_size(piece, block))


class Member(asyncio.Protocol):
    """One connection of the crowd."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._peer_id = b"-XS0001-crowd%07d" % number
        self._received = bytearray()
        self._is_greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        hash_ = self._crowd.metainfo.wire_hash
        transport.write(encode_handshake(hash_, self._peer_id, fast=True, extension=False))
        if self._crowd.is_seeding:
            transport.write(encode_message(MessageId.HAVE_ALL) + encode_message(MessageId.UNCHOKE))
        else:
            transport.write(encode_message(MessageId.HAVE_NONE) + encode_message(MessageId.INTERESTED))

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        position = 0
        if not self._is_greeted:
            if len(received) < HANDSHAKE_LENGTH:
                return
            position = HANDSHAKE_LENGTH
            self._is_greeted = True
            self._crowd.on_greeted()
        answers: list[bytes] = []
        while len(received) - position >= 4:
            length = int.from_bytes(received[position : position + 4], "big")
            if len(received) - position < 4 + length:
                break
            if length:
                answers += self._answers(
                    received[position + 4], received[position + 5 : position + 4 + length]
                )
            position += 4 + length
        del received[:position]
        self._transport.writelines(answers)

    def _answers(self, message_id: int, body: bytearray) -> list[bytes]:
        if message_id == MessageId.REQUEST and self._crowd.is_seeding:
            piece, begin, length = struct.unpack(">III", body)
            return [encode_block(piece, begin, self._crowd.block(piece, begin, length))]
        if message_id == MessageId.UNCHOKE and not self._crowd.is_seeding:
            return [self._crowd.random_request() for _ in range(PIPELINE)]
        if message_id == MessageId.PIECE:
            return [self._crowd.random_request()]
        return []


async def connect(crowd: Crowd, address: str) -> None:
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    for number in range(crowd.count):
        await loop.create_connection(partial(Member, crowd, number), host, int(port))
    await crowd.all_greeted.wait()
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main(verb: str, address: str, torrent: str, payload: str, count: str) -> None:
    metainfo = parse_metainfo(Path(torrent).read_bytes())
    asyncio.run(connect(Crowd(verb, metainfo, Path(payload), int(count)), address))


if __name__ == "__main__":
    main(*sys.argv[1:])
