"""Announcements in the local network: what is told, what is refused, and that nothing else ever happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.protocol.local_discovery import (
    LONGEST_COOKIE,
    MOST_INFO_HASHES,
    MOST_LENGTH,
    MOST_LINES,
    Announcement,
    encode_announcement,
    parse_announcement,
)

ONE = Announcement("239.192.152.143:6771", 6881, (bytes(range(20)),), "name")
TEXT = (
    "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n"
    f"Infohash: {bytes(range(20)).hex()}\r\ncookie: name\r\n\r\n\r\n"
)
HASH = "Infohash: " + 20 * "ab"

announcements = st.builds(
    Announcement,
    host=st.text("0123456789.:[]abcf", max_size=40),
    port=st.integers(1, 65535),
    info_hashes=st.lists(
        st.binary(min_size=20, max_size=20), min_size=1, max_size=MOST_INFO_HASHES, unique=True
    ).map(tuple),
    cookie=st.text("!abcXYZ0:~", max_size=LONGEST_COOKIE),
)


def datagram(*lines: str) -> bytes:
    return "\r\n".join(["BT-SEARCH * HTTP/1.1", *lines, "", "", ""]).encode()


def test_it_is_written_as_in_bep_14() -> None:
    assert encode_announcement(ONE) == TEXT.encode()
    assert parse_announcement(TEXT.encode()) == ONE


@given(announcements)
def test_what_was_encoded_parses_to_the_same_and_fits_a_packet(announcement: Announcement) -> None:
    data = encode_announcement(announcement)
    assert len(data) <= MOST_LENGTH
    assert parse_announcement(data) == announcement


@given(announcements, st.integers(0, MOST_LENGTH))
def test_a_beginning_of_one_is_refused(announcement: Announcement, length: int) -> None:
    data = encode_announcement(announcement)
    with pytest.raises(FormatError):
        parse_announcement(data[: min(length, len(data) - 5)])


@given(announcements, st.binary(max_size=40).filter(lambda tail: max(tail, default=0) < 128))
def test_a_tail_behind_its_headers_is_no_part_of_it(announcement: Announcement, tail: bytes) -> None:
    data = encode_announcement(announcement) + tail
    if len(data) <= MOST_LENGTH:
        assert parse_announcement(data) == announcement


@given(announcements, st.data())
def test_a_slice_of_one_is_a_value_or_refused(announcement: Announcement, data: st.DataObject) -> None:
    whole = encode_announcement(announcement)
    begin, end = sorted(data.draw(st.tuples(*2 * [st.integers(0, len(whole))])))
    value_or_refusal(whole[begin:end])


@given(st.binary(max_size=MOST_LENGTH + 9) | st.binary().map(lambda tail: TEXT.encode()[:40] + tail))
def test_any_bytes_give_a_value_or_are_refused(data: bytes) -> None:
    value_or_refusal(data)


def value_or_refusal(data: bytes) -> None:
    try:
        announcement = parse_announcement(data)
    except FormatError:
        return
    assert parse_announcement(encode_announcement(announcement)) == announcement


def test_names_are_read_in_any_case_and_strange_lines_are_passed_over() -> None:
    data = datagram("PORT:7", "X-Name: Value", "no colon", f"infoHASH:\t{20 * 'AB'} ", HASH, "Cookie:")
    assert parse_announcement(data) == Announcement("", 7, (20 * b"\xab",))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "byte 0: not a BT-SEARCH"),
        (b"M-SEARCH * HTTP/1.1\r\n\r\n", "byte 0: not a BT-SEARCH"),
        (datagram("Port: 1", HASH, "cookie: \xe9"), "byte 91: not ASCII"),
        (datagram("Port: 1", HASH)[:-6], "byte 81: ends within its headers"),
        (datagram(HASH), "not one Port of 1..65535"),
        (datagram("Port: 0", HASH), "not one Port of 1..65535"),
        (datagram("Port: 65536", HASH), "not one Port of 1..65535"),
        (datagram("Port: -1", HASH), "not one Port of 1..65535"),
        (datagram("Port: " + 999 * "0" + "1", HASH, HASH), None),
        (datagram("Port: " + 999 * "9", HASH), "not one Port of 1..65535"),
        (datagram("Port: 1", "Port: 1", HASH), "not one Port of 1..65535"),
        (datagram("Port: 1"), "0 info hashes, not 1..20"),
        (datagram("Port: 1", *21 * [HASH]), "21 info hashes, not 1..20"),
        (datagram("Port: 1", HASH + "a"), "Infohash: not 40 hex digits"),
        (datagram("Port: 1", HASH[:-1] + "g"), "Infohash: not 40 hex digits"),
        (datagram("Port: 1", HASH, "cookie: " + 65 * "x"), "cookie: not up to 64 visible signs"),
        (datagram("Port: 1", HASH, "cookie: a\x00b"), "cookie: not up to 64 visible signs"),
        (datagram("Port: 1", HASH, "cookie: a", "cookie: b"), "cookie is told 2 times"),
        (datagram("Port: 1", HASH, "Host: a", "Host: a"), "Host is told 2 times"),
        (datagram("Port: 1", HASH, *MOST_LINES * ["x"]), "67 lines, more than 64"),
        (datagram("Port: 1", HASH, "X: " + 1400 * "x"), "1492 bytes, more than 1400"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(data: bytes, reason: str | None) -> None:
    if reason is None:
        assert parse_announcement(data).port == 1
        return
    with pytest.raises(FormatError) as caught:
        parse_announcement(data)
    assert str(caught.value) == f"local announcement: {reason}"
