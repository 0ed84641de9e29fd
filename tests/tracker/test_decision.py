"""What a request means for a swarm, and what is said of the swarm: pure, whatever the door."""

from __future__ import annotations

import math
import random

import pytest

from shoal.protocol.tracker.messages import (
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeEntry,
    ScrapeResponse,
    TrackerFailure,
)
from shoal.tracker.decision import (
    AWAY_INTERVAL,
    AWAY_WARNING,
    DEFAULT_INTERVAL,
    MAX_NUMWANT,
    NO_KEY,
    NOT_SERVED,
    UNKNOWN_KEY,
    Policy,
    plan_visit,
    refuse,
    respond,
    respond_to_scrape,
)
from shoal.tracker.scopes import Scope
from shoal.tracker.store import Presence, SwarmView, Trouble, Visit

HASH = b"h" * 20
OTHER_HASH = b"o" * 20
HOST = bytes([192, 0, 2, 7])
HOST_V6 = bytes.fromhex("20010db8000000000000000000000007")
VIEW = SwarmView(3, 4, b"v4v4v4", b"v6" * 9)
RNG = random.Random(1)


def request(**changes: object) -> AnnounceRequest:
    fields = {"info_hash": HASH, "peer_id": b"p" * 20, "port": 6881, "left": 10, **changes}
    return AnnounceRequest(**fields)  # type: ignore[arg-type]


def respond_well(view: SwarmView | Trouble, policy: Policy, rng: random.Random = RNG) -> AnnounceResponse:
    response = respond(view, HOST, policy, rng)
    assert isinstance(response, AnnounceResponse)
    return response


# -- what a request means -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "presence"),
    [
        ({"left": 1}, Presence.LEECHING),
        ({"left": 0}, Presence.SEEDING),
        ({"left": 0, "event": Event.COMPLETED}, Presence.SEEDING),
        ({"left": 1, "event": Event.STOPPED}, Presence.GONE),
        ({"left": 1, "port": 0}, Presence.LOOKING),
        ({"left": 0, "port": 0}, Presence.LOOKING),
        ({"port": 0, "event": Event.STOPPED}, Presence.GONE),
    ],
)
def test_a_request_tells_what_its_sender_is(changes: dict[str, object], presence: Presence) -> None:
    assert plan_visit(request(**changes), HOST).presence is presence


@pytest.mark.parametrize(("numwant", "wanted"), [(None, 50), (0, 0), (7, 7), (10**6, MAX_NUMWANT)])
def test_the_wish_for_peers_is_bounded(numwant: int | None, wanted: int) -> None:
    assert plan_visit(request(numwant=numwant), HOST).wanted_count == wanted


@pytest.mark.parametrize("host", [HOST, HOST_V6])
def test_a_peer_is_known_by_the_address_of_its_socket(host: bytes) -> None:
    assert plan_visit(request(port=0x1234), host) == Visit(
        HASH, host + b"\x12\x34", Presence.LEECHING, False, 50, Scope.PUBLIC
    )


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        (HOST, Scope.PUBLIC),
        (bytes([10, 1, 2, 3]), Scope.PRIVATE),
        (bytes([127, 0, 0, 1]), Scope.LOOPBACK),
        (HOST_V6, Scope.PUBLIC),
        (b"\xfe\x80" + bytes(14), Scope.PRIVATE),
    ],
)
def test_how_far_away_it_can_be_used_follows_from_its_address(host: bytes, scope: Scope) -> None:
    assert plan_visit(request(), host).scope is scope


@pytest.mark.parametrize(
    ("event", "has_completed"), [(Event.COMPLETED, True), (Event.STARTED, False), (None, False)]
)
def test_only_who_says_so_has_completed(event: Event | None, has_completed: bool) -> None:
    assert plan_visit(request(event=event, left=0), HOST).has_completed is has_completed


# -- who is refused -----------------------------------------------------------------------------------


def test_a_tracker_for_everybody_refuses_nobody() -> None:
    assert refuse(HASH, b"", Policy()) is None
    assert refuse(HASH, b"any-key", Policy()) is None
    assert not Policy().is_choosy


