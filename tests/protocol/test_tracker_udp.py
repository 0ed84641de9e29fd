from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.protocol.tracker.messages import AnnounceRequest, AnnounceResponse, Event, ScrapeEntry
from shoal.protocol.tracker.udp import (
    ANNOUNCE_LENGTH,
    MAX_DATAGRAM,
    MAX_SCRAPE_HASHES,
    MAX_URL_DATA,
    MOST_PEERS_V6,
    PROTOCOL_ID,
    Action,
    Announced,
    Connected,
    ErrorAnswer,
    Scraped,
    UnanswerableError,
    encode_announce,
    encode_announced,
    encode_connect,
    encode_connected,
    encode_error,
    encode_scrape,
    encode_scraped,
    parse_announce,
    parse_answer,
    parse_answer_head,
    parse_head,
    parse_scrape,
    parse_url_data,
)

TRANSACTION, CONNECTION = b"tran", b"connect!"
REQUEST = AnnounceRequest(
    info_hash=bytes(range(20)),
    peer_id=b"-XX0000-abcdefghijkl",
    port=6881,
    uploaded=1,
    downloaded=2,
    left=3,
    event=Event.STARTED,
    numwant=50,
    key=b"key!",
)

transactions = st.binary(min_size=4, max_size=4)
connections = st.binary(min_size=8, max_size=8)
hashes = st.binary(min_size=20, max_size=20)
byte_counts = st.integers(0, 2**64 - 1)
requests = st.builds(
    AnnounceRequest,
    info_hash=hashes,
    peer_id=hashes,
    port=st.integers(0, 65535),
    uploaded=byte_counts,
    downloaded=byte_counts,
    left=byte_counts,
    event=st.none() | st.sampled_from(Event),
    numwant=st.none() | st.integers(0, 2**31 - 1),
    key=transactions,
)
counts = st.integers(0, 2**31 - 1)


def packed_peers(record_length: int, most: int) -> st.SearchStrategy[bytes]:
    return st.integers(0, most).flatmap(
        lambda count: st.binary(min_size=count * record_length, max_size=count * record_length)
    )


# -- the bytes, by BEP 15 ----------------------------------------------------------------------------


def test_the_questions_are_those_of_bep_15() -> None:
    assert encode_connect(TRANSACTION).hex() == "000004172710198000000000" + TRANSACTION.hex()
    asked = encode_announce(CONNECTION, TRANSACTION, REQUEST)
    assert asked == struct.pack(
        "!8sI4s20s20sQQQIIIiH", CONNECTION, 1, TRANSACTION, REQUEST.info_hash, REQUEST.peer_id,
        2, 3, 1, 2, 0, int.from_bytes(b"key!", "big"), 50, 6881,
    )  # fmt: skip
    assert len(asked) == ANNOUNCE_LENGTH
    assert encode_scrape(CONNECTION, TRANSACTION, [b"a" * 20, b"b" * 20]) == (
        CONNECTION + b"\0\0\0\2" + TRANSACTION + b"a" * 20 + b"b" * 20
    )


def test_as_many_peers_as_the_tracker_finds_right_are_minus_one() -> None:
    asked = encode_announce(CONNECTION, TRANSACTION, AnnounceRequest(bytes(20), bytes(20), 1))
    assert asked[92:96] == b"\xff" * 4
    assert parse_announce(asked).numwant is None


@pytest.mark.parametrize(
    ("event", "number"), [(None, 0), (Event.COMPLETED, 1), (Event.STARTED, 2), (Event.STOPPED, 3)]
)
def test_events_have_the_numbers_of_bep_15(event: Event | None, number: int) -> None:
    asked = encode_announce(CONNECTION, TRANSACTION, AnnounceRequest(bytes(20), bytes(20), 1, event=event))
    assert asked[80:84] == bytes([0, 0, 0, number])


def test_the_answers_are_those_of_bep_15() -> None:
    assert encode_connected(TRANSACTION, CONNECTION) == b"\0\0\0\0" + TRANSACTION + CONNECTION
    response = AnnounceResponse(interval=600, complete=2, incomplete=3, peers_v4=b"\x0a\0\0\1\x1a\xe1")
    assert encode_announced(TRANSACTION, response, to_v6=False) == (
        struct.pack("!I4sIII", 1, TRANSACTION, 600, 3, 2) + b"\x0a\0\0\1\x1a\xe1"
    )
    entries = {b"a" * 20: ScrapeEntry(complete=1, incomplete=2, downloaded=3)}
    assert encode_scraped(TRANSACTION, [b"b" * 20, b"a" * 20], entries) == (
        b"\0\0\0\2" + TRANSACTION + bytes(12) + struct.pack("!III", 1, 3, 2)
    )
    assert encode_error(TRANSACTION, "no") == b"\0\0\0\3" + TRANSACTION + b"no"


