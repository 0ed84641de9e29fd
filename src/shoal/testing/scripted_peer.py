"""A raw-socket BitTorrent peer that does as it is told: serves, lies, stalls, floods, and keeps a record.

Threads and blocking sockets, standard library only.

    with ScriptedPeer(info_hash, payload, piece_length, Script(corrupt_share=0.1)) as peer:
        address = peer.listen()
        ...
        peer.wait_until(lambda: peer.blocks_sent >= 10)

It ends by itself: when the other side hangs up or breaks the protocol, when its script says so, after
`LIFETIME` of silence, or with the `with`. What the other side did wrong stands in `Conversation.end`.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shoal.testing.raw_wire import (
    BLOCK_LENGTH,
    HANDSHAKE_LENGTH,
    KEEP_ALIVE,
    MessageId,
    encode_bitfield,
    encode_block,
    encode_handshake,
    encode_message,
    encode_request,
)

Address = tuple[str, int]
Block = tuple[int, int]  # (piece, begin)

LONGEST_ACCEPTED = 1 << 24  # a message that claims more is recorded as a fault of the other side
PIPELINE = 16  # requests that a downloading script keeps under way
LIFETIME = 120.0  # seconds; longer than any test
PATIENCE = 60.0  # seconds that are waited for what is to happen, on a busy machine
DRAIN_TIME = 5.0  # seconds of silence, for a side that does not notice that we have hung up
TICK = 0.1  # seconds between looks at whether to stop, where a system call cannot be woken


@dataclass(frozen=True, slots=True)
class Script:
    """What the peer does differently from a good one."""

    fast: bool = True  # the reserved bits it shows
    extension: bool = False
    handshake: bytes | None = None  # instead of a right one; b"" keeps silent
    opening: bytes = b""  # sent as it is after the handshake and the bitfield
    extended_handshake: bytes | None = None  # bencoded; sent when `extension` is set
    unchokes: bool = True  # as soon as the other is interested
    corrupt_blocks: frozenset[Block] = frozenset()
    corrupt_share: float = 0.0  # of all other blocks, drawn with `seed`
    stall_after_blocks: int | None = None  # then it answers no request, and stays
    close_after_bytes: int | None = None  # hangs up when so many bytes are sent, in the middle of a message
    block_delay: float = 0.0  # seconds before each block
    downloads: bool = False  # asks for all that it does not have
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """One message of the other side."""

    message_id: int
    payload: bytes

    def numbers(self) -> tuple[int, ...]:
        """The payload of have, request, cancel, reject, suggest and allowed fast."""
        return struct.unpack(f">{len(self.payload) // 4}I", self.payload)


@dataclass(slots=True, eq=False)
class Conversation:
    """One connection, and everything that came in on it."""

    sock: socket.socket
    handshake: bytes = b""
    messages: list[Received] = field(default_factory=list)
    has_pieces: set[int] = field(default_factory=set)  # what the other says it has
    asked: set[Block] = field(default_factory=set)
    bytes_sent: int = 0
    end: str = ""  # why it is over; empty while it is not

    @property
    def peer_id(self) -> bytes:
        return self.handshake[48:68]

    def of(self, *message_ids: int) -> list[Received]:
        return [message for message in self.messages if message.message_id in message_ids]


class _Hangup(Exception):
    """The conversation is over; the text says why."""


class ScriptedPeer:
    """A peer of one torrent that holds `pieces` (all of them unless named) of `payload`."""

    def __init__(
        self,
        info_hash: bytes,
        payload: bytes,
        piece_length: int,
        script: Script | None = None,
        *,
        pieces: set[int] | None = None,
        peer_id: bytes = b"",
    ) -> None:
        self.info_hash = info_hash
        self.script = script or Script()
        self.piece_length = piece_length
        self.piece_count = -(-len(payload) // piece_length)
        self.pieces = set(range(self.piece_count)) if pieces is None else set(pieces)
        self.peer_id = peer_id or b"-XS0001-" + random.Random(self.script.seed).randbytes(12)
        self.conversations: list[Conversation] = []
        self.blocks_sent = 0  # or about to leave
        self.corrupted: set[Block] = set()  # blocks that go out wrong, or have
        self.downloaded: dict[Block, bytes] = {}
        self._payload = payload
        self._times_sent: Counter[Block] = Counter()
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._listeners: list[socket.socket] = []

    # -- for the test

    def listen(self, host: str = "127.0.0.1", port: int = 0) -> Address:
        """Accept any number of connections; return the address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        listener.settimeout(TICK)
        self._listeners.append(listener)
        self._start(self._accept, listener)
        bound: Address = listener.getsockname()[:2]
        return bound

    def connect(self, address: Address, *, source: Address | None = None) -> Conversation:
        """Dial, and talk in a thread of its own."""
        conversation = Conversation(
            socket.create_connection(address, timeout=PATIENCE, source_address=source)
        )
        self._begin(conversation)
        return conversation

    @property
    def received(self) -> list[Received]:
        """The messages of all conversations."""
        return [message for one in self.conversations for message in one.messages]

    def downloaded_payload(self) -> bytes:
        """The payload as this peer has it now: its own pieces and what it downloaded; the rest is zeros."""
        data = bytearray(len(self._payload))
        own = {block: self._bytes_at(*block, BLOCK_LENGTH) for block in self._blocks(self.pieces)}
        for (piece, begin), block in {**own, **self.downloaded}.items():
            offset = piece * self.piece_length + begin
            data[offset : offset + len(block)] = block
        return bytes(data)

    def wait_until(self, condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Wait for something that this peer does or receives. Raises `TimeoutError`."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                ends = [one.end or "talking" for one in self.conversations]
                raise TimeoutError(
                    f"scripted peer: nothing of the kind in {timeout} s; conversations: {ends}"
                )

    def wait_over(self) -> None:
        """Wait until there was a conversation and all of them are over."""
        self.wait_until(lambda: bool(self.conversations) and all(one.end for one in self.conversations))

    def close(self) -> None:
        self._stopping.set()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts, where systems know how
        for conversation in list(self.conversations):
            self._hang_up(conversation)
        for thread in list(self._threads):
            thread.join(10.0)

    def __enter__(self) -> ScriptedPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- connections

    def _start(self, target: Callable[..., None], argument: object) -> None:
        thread = threading.Thread(target=target, args=(argument,), daemon=True, name="scripted peer")
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._stopping.is_set():
                with contextlib.suppress(OSError):  # nobody came for a while, or it was shut down
                    self._begin(Conversation(listener.accept()[0]))

    def _begin(self, conversation: Conversation) -> None:
        conversation.sock.settimeout(LIFETIME)
        with self._changed:
            self.conversations.append(conversation)
            self._changed.notify_all()
        self._start(self._talk, conversation)
        if self._stopping.is_set():
            self._hang_up(conversation)

    def _hang_up(self, conversation: Conversation) -> None:
        with contextlib.suppress(OSError):
            conversation.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it

    def _talk(self, conversation: Conversation) -> None:
        try:
            with conversation.sock:
                self._open(conversation)
                while True:
                    self._answer(conversation, self._read_message(conversation))
        except _Hangup as over:
            end = str(over)
        except (OSError, struct.error, TypeError) as error:  # a broken line, or a message of the wrong length
            end = f"{type(error).__name__}: {error}"
        with self._changed:
            conversation.end = end
            self._changed.notify_all()

    def _open(self, conversation: Conversation) -> None:
        script = self.script
        if script.handshake is None:
            hello = encode_handshake(
                self.info_hash, self.peer_id, fast=script.fast, extension=script.extension
            )
            self._send(conversation, hello)
        else:
            self._send(conversation, script.handshake)
        handshake = self._read(conversation, HANDSHAKE_LENGTH)
        with self._changed:
            conversation.handshake = handshake
            self._changed.notify_all()
        if script.handshake is None:
            if script.extension and script.extended_handshake is not None:
                self._send(
                    conversation, encode_message(MessageId.EXTENDED, b"\0" + script.extended_handshake)
                )
            self._send(conversation, self._bitfield_message(bool(handshake[27] & 0x04)))
        self._send(conversation, script.opening)

    def _bitfield_message(self, is_fast_theirs: bool) -> bytes:
        if self.script.fast and is_fast_theirs:
            if len(self.pieces) == self.piece_count:
                return encode_message(MessageId.HAVE_ALL)
            if not self.pieces:
                return encode_message(MessageId.HAVE_NONE)
        return encode_bitfield(self.pieces, self.piece_count) if self.pieces else b""

    # -- bytes

    def _send(self, conversation: Conversation, data: bytes) -> None:
        limit = self.script.close_after_bytes
        room = len(data) if limit is None else limit - conversation.bytes_sent
        conversation.sock.sendall(data[:room])
        conversation.bytes_sent += min(room, len(data))
        if limit is not None and conversation.bytes_sent >= limit:
            self._drain(conversation.sock)
            raise _Hangup(f"the script ends at byte {limit}")

    def _drain(self, sock: socket.socket) -> None:
        """End our direction and read the other to its end: closing at once could undo what was sent last."""
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(DRAIN_TIME)
        with contextlib.suppress(OSError):
            while sock.recv(BLOCK_LENGTH):
                pass

    def _read(self, conversation: Conversation, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            chunk = conversation.sock.recv(length - len(data))
            if not chunk:
                raise _Hangup("the other side hung up")
            data += chunk
        return bytes(data)

    def _read_message(self, conversation: Conversation) -> Received:
        (length,) = struct.unpack(">I", self._read(conversation, 4))
        if length > LONGEST_ACCEPTED:
            raise _Hangup(f"the other side sent a message of {length} bytes")
        if length == 0:
            return Received(KEEP_ALIVE, b"")
        body = self._read(conversation, length)
        return Received(body[0], body[1:])

    # -- what the other side says

    def _answer(self, conversation: Conversation, message: Received) -> None:
        with self._changed:
            conversation.messages.append(message)
            self._changed.notify_all()
        match message.message_id:
            case MessageId.INTERESTED if self.script.unchokes:
                self._send(conversation, encode_message(MessageId.UNCHOKE))
            case MessageId.REQUEST:
                self._serve(conversation, *message.numbers())
            case 4 | 5 | 14:  # MessageId.HAVE, MessageId.BITFIELD, HAVE_ALL
                self._learn(conversation, message)
            case MessageId.UNCHOKE:
                conversation.asked.clear()
                self._ask(conversation)
            case MessageId.PIECE:
                self._take(conversation, message.payload)

    def _serve(self, conversation: Conversation, piece: int, begin: int, length: int) -> None:
        script = self.script
        if piece not in self.pieces or begin + length > self._piece_size(piece):
            raise _Hangup(f"the other side asked for {length} bytes at {begin} of piece {piece}")
        if script.stall_after_blocks is not None and self.blocks_sent >= script.stall_after_blocks:
            return
        if script.block_delay and self._stopping.wait(script.block_delay):
            raise _Hangup("stopped")
        data = self._bytes_at(piece, begin, length)
        is_corrupt = self._is_to_be_corrupt((piece, begin))
        if is_corrupt:
            data = bytes([data[0] ^ 0xFF]) + data[1:]
        with self._changed:  # before it leaves: whoever has it may look at once
            if is_corrupt:
                self.corrupted.add((piece, begin))
            self.blocks_sent += 1
            self._times_sent[piece, begin] += 1
            self._changed.notify_all()
        self._send(conversation, encode_block(piece, begin, data))

    def _is_to_be_corrupt(self, block: Block) -> bool:
        """Follows from the seed whatever the order of requests; drawn anew when a block is asked again."""
        draw = random.Random(f"{self.script.seed} {block} {self._times_sent[block]}").random()
        return block in self.script.corrupt_blocks or draw < self.script.corrupt_share

    # -- downloading

    def _learn(self, conversation: Conversation, message: Received) -> None:
        if message.message_id == MessageId.HAVE:
            conversation.has_pieces.update(message.numbers())
        elif message.message_id == MessageId.HAVE_ALL:
            conversation.has_pieces.update(range(self.piece_count))
        else:
            bits = enumerate(itertools.chain.from_iterable(f"{byte:08b}" for byte in message.payload))
            conversation.has_pieces.update(piece for piece, bit in bits if bit == "1")
        if self.script.downloads:
            if not conversation.of(MessageId.UNCHOKE):
                self._send(conversation, encode_message(MessageId.INTERESTED))
            else:
                self._ask(conversation)

    def _ask(self, conversation: Conversation) -> None:
        if not self.script.downloads:
            return
        under_way = len(conversation.asked - self.downloaded.keys())
        wanted = self._blocks(conversation.has_pieces - self.pieces)
        missing = (
            block for block in wanted if block not in self.downloaded and block not in conversation.asked
        )
        for piece, begin in itertools.islice(missing, PIPELINE - under_way):
            conversation.asked.add((piece, begin))
            self._send(conversation, encode_request(piece, begin, self._block_length(piece, begin)))

    def _take(self, conversation: Conversation, payload: bytes) -> None:
        piece, begin = struct.unpack_from(">II", payload)
        with self._changed:
            self.downloaded[piece, begin] = payload[8:]
            self._changed.notify_all()
        self._ask(conversation)

    # -- the payload

    def _piece_size(self, piece: int) -> int:
        return max(0, min(self.piece_length, len(self._payload) - piece * self.piece_length))

    def _block_length(self, piece: int, begin: int) -> int:
        return min(BLOCK_LENGTH, self._piece_size(piece) - begin)

    def _bytes_at(self, piece: int, begin: int, length: int) -> bytes:
        offset = piece * self.piece_length + begin
        return self._payload[offset : offset + length]

    def _blocks(self, pieces: set[int]) -> Iterator[Block]:
        return (
            (piece, begin)
            for piece in sorted(pieces)
            for begin in range(0, self._piece_size(piece), BLOCK_LENGTH)
        )
