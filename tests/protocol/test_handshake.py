"""The 68 bytes that open a connection: what is said in them, and strangers that are refused early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import PeerError
from shoal.protocol.peer.handshake import (
    HANDSHAKE_LENGTH,
    PROTOCOL_NAME,
    Handshake,
    check_beginning,
    encode_handshake,
    parse_handshake,
)
from shoal.testing import raw_wire

ids = st.binary(min_size=20, max_size=20)
handshakes = st.builds(Handshake, ids, ids, st.booleans(), st.booleans())


@given(handshakes)
def test_a_handshake_comes_back_as_it_was(handshake: Handshake) -> None:
    wire = encode_handshake(handshake)
    assert len(wire) == HANDSHAKE_LENGTH
    assert parse_handshake(wire) == handshake


@given(handshakes)
def test_a_handshake_is_spelled_as_the_standard_has_it(handshake: Handshake) -> None:
    assert encode_handshake(handshake) == raw_wire.encode_handshake(
        handshake.info_hash, handshake.peer_id, fast=handshake.has_fast, extension=handshake.has_extended
    )


@given(st.binary(min_size=8, max_size=8), ids, ids)
def test_unknown_reserved_bits_are_passed_over(reserved: bytes, info_hash: bytes, peer_id: bytes) -> None:
    handshake = parse_handshake(PROTOCOL_NAME + reserved + info_hash + peer_id)
    assert (handshake.info_hash, handshake.peer_id) == (info_hash, peer_id)
    assert handshake.has_fast == bool(reserved[7] & 4)
    assert handshake.has_extended == bool(reserved[5] & 16)


@given(st.integers(0, 200).filter(lambda length: length != HANDSHAKE_LENGTH))
def test_another_length_is_refused(length: int) -> None:
    wire = (encode_handshake(Handshake(bytes(20), bytes(20))) + bytes(200))[:length]
    with pytest.raises(PeerError, match=f"has 68 bytes, this has {length}"):
        parse_handshake(wire)


@given(st.integers(0, len(PROTOCOL_NAME)))
def test_a_right_beginning_is_waited_for(length: int) -> None:
    check_beginning(PROTOCOL_NAME[:length])


@given(st.integers(0, len(PROTOCOL_NAME) - 1), st.integers(1, 255), st.binary(max_size=60))
def test_a_wrong_byte_is_refused_wherever_it_stands(position: int, change: int, rest: bytes) -> None:
    wrong = PROTOCOL_NAME[:position] + bytes([PROTOCOL_NAME[position] ^ change]) + rest
    with pytest.raises(PeerError, match="not a BitTorrent handshake"):
        check_beginning(wrong)
    with pytest.raises(PeerError):
        parse_handshake((wrong + bytes(HANDSHAKE_LENGTH))[:HANDSHAKE_LENGTH])


def test_a_browser_is_refused_with_what_it_said() -> None:
    with pytest.raises(PeerError, match=r"GET / HTTP/1\.1"):
        check_beginning(b"GET / HTTP/1.1\r\nHost: example\r\n")
