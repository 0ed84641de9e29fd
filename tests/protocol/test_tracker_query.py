from __future__ import annotations

import random
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shoal.protocol.tracker.messages import AnnounceRequest, Event
from shoal.protocol.tracker.query import (
    MAX_QUERY_LENGTH,
    QueryError,
    encode_announce_query,
    encode_scrape_query,
    parse_announce_query,
    parse_scrape_query,
    unquoted,
)

hashes = st.binary(min_size=20, max_size=20)
counts = st.integers(0, 2**63 - 1)
requests = st.builds(
    AnnounceRequest,
    info_hash=hashes,
    peer_id=hashes,
    port=st.integers(0, 65535),
    uploaded=counts,
    downloaded=counts,
    left=counts,
    event=st.none() | st.sampled_from(Event),
    numwant=st.none() | st.integers(0, 10_000),
    key=st.binary(max_size=16),
    tracker_id=st.binary(max_size=64),
    is_compact=st.booleans(),
)

GOOD = {
    "info_hash": quote_from_bytes(bytes(range(20)), safe=""),
    "peer_id": "-XX0000-abcdefghijkl",
    "port": "6881",
    "uploaded": "0",
    "downloaded": "0",
    "left": "7",
}


def query_with(**changes: str | None) -> bytes:
    fields = {**GOOD, **changes}
    return "&".join(f"{name}={value}" for name, value in fields.items() if value is not None).encode()


@given(requests)
def test_what_the_client_asks_is_what_the_server_reads(request: AnnounceRequest) -> None:
    assert parse_announce_query(encode_announce_query(request).encode()) == request


@given(st.lists(hashes, max_size=20))
def test_a_scrape_is_read_as_it_was_asked(info_hashes: list[bytes]) -> None:
    assert parse_scrape_query(encode_scrape_query(info_hashes).encode()) == info_hashes


@given(st.binary(max_size=300))
def test_any_bytes_give_a_request_or_a_query_error(query: bytes) -> None:
    for parse in (parse_announce_query, parse_scrape_query):
        try:
            parse(query)
        except QueryError as error:
            assert error.message.isprintable()


def test_zero_bytes_and_unescaped_bytes_are_as_good_as_any_other() -> None:
    request = parse_announce_query(query_with(info_hash="%00" * 19 + "a"))
    assert request.info_hash == b"\0" * 19 + b"a"


def test_lower_case_escapes_are_read() -> None:
    assert parse_announce_query(query_with(info_hash="%af" * 20)).info_hash == b"\xaf" * 20


def test_a_plus_is_a_plus_and_not_a_blank() -> None:
    assert parse_announce_query(query_with(info_hash="+" * 20)).info_hash == b"+" * 20


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"info_hash": None}, "info_hash is missing"),
        ({"info_hash": "abc"}, "info_hash has 3 bytes, not 20"),
        ({"peer_id": None}, "peer_id is missing"),
        ({"peer_id": "%00" * 21}, "peer_id has 21 bytes, not 20"),
        ({"port": None}, "port is missing"),
        ({"port": "65536"}, "port '65536' is not a number from 0 to 65535"),
        ({"port": "0x1"}, "port '0x1' is not a number"),
        ({"left": None}, "left is missing"),
        ({"left": "-1"}, "left '-1' is not a number"),
        ({"left": "9" * 40}, "left '99999999999999999999999999999999' is not a number"),
        ({"left": "\u00b2"}, "is not a number"),
        ({"event": "begun"}, "event 'begun' is not started, completed or stopped"),
        ({"event": "\x1b[2J"}, r"event '\?\[2J' is not"),
        ({"numwant": "many"}, "numwant 'many' is not a number"),
        ({"key": "k" * 65}, "key has 65 bytes; at most 64"),
        ({"x": "y" * MAX_QUERY_LENGTH}, "the query has .* bytes; at most 8192"),
        ({"x": "&" * 200}, "more than 128 parameters"),
    ],
)
def test_what_is_missing_or_wrong_is_named(changes: dict[str, str | None], reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        parse_announce_query(query_with(**changes))


def test_what_may_be_left_out_has_its_meaning() -> None:
    request = parse_announce_query(query_with(uploaded=None, downloaded=None, event="", numwant="-1"))
    assert (request.uploaded, request.downloaded, request.event, request.numwant) == (0, 0, None, None)
    assert request.is_compact


def test_an_address_in_the_query_is_passed_over() -> None:
    assert parse_announce_query(query_with(ip="203.0.113.9")) == parse_announce_query(query_with())


def test_too_many_info_hashes_in_a_scrape_are_refused() -> None:
    with pytest.raises(QueryError, match="101 info hashes in one scrape"):
        parse_scrape_query(b"&".join([b"info_hash=" + b"a" * 20] * 101))


@given(raw=st.binary(max_size=40), chosen=st.randoms())
def test_bytes_survive_any_way_of_quoting_them(raw: bytes, chosen: random.Random) -> None:
    quoted = b"".join(
        b"%%%02x" % byte if byte in b"%&=+" or chosen.random() < 0.5 else bytes([byte]) for byte in raw
    )
    assert unquoted(quoted) == raw
    assert unquoted(b"".join(b"%%%02X" % byte for byte in raw)) == raw


@example(quoted=b"%  ")
@given(quoted=st.binary(max_size=40) | st.text("%4aZ ", max_size=12).map(str.encode))
def test_broken_quoting_is_read_as_urllib_reads_it(quoted: bytes) -> None:
    assert unquoted(quoted) == unquote_to_bytes(quoted)
