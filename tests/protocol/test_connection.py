"""The receiving half of the wire: the same bytes mean the same however cut, and what is forbidden is refused."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import PeerError
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.connection import (
    LONGEST_BLOCK_FRAME,
    MAX_FRAME_LENGTH,
    MAX_REQUEST_LENGTH,
    PeerConnection,
    State,
)
from shoal.protocol.peer.handshake import Handshake
from shoal.testing import raw_wire
from shoal.testing.raw_wire import MessageId, encode_block, encode_request

from .test_messages import PIECE_COUNT, first_messages, legal_messages

INFO_HASH = bytes(range(20))
PEER_ID = b"-XX0001-abcdefghijkl"
BLOCK = raw_wire.BLOCK_LENGTH

Block = tuple[int, int, bytes]
Heard = tuple[list[m.Message], list[Block]]  # messages with the requests one by one, and blocks


def handshake(*, fast: bool = True, extension: bool = True) -> bytes:
    return raw_wire.encode_handshake(INFO_HASH, PEER_ID, fast=fast, extension=extension)


class Listener:
    """A connection and what came out of it, in one order."""

    def __init__(
        self, *, fast: bool = True, offers_fast: bool = True, piece_count: int = PIECE_COUNT
    ) -> None:
        self.heard: list[m.Message | Block] = []
        self.batches: list[m.Message] = []
        self.connection = PeerConnection(self._on_block, offers_fast=offers_fast)
        self.connection.receive_data(memoryview(handshake(fast=fast)))
        assert self.connection.open(piece_count) == []

    def _on_block(self, piece: int, begin: int, view: memoryview) -> None:
        self.heard.append((piece, begin, bytes(view)))

    def feed(self, *parts: bytes) -> Listener:
        for part in parts:
            messages = self.connection.receive_data(memoryview(part))
            self.batches += messages
            self.heard += list(one_by_one(messages))
        return self

    @property
    def blocks(self) -> list[Block]:
        return [item for item in self.heard if isinstance(item, tuple)]

    @property
    def messages(self) -> list[m.Message]:
        return [item for item in self.heard if not isinstance(item, tuple)]


def one_by_one(messages: Iterable[m.Message]) -> Iterator[m.Message]:
    """Requests come in batches of any size; what they ask for is the same."""
    for message in messages:
        if isinstance(message, m.Requests):
            yield from (m.Requests((item,)) for item in message.items)
        else:
            yield message


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[position : position + 1] for position in range(len(data))]


def random_slices(data: bytes, rng: random.Random) -> list[bytes]:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 20)))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


frames = st.one_of(
    legal_messages.map(m.encode_message),
    st.just(m.KEEP_ALIVE),
    st.builds(
        encode_block, st.integers(0, PIECE_COUNT - 1), st.integers(0, 2**32 - 1), st.binary(max_size=200)
    ),
    st.builds(
        raw_wire.encode_message, st.sampled_from([10, 11, 12, 18, 19, 21, 99, 255]), st.binary(max_size=50)
    ),
)
streams = st.tuples(first_messages.map(m.encode_message) | st.just(b""), st.lists(frames, max_size=12)).map(
    lambda parts: parts[0] + b"".join(parts[1])
)
dirty_streams = st.one_of(
    streams,
    st.tuples(streams, st.binary(max_size=80)).map(b"".join),
    st.tuples(streams, st.binary(min_size=1, max_size=4), streams).map(b"".join),
)


def outcome(parts: Iterable[bytes]) -> tuple[list[m.Message], list[Block], bool]:
    """Messages, blocks, and whether the peer was refused in the end."""
    listener = Listener()
    try:
        listener.feed(*parts)
    except PeerError:
        return listener.messages, listener.blocks, True
    return listener.messages, listener.blocks, False


@given(streams, st.integers(0, 2**32))
def test_a_stream_means_the_same_however_it_is_cut(stream: bytes, seed: int) -> None:
    whole = outcome([stream])
    assert whole[2] is False
    assert outcome(byte_by_byte(stream)) == whole
    assert outcome(random_slices(stream, random.Random(seed))) == whole


@given(streams, frames, st.data())
def test_a_tail_that_is_not_whole_is_kept_for_later(stream: bytes, last: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(last) - 1))
    listener = Listener().feed(stream + last[:cut])
    already = outcome([stream])
    assert listener.messages[: len(already[0])] == already[0]
    listener.feed(last[cut:])
    assert (listener.messages, listener.blocks, False) == outcome([stream + last])


@given(dirty_streams, st.integers(0, 2**32))
def test_what_is_refused_is_refused_however_it_is_cut(stream: bytes, seed: int) -> None:
    """Only blocks may have gone by before: messages of a wake-up that ends in a refusal are not told."""
    _, blocks, refused = outcome([stream])
    for parts in (byte_by_byte(stream), random_slices(stream, random.Random(seed))):
        messages, same_blocks, also_refused = outcome(parts)
        assert also_refused == refused
        assert same_blocks == blocks
        assert refused or messages == outcome([stream])[0]


@given(st.lists(frames, min_size=1, max_size=10))
def test_messages_and_blocks_keep_their_order_when_they_come_one_by_one(parts: list[bytes]) -> None:
    apart = Listener().feed(*parts)
    alone = [Listener().feed(part).heard for part in parts]
    assert apart.heard == [item for heard in alone for item in heard]


# ---- the handshake


@pytest.mark.parametrize("cut", range(1, 68))
def test_a_handshake_may_come_in_two_parts(cut: int) -> None:
    connection = PeerConnection(lambda *_: None)
    connection.receive_data(memoryview(handshake()[:cut]))
    assert connection.state is State.OPENING
    assert connection.handshake is None
    connection.receive_data(memoryview(handshake()[cut:]))
    assert connection.state is State.INTRODUCED
    assert connection.handshake == Handshake(INFO_HASH, PEER_ID)


def test_a_stranger_is_refused_at_its_first_wrong_byte() -> None:
    connection = PeerConnection(lambda *_: None)
    connection.receive_data(memoryview(b"\x13BitT"))
    with pytest.raises(PeerError, match="not a BitTorrent handshake"):
        connection.receive_data(memoryview(b"X"))


def test_what_came_before_the_torrent_was_found_is_read_when_it_is() -> None:
    blocks: list[Block] = []
    connection = PeerConnection(lambda piece, begin, view: blocks.append((piece, begin, bytes(view))))
    early = m.encode_message(m.HaveAll()) + encode_block(1, 0, b"abc")
    rest = m.encode_message(m.Interested())
    assert connection.receive_data(memoryview(handshake() + early)) == []
    assert connection.receive_data(memoryview(rest[:2])) == []
    assert blocks == []
    assert connection.open(PIECE_COUNT) == [m.HaveAll()]
    assert blocks == [(1, 0, b"abc")]
    assert connection.receive_data(memoryview(rest[2:])) == [m.Interested()]


def test_a_flood_before_the_torrent_was_found_is_refused() -> None:
    connection = PeerConnection(lambda *_: None)
    connection.receive_data(memoryview(handshake()))
    connection.receive_data(memoryview(bytes(MAX_FRAME_LENGTH)))
    with pytest.raises(PeerError, match="flood"):
        connection.receive_data(memoryview(b"\0"))


def test_a_connection_is_opened_once_and_only_after_its_handshake() -> None:
    connection = PeerConnection(lambda *_: None)
    with pytest.raises(ValueError, match="opening"):
        connection.open(1)
    connection.receive_data(memoryview(handshake()))
    connection.open(1)
    with pytest.raises(ValueError, match="open"):
        connection.open(1)


@pytest.mark.parametrize("theirs", [True, False])
@pytest.mark.parametrize("ours", [True, False])
def test_the_fast_extension_takes_both_sides(ours: bool, theirs: bool) -> None:
    connection = PeerConnection(lambda *_: None, offers_fast=ours)
    connection.receive_data(memoryview(handshake(fast=theirs, extension=False)))
    assert connection.has_fast == (ours and theirs)
    assert connection.has_extended is False


# ---- what is forbidden


def wire(kind: int, payload: bytes = b"") -> bytes:
    return raw_wire.encode_message(kind, payload)


def piece_number(piece: int) -> bytes:
    return struct.pack(">I", piece)


BITFIELD = wire(MessageId.BITFIELD, bytes(PIECE_COUNT // 8))

FORBIDDEN = {
    "have none after a bitfield": (BITFIELD + wire(MessageId.HAVE_NONE), "HaveNone after its pieces were told"),
    "have all after have none": (wire(MessageId.HAVE_NONE) + wire(MessageId.HAVE_ALL), "HaveAll after"),
    "a short bitfield": (wire(MessageId.BITFIELD, bytes(124)), "124 bytes for 1000 pieces"),
    "a long bitfield": (wire(MessageId.BITFIELD, bytes(126)), "126 bytes for 1000 pieces"),
    "a choke with a payload": (wire(MessageId.CHOKE, b"x"), "message 0 has 1 bytes of payload instead of 0"),
    "a have without a number": (wire(MessageId.HAVE), "message 4 has 0 bytes of payload instead of 4"),
    "a have of a piece past the end": (wire(MessageId.HAVE, piece_number(1000)), "piece 1000 of a torrent with 1000"),
    "a suggest of a piece past the end": (wire(MessageId.SUGGEST, piece_number(2**32 - 1)), "piece 4294967295"),
    "an allowed fast piece past the end": (wire(MessageId.ALLOWED_FAST, piece_number(1000)), "piece 1000"),
    "a request past the end": (encode_request(1000, 0), "piece 1000"),
    "a bad request after a good one": (encode_request(0, 0) + encode_request(1000, 0), "piece 1000"),
    "a request for nothing": (encode_request(0, 0, 0), "request for 0 bytes"),
    "a request for too much": (encode_request(0, 0, MAX_REQUEST_LENGTH + 1), "the limit is 131072"),
    "a short request": (wire(MessageId.REQUEST, bytes(11)), "message 6 has 11 bytes"),
    "a cancel past the end": (wire(MessageId.CANCEL, struct.pack(">III", 1000, 0, 1)), "piece 1000"),
    "a reject past the end": (wire(MessageId.REJECT, struct.pack(">III", 1000, 0, 1)), "piece 1000"),
    "a long port": (wire(MessageId.PORT, b"abc"), "message 9 has 3 bytes"),
    "an extended message without a number": (wire(MessageId.EXTENDED), "without its number"),
    "a block without its head": (wire(MessageId.PIECE, bytes(7)), "block message of 8 bytes"),
    "a block longer than any we ask for": (encode_block(0, 0, bytes(BLOCK + 1)), "block message of 16394 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("cut", ["whole", "byte by byte", "with more to come"])
@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_is_forbidden_is_refused_with_its_reason(what: str, cut: str) -> None:
    data, reason = FORBIDDEN[what]
    parts = {"whole": [data], "byte by byte": byte_by_byte(data), "with more to come": [data + bytes(40_000)]}
    with pytest.raises(PeerError, match=reason):
        Listener().feed(*parts[cut])


def test_spare_bits_of_a_bitfield_must_be_zero() -> None:
    with pytest.raises(PeerError, match="spare bits"):
        Listener(piece_count=9).feed(wire(MessageId.BITFIELD, b"\xff\xff"))


FAST_MESSAGES = {
    "suggest": wire(MessageId.SUGGEST, piece_number(0)),
    "have all": wire(MessageId.HAVE_ALL),
    "have none": wire(MessageId.HAVE_NONE),
    "reject": wire(MessageId.REJECT, bytes(12)),
    "allowed fast": wire(MessageId.ALLOWED_FAST, piece_number(0)),
}


@pytest.mark.parametrize("what", FAST_MESSAGES)
def test_fast_messages_need_the_extension_on_both_sides(what: str) -> None:
    data = FAST_MESSAGES[what]
    Listener().feed(data)
    for listener in (Listener(fast=False), Listener(offers_fast=False)):
        with pytest.raises(PeerError, match="without the fast extension"):
            listener.feed(data)


OVERSIZE = {
    "anything": (struct.pack(">I", MAX_FRAME_LENGTH + 1), "the limit is 1048576"),
    "the largest length": (raw_wire.OVERSIZE_LENGTH, "the limit is 1048576"),
    "a block": (struct.pack(">IB", LONGEST_BLOCK_FRAME + 1, MessageId.PIECE), "block message"),
    "a bitfield": (struct.pack(">IB", 500_000, MessageId.BITFIELD), "bitfield of 499999 bytes"),
    "a have": (struct.pack(">IB", 6, MessageId.HAVE), "message 4 has 5 bytes"),
}


@pytest.mark.parametrize("feed", [lambda data: [data], byte_by_byte], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("what", OVERSIZE)
def test_a_length_that_nothing_legal_has_is_refused_before_its_bytes_come(
    what: str, feed: Callable[[bytes], list[bytes]]
) -> None:
    data, reason = OVERSIZE[what]
    with pytest.raises(PeerError, match=reason):
        Listener().feed(*feed(data))


# ---- what is allowed


def test_unknown_messages_and_keep_alives_are_passed_over() -> None:
    data = m.KEEP_ALIVE + wire(99, bytes(1000)) + m.KEEP_ALIVE * 5 + wire(MessageId.CHOKE) + m.KEEP_ALIVE
    assert Listener().feed(data).heard == [m.Choke()]


def test_requests_that_came_together_stay_together() -> None:
    items = tuple((piece, 0, BLOCK) for piece in range(300))
    wire_bytes = m.encode_message(m.Requests(items))
    assert Listener().feed(wire_bytes).batches == [m.Requests(items)]
    listener = Listener().feed(wire_bytes[:100], wire_bytes[100:])
    assert len(listener.batches) == 3  # before the cut, the one that was cut, after it
    assert listener.messages == [m.Requests((item,)) for item in items]


def test_other_messages_part_a_batch_of_requests() -> None:
    first, second = m.Requests(((1, 0, 5), (2, 0, 5))), m.Requests(((3, 0, 5),))
    data = m.encode_message(first) + wire(MessageId.UNCHOKE) + m.encode_message(second) + m.KEEP_ALIVE
    assert Listener().feed(data).batches == [first, m.Unchoke(), second]


def test_a_peer_without_pieces_may_say_nothing_and_have_them_one_by_one() -> None:
    data = b"".join(m.encode_message(m.Have(piece)) for piece in range(PIECE_COUNT))
    assert Listener(fast=False).feed(data).messages == [m.Have(piece) for piece in range(PIECE_COUNT)]


def test_a_bitfield_may_come_again_instead_of_many_haves() -> None:
    more = wire(MessageId.BITFIELD, b"\xff" + bytes(PIECE_COUNT // 8 - 1))
    listener = Listener()
    listener.feed(wire(MessageId.HAVE_NONE) + BITFIELD + more)
    assert listener.heard == [m.HaveNone(), m.Bitfield(0, PIECE_COUNT), m.Bitfield(0xFF, PIECE_COUNT)]


def test_a_block_that_came_whole_is_not_copied() -> None:
    data = bytearray(encode_block(0, 0, b"before"))
    seen: list[memoryview] = []
    connection = PeerConnection(lambda piece, begin, view: seen.append(view))
    connection.receive_data(memoryview(handshake()))
    connection.open(PIECE_COUNT)
    connection.receive_data(memoryview(data))
    data[-6:] = b"after!"
    assert bytes(seen[0]) == b"after!"


def test_a_connection_knows_that_a_block_is_on_its_way() -> None:
    block = encode_block(0, 0, b"x" * BLOCK)
    listener = Listener()
    assert not listener.connection.is_amid_block
    for cut in (5, 13, len(block) - 1):
        listener.feed(block[:cut])
        assert listener.connection.is_amid_block
        listener.feed(block[cut:])
        assert not listener.connection.is_amid_block
    request = encode_request(0, 0, BLOCK)
    listener.feed(request[:12])
    assert not listener.connection.is_amid_block
