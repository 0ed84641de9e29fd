"""A member of a group that helps with one file, well or as badly as its script says, and keeps a record.

It listens, dials, stands in the meeting and comes to the pool that it is asked into. There it claims runs of pieces,
"fetches" them (its origin is the payload it was made with), signs them, tells of them and serves them. To deliver
another version of the file, give it another payload of the same length. What it can say at once, such as floods and
nonsense, is in `group_floods.py`.

    async with HostileMember(meeting_hash, payload, piece_length, key, script) as member:
        await member.dial(host, port, meeting_hash)
        await member.wait_until(lambda: member.served)

Without TLS contexts it speaks plainly. The peer wire and the codec of the group are the product's own.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from shoal.errors import ShoalError
from shoal.formats.bitfield import all_bits, iter_bits, lowest_bit, run_mask, without
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.group.meeting import encode_meeting
from shoal.protocol.group.messages import (
    MEETING,
    POOL,
    AskHelp,
    Claims,
    Helping,
    Kept,
    MeetingMessage,
    PieceRecord,
    PoolMessage,
    Presence,
    Records,
)
from shoal.protocol.group.pool import encode_pool
from shoal.protocol.group.records import split_records
from shoal.protocol.peer import messages as m
from shoal.testing.member_line import Heard, MemberLine

RUN = 4  # pieces a claim
RECONSIDERING = 0.05  # seconds between looks for something unclaimed
TURNED_OVER = bytes(range(255, -1, -1))
PATIENCE = 50.0  # seconds of `wait_until`, for a busy machine

Kind = TypeVar("Kind", bound=MeetingMessage | PoolMessage)


class Signer(Protocol):
    """A member's lasting key."""

    @property
    def public(self) -> bytes: ...

    def sign(self, info_hash: bytes, piece: int, digest: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class MemberScript:
    """What it does differently from a good helper."""

    cached_pieces: frozenset[int] = frozenset()  # it has them from the beginning
    false_pieces: frozenset[int] = frozenset()  # it signs and serves bytes that the origin never sent
    broken_pieces: frozenset[int] = frozenset()  # it signs the right bytes and serves others
    has_wrong_signatures: bool = False
    signs: bool = True  # False: it tells of pieces and of no records
    claims: bool = True  # False: it brings nothing
    claims_everything: bool = False
    brings: bool = True  # False: it claims and never has anything
    bring_rate: float = 0.0  # bytes a second from its origin; 0: at once
    serve_rate: float = 0.0  # bytes a second to each neighbour; 0: at once
    unchokes: bool = True  # False: nobody may ask it for anything
    told_rate: int = 1_000_000  # bytes a second that it says it brings
    freezes_after: int | None = None  # pieces brought; then nothing is read or said, and connections stay
    dies_after: int | None = None  # pieces brought; then all connections are cut
    is_helper: bool = True  # so it says
    says_in_meeting: Sequence[bytes] = ()  # payloads said at once to everybody it meets there ...
    says_in_pool: Sequence[bytes] = ()  # ... and in the pool
    downloads: bool = False  # it asks its neighbours for all that they have


class HostileMember:
    def __init__(
        self,
        meeting_hash: bytes,
        payload: bytes,
        piece_length: int,
        key: Signer,
        script: MemberScript | None = None,
        *,
        dialling: ssl.SSLContext | None = None,
        answering: ssl.SSLContext | None = None,
    ) -> None:
        self.key = key
        self.script = script or MemberScript()
        self.layout = Layout(piece_length, [len(payload)])
        self.have = sum(1 << piece for piece in self.script.cached_pieces)
        self.lines: list[MemberLine] = []
        self.brought = 0  # pieces
        self.served: Counter[int] = Counter()  # piece -> blocks that went out
        self.received: dict[tuple[int, int], bytes] = {}  # (piece, begin) -> block
        self.is_frozen = False
        self.port = 0
        self._meeting_hash = meeting_hash
        self._payload = payload
        self._dialling, self._answering = dialling, answering
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_bringing = False
        self._asked: set[tuple[int, int]] = set()
        self._changed = asyncio.Event()

    # ---- for the test

    async def __aenter__(self) -> HostileMember:
        self._server = await asyncio.start_server(self._on_dialled, "127.0.0.1", 0, ssl=self._answering)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def dial(self, host: str, port: int, info_hash: bytes) -> MemberLine:
        """Join a swarm by this neighbour: the meeting, or a pool."""
        name = f"{info_hash.hex()}.shoal" if self._dialling else None
        streams = await asyncio.open_connection(host, port, ssl=self._dialling, server_hostname=name)
        return self._begin(MemberLine(*streams, info_hash, self._on_block))

    async def wait_until(self, condition: Callable[[], object], within: float = PATIENCE) -> None:
        """Wait for something that this member does or hears. Raises `TimeoutError`."""
        async with asyncio.timeout(within):
            while True:
                self._changed.clear()
                if condition():
                    return
                await self._changed.wait()

    def heard(self, kind: type[Kind]) -> list[Kind]:
        """All messages of the group of this kind, from everybody."""
        return [message for line in self.lines for message in line.heard if isinstance(message, kind)]

    def record(self, info_hash: bytes, piece: int) -> PieceRecord:
        """What it signs of this piece."""
        digest = hashlib.sha256(self._bytes_of(piece, self.script.false_pieces)).digest()
        signature = self.key.sign(info_hash, piece, digest)
        if self.script.has_wrong_signatures:
            signature = signature[::-1]
        return PieceRecord(piece, self.key.public, digest, signature)

    # ---- connections

    async def _on_dialled(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_frozen:
            await asyncio.Event().wait()
        self._begin(MemberLine(reader, writer, None, self._on_block))

    def _begin(self, line: MemberLine) -> MemberLine:
        self.lines.append(line)
        self._start(self._talk(line))
        return line

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(work))

    async def _talk(self, line: MemberLine) -> None:
        try:
            await line.open(self._piece_count_of, self.port)
            self._on_joined(line)
            async for message in line.messages():
                await self._on_message(line, message)
                await line.writer.drain()
                self._changed.set()
                if self.is_frozen:
                    await asyncio.Event().wait()
        except (OSError, ShoalError) as error:
            line.end = line.end or f"{type(error).__name__}: {error}"
        finally:
            line.end = line.end or "the other side hung up"
            line.writer.close()
            self._changed.set()

    def _piece_count_of(self, info_hash: bytes) -> int:
        return 0 if info_hash == self._meeting_hash else self.layout.piece_count

    def _in_pool(self) -> list[MemberLine]:
        return [
            line
            for line in self.lines
            if line.is_open and not line.end and line.info_hash != self._meeting_hash
        ]

    def _on_joined(self, line: MemberLine) -> None:
        if line.info_hash == self._meeting_hash:
            line.send(m.HaveNone())
            line.say(MEETING, encode_meeting(Presence(self.script.is_helper)))
            for payload in self.script.says_in_meeting:
                line.say(MEETING, payload)
            return
        signed = (
            [self.record(line.info_hash, piece) for piece in iter_bits(self.have)]
            if self.script.signs
            else []
        )
        for records in split_records(signed):
            line.say(POOL, encode_pool(records))
        line.send(m.Bitfield(self.have, self.layout.piece_count))
        for payload in self.script.says_in_pool:
            line.say(POOL, payload)
        if self.script.claims and not self._is_bringing:
            self._is_bringing = True
            self._start(self._bring())

    # ---- what is heard

    async def _on_message(self, line: MemberLine, message: Heard) -> None:
        match message:
            case AskHelp(info_hash=info_hash, only_kept=True):
                line.say(MEETING, encode_meeting(Kept(info_hash, bool(self.script.cached_pieces))))
                if self.script.cached_pieces:
                    line.say(MEETING, encode_meeting(Helping(info_hash)))
            case AskHelp(info_hash=info_hash):
                line.say(MEETING, encode_meeting(Helping(info_hash)))
            case m.Interested() if self.script.unchokes:
                line.send(m.Unchoke())
            case m.Requests(items):
                for piece, begin, length in items:
                    await self._serve(line, piece, begin, length)
            case m.Have() | m.Bitfield() | m.HaveAll() if self.script.downloads:
                line.send(m.Interested())
                self._ask(line)
            case m.Unchoke() if self.script.downloads:
                line.is_serving_us = True
                self._ask(line)

    def _ask(self, line: MemberLine) -> None:
        if not line.is_serving_us:
            return
        for piece in iter_bits(without(line.has, self.have)):
            for block in range(self.layout.block_count(piece)):
                begin = block * BLOCK_LENGTH
                if (piece, begin) not in self._asked:
                    self._asked.add((piece, begin))
                    line.send(m.Requests(((piece, begin, self.layout.block_size(piece, block)),)))

    def _on_block(self, piece: int, begin: int, view: memoryview) -> None:
        self.received[piece, begin] = bytes(view)
        self._changed.set()

    async def _serve(self, line: MemberLine, piece: int, begin: int, length: int) -> None:
        if not self.have >> piece & 1:
            line.send(m.Reject(piece, begin, length))
            return
        if self.script.serve_rate:
            await asyncio.sleep(length / self.script.serve_rate)
        if not self.is_frozen:
            wrong = self.script.false_pieces | self.script.broken_pieces
            line.send_block(piece, begin, self._bytes_of(piece, wrong)[begin : begin + length])
            self.served[piece] += 1

    # ---- what it brings

    async def _bring(self) -> None:
        """Claim, fetch and tell while there is a pool; claim nothing when nothing is left."""
        claimed = 0
        while self._in_pool() and not self.is_frozen:
            run = self._choose_run()
            if run or claimed:
                self._say_claims([(lowest_bit(run), run.bit_count())] if run else [])
            claimed = run
            if run and not self.script.brings:
                break
            if not run:
                await asyncio.sleep(RECONSIDERING)
            for piece in iter_bits(without(run, self.have)):
                rate = self.script.bring_rate
                await asyncio.sleep(self.layout.piece_size(piece) / rate if rate else 0)
                self._on_brought(piece)
                if self.is_frozen or not self._in_pool():
                    break
        self._is_bringing = False

    def _choose_run(self) -> int:
        """The lowest pieces that nobody has or claims, or simply everything; as bits that lie side by side."""
        everything = all_bits(self.layout.piece_count)
        if self.script.claims_everything:
            return everything if self.have != everything else 0
        free = without(everything, self.have)
        for line in self._in_pool():
            free = without(free, line.has)
            last = next((one for one in reversed(line.heard) if isinstance(one, Claims)), Claims())
            for first, count in last.runs:
                free = without(free, run_mask(first, count))
        if not free:
            return 0
        begin = lowest_bit(free)
        taken = lowest_bit(~(free >> begin))
        return run_mask(begin, min(taken, RUN))

    def _say_claims(self, runs: list[tuple[int, int]]) -> None:
        for line in self._in_pool():
            line.say(POOL, encode_pool(Claims(tuple(runs), self.script.told_rate)))

    def _on_brought(self, piece: int) -> None:
        self.brought += 1
        self.have |= 1 << piece
        for line in self._in_pool():
            line.say(POOL, encode_pool(Records((self.record(line.info_hash, piece),))))
            line.send(m.Have(piece))
        self.is_frozen = self.brought == self.script.freezes_after
        if self.brought == self.script.dies_after:
            for line in self.lines:
                line.end = line.end or "the script ends here"
                line.writer.transport.abort()
            self._server.close()
        self._changed.set()

    def _bytes_of(self, piece: int, wrong: frozenset[int]) -> bytes:
        """The piece as the origin sends it, or with every bit turned over where it is `wrong`."""
        start = self.layout.piece_offset(piece)
        data = self._payload[start : start + self.layout.piece_size(piece)]
        return data.translate(TURNED_OVER) if piece in wrong else data
