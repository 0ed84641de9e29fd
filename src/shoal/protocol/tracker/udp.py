"""The tracker protocol in datagrams (BEP 15, options of BEP 41): values <-> bytes, for both sides.

A datagram is one message. What a server cannot make sense of is `UnanswerableError` (drop it in silence: its sender
may be somebody else's address); what a client cannot make sense of is a `FormatError`. Numbers are big-endian; a
transaction id is 4 bytes, a connection id 8, and both are opaque to the other side.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError

from shoal.errors import FormatError
from shoal.protocol.tracker.answers import MAX_SECONDS, one_line
from shoal.protocol.tracker.messages import (
    HASH_LENGTH,
    RECORD_LENGTH_V4,
    RECORD_LENGTH_V6,
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeEntry,
)
from shoal.protocol.tracker.urls import MAX_URL_DATA

PROTOCOL_ID = 0x41727101980.to_bytes(8, "big")
MAX_SCRAPE_HASHES = 74  # what fits in one datagram of 1500 bytes (BEP 15)
MAX_DATAGRAM = 1452  # bytes that leave in one packet nearly everywhere: 1500 less IPv6 and UDP
UNKNOWN_NUMWANT = 0xFFFFFFFF  # -1: as many as the tracker finds right


NO_REASON = "no reason given"


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

_CONNECTED = Struct("!I4s8s")
_QUESTION = Struct("!8sI4s")  # connection id, action, transaction id
_ANNOUNCE = Struct("!16x20s20sQQQI4s4sIH")  # the fields are named by `parse_announce`, in their order
_ANNOUNCED = Struct("!I4sIII")  # action, transaction id, interval, leechers, seeders
_SCRAPED = Struct("!III")  # seeders, completed, leechers
_ANSWER = Struct("!I4s")

_EVENTS = (None, Event.COMPLETED, Event.STARTED, Event.STOPPED)
_EVENT_NUMBERS = {event: number for number, event in enumerate(_EVENTS)}
_END, _NOTHING, _URL_DATA = 0, 1, 2  # options (BEP 41)
_MAX_OPTION = 255  # bytes in one: its length is told in a byte
_NO_IP = bytes(4)  # the address field: "take the one you see"
_MAX_COUNT = 0x7FFFFFFF  # numbers are signed for some trackers, and -1 means that they do not count


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


# -- the client asks ---------------------------------------------------------------------------------


def encode_connect(transaction_id: bytes) -> bytes:
    return _QUESTION.pack(PROTOCOL_ID, Action.CONNECT, transaction_id)


def encode_announce(
    connection_id: bytes, transaction_id: bytes, request: AnnounceRequest, url_data: bytes = b""
) -> bytes:
    """An announce. Of the request's key four bytes are told; `url_data` is the path and query of the tracker's URL."""
    whole = _ANNOUNCE.pack(
        request.info_hash,
        request.peer_id,
        request.downloaded,
        request.left,
        request.uploaded,
        _EVENT_NUMBERS[request.event],
        _NO_IP,
        request.key,
        UNKNOWN_NUMWANT if request.numwant is None else min(request.numwant, _MAX_COUNT),
        request.port,
    )
    head = _QUESTION.pack(connection_id, Action.ANNOUNCE, transaction_id)
    return head + whole[len(head) :] + _encode_url_data(url_data)


def encode_scrape(connection_id: bytes, transaction_id: bytes, info_hashes: Sequence[bytes]) -> bytes:
    """Ask for the sizes of at most 74 swarms."""
    return _QUESTION.pack(connection_id, Action.SCRAPE, transaction_id) + b"".join(info_hashes)


def _encode_url_data(url_data: bytes) -> bytes:
    parts = (url_data[at : at + _MAX_OPTION] for at in range(0, len(url_data), _MAX_OPTION))
    return b"".join(bytes((_URL_DATA, len(part))) + part for part in parts)


# -- the client reads --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    connection_id: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    response: AnnounceResponse


@dataclass(frozen=True, slots=True)
class Scraped:
    """Sizes in the order in which they were asked for."""

    entries: tuple[ScrapeEntry, ...]


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """The tracker understood enough to say no."""

    reason: str


Answer = Connected | Announced | Scraped | ErrorAnswer


def parse_answer_head(datagram: bytes) -> tuple[int, bytes]:
    """Action and transaction id. Raises `FormatError`."""
    try:
        return _ANSWER.unpack_from(datagram)
    except StructError:
        raise FormatError(f"a datagram of {len(datagram)} bytes is no answer") from None


def parse_answer(datagram: bytes, *, is_v6: bool) -> Answer:
    """The answer of a tracker that was asked over IPv6, or IPv4: its peers are of that family. `FormatError`."""
    action, _ = parse_answer_head(datagram)
    if action == Action.ERROR:
        return ErrorAnswer(one_line(datagram[ANSWER_HEAD:]) or NO_REASON)
    if action == Action.ANNOUNCE and len(datagram) == ANSWER_HEAD:
        return ErrorAnswer(NO_REASON)  # how opentracker refuses a torrent that is not on its list
    try:
        if action == Action.CONNECT:
            _, _, connection_id = _CONNECTED.unpack_from(datagram)
            return Connected(connection_id)
        if action == Action.ANNOUNCE:
            return Announced(_parse_announced(datagram, is_v6))
        if action == Action.SCRAPE:
            counts = list(_SCRAPED.iter_unpack(datagram[ANSWER_HEAD:]))
            return Scraped(tuple(ScrapeEntry(seeds, leechers, done) for seeds, done, leechers in counts))
    except StructError:
        name = Action(action).name.lower()
        raise FormatError(f"answer to {name} of {len(datagram)} bytes has the wrong length") from None
    raise FormatError(f"action {action} is none that answers have")


def _parse_announced(datagram: bytes, is_v6: bool) -> AnnounceResponse:
    _, _, interval, leechers, seeders = _ANNOUNCED.unpack_from(datagram)
    peers = datagram[_ANNOUNCED.size :]
    record_length = RECORD_LENGTH_V6 if is_v6 else RECORD_LENGTH_V4
    if len(peers) % record_length:
        raise FormatError(f"peers of {len(peers)} bytes are no multiple of {record_length}")
    return AnnounceResponse(
        interval=min(interval, MAX_SECONDS),
        complete=_counted(seeders),
        incomplete=_counted(leechers),
        peers_v4=b"" if is_v6 else peers,
        peers_v6=peers if is_v6 else b"",
    )


def _counted(count: int) -> int | None:
    return count if count <= _MAX_COUNT else None
