"""The receiving half of a peer connection: bytes in, messages and blocks out. No socket, no clock.

States: OPENING (the 68 bytes of the handshake are not complete), INTRODUCED (they are, but nobody has yet said
how many pieces the torrent has: an incoming connection waits here until its torrent is found), OPEN.

Always true: whole messages of one wake-up are read in one loop; only a message cut in two is kept. A block goes
to `on_block(piece, begin, view)` without an object of its own, and the view is valid during the call only.
Anything the protocol forbids is a `PeerError` that says what came; after it the connection is of no use.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Final

from shoal.errors import FormatError, PeerError
from shoal.formats.bitfield import bits_from_wire
from shoal.formats.layout import BLOCK_LENGTH
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.handshake import HANDSHAKE_LENGTH, Handshake, check_beginning, parse_handshake
from shoal.units import MIB

MAX_FRAME_LENGTH: Final = 1 * MIB  # a bitfield of 8 million pieces fits; a hostile length does not
MAX_REQUEST_LENGTH: Final = 128 * 1024  # nobody asks for more than 16 KiB today; old clients went to 128
LONGEST_BLOCK_FRAME: Final = 9 + BLOCK_LENGTH  # we never ask for more than this

OnBlock = Callable[[int, int, memoryview], None]

_LENGTH = struct.Struct(">I")
_BLOCK_HEAD = struct.Struct(">IBII")
_REQUEST = struct.Struct(">IBIII")
_NUMBER = struct.Struct(">I")
_THREE_NUMBERS = struct.Struct(">III")

_PAYLOAD_LENGTHS = {
    m.CHOKE: 0, m.UNCHOKE: 0, m.INTERESTED: 0, m.NOT_INTERESTED: 0, m.HAVE: 4, m.REQUEST: 12, m.CANCEL: 12,
    m.PORT: 2, m.SUGGEST: 4, m.HAVE_ALL: 0, m.HAVE_NONE: 0, m.REJECT: 12, m.ALLOWED_FAST: 4,
}  # fmt: skip
_NEED_FAST = frozenset({m.SUGGEST, m.HAVE_ALL, m.HAVE_NONE, m.REJECT, m.ALLOWED_FAST})
_ABOUT_ONE_PIECE: dict[int, Callable[[int], m.Message]] = {
    m.HAVE: m.Have, m.SUGGEST: m.Suggest, m.ALLOWED_FAST: m.AllowedFast,
}  # fmt: skip
_BARE: dict[int, m.Message] = {
    m.CHOKE: m.Choke(), m.UNCHOKE: m.Unchoke(), m.INTERESTED: m.Interested(), m.NOT_INTERESTED: m.NotInterested(),
    m.HAVE_ALL: m.HaveAll(), m.HAVE_NONE: m.HaveNone(),
}  # fmt: skip


class State(enum.Enum):
    OPENING = "opening"
    INTRODUCED = "introduced"
    OPEN = "open"


class PeerConnection:
    """One peer's byte stream, understood.

    `has_fast` is whether we offered BEP 6; the messages of that extension are legal if both sides did.
    """

    def __init__(self, on_block: OnBlock, *, offers_fast: bool = True) -> None:
        self.state = State.OPENING
        self.handshake: Handshake | None = None
        self.has_fast = False
        self.has_extended = False
        self._offers_fast = offers_fast
        self._on_block = on_block
        self._piece_count = 0
        self._told_pieces = False  # a bitfield, HaveAll or HaveNone came
        self._kept = bytearray()  # the beginning of a message that is not complete yet

    @property
    def is_amid_block(self) -> bool:
        """A part of a block is here, and the rest is still to come."""
        return len(self._kept) > 4 and self._kept[4] == m.PIECE and self.state is State.OPEN

    def receive_data(self, data: memoryview) -> list[m.Message]:
        """All complete messages in `data` (any length, cut anywhere), blocks handed to the sink meanwhile."""
        events: list[m.Message] = []
        if self.state is State.OPEN:
            position = self._finish_kept(data, events) if self._kept else 0
            self._read_frames(data, position, events)
            return events
        self._kept += data
        if self.state is State.INTRODUCED:
            if len(self._kept) > MAX_FRAME_LENGTH:
                raise PeerError("a flood of data before the handshake was answered")
            return events
        check_beginning(self._kept)
        if len(self._kept) >= HANDSHAKE_LENGTH:
            handshake = parse_handshake(self._kept[:HANDSHAKE_LENGTH])
            del self._kept[:HANDSHAKE_LENGTH]
            self.handshake = handshake
            self.has_fast = handshake.has_fast and self._offers_fast
            self.has_extended = handshake.has_extended
            self.state = State.INTRODUCED
        return events

    def open(self, piece_count: int) -> list[m.Message]:
        """The torrent is known: go on from the handshake with whatever has come since."""
        if self.state is not State.INTRODUCED:
            raise ValueError(f"a connection cannot be opened while {self.state.value}")
        self.state = State.OPEN
        self._piece_count = piece_count
        waiting, self._kept = self._kept, bytearray()
        return self.receive_data(memoryview(waiting))

    # Frames

    def _read_frames(self, data: memoryview, position: int, events: list[m.Message]) -> None:
        """Read from `position` to the end; keep what is not a whole frame."""
        end = len(data)
        read_head = _BLOCK_HEAD.unpack_from
        on_block = self._on_block
        while position + 13 <= end:
            length, kind, piece, begin = read_head(data, position)
            if kind == m.PIECE and 9 <= length <= LONGEST_BLOCK_FRAME:
                after = position + 4 + length
                if after > end:
                    break
                on_block(piece, begin, data[position + 13 : after])
                position = after
            else:
                after = self._read_control(data, position, end, events)
                if after == position:
                    break
                position = after
        while position + 4 <= end:  # the last few bytes may hold short messages still
            after = self._read_control(data, position, end, events)
            if after == position:
                break
            position = after
        if position < end:
            self._kept += data[position:]
            if end - position >= 4:
                self._check_length(*self._frame_start(self._kept))

    def _finish_kept(self, data: memoryview, events: list[m.Message]) -> int:
        """Complete the message that was cut in two; the position in `data` after it."""
        kept = self._kept
        taken = 0
        for needed in (4, 5, None):  # the length, the kind (unless it is a keep-alive), the rest
            if needed != 4:
                length, kind = self._frame_start(kept)
                self._check_length(length, kind)
                if needed is None or length == 0:
                    needed = 4 + length
            missing = needed - len(kept)
            if missing > 0:
                kept += data[taken : taken + missing]
                taken += missing
                if len(kept) < needed:
                    return len(data)
        self._kept = bytearray()
        self._read_frames(memoryview(kept), 0, events)
        return taken

    @staticmethod
    def _frame_start(frame: bytearray) -> tuple[int, int]:
        length = _LENGTH.unpack_from(frame)[0]
        return length, frame[4] if len(frame) > 4 else -1

    def _check_length(self, length: int, kind: int) -> None:
        """Refuse a length that nothing legal can have, before waiting for its bytes."""
        if length > MAX_FRAME_LENGTH:
            raise PeerError(f"a message of {length} bytes; the limit is {MAX_FRAME_LENGTH}")
        if kind == m.PIECE and not 9 <= length <= LONGEST_BLOCK_FRAME:
            raise PeerError(f"a block message of {length} bytes; no request of ours has such an answer")
        expected = _PAYLOAD_LENGTHS.get(kind)
        if expected is not None and length and length != 1 + expected:
            raise PeerError(f"message {kind} has {length - 1} bytes of payload instead of {expected}")
        if kind == m.BITFIELD and length != 1 + (self._piece_count + 7) // 8:
            raise PeerError(f"a bitfield of {length - 1} bytes for {self._piece_count} pieces")

    # Control messages

    def _read_control(self, data: memoryview, position: int, end: int, events: list[m.Message]) -> int:
        """One message that is not a block, or one batch of requests; the position after it."""
        (length,) = _LENGTH.unpack_from(data, position)
        if length == 0:
            return position + 4  # keep-alive
        start = position + 5
        after: int = position + 4 + length
        if start > end:
            return position
        kind = data[position + 4]
        self._check_length(length, kind)
        if after > end:
            return position
        if kind == m.REQUEST:
            return self._read_requests(data, position, end, events)
        if kind in _NEED_FAST and not self.has_fast:
            raise PeerError(f"message {kind} without the fast extension")
        self._read_message(kind, data[start:after], events)
        return after

    def _read_requests(self, data: memoryview, position: int, end: int, events: list[m.Message]) -> int:
        """As many requests as stand side by side."""
        whole = (end - position) // _REQUEST.size * _REQUEST.size
        items: list[m.Request] = []
        for length, kind, piece, begin, size in _REQUEST.iter_unpack(data[position : position + whole]):
            if kind != m.REQUEST or length != 13:
                break
            self._check_piece(piece)
            if not 0 < size <= MAX_REQUEST_LENGTH:
                raise PeerError(f"a request for {size} bytes; the limit is {MAX_REQUEST_LENGTH}")
            items.append((piece, begin, size))
        events.append(m.Requests(tuple(items)))
        return position + len(items) * _REQUEST.size

    def _read_message(self, kind: int, payload: memoryview, events: list[m.Message]) -> None:
        bare = _BARE.get(kind)
        if bare is not None:
            if kind in (m.HAVE_ALL, m.HAVE_NONE):
                if self._told_pieces:
                    raise PeerError(f"{type(bare).__name__} after its pieces were told")
                self._told_pieces = True
            events.append(bare)
        elif kind in _ABOUT_ONE_PIECE:
            piece = self._check_piece(_NUMBER.unpack(payload)[0])
            events.append(_ABOUT_ONE_PIECE[kind](piece))
        elif kind == m.BITFIELD:
            self._told_pieces = True  # and may be told again: aria2 does so instead of very many haves
            try:
                bits = bits_from_wire(bytes(payload), self._piece_count)
            except FormatError as error:
                raise PeerError(str(error)) from None
            events.append(m.Bitfield(bits, self._piece_count))
        elif kind in (m.CANCEL, m.REJECT):
            piece, begin, length = _THREE_NUMBERS.unpack(payload)
            events.append(
                (m.Cancel if kind == m.CANCEL else m.Reject)(self._check_piece(piece), begin, length)
            )
        elif kind == m.PORT:
            events.append(m.Port(int.from_bytes(payload, "big")))
        elif kind == m.EXTENDED:
            if not payload:
                raise PeerError("an extended message without its number")
            events.append(m.Extended(payload[0], bytes(payload[1:])))
        # Any other kind belongs to an extension we did not offer; BEP 3 lets us pass over it.

    def _check_piece(self, piece: int) -> int:
        if piece >= self._piece_count:
            raise PeerError(f"piece {piece} of a torrent with {self._piece_count}")
        return piece
