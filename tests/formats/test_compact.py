from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.formats.bencode import decode
from shoal.formats.compact import (
    encode_compact_v4,
    encode_compact_v6,
    parse_compact_v4,
    parse_compact_v6,
)

ports = st.integers(0, 65535)
v4_peers = st.lists(st.tuples(st.ip_addresses(v=4).map(str), ports), max_size=20)
v6_peers = st.lists(st.tuples(st.ip_addresses(v=6), ports), max_size=20)


@given(v4_peers)
def test_ipv4_peers_survive(peers: list[tuple[str, int]]) -> None:
    assert parse_compact_v4(encode_compact_v4(peers)) == peers


@given(v6_peers)
def test_ipv6_peers_survive_as_the_same_addresses(peers: list[tuple[object, int]]) -> None:
    packed = encode_compact_v6((str(address), port) for address, port in peers)
    parsed = parse_compact_v6(packed)
    assert [port for _, port in parsed] == [port for _, port in peers]
    assert encode_compact_v6(parsed) == packed


@given(st.binary(max_size=60).filter(lambda data: len(data) % 6))
def test_a_cut_off_ipv4_peer_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=f"compact peers of {len(data)} bytes, which is no multiple of 6"):
        parse_compact_v4(data)


@given(st.binary(max_size=60).filter(lambda data: len(data) % 18))
def test_a_cut_off_ipv6_peer_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="no multiple of 18"):
        parse_compact_v6(data)


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_the_examples_of_bep_23_and_bep_7(buffer: Callable[[bytes], bytes]) -> None:
    reply = decode(b"d8:intervali1800e5:peers6:iiiipp6:peers618:iiiiiiiiiiiiiiiippe")
    assert isinstance(reply, dict)
    v4, v6 = reply[b"peers"], reply[b"peers6"]
    assert isinstance(v4, bytes)
    assert isinstance(v6, bytes)
    assert parse_compact_v4(buffer(v4)) == [("105.105.105.105", 28784)]
    assert parse_compact_v6(buffer(v6)) == [(":".join(["6969"] * 8), 28784)]
