"""One question to a tracker in datagrams, from the first connect to the answer (BEP 15).

Always true: an answer counts only if it has the transaction id and the action that are waited for, so a forger has
to guess four random bytes; a connection id is used for a minute at most, in retransmissions as well; a datagram
without an answer is sent again after 15 * 2**n seconds; after `tries` of them the exchange is over.

How many tries is the caller's to say. `WHOLE_LADDER` is what BEP 15 describes, more than two hours, and right for a
tracker that is the only hope: its waits are then what the backoff is elsewhere. While other trackers wait for their
turn `ONE_TRY` is enough: 15 seconds are fifty times what an answer takes, and the schedule comes back to it.

The time is told, and nothing is sent or received here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

from shoal.errors import FormatError
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.udp import (
    Action,
    Announced,
    Connected,
    ErrorAnswer,
    Scraped,
    encode_announce,
    encode_connect,
    encode_scrape,
    parse_answer,
    parse_answer_head,
)

FIRST_WAIT = 15.0  # seconds; doubled with each retransmission, by BEP 15
MAX_DOUBLINGS = 8  # 3840 seconds
WHOLE_LADDER = MAX_DOUBLINGS + 1
ONE_TRY = 1
CONNECTION_SECONDS = 60.0  # that a client may use a connection id; trackers take it for two minutes

FinalAnswer = Announced | Scraped | ErrorAnswer


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked once a tracker is connected to: connection id, transaction id -> datagram."""

    action: Action
    encode: Callable[[bytes, bytes], bytes]


def announce_question(request: AnnounceRequest, url_data: bytes = b"") -> Question:
    return Question(Action.ANNOUNCE, partial(encode_announce, request=request, url_data=url_data))


def scrape_question(info_hashes: Sequence[bytes]) -> Question:
    return Question(Action.SCRAPE, partial(encode_scrape, info_hashes=info_hashes))


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection id, and until when it may be used."""

    connection_id: bytes
    ends_at: float


class Connections:
    """Connection ids of trackers, by address and for their minute: the torrents of one engine share them."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Connection] = {}

    def get(self, address: Hashable, now: float) -> Connection | None:
        connection = self._known.get(address)
        return connection if connection is not None and now < connection.ends_at else None

    def put(self, address: Hashable, connection: Connection | None, now: float) -> None:
        """None: the one that was known is of no use any more."""
        self._known.pop(address, None)
        self._known = {known: each for known, each in self._known.items() if now < each.ends_at}
        if connection is not None:
            self._known[address] = connection


class UdpExchange:
    """`begin`, then whatever happens, until `is_over`; `answer` is None if none came.

    A `connection` of another exchange is tried first. Should the tracker not care for it (it may have been started
    anew), that costs no try: it is connected to as if there had been none.
    """

    def __init__(
        self,
        question: Question,
        *,
        is_v6: bool,
        tries: int,
        new_transaction_id: Callable[[], bytes],
        connection: Connection | None = None,
    ) -> None:
        self.answer: FinalAnswer | None = None
        self.is_over = False
        self.connection = connection
        self._is_borrowed = connection is not None
        self._question = question
        self._is_v6 = is_v6
        self._tries_left = tries
        self._new_transaction_id = new_transaction_id
        self._retransmissions = 0  # since the last answer
        self._expected = Action.ERROR  # what the answer to the last datagram would be
        self._transaction_id = b""
        self._outbox: list[bytes] = []
        self._deadline: float | None = None

    def begin(self, now: float) -> None:
        self._send(now)

    def datagrams_to_send(self) -> list[bytes]:
        """What has to leave now; each is told once."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def next_deadline(self) -> float | None:
        return self._deadline

    def on_deadline(self, now: float) -> None:
        """Nothing has come: send again, or give up. Before its time this does nothing."""
        if self._deadline is None or now < self._deadline:
            return
        if self._is_borrowed:
            self._forget_connection()
        else:
            self._tries_left -= 1
            self._retransmissions += 1
        if self._tries_left > 0:
            self._send(now)
        else:
            self._end()

    def on_datagram(self, datagram: bytes, now: float) -> None:
        """Something came from the tracker's address. What answers another question, or none, is passed over.

        Raises `FormatError`, and is over, if it is this question's answer and makes no sense.
        """
        if self.is_over or not self._is_awaited(datagram):
            return
        try:
            answer = parse_answer(datagram, is_v6=self._is_v6)
        except FormatError:
            self._end()
            raise
        if isinstance(answer, Connected):
            self.connection = Connection(answer.connection_id, now + CONNECTION_SECONDS)
            self._retransmissions = 0
            self._send(now)
        elif isinstance(answer, ErrorAnswer) and self._is_borrowed:
            self._forget_connection()
            self._send(now)
        else:
            self.answer = answer
            self._end()

    def _is_awaited(self, datagram: bytes) -> bool:
        try:
            action, transaction_id = parse_answer_head(datagram)
        except FormatError:
            return False
        return transaction_id == self._transaction_id and action in (self._expected, Action.ERROR)

    def _send(self, now: float) -> None:
        """Ask, or connect if there is no connection (any more).

        A retransmission keeps its transaction id, so that an answer that comes late is one.
        """
        if self.connection is not None and now >= self.connection.ends_at:
            self._forget_connection()
        action = Action.CONNECT if self.connection is None else self._question.action
        if action != self._expected:
            self._expected = action
            self._transaction_id = self._new_transaction_id()
        if self.connection is None:
            datagram = encode_connect(self._transaction_id)
        else:
            datagram = self._question.encode(self.connection.connection_id, self._transaction_id)
        self._outbox.append(datagram)
        self._deadline = now + FIRST_WAIT * 2.0 ** min(self._retransmissions, MAX_DOUBLINGS)

    def _forget_connection(self) -> None:
        self.connection = None
        self._is_borrowed = False

    def _end(self) -> None:
        self.is_over = True
        self._deadline = None