def test_a_torrent_that_is_not_listed_is_refused() -> None:
    policy = Policy(only={OTHER_HASH})
    assert refuse(HASH, b"", policy) is NOT_SERVED
    assert refuse(OTHER_HASH, b"", policy) is None
    assert refuse(None, b"", policy) is None  # a scrape is refused by the torrent
    assert policy.is_choosy


def test_a_private_tracker_wants_a_key_that_it_knows() -> None:
    policy = Policy(passkeys={b"k1": "anna"})
    assert refuse(HASH, b"", policy) is NO_KEY
    assert refuse(HASH, b"k2", policy) is UNKNOWN_KEY
    assert refuse(None, b"k2", policy) is UNKNOWN_KEY
    assert refuse(HASH, b"k1", policy) is None
    assert NO_KEY.retry_in == UNKNOWN_KEY.retry_in == math.inf


def test_an_unknown_key_is_refused_before_the_torrent_is_looked_at() -> None:
    assert refuse(HASH, b"", Policy(only={OTHER_HASH}, passkeys={})) is NO_KEY


# -- what is said -------------------------------------------------------------------------------------


def test_a_swarm_is_told_as_the_store_sees_it() -> None:
    response = respond_well(VIEW, Policy(interval=1000, min_interval=70))
    assert 900 <= (response.interval or 0) <= 1100
    assert response == AnnounceResponse(
        interval=response.interval,
        min_interval=70,
        complete=3,
        incomplete=4,
        peers_v4=b"v4v4v4",
        peers_v6=b"v6" * 9,
        external_ip=HOST,
    )


def test_intervals_differ_a_little_from_peer_to_peer() -> None:
    policy, rng = Policy(interval=1000), random.Random(2)
    intervals = [respond_well(VIEW, policy, rng).interval or 0 for _ in range(200)]
    assert 900 <= min(intervals) < 950 and 1050 < max(intervals) <= 1100


@pytest.mark.parametrize(
    ("interval", "min_interval", "shortest"), [(1000, None, 50), (1, None, 1), (100, 30, 30), (100, 900, 100)]
)
def test_the_shortest_interval_fits_the_interval(
    interval: float, min_interval: float | None, shortest: int
) -> None:
    policy = Policy(interval=interval, min_interval=min_interval)
    assert respond_well(VIEW, policy).min_interval == shortest


@pytest.mark.parametrize("min_interval", [None, 1, 95, 100])
def test_nobody_is_told_to_come_before_he_may(min_interval: float | None) -> None:
    policy, rng = Policy(interval=100, min_interval=min_interval), random.Random(3)
    for _ in range(200):
        told = respond_well(VIEW, policy, rng)
        assert (told.min_interval or 0) <= (told.interval or 0) <= 110


def test_no_passkey_is_in_what_a_policy_says_of_itself() -> None:
    assert "secret" not in repr(Policy(passkeys={b"secret": "alice"}))


def test_no_interval_is_ever_zero() -> None:
    assert all(respond_well(VIEW, Policy(interval=0.5), random.Random(n)).interval == 1 for n in range(20))


def test_a_peer_that_keeps_to_its_interval_is_never_forgotten() -> None:
    policy = Policy(interval=100)
    assert policy.peer_lifetime >= 2 * 110


def test_a_full_tracker_says_so_and_when_to_come_back() -> None:
    assert respond(Trouble.FULL, HOST, Policy(), RNG) == TrackerFailure(
        "this tracker is full", retry_in=DEFAULT_INTERVAL
    )


def test_while_the_store_is_away_nobody_is_told_of_and_everybody_comes_back_soon() -> None:
    response = respond_well(Trouble.AWAY, Policy(interval=1000, min_interval=500))
    assert response == AnnounceResponse(AWAY_INTERVAL, AWAY_INTERVAL, external_ip=HOST, warning=AWAY_WARNING)
    assert respond_well(Trouble.AWAY, Policy(interval=10)).interval == 10


def test_a_scrape_is_told_as_the_store_sees_it() -> None:
    entries = {HASH: ScrapeEntry(1, 2, 3)}
    assert respond_to_scrape(entries) == ScrapeResponse(entries)
    assert respond_to_scrape({}) == ScrapeResponse({})


def test_a_scrape_is_put_off_while_the_store_is_away() -> None:
    assert respond_to_scrape(Trouble.AWAY) == TrackerFailure(AWAY_WARNING, retry_in=AWAY_INTERVAL)
