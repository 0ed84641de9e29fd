"""The tracker protocol in datagrams (BEP 15, options of BEP 41): values <-> bytes, for both sides.

A datagram is one message. What a server cannot make sense of is `UnanswerableError` (drop it in silence: its sender
may be somebody else's address); what a client cannot make sense of is a `FormatError`. Numbers are big-endian; a
transaction id is 4 bytes, a connection id 8, and both are opaque to the other side.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from struct import Struct
from struct import error as StructError

from shoal.protocol.tracker.messages import (
    HASH_LENGTH,
    RECORD_LENGTH_V6,
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeEntry,
)

PROTOCOL_ID = 0x41727101980.to_bytes(8, "big")
MAX_SCRAPE_HASHES = 74  # what fits in one datagram of 1500 bytes (BEP 15)
MAX_DATAGRAM = (
    1452  # bytes of payload that leave in one packet nearly everywhere: 1500 less IPv6 and UDP, and some
)
MAX_URL_DATA = 1024  # bytes of path and query; a passkey has 32
UNKNOWN_NUMWANT = 0xFFFFFFFF  # -1: as many as the tracker finds right


class Action(enum.IntEnum):
    CONNECT = 0
    ANNOUNCE = 1
    SCRAPE = 2
    ERROR = 3


class UnanswerableError(Exception):
    """A datagram that deserves no answer."""


ANNOUNCE_LENGTH = 98
SCRAPE_HEAD = 16
ANSWER_HEAD = 8

_CONNECT = Struct("!8sI4s")  # protocol id, action, transaction id
_CONNECTED = Struct("!I4s8s")
_QUESTION = Struct("!8sI4s")  # connection id, action, transaction id
_ANNOUNCE = Struct(
    "!16x20s20sQQQI4s4sIH"
)  # hash, peer id, downloaded, left, uploaded, event, ip, key, numwant, port
_ANNOUNCED = Struct("!I4sIII")  # action, transaction id, interval, leechers, seeders
_SCRAPED = Struct("!III")  # seeders, completed, leechers
_ANSWER = Struct("!I4s")

_EVENTS = (None, Event.COMPLETED, Event.STARTED, Event.STOPPED)
_EVENT_NUMBERS = {event: number for number, event in enumerate(_EVENTS)}
_END, _NOTHING, _URL_DATA = 0, 1, 2  # options (BEP 41)


# -- the server reads --------------------------------------------------------------------------------


def parse_head(datagram: bytes) -> tuple[bytes, int, bytes]:
    """Connection id (of a connect: the protocol's id), action and transaction id. Raises `UnanswerableError`."""
    try:
        return _QUESTION.unpack_from(datagram)
    except StructError:
        raise UnanswerableError from None


def parse_announce(datagram: bytes) -> AnnounceRequest:
    """A whole announce of at least 98 bytes. Its IP address is never believed. Raises `UnanswerableError`."""
    try:
        (info_hash, peer_id, downloaded, left, uploaded, event, _ip, key, numwant, port) = (
            _ANNOUNCE.unpack_from(datagram)
        )
        return AnnounceRequest(
            info_hash,
            peer_id,
            port,
            uploaded,
            downloaded,
            left,
            _EVENTS[event],
            None if numwant > 0x7FFFFFFF else numwant,
            key,
        )
    except (StructError, IndexError):
        raise UnanswerableError from None


def parse_url_data(datagram: bytes) -> bytes:
    """The path and query that an announce carries in its options (BEP 41); b"" for none."""
    at, parts, length = ANNOUNCE_LENGTH, [], 0
    while at < len(datagram):
        option = datagram[at]
        at += 1
        if option == _END:
            break
        if option == _NOTHING:
            continue
        if at >= len(datagram) or at + 1 + datagram[at] > len(datagram):
            raise UnanswerableError
        value = datagram[at + 1 : at + 1 + datagram[at]]
        at += 1 + len(value)
        if option == _URL_DATA:
            parts.append(value)
            length += len(value)
    if length > MAX_URL_DATA:
        raise UnanswerableError
    return b"".join(parts)


def parse_scrape(datagram: bytes) -> list[bytes]:
    """The info hashes of a scrape, at most 74. Raises `UnanswerableError`."""
    count, rest = divmod(len(datagram) - SCRAPE_HEAD, HASH_LENGTH)
    if rest or not 0 < count <= MAX_SCRAPE_HASHES:
        raise UnanswerableError
    return [datagram[at : at + HASH_LENGTH] for at in range(SCRAPE_HEAD, len(datagram), HASH_LENGTH)]


# -- the server answers ------------------------------------------------------------------------------


def encode_connected(transaction_id: bytes, connection_id: bytes) -> bytes:
    return _CONNECTED.pack(Action.CONNECT, transaction_id, connection_id)


def encode_announced(transaction_id: bytes, response: AnnounceResponse, *, to_v6: bool) -> bytes:
    """The answer to an announce; it can only tell of peers of the asker's own family."""
    head = _ANNOUNCED.pack(
        1, transaction_id, response.interval or 0, response.incomplete or 0, response.complete or 0
    )
    if not to_v6:
        return head + response.peers_v4
    return head + response.peers_v6[: MOST_PEERS_V6 * RECORD_LENGTH_V6]


MOST_PEERS_V6 = (MAX_DATAGRAM - _ANNOUNCED.size) // RECORD_LENGTH_V6


def encode_scraped(
    transaction_id: bytes, info_hashes: Sequence[bytes], entries: Mapping[bytes, ScrapeEntry]
) -> bytes:
    """The sizes in the order of the question; a swarm that does not exist is told as empty."""
    nobody = ScrapeEntry()
    found = (entries.get(info_hash, nobody) for info_hash in info_hashes)
    return _ANSWER.pack(Action.SCRAPE, transaction_id) + b"".join(
        _SCRAPED.pack(entry.complete, entry.downloaded, entry.incomplete) for entry in found
    )


def encode_error(transaction_id: bytes, reason: str) -> bytes:
    return _ANSWER.pack(Action.ERROR, transaction_id) + reason.encode()