# -- what one side writes the other reads ------------------------------------------------------------


@given(transactions, connections, requests, st.binary(max_size=MAX_URL_DATA))
def test_the_server_reads_the_announce_that_the_client_wrote(
    transaction_id: bytes, connection_id: bytes, request: AnnounceRequest, url_data: bytes
) -> None:
    asked = encode_announce(connection_id, transaction_id, request, url_data)
    assert parse_head(asked) == (connection_id, Action.ANNOUNCE, transaction_id)
    assert parse_announce(asked) == request
    assert parse_url_data(asked) == url_data


@given(transactions, connections, st.lists(hashes, min_size=1, max_size=MAX_SCRAPE_HASHES))
def test_the_server_reads_the_connect_and_scrape_that_the_client_wrote(
    transaction_id: bytes, connection_id: bytes, info_hashes: list[bytes]
) -> None:
    assert parse_head(encode_connect(transaction_id)) == (PROTOCOL_ID, Action.CONNECT, transaction_id)
    asked = encode_scrape(connection_id, transaction_id, info_hashes)
    assert parse_head(asked) == (connection_id, Action.SCRAPE, transaction_id)
    assert parse_scrape(asked) == info_hashes


@given(transactions, counts, counts, counts, packed_peers(6, 200), packed_peers(18, MOST_PEERS_V6))
def test_the_client_reads_the_answer_to_an_announce_that_the_server_wrote(
    transaction_id: bytes, interval: int, complete: int, incomplete: int, peers_v4: bytes, peers_v6: bytes
) -> None:
    response = AnnounceResponse(
        interval=interval, complete=complete, incomplete=incomplete, peers_v4=peers_v4, peers_v6=peers_v6
    )
    for is_v6 in (False, True):
        answer = encode_announced(transaction_id, response, to_v6=is_v6)
        assert len(answer) <= MAX_DATAGRAM
        assert parse_answer_head(answer) == (Action.ANNOUNCE, transaction_id)
        announced = parse_answer(answer, is_v6=is_v6)
        assert announced == Announced(
            AnnounceResponse(
                interval=interval,
                complete=complete,
                incomplete=incomplete,
                peers_v4=b"" if is_v6 else peers_v4,
                peers_v6=peers_v6 if is_v6 else b"",
            )
        )


@given(transactions, connections, st.dictionaries(hashes, st.builds(ScrapeEntry, counts, counts, counts)))
def test_the_client_reads_the_other_answers_that_the_server_wrote(
    transaction_id: bytes, connection_id: bytes, entries: dict[bytes, ScrapeEntry]
) -> None:
    connected = encode_connected(transaction_id, connection_id)
    assert parse_answer(connected, is_v6=False) == Connected(connection_id)
    scraped = encode_scraped(transaction_id, list(entries), entries)
    assert parse_answer_head(scraped) == (Action.SCRAPE, transaction_id)
    assert parse_answer(scraped, is_v6=False) == Scraped(tuple(entries.values()))
    assert parse_answer(encode_error(transaction_id, "go away"), is_v6=True) == ErrorAnswer("go away")


def test_peers_that_do_not_fit_into_a_packet_are_left_out() -> None:
    response = AnnounceResponse(peers_v6=bytes(18) * 200)
    answer = encode_announced(TRANSACTION, response, to_v6=True)
    assert MAX_DATAGRAM - 18 < len(answer) <= MAX_DATAGRAM


# -- options of BEP 41 -------------------------------------------------------------------------------


def test_a_path_is_told_in_parts_of_255_bytes() -> None:
    asked = encode_announce(CONNECTION, TRANSACTION, REQUEST, b"p" * 300)
    options = asked[ANNOUNCE_LENGTH:]
    assert options == b"\x02\xff" + b"p" * 255 + b"\x02\x2d" + b"p" * 45
    assert encode_announce(CONNECTION, TRANSACTION, REQUEST)[ANNOUNCE_LENGTH:] == b""


@pytest.mark.parametrize(
    ("options", "url_data"),
    [
        (b"", b""),
        (b"\x00", b""),
        (b"\x00\x02\x01a", b""),
        (b"\x01\x01\x02\x01a\x01\x02\x02bc\x00rubbish", b"abc"),
        (b"\x02\x00", b""),
        (b"\x09\x03xyz\x02\x01a", b"a"),
    ],
)
def test_options_are_read_up_to_their_end_and_unknown_ones_passed_over(
    options: bytes, url_data: bytes
) -> None:
    assert parse_url_data(bytes(ANNOUNCE_LENGTH) + options) == url_data


