"""The extension handshake: exact in what we send, lenient in what others do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.formats import bencode
from shoal.protocol.peer.extended import (
    MAX_HANDSHAKE_LENGTH,
    MAX_MESSAGES,
    MAX_METADATA_SIZE,
    MAX_REQUEST_QUEUE,
    ExtendedHandshake,
    encode_extended_handshake,
    parse_extended_handshake,
)
from shoal.protocol.peer.printable import MAX_SHOWN_LENGTH

IPV6 = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str)
IPV4 = st.ip_addresses(v=4).map(str)
HANDSHAKES = st.builds(
    ExtendedHandshake,
    messages=st.dictionaries(
        st.text(st.characters(codec="ascii"), max_size=20), st.integers(0, 255), max_size=9
    ),
    client=st.text(max_size=MAX_SHOWN_LENGTH).filter(str.isprintable),
    listen_port=st.none() | st.integers(1, 65_535),
    request_queue=st.none() | st.integers(1, MAX_REQUEST_QUEUE),
    your_ip=st.none() | IPV4 | IPV6,
    is_upload_only=st.none() | st.booleans(),
    metadata_size=st.none() | st.integers(1, MAX_METADATA_SIZE),
    ipv4=st.none() | IPV4,
    ipv6=st.none() | IPV6,
)


@given(HANDSHAKES)
def test_what_is_encoded_comes_back(handshake: ExtendedHandshake) -> None:
    encoded = encode_extended_handshake(handshake)
    assert parse_extended_handshake(encoded) == handshake
    assert parse_extended_handshake(memoryview(encoded + b"tail")) == handshake


def test_a_full_handshake_has_the_keys_of_bep_10() -> None:
    handshake = ExtendedHandshake(
        messages={"ut_metadata": 2, "lt_donthave": 7},
        client="Shoal 0.1.0",
        listen_port=6881,
        request_queue=500,
        your_ip="192.0.2.1",
        is_upload_only=True,
    )
    assert encode_extended_handshake(handshake) == (
        b"d1:md11:lt_donthavei7e11:ut_metadatai2ee1:pi6881e4:reqqi500e11:upload_onlyi1e"
        b"1:v11:Shoal 0.1.06:yourip4:\xc0\x00\x02\x01e"
    )


def test_an_empty_dict_is_a_handshake() -> None:
    assert parse_extended_handshake(b"de") == ExtendedHandshake()


def test_the_example_of_bep_10_is_read() -> None:
    payload = b"d1:md11:LT_metadatai1e7:\xc2\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e"
    handshake = parse_extended_handshake(payload)
    assert handshake.messages == {"LT_metadata": 1, "µT_PEX": 2}
    assert handshake.listen_port == 6881
    assert handshake.client == "µTorrent 1.2"


def test_a_message_with_id_zero_is_switched_off() -> None:
    handshake = parse_extended_handshake(b"d1:md6:ut_pexi0e11:ut_metadatai3eee")
    assert handshake.messages == {"ut_pex": 0, "ut_metadata": 3}
    assert handshake.message_id("ut_pex") is None
    assert handshake.message_id("ut_metadata") == 3
    assert handshake.message_id("lt_donthave") is None


def test_unsorted_keys_are_read() -> None:
    assert parse_extended_handshake(b"d1:v1:x1:pi1ee") == ExtendedHandshake(client="x", listen_port=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"m": 7},
        {"m": ["ut_pex"]},
        {"m": {"ut_pex": "1"}},
        {"m": {"ut_pex": 256}},
        {"m": {"ut_pex": -1}},
        {"m": {b"\xb5T_PEX": 1}},
        {"m": {"x" * 65: 1}},
        {"v": 3},
        {"v": {}},
        {"p": 0},
        {"p": 65_536},
        {"p": "6881"},
        {"reqq": 0},
        {"reqq": -5},
        {"reqq": []},
        {"yourip": "192.0.2.1"},
        {"yourip": b"\0" * 5},
        {"yourip": 1},
        {"upload_only": 2},
        {"upload_only": "yes"},
        {"metadata_size": 0},
        {"metadata_size": MAX_METADATA_SIZE + 1},
        {"ipv4": b"\0" * 16},
        {"ipv6": b"\0" * 4},
        {"unheard of": {"a": [1, 2, 3]}},
    ],
)
def test_a_field_that_makes_no_sense_counts_as_not_sent(fields: dict[str, object]) -> None:
    payload = bencode.encode({**fields, "complete_ago": 1})
    assert parse_extended_handshake(payload) == ExtendedHandshake()


def test_an_immense_request_queue_is_cut() -> None:
    assert parse_extended_handshake(b"d4:reqqi4000000000ee").request_queue == MAX_REQUEST_QUEUE


def test_an_address_mapped_into_ipv6_is_an_ipv4_address() -> None:
    mapped = bytes(10) + b"\xff\xff\xc0\x00\x02\x01"
    assert parse_extended_handshake(bencode.encode({"yourip": mapped})).your_ip == "192.0.2.1"


def test_the_number_of_messages_is_bounded() -> None:
    payload = bencode.encode({"m": {f"m{number}": 1 for number in range(300)}})
    assert len(parse_extended_handshake(payload).messages) == MAX_MESSAGES


def test_the_name_of_the_client_is_safe_to_print() -> None:
    assert parse_extended_handshake(b"d1:v8:\x1b[2Jevile").client == "\\x1b[2Jevil"


@pytest.mark.parametrize("payload", [b"", b"i1e", b"le", b"4:spam", b"d1:m", b"garbage", b"d1:pi01ee"])
def test_what_is_no_bencoded_dict_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError):
        parse_extended_handshake(payload)


def test_an_oversize_handshake_is_refused_before_it_is_read() -> None:
    with pytest.raises(FormatError, match="65537 bytes, more than 65536"):
        parse_extended_handshake(b"x" * (MAX_HANDSHAKE_LENGTH + 1))


@given(st.binary(max_size=200) | HANDSHAKES.map(encode_extended_handshake), st.data())
def test_any_bytes_give_a_handshake_or_the_named_error(payload: bytes, data: st.DataObject) -> None:
    mangled = bytearray(payload)
    for _ in range(data.draw(st.integers(0, 3)) if mangled else 0):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    try:
        handshake = parse_extended_handshake(bytes(mangled))
    except FormatError:
        return
    assert parse_extended_handshake(encode_extended_handshake(handshake)) == handshake
