from __future__ import annotations

import ipaddress
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.formats.bencode import decode, encode
from shoal.protocol.tracker.answers import (
    encode_announce_response,
    encode_failure,
    encode_scrape_response,
    parse_announce_response,
    parse_peer_dict,
    parse_scrape_response,
)
from shoal.protocol.tracker.messages import AnnounceResponse, ScrapeEntry, ScrapeResponse, TrackerFailure

small = st.integers(0, 2**31)
one_line = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
responses = st.builds(
    AnnounceResponse,
    interval=st.none() | small,
    min_interval=st.none() | small,
    complete=st.none() | small,
    incomplete=st.none() | small,
    peers_v4=st.lists(st.binary(min_size=6, max_size=6)).map(b"".join),
    peers_v6=st.lists(st.binary(min_size=18, max_size=18)).map(b"".join),
    tracker_id=st.binary(max_size=64),
    external_ip=st.just(b"") | st.ip_addresses().map(lambda ip: ip.packed),
    warning=st.just("") | one_line,
)
entries = st.builds(ScrapeEntry, complete=small, incomplete=small, downloaded=small)
scrapes = st.builds(
    ScrapeResponse,
    entries=st.dictionaries(st.binary(min_size=20, max_size=20), entries),
    min_interval=st.none() | small,
)


@given(responses)
def test_a_packed_answer_is_read_as_it_was_written(response: AnnounceResponse) -> None:
    assert parse_announce_response(encode_announce_response(response)) == response


@given(responses)
def test_dictionaries_of_peers_hold_the_same_peers(response: AnnounceResponse) -> None:
    parsed = parse_announce_response(encode_announce_response(response, is_compact=False))
    assert isinstance(parsed, AnnounceResponse)
    assert sorted(parsed.peers) == sorted(response.peers)


@given(scrapes)
def test_a_scrape_is_read_as_it_was_written(response: ScrapeResponse) -> None:
    assert parse_scrape_response(encode_scrape_response(response)) == response


@given(one_line, st.none() | st.just(math.inf) | st.integers(0, 1000).map(lambda minutes: minutes * 60.0))
def test_a_failure_is_read_as_it_was_written(reason: str, retry_in: float | None) -> None:
    failure = TrackerFailure(reason, retry_in)
    assert parse_announce_response(encode_failure(failure)) == failure
    assert parse_scrape_response(encode_failure(failure)) == failure


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer_or_a_format_error(data: bytes) -> None:
    for parse in (parse_announce_response, parse_scrape_response):
        try:
            parse(data)
        except FormatError as error:
            assert error.message


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], "answer is a list, not a dictionary"),
        ({"interval": "soon"}, "interval is text, not a number"),
        ({"peers": 5}, "peers is a number, neither text nor a list"),
        ({"peers": b"12345"}, "peers of 5 bytes is no multiple of 6"),
        ({"peers6": b"1" * 19}, "peers6 of 19 bytes is no multiple of 18"),
        ({"peers": [{"port": 1}]}, "a peer lacks its ip"),
        ({"peers": [{"ip": "1.2.3.4", "port": 65536}]}, "a peer's port is 65536"),
        ({"peers": [{"ip": "a b", "port": 1}]}, "a peer's ip is 'a b'"),
        ({"external ip": b"123"}, "external ip of 3 bytes"),
        ({"tracker id": b"x" * 65}, "tracker id of 65 bytes"),
        ({"failure reason": 1}, "failure reason is a number, not text"),
    ],
)
def test_a_wrong_field_is_named(fields: object, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse_announce_response(encode(fields))


def test_an_answer_may_leave_out_everything() -> None:
    assert parse_announce_response(b"de") == AnnounceResponse()


def test_one_bad_peer_does_not_spoil_the_others() -> None:
    answer = encode({"peers": [{"ip": "1.2.3.4"}, {"ip": "::1", "port": 7}, {"ip": "a.example", "port": 8}]})
    parsed = parse_announce_response(answer)
    assert isinstance(parsed, AnnounceResponse)
    assert parsed.peers == [("::1", 7), ("a.example", 8)]


def test_a_peer_with_port_0_is_not_offered() -> None:
    assert AnnounceResponse(peers_v4=bytes([1, 2, 3, 4, 0, 0])).peers == []


def test_a_count_of_minus_one_is_as_good_as_absent() -> None:
    assert parse_announce_response(encode({"complete": -1, "interval": -5})) == AnnounceResponse()


def test_text_of_a_tracker_becomes_one_short_harmless_line() -> None:
    failure = parse_announce_response(encode({"failure reason": b"no\r\n\x1b[2J\xff" + b"x" * 2000}))
    assert isinstance(failure, TrackerFailure)
    assert failure.reason.isprintable() and len(failure.reason) <= 300
    assert failure.reason.startswith("no")


@given(responses, st.booleans())
def test_our_answer_is_canonical(response: AnnounceResponse, is_compact: bool) -> None:
    answer = encode_announce_response(response, is_compact=is_compact)
    assert encode(decode(answer)) == answer


def test_our_answer_tells_the_asker_its_address() -> None:
    answer = encode_announce_response(AnnounceResponse(interval=60, external_ip=bytes([192, 0, 2, 7])))
    assert decode(answer) == {b"external ip": bytes([192, 0, 2, 7]), b"interval": 60, b"peers": b""}


# -- conformance data --------------------------------------------------------------------------------


def vectors(corpora: Path) -> list[dict[str, Any]]:
    path = corpora / "vectors" / "tracker.json"
    cases: list[dict[str, Any]] = json.loads(path.read_text())["cases"]
    return cases


@pytest.mark.corpora
def test_answers_seen_elsewhere_are_read_as_they_are_elsewhere(corpora: Path) -> None:
    cases = [case for case in vectors(corpora) if case.get("kind") != "peer dict"]
    assert cases
    for case in cases:
        check_answer(case, bytes.fromhex(case["hex"]))


def check_answer(case: dict[str, Any], data: bytes) -> None:
    if case["expect"].startswith("error"):
        with pytest.raises(FormatError):
            parse_announce_response(data)
    elif case["expect"] == "ok scrape":
        scrape = parse_scrape_response(data)
        assert isinstance(scrape, ScrapeResponse)
        assert scrape.entries == {b"aaa\0" + b"a" * 16: ScrapeEntry(complete=4, incomplete=5, downloaded=6)}
    elif case["expect"] == "failure":
        assert parse_announce_response(data) == TrackerFailure(case["reason"])
    else:
        answer = parse_announce_response(data)
        assert isinstance(answer, AnnounceResponse)
        assert [f"{host}:{port}" for host, port in answer.peers] == case.get("peers", [])
        assert answer.warning == case.get("warning", "")
        seen_as = str(ipaddress.ip_address(answer.external_ip)) if answer.external_ip else ""
        assert seen_as == case.get("external_ip", "")


@pytest.mark.corpora
def test_peer_dictionaries_seen_elsewhere_are_read_as_they_are_elsewhere(corpora: Path) -> None:
    cases = [case for case in vectors(corpora) if case.get("kind") == "peer dict"]
    assert cases
    for case in cases:
        entry = decode(bytes.fromhex(case["hex"]), allow_unsorted=True)
        if case["expect"].startswith("peer ok"):
            host, port = parse_peer_dict(entry)
            assert f"peer ok {host}:{port}" == case["expect"]
        else:
            with pytest.raises(FormatError, match=case["expect"].replace("missing", "lacks its")):
                parse_peer_dict(entry)