@pytest.mark.parametrize(
    "options", [b"\x02", b"\x02\x05abcd", b"\x09", b"\x02\xff" + b"x" * 255 + b"\x02\x01"]
)
def test_an_option_that_is_cut_deserves_no_answer(options: bytes) -> None:
    with pytest.raises(UnanswerableError):
        parse_url_data(bytes(ANNOUNCE_LENGTH) + options)


def test_a_path_without_measure_deserves_no_answer() -> None:
    with pytest.raises(UnanswerableError):
        parse_url_data(encode_announce(CONNECTION, TRANSACTION, REQUEST, b"p" * (MAX_URL_DATA + 1)))


# -- whole, cut anywhere, with a tail, and anything at all -------------------------------------------


def test_a_question_that_is_cut_anywhere_deserves_no_answer() -> None:
    asked = encode_announce(CONNECTION, TRANSACTION, REQUEST)
    for length in range(len(asked)):
        with pytest.raises(UnanswerableError):
            parse_announce(asked[:length])
    for length in range(16):
        with pytest.raises(UnanswerableError):
            parse_head(asked[:length])
    scrape = encode_scrape(CONNECTION, TRANSACTION, [b"a" * 20, b"b" * 20])
    for length in {*range(len(scrape) + 20)} - {36, 56}:
        with pytest.raises(UnanswerableError):
            parse_scrape(scrape.ljust(80, b"x")[:length])
    with pytest.raises(UnanswerableError):
        parse_scrape(encode_scrape(CONNECTION, TRANSACTION, [b"a" * 20] * (MAX_SCRAPE_HASHES + 1)))


def test_an_event_that_does_not_exist_deserves_no_answer() -> None:
    asked = bytearray(encode_announce(CONNECTION, TRANSACTION, REQUEST))
    asked[83] = 4
    with pytest.raises(UnanswerableError):
        parse_announce(bytes(asked))


ANSWERS = {
    "connected": (encode_connected(TRANSACTION, CONNECTION), {16}),
    "announced": (
        encode_announced(TRANSACTION, AnnounceResponse(1, peers_v4=bytes(12)), to_v6=False),
        {8, 20, 26, 32},
    ),
    "scraped": (encode_scraped(TRANSACTION, [bytes(20)] * 2, {}), {8, 20, 32}),
    "error": (encode_error(TRANSACTION, "why"), {8, 9, 10, 11}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_cut_is_a_value_only_where_a_record_ends(name: str) -> None:
    answer, whole_at = ANSWERS[name]
    for length in range(len(answer) + 1):
        if length in whole_at:
            parse_answer(answer[:length], is_v6=False)
        else:
            with pytest.raises(FormatError):
                parse_answer(answer[:length], is_v6=False)


def test_an_announce_answered_with_nothing_is_refused_as_opentracker_does_it() -> None:
    assert parse_answer(b"\0\0\0\1" + TRANSACTION, is_v6=False) == ErrorAnswer("no reason given")


def test_a_connection_id_may_have_a_tail_and_peers_may_not() -> None:
    connected = encode_connected(TRANSACTION, CONNECTION) + b"tail"
    assert parse_answer(connected, is_v6=False) == Connected(CONNECTION)
    for name, is_v6 in (("announced", False), ("announced", True), ("scraped", False)):
        with pytest.raises(FormatError):
            parse_answer(ANSWERS[name][0] + b"tail", is_v6=is_v6)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_value_or_the_named_error(data: bytes, is_v6: bool) -> None:
    for parse in (parse_head, parse_announce, parse_scrape, parse_url_data):
        try:
            parse(data)
        except UnanswerableError:
            continue
    try:
        answer = parse_answer(data, is_v6=is_v6)
    except FormatError as error:
        assert error.message.isprintable()
    else:
        assert not isinstance(answer, ErrorAnswer) or answer.reason.isprintable()


def test_what_a_tracker_does_not_count_is_not_known() -> None:
    answer = struct.pack("!I4siii", 1, TRANSACTION, 600, -1, -1)
    assert parse_answer(answer, is_v6=False) == Announced(AnnounceResponse(interval=600))


def test_the_reason_of_an_error_ends_on_a_terminal_so_it_is_one_short_printable_line() -> None:
    answer = parse_answer(encode_error(TRANSACTION, "a\x1b[2J\nb" + "c" * 1000), is_v6=False)
    assert isinstance(answer, ErrorAnswer)
    assert answer.reason.startswith("a [2J b") and len(answer.reason) <= 300
    assert parse_answer(encode_error(TRANSACTION, ""), is_v6=False) == ErrorAnswer("no reason given")
