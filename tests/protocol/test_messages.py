"""Messages and the handshake as bytes, against a second spelling of the wire and back again."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.bitfield import bits_to_wire
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.connection import PeerConnection
from shoal.protocol.peer.handshake import Handshake, encode_handshake
from shoal.testing import raw_wire
from shoal.testing.raw_wire import MessageId

PIECE_COUNT = 1000

pieces = st.integers(0, PIECE_COUNT - 1)
numbers = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 128 * 1024)

legal_messages: st.SearchStrategy[m.Message] = st.one_of(
    st.sampled_from([m.Choke(), m.Unchoke(), m.Interested(), m.NotInterested()]),
    st.builds(m.Have, pieces),
    st.builds(m.Requests, st.lists(st.tuples(pieces, numbers, sizes), min_size=1, max_size=40).map(tuple)),
    st.builds(m.Cancel, pieces, numbers, numbers),
    st.builds(m.Reject, pieces, numbers, numbers),
    st.builds(m.Suggest, pieces),
    st.builds(m.AllowedFast, pieces),
    st.builds(m.Port, st.integers(0, 0xFFFF)),
    st.builds(m.Extended, st.integers(0, 255), st.binary(max_size=300)),
)
first_messages: st.SearchStrategy[m.Message] = st.one_of(
    st.sampled_from([m.HaveAll(), m.HaveNone()]),
    st.builds(m.Bitfield, st.integers(0, 2**PIECE_COUNT - 1), st.just(PIECE_COUNT)),
)


def read_back(wire: bytes) -> list[m.Message]:
    """What the receiving side of a connection makes of `wire`."""
    connection = PeerConnection(lambda piece, begin, view: None)
    connection.receive_data(memoryview(encode_handshake(Handshake(bytes(20), bytes(20)))))
    connection.open(PIECE_COUNT)
    return connection.receive_data(memoryview(wire))


@given(legal_messages | first_messages)
def test_every_message_comes_back_as_it_was(message: m.Message) -> None:
    assert read_back(m.encode_message(message)) == [message]


def three(*values: int) -> bytes:
    return struct.pack(">III", *values)


@pytest.mark.parametrize(
    ("message", "kind", "payload"),
    [
        (m.Choke(), MessageId.CHOKE, b""),
        (m.Unchoke(), MessageId.UNCHOKE, b""),
        (m.Interested(), MessageId.INTERESTED, b""),
        (m.NotInterested(), MessageId.NOT_INTERESTED, b""),
        (m.Have(258), MessageId.HAVE, b"\0\0\1\2"),
        (m.Bitfield(0b101, 9), MessageId.BITFIELD, b"\xa0\0"),
        (m.Cancel(1, 16384, 5), MessageId.CANCEL, three(1, 16384, 5)),
        (m.Port(6881), MessageId.PORT, b"\x1a\xe1"),
        (m.Suggest(3), MessageId.SUGGEST, b"\0\0\0\3"),
        (m.HaveAll(), MessageId.HAVE_ALL, b""),
        (m.HaveNone(), MessageId.HAVE_NONE, b""),
        (m.Reject(1, 2, 3), MessageId.REJECT, three(1, 2, 3)),
        (m.AllowedFast(4), MessageId.ALLOWED_FAST, b"\0\0\0\4"),
        (m.Extended(0, b"de"), MessageId.EXTENDED, b"\0de"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bytes | int) else "",
)
def test_a_message_is_spelled_as_the_standard_has_it(
    message: m.Message, kind: MessageId, payload: bytes
) -> None:
    assert m.encode_message(message) == raw_wire.encode_message(kind, payload)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=50))
def test_a_batch_of_requests_is_single_requests_side_by_side(items: list[m.Request]) -> None:
    assert m.encode_message(m.Requests(tuple(items))) == b"".join(
        raw_wire.encode_request(*item) for item in items
    )


@given(numbers, numbers, st.binary(max_size=100))
def test_a_block_is_its_head_and_its_bytes(piece: int, begin: int, data: bytes) -> None:
    head = m.encode_block_head(piece, begin, len(data))
    assert len(head) == m.BLOCK_HEAD_LENGTH
    assert head + data == raw_wire.encode_block(piece, begin, data)


@given(st.integers(1, 200).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, 2**count - 1))))
def test_a_bitfield_has_a_bit_for_each_piece_and_spare_zeros(case: tuple[int, int]) -> None:
    count, bits = case
    wire = m.encode_message(m.Bitfield(bits, count))
    assert wire == raw_wire.encode_message(MessageId.BITFIELD, bits_to_wire(bits, count))
    assert [wire[5 + piece // 8] >> (7 - piece % 8) & 1 for piece in range(count)] == [
        bits >> piece & 1 for piece in range(count)
    ]


def test_a_keep_alive_is_a_length_of_zero() -> None:
    assert struct.pack(">I", 0) == m.KEEP_ALIVE
