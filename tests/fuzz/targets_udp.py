"""What can be fuzzed of datagrams: those of trackers, as server and client read them, and local announcements."""

from __future__ import annotations

from collections.abc import Callable

from shoal.errors import FormatError
from shoal.protocol.local_discovery import encode_announcement, parse_announcement
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.udp import (
    ANNOUNCE_LENGTH,
    Action,
    Announced,
    Connected,
    ErrorAnswer,
    UnanswerableError,
    encode_announce,
    encode_announced,
    encode_connected,
    encode_scrape,
    encode_scraped,
    parse_announce,
    parse_answer,
    parse_answer_head,
    parse_head,
    parse_scrape,
    parse_url_data,
)
from shoal.protocol.tracker.udp_exchange import UdpExchange, announce_question

TRANSACTION_ID = b"tran"


def fuzz_udp_question(data: bytes) -> None:
    """A datagram to a tracker. What was understood is understood the same when it is said again."""
    try:
        connection_id, action, transaction_id = parse_head(data)
        if action == Action.ANNOUNCE:
            request = parse_announce(data)
            url_data = parse_url_data(data)
            again = encode_announce(connection_id, transaction_id, request, url_data)
            assert parse_announce(again) == request and parse_url_data(again) == url_data
            assert len(data) >= ANNOUNCE_LENGTH
        elif action == Action.SCRAPE:
            assert encode_scrape(connection_id, transaction_id, parse_scrape(data)) == data
    except UnanswerableError:
        return


def fuzz_udp_answer(data: bytes) -> None:
    """The first byte chooses the family, the rest comes from a tracker: alone, and in the middle of an exchange."""
    is_v6, datagram = data[:1] == b"6", data[1:]
    fuzz_exchange(datagram, is_v6)
    try:
        answer = parse_answer(datagram, is_v6=is_v6)
    except FormatError as error:
        assert error.message.isprintable()
        return
    _, transaction_id = parse_answer_head(datagram)
    if isinstance(answer, ErrorAnswer):
        assert answer.reason.isprintable() and answer.reason
    elif isinstance(answer, Connected):
        assert datagram.startswith(encode_connected(transaction_id, answer.connection_id))
    elif isinstance(answer, Announced):
        again = encode_announced(transaction_id, answer.response, to_v6=is_v6)
        assert len(datagram) > len(again) or again[20:] == datagram[20:]
    else:
        hashes = [number.to_bytes(20, "big") for number in range(len(answer.entries))]
        entries = dict(zip(hashes, answer.entries, strict=True))
        assert encode_scraped(transaction_id, hashes, entries) == datagram


def fuzz_exchange(datagram: bytes, is_v6: bool) -> None:
    question = announce_question(AnnounceRequest(bytes(20), bytes(20), 1))
    exchange = UdpExchange(question, is_v6=is_v6, tries=3, new_transaction_id=lambda: TRANSACTION_ID)
    exchange.begin(0.0)
    try:
        for now in (1.0, 2.0, 20.0):
            exchange.on_datagram(datagram, now)
            exchange.on_deadline(now)
            assert len(exchange.datagrams_to_send()) <= 2
    except FormatError:
        assert exchange.is_over
    deadline = exchange.next_deadline()
    assert (deadline is None) == exchange.is_over


def fuzz_local_announcement(data: bytes) -> None:
    try:
        announcement = parse_announcement(data)
    except FormatError as error:
        assert error.message.isprintable()
        return
    assert parse_announcement(encode_announcement(announcement)) == announcement


TARGETS: dict[str, Callable[[bytes], None]] = {
    "local_announcement": fuzz_local_announcement,
    "udp_answer": fuzz_udp_answer,
    "udp_question": fuzz_udp_question,
}
