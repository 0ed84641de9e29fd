"""The UDP door: datagrams -> questions; answers -> datagrams (BEP 15, 41). What is answered is decided elsewhere.

Always true: nothing is remembered of anybody who has not shown that he receives at his address, by giving back the
id he was sent there; until then no answer is longer than its question; what cannot be valid is dropped in silence.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from shoal.net.datagrams import BATCH, Datagram, DatagramSocket
from shoal.protocol.tracker.messages import AnnounceResponse, ScrapeResponse, TrackerFailure
from shoal.protocol.tracker.udp import (
    ANNOUNCE_LENGTH,
    PROTOCOL_ID,
    Action,
    UnanswerableError,
    encode_announced,
    encode_connected,
    encode_error,
    encode_scraped,
    parse_announce,
    parse_head,
    parse_scrape,
    parse_url_data,
)
from shoal.tracker.connection_ids import ConnectionIds
from shoal.tracker.passkeys import passkey_in
from shoal.tracker.soon import later
from shoal.tracker.tracker import Tracker

BATCHES_A_TURN = 4  # then others have their turn of the loop
CONNECT, ANNOUNCE, SCRAPE = int(Action.CONNECT), int(Action.ANNOUNCE), int(Action.SCRAPE)


@dataclass(slots=True)
class UdpCounters:
    """What happened at this door since the start, in datagrams."""

    connects: int = 0
    answered: int = 0
    dropped: int = 0  # of no use, or without a valid id


class UdpDoor:
    """Serves one socket while it is open."""

    def __init__(
        self, tracker: Tracker, sock: DatagramSocket, ids: ConnectionIds, clock: Callable[[], float]
    ) -> None:
        self._tracker = tracker
        self._socket = sock
        self._ids = ids
        self._clock = clock
        self._replies: list[tuple[bytes, Any]] = []
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._on_readable)
        self.counters = UdpCounters()

    def close(self) -> None:
        self._is_closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _on_readable(self) -> None:
        for _ in range(BATCHES_A_TURN):
            received = self._socket.receive()
            now = self._clock()
            for datagram in received:
                try:
                    self._answer(datagram, now)
                except UnanswerableError:
                    self.counters.dropped += 1
                except Exception as error:  # noqa: BLE001 (our mistake; those behind it are answered)
                    self.counters.dropped += 1
                    self._loop.call_exception_handler({"message": "a datagram", "exception": error})
            self._flush()
            if len(received) < BATCH:
                break

    def _answer(self, datagram: Datagram, now: float) -> None:
        payload, host = datagram.payload, datagram.host
        connection_id, action, transaction_id = parse_head(payload)
        if connection_id == PROTOCOL_ID and action == CONNECT:
            self.counters.connects += 1
            connected = encode_connected(transaction_id, self._ids.make(host, now))
            self._replies.append((connected, datagram.reply_to))
        elif not self._ids.is_valid(connection_id, host, now):
            self.counters.dropped += 1
        elif action == ANNOUNCE:
            self._announce(datagram, transaction_id, now)
        elif action == SCRAPE:
            self._scrape(datagram, transaction_id, now)
        else:
            self.counters.dropped += 1

    def _announce(self, datagram: Datagram, transaction_id: bytes, now: float) -> None:
        payload, host = datagram.payload, datagram.host
        request = parse_announce(payload)
        passkey = passkey_in(parse_url_data(payload)) if len(payload) > ANNOUNCE_LENGTH else b""
        answer = self._tracker.announce(request, host, passkey, now)
        if isinstance(answer, AnnounceResponse):
            reply = encode_announced(transaction_id, answer, to_v6=self._socket.is_v6)
            self._replies.append((reply, datagram.reply_to))
        elif isinstance(answer, Future):
            self._reply_later(later(answer, partial(self._announced, transaction_id)), datagram.reply_to)
        else:
            self._replies.append((self._announced(transaction_id, answer), datagram.reply_to))

    def _announced(self, transaction_id: bytes, answer: AnnounceResponse | TrackerFailure) -> bytes:
        if isinstance(answer, TrackerFailure):
            return encode_error(transaction_id, answer.reason)
        return encode_announced(transaction_id, answer, to_v6=self._socket.is_v6)

    def _scrape(self, datagram: Datagram, transaction_id: bytes, now: float) -> None:
        info_hashes = parse_scrape(datagram.payload)

        def scraped(answer: ScrapeResponse | TrackerFailure) -> bytes:
            if isinstance(answer, TrackerFailure):
                return encode_error(transaction_id, answer.reason)
            return encode_scraped(transaction_id, info_hashes, answer.entries)

        answer = self._tracker.scrape(info_hashes, b"", now)
        if isinstance(answer, Future):
            self._reply_later(later(answer, scraped), datagram.reply_to)
        else:
            self._replies.append((scraped(answer), datagram.reply_to))

    def _reply_later(self, payload: Future[bytes], reply_to: Any) -> None:
        """Send it when it is known, together with others that are known in that turn of the loop."""

        def on_known(known: Future[bytes]) -> None:
            if not self._replies:
                self._loop.call_soon(self._flush)
            self._replies.append((known.result(), reply_to))

        payload.add_done_callback(on_known)

    def _flush(self) -> None:
        if self._replies and not self._is_closed:
            self.counters.answered += len(self._replies)
            self._socket.send(self._replies)
        self._replies.clear()
