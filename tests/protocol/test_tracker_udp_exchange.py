"""One exchange on virtual time, with a tracker that the test plays by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.protocol.tracker.messages import AnnounceRequest, AnnounceResponse, ScrapeEntry
from shoal.protocol.tracker.udp import (
    PROTOCOL_ID,
    Action,
    Announced,
    ErrorAnswer,
    Scraped,
    encode_announced,
    encode_connected,
    encode_error,
    encode_scraped,
    parse_announce,
    parse_head,
    parse_url_data,
)
from shoal.protocol.tracker.udp_exchange import (
    CONNECTION_SECONDS,
    ONE_TRY,
    WHOLE_LADDER,
    Connection,
    Connections,
    Question,
    UdpExchange,
    announce_question,
    scrape_question,
)

REQUEST = AnnounceRequest(bytes(range(20)), b"-XX0000-abcdefghijkl", 6881, left=7)
RESPONSE = AnnounceResponse(interval=600, complete=1, incomplete=2, peers_v4=b"\x0a\0\0\1\x1a\xe1")
ID = b"connect!"

Sent = tuple[float, str, bytes]  # when, what, transaction id


class Scene:
    """An exchange and the clock; what it sends is kept, and answered only when the test does."""

    def __init__(
        self,
        *,
        tries: int = WHOLE_LADDER,
        question: Question | None = None,
        connection: Connection | None = None,
        is_v6: bool = False,
    ) -> None:
        self.now = 0.0
        self.sent: list[Sent] = []
        self.datagrams: list[bytes] = []
        transaction_ids = itertools.count(1)
        self.exchange = UdpExchange(
            question or announce_question(REQUEST),
            is_v6=is_v6,
            tries=tries,
            new_transaction_id=lambda: next(transaction_ids).to_bytes(4, "big"),
            connection=connection,
        )
        self.exchange.begin(self.now)
        self.collect()

    def collect(self) -> None:
        for datagram in self.exchange.datagrams_to_send():
            connection_id, action, transaction_id = parse_head(datagram)
            assert (connection_id == PROTOCOL_ID) == (action == Action.CONNECT)
            self.sent.append((self.now, Action(action).name.lower(), transaction_id))
            self.datagrams.append(datagram)

    def wait(self, until: float | None = None) -> None:
        """Let deadlines pass, up to a moment; without one, until the exchange is over."""
        while (deadline := self.exchange.next_deadline()) is not None and (
            until is None or deadline <= until
        ):
            self.now = deadline
            self.exchange.on_deadline(self.now)
            self.collect()
        if until is not None:
            self.now = until

    def receive(self, datagram: bytes) -> None:
        self.exchange.on_datagram(datagram, self.now)
        self.collect()

    @property
    def transaction_id(self) -> bytes:
        return self.sent[-1][2]

    def connected(self, connection_id: bytes = ID) -> None:
        self.receive(encode_connected(self.transaction_id, connection_id))

    def announced(self) -> None:
        self.receive(encode_announced(self.transaction_id, RESPONSE, to_v6=False))

    @property
    def steps(self) -> list[tuple[float, str]]:
        return [(when, what) for when, what, _ in self.sent]


def test_it_connects_and_asks() -> None:
    scene = Scene(question=announce_question(REQUEST, b"/key/announce"))
    scene.connected()
    assert scene.steps == [(0, "connect"), (0, "announce")]
    assert parse_head(scene.datagrams[1])[0] == ID
    assert parse_announce(scene.datagrams[1]).left == 7
    assert parse_url_data(scene.datagrams[1]) == b"/key/announce"
    scene.announced()
    assert scene.exchange.is_over and scene.exchange.answer == Announced(RESPONSE)
    assert scene.exchange.next_deadline() is None


def test_a_scrape_goes_the_same_way() -> None:
    scene = Scene(question=scrape_question([b"h" * 20]))
    scene.connected()
    assert scene.steps[-1] == (0, "scrape")
    entry = ScrapeEntry(complete=3)
    scene.receive(encode_scraped(scene.transaction_id, [b"h" * 20], {b"h" * 20: entry}))
    assert scene.exchange.answer == Scraped((entry,))


def test_peers_are_of_the_family_that_was_asked_over() -> None:
    scene = Scene(is_v6=True)
    scene.connected()
    response = AnnounceResponse(1, complete=0, incomplete=1, peers_v6=bytes(range(18)))
    scene.receive(encode_announced(scene.transaction_id, response, to_v6=True))
    assert scene.exchange.answer == Announced(response)


# -- silence -----------------------------------------------------------------------------------------


def test_a_silent_tracker_is_asked_by_the_ladder_of_bep_15() -> None:
    scene = Scene()
    scene.wait()
    times = [15 * (2**n - 1) for n in range(9)]
    assert scene.steps == [(time, "connect") for time in times]
    assert scene.now == times[-1] + 15 * 2**8
    assert scene.exchange.is_over and scene.exchange.answer is None


def test_with_one_try_a_silent_tracker_holds_nobody_up_for_longer_than_15_seconds() -> None:
    scene = Scene(tries=ONE_TRY)
    scene.wait()
    assert scene.steps == [(0, "connect")] and scene.now == 15
    assert scene.exchange.is_over and scene.exchange.answer is None


def test_a_lost_connect_is_sent_again_with_its_transaction_id() -> None:
    scene = Scene()
    scene.wait(until=20)
    assert scene.steps == [(0, "connect"), (15, "connect")]
    assert scene.sent[0][2] == scene.sent[1][2]
    scene.connected()
    scene.announced()
    assert scene.exchange.answer == Announced(RESPONSE)


def test_a_lost_announce_is_sent_again_and_its_waits_begin_anew() -> None:
    scene = Scene()
    scene.wait(until=16)
    scene.connected()
    scene.wait(until=40)
    assert scene.steps == [(0, "connect"), (15, "connect"), (16, "announce"), (31, "announce")]
    scene.announced()
    assert scene.exchange.answer == Announced(RESPONSE)


def test_an_id_is_used_for_a_minute_and_in_retransmissions_no_longer() -> None:
    """The example of BEP 15: with the connect answered at 1, the announce of 106 would be too late."""
    scene = Scene()
    scene.now = 1.0
    scene.connected()
    scene.wait(until=226)
    assert scene.steps == [
        (0, "connect"), (1, "announce"), (16, "announce"), (46, "announce"), (106, "connect"), (226, "connect")
    ]  # fmt: skip
    scene.connected(b"another!")
    assert scene.steps[-1] == (226, "announce")
    assert parse_head(scene.datagrams[-1])[0] == b"another!"


def test_a_tracker_that_answers_connects_only_is_given_up_as_well() -> None:
    scene = Scene()
    while not scene.exchange.is_over:
        if scene.steps[-1][1] == "connect":
            scene.connected()
        scene.exchange.on_deadline(deadline := scene.exchange.next_deadline() or 0.0)
        scene.now = deadline
        scene.collect()
    assert len([what for _, what in scene.steps if what == "announce"]) <= 2 * WHOLE_LADDER
    assert scene.now < 2 * 3600


def test_before_its_time_a_deadline_means_nothing() -> None:
    scene = Scene(tries=ONE_TRY)
    scene.exchange.on_deadline(14.9)
    assert not scene.exchange.is_over and scene.exchange.datagrams_to_send() == []


# -- what comes and is no answer ---------------------------------------------------------------------


def test_transaction_ids_are_new_for_each_request() -> None:
    scene = Scene()
    scene.connected()
    assert scene.sent[0][2] != scene.sent[1][2]


def test_another_transaction_id_or_action_is_passed_over() -> None:
    scene = Scene()
    scene.receive(encode_connected(b"what", b"forgery!"))
    scene.receive(encode_announced(scene.transaction_id, RESPONSE, to_v6=False))
    scene.receive(encode_error(b"what", "go away"))
    assert len(scene.sent) == 1 and not scene.exchange.is_over
    scene.connected()
    scene.receive(encode_scraped(scene.transaction_id, [], {}))
    scene.receive(encode_connected(scene.transaction_id, b"forgery!"))
    assert len(scene.sent) == 2 and not scene.exchange.is_over


def test_duplicates_and_answers_to_what_is_over_are_passed_over() -> None:
    scene = Scene()
    first = encode_connected(scene.transaction_id, ID)
    scene.receive(first)
    scene.receive(first)
    assert len(scene.sent) == 2
    last = encode_announced(scene.transaction_id, RESPONSE, to_v6=False)
    scene.receive(last)
    scene.receive(encode_error(scene.transaction_id, "too late"))
    assert scene.exchange.answer == Announced(RESPONSE)


def test_an_answer_that_comes_after_the_retransmission_counts() -> None:
    scene = Scene()
    scene.connected()
    late = encode_announced(scene.transaction_id, RESPONSE, to_v6=False)
    scene.wait(until=20)
    assert scene.steps[-1] == (15, "announce")
    scene.receive(late)
    assert scene.exchange.answer == Announced(RESPONSE)


def test_an_answer_that_makes_no_sense_ends_it() -> None:
    scene = Scene()
    scene.connected()
    with pytest.raises(FormatError, match="no multiple of 6"):
        scene.receive(encode_announced(scene.transaction_id, RESPONSE, to_v6=False) + b"x")
    assert scene.exchange.is_over and scene.exchange.answer is None


@pytest.mark.parametrize("is_connected", [False, True])
def test_an_error_ends_it_with_the_trackers_reason(is_connected: bool) -> None:
    scene = Scene()
    if is_connected:
        scene.connected()
    scene.receive(encode_error(scene.transaction_id, "not today"))
    assert scene.exchange.is_over and scene.exchange.answer == ErrorAnswer("not today")


@given(st.lists(st.binary(max_size=40) | st.sampled_from([bytes(4) + b"\0\0\0\1" + ID]), max_size=8))
def test_whatever_comes_nothing_but_a_format_error_is_raised(datagrams: list[bytes]) -> None:
    scene = Scene()
    for datagram in datagrams:
        try:
            scene.receive(datagram)
        except FormatError:
            assert scene.exchange.is_over
    assert len(scene.sent) <= 2


# -- the connection of another exchange --------------------------------------------------------------


def test_a_connection_that_is_there_already_is_used() -> None:
    scene = Scene(connection=Connection(ID, ends_at=10))
    assert scene.steps == [(0, "announce")]
    scene.announced()
    assert scene.exchange.answer == Announced(RESPONSE)
    assert scene.exchange.connection == Connection(ID, ends_at=10)


def test_a_connection_that_is_over_is_not_used() -> None:
    assert Scene(connection=Connection(ID, ends_at=0)).steps == [(0, "connect")]


def test_a_tracker_that_forgot_a_connection_is_connected_to_again_and_that_costs_no_try() -> None:
    refusing, silent = (Scene(tries=ONE_TRY, connection=Connection(ID, ends_at=50)) for _ in range(2))
    refusing.receive(encode_error(refusing.transaction_id, "bad connection id"))
    silent.wait(until=15)
    for scene in (refusing, silent):
        assert [what for _, what in scene.steps] == ["announce", "connect"]
        scene.connected(b"another!")
        scene.announced()
        assert scene.exchange.answer == Announced(RESPONSE)
        assert scene.exchange.connection is not None
        assert scene.exchange.connection.connection_id == b"another!"


def test_a_new_connection_that_is_refused_is_not_renewed_for_ever() -> None:
    scene = Scene(connection=Connection(ID, ends_at=50))
    scene.receive(encode_error(scene.transaction_id, "bad connection id"))
    scene.connected()
    scene.receive(encode_error(scene.transaction_id, "bad connection id"))
    assert scene.exchange.answer == ErrorAnswer("bad connection id")


def test_connections_are_known_for_their_minute_by_address() -> None:
    connections = Connections()
    connections.put(("::1", 1, 0, 0), Connection(ID, ends_at=CONNECTION_SECONDS), 0.0)
    connections.put(("10.0.0.1", 1), Connection(b"another!", ends_at=90), 30.0)
    assert connections.get(("::1", 1, 0, 0), 59.9) == Connection(ID, ends_at=60)
    assert connections.get(("::1", 1, 0, 0), 60) is None
    assert connections.get(("10.0.0.1", 2), 30) is None
    connections.put(("10.0.0.1", 1), None, 40.0)
    assert connections.get(("10.0.0.1", 1), 40) is None


def test_connections_that_are_over_are_not_kept() -> None:
    connections = Connections()
    for number in range(1000):
        connections.put(("10.0.0.1", number), Connection(ID, ends_at=number + 60), float(number))
    assert len(connections._known) == 60
