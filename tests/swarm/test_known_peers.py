"""Addresses: whom to dial, when to leave them alone, and whom never."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.swarm import known_peers
from shoal.swarm.known_peers import (
    FIRST_REST,
    JITTER,
    Address,
    KnownPeers,
    Source,
    unify_address,
)

A: Address = ("192.0.2.1", 6881)
B: Address = ("192.0.2.2", 6881)
PEER_ID = b"-SH0100-abcdefghijkl"


def knowing(*addresses: Address, source: Source = Source.TRACKER) -> KnownPeers:
    peers = KnownPeers()
    peers.add(addresses, source, now=0.0)
    return peers


def dial(
    peers: KnownPeers, now: float, count: int = 100, *, seed: int = 0, is_seeding: bool = False
) -> list[Address]:
    return peers.next_to_dial(now, count, random.Random(seed), is_seeding=is_seeding)


class TestSpelling:
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::FFFF:c000:0201", "192.0.2.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
        ],
    )
    def test_an_address_has_one_spelling(self, host: str, expected: str) -> None:
        assert unify_address(host, 6881) == (expected, 6881)

    @pytest.mark.parametrize(
        ("host", "port"),
        [
            ("192.0.2.1", 0),
            ("192.0.2.1", -1),
            ("192.0.2.1", 65_536),
            ("0.0.0.0", 6881),
            ("::", 6881),
            ("::ffff:0.0.0.0", 6881),
            ("224.0.0.1", 6881),
            ("ff02::1", 6881),
            ("tracker.example", 6881),
            ("192.0.2.999", 6881),
            ("", 6881),
        ],
    )
    def test_what_cannot_be_dialled_is_passed_over(self, host: str, port: int) -> None:
        assert unify_address(host, port) is None
        peers = KnownPeers()
        assert peers.add([(host, port)], Source.TRACKER, now=0.0) == 0
        assert len(peers) == 0

    def test_the_same_address_from_two_sources_is_one_peer(self) -> None:
        peers = knowing(A)
        assert peers.add([("::ffff:192.0.2.1", 6881), A], Source.EXCHANGE, now=1.0) == 0
        assert len(peers) == 1
        known = peers.get(A)
        assert known is not None and known.sources == Source.TRACKER | Source.EXCHANGE


class TestDialling:
    def test_an_address_is_dialled_once_at_a_time(self) -> None:
        peers = knowing(A)
        assert dial(peers, 0.0) == [A]
        assert dial(peers, 1e6) == []
        assert peers.next_deadline() is None

    def test_a_connected_peer_is_not_dialled(self) -> None:
        peers = knowing(A)
        dial(peers, 0.0)
        peers.on_connected(A, PEER_ID)
        assert peers.connected_with(PEER_ID) == A
        assert dial(peers, 1e6) == []

    def test_a_peer_that_dialled_us_is_not_dialled_back(self) -> None:
        peers = KnownPeers()
        peers.add([A], Source.INCOMING, now=0.0)
        peers.on_connected(A, PEER_ID)
        assert dial(peers, 1e6) == []

    def test_no_more_than_asked_for_are_dialled(self) -> None:
        peers = knowing(*(("192.0.2.1", port) for port in range(1, 50)))
        first, second = dial(peers, 0.0, 20), dial(peers, 0.0, 20)
        assert len(first) == len(second) == 20
        assert not set(first) & set(second)

    def test_equals_are_dialled_in_random_order(self) -> None:
        addresses = [("192.0.2.1", port) for port in range(1, 50)]
        orders = {tuple(dial(knowing(*addresses), 0.0, 5, seed=seed)) for seed in range(10)}
        assert len(orders) == 10

    def test_our_own_address_is_never_dialled_again(self) -> None:
        peers = knowing(A)
        dial(peers, 0.0)
        peers.on_self(A)
        peers.add([A], Source.HAND, now=1.0)
        assert dial(peers, 1e6) == []

    def test_those_that_failed_least_come_first(self) -> None:
        peers = knowing(A, B)
        dial(peers, 0.0)
        peers.on_failed(A, 0.0)
        peers.on_failed(B, 0.0)
        dial(peers, 100.0, 1)
        failed_twice = A if peers.get(A).is_dialling else B  # type: ignore[union-attr]
        peers.on_failed(failed_twice, 100.0)
        order = dial(peers, 1e6)
        assert order[-1] == failed_twice and len(order) == 2

    def test_peers_named_by_hand_come_before_any_other(self) -> None:
        peers = knowing(A)
        peers.add([B], Source.HAND, now=0.0)
        for attempt in range(5):
            assert dial(peers, attempt * FIRST_REST, 1) == [B]
            peers.on_failed(B, attempt * FIRST_REST)

    def test_a_seed_does_not_dial_seeds(self) -> None:
        peers = knowing(A)
        peers.on_seed(A)
        assert dial(peers, 0.0, is_seeding=True) == []
        assert peers.next_deadline(is_seeding=True) is None
        assert dial(peers, 0.0) == [A]


class TestRest:
    def test_each_failure_doubles_the_rest_up_to_ten_minutes(self) -> None:
        peers = knowing(A)
        now = 0.0
        for expected in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0):
            assert dial(peers, now) == [A]
            peers.on_failed(A, now)
            deadline = peers.next_deadline()
            assert deadline is not None
            assert expected <= deadline - now <= expected * (1 + JITTER)
            assert dial(peers, deadline - 0.001) == []
            now = deadline

    def test_thousands_of_failures_do_no_harm(self) -> None:
        peers = knowing(A)
        for attempt in range(3000):
            assert dial(peers, attempt * 1000.0) == [A]
            peers.on_failed(A, attempt * 1000.0)

    def test_a_peer_named_by_hand_rests_five_seconds_each_time(self) -> None:
        peers = knowing(A, source=Source.HAND)
        for attempt in range(100):
            now = attempt * FIRST_REST
            assert dial(peers, now) == [A]
            peers.on_failed(A, now)
            assert dial(peers, now + FIRST_REST - 0.001) == []

    def test_swarms_cut_off_together_return_at_different_times(self) -> None:
        addresses = [("192.0.2.1", port) for port in range(1, 20)]
        peers = knowing(*addresses)
        for address in dial(peers, 0.0):
            peers.on_failed(address, 0.0)
        rests = {known.rests_until for address in addresses if (known := peers.get(address)) is not None}
        assert len(rests) == len(addresses)

    def test_a_useful_connection_wipes_the_failures_out(self) -> None:
        peers = knowing(A)
        for now in (0.0, 100.0, 200.0):
            dial(peers, now)
            peers.on_failed(A, now)
        dial(peers, 300.0)
        peers.on_connected(A, PEER_ID)
        peers.on_closed(A, 400.0, was_useful=True)
        known = peers.get(A)
        assert known is not None and known.failures == 0 and known.peer_id is None
        assert dial(peers, 400.0 + FIRST_REST - 0.001) == []
        assert dial(peers, 400.0 + FIRST_REST * (1 + JITTER)) == [A]

    def test_a_peer_that_only_ever_hangs_up_rests_longer_each_time(self) -> None:
        peers = knowing(A)
        rests = []
        now = 0.0
        for _ in range(4):
            assert dial(peers, now) == [A]
            peers.on_connected(A, PEER_ID)
            peers.on_closed(A, now, was_useful=False)
            deadline = peers.next_deadline()
            assert deadline is not None
            rests.append(deadline - now)
            now = deadline
        assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(rests))


class TestBans:
    def test_a_banned_address_is_never_dialled_and_never_taken_in_again(self) -> None:
        peers = knowing(A, B)
        peers.ban(A, "sent a wrong block")
        assert peers.ban_reason(A) == "sent a wrong block"
        assert peers.add([A, ("::ffff:192.0.2.1", 6881)], Source.HAND, now=0.0) == 0
        assert dial(peers, 1e6) == [B]

    def test_another_port_of_a_banned_address_is_another_peer(self) -> None:
        peers = knowing()
        peers.ban(A, "sent a wrong block")
        neighbour = (A[0], A[1] + 1)
        assert not peers.is_banned(neighbour)
        assert peers.add([neighbour], Source.TRACKER, now=0.0) == 1

    def test_three_banned_ports_ban_the_whole_ip(self) -> None:
        neighbour = (A[0], 9999)
        peers = knowing(neighbour, B)
        for port in (1, 2, 3):
            assert not peers.is_banned(neighbour)
            peers.ban((A[0], port), "sent a wrong block")
        assert peers.ban_reason(neighbour) == "sent a wrong block"
        assert peers.get(neighbour) is None
        assert dial(peers, 0.0) == [B]

    def test_the_same_port_three_times_bans_no_ip(self) -> None:
        peers = knowing()
        for _ in range(3):
            peers.ban(A, "sent a wrong block")
        assert not peers.is_banned((A[0], 9999))

    @pytest.mark.parametrize("ip", ["127.0.0.1", "127.1.2.3", "::1"])
    def test_loopback_is_never_banned_as_a_whole(self, ip: str) -> None:
        peers = knowing()
        for port in range(1, 50):
            peers.ban((ip, port), "sent a wrong block")
        assert peers.is_banned((ip, 7))
        assert not peers.is_banned((ip, 9999))

    def test_a_ban_without_a_reason_is_a_ban(self) -> None:
        peers = knowing(A)
        peers.ban(A, "")
        assert peers.is_banned(A)

    def test_the_list_of_bans_is_bounded_and_the_oldest_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(known_peers, "MAX_BANS", 10)
        peers = knowing()
        bans = [(f"192.0.2.{number}", 6881) for number in range(1, 16)]
        for address in bans:
            peers.ban(address, "x")
        assert [peers.is_banned(address) for address in bans] == [False] * 5 + [True] * 10


class TestBound:
    def test_a_full_list_takes_no_more(self) -> None:
        peers = KnownPeers(max_known=10)
        assert peers.add([("192.0.2.1", port) for port in range(1, 31)], Source.EXCHANGE, now=0.0) == 10
        assert peers.add([B], Source.EXCHANGE, now=0.0) == 0
        assert len(peers) == 10

    def test_newcomers_take_the_place_of_those_that_failed_most(self) -> None:
        peers = KnownPeers(max_known=3)
        worst, bad, good = [("192.0.2.1", port) for port in (1, 2, 3)]
        peers.add([worst, bad, good], Source.TRACKER, now=0.0)
        for address in (worst, worst, bad):
            peers.on_failed(address, 0.0)
        assert peers.add([B], Source.TRACKER, now=0.0) == 1
        assert peers.get(worst) is None
        assert peers.get(bad) is not None and peers.get(good) is not None

    def test_a_connected_peer_and_one_named_by_hand_keep_their_place(self) -> None:
        peers = KnownPeers(max_known=2)
        peers.add([A], Source.HAND, now=0.0)
        peers.add([B], Source.TRACKER, now=0.0)
        peers.on_failed(A, 0.0)
        peers.on_failed(B, 0.0)
        peers.on_connected(B, PEER_ID)
        assert peers.add([("192.0.2.3", 6881)], Source.TRACKER, now=0.0) == 0
        assert peers.get(A) is not None and peers.get(B) is not None

    def test_an_address_named_by_hand_always_finds_room(self) -> None:
        peers = KnownPeers(max_known=1)
        peers.add([A], Source.TRACKER, now=0.0)
        assert peers.add([B], Source.HAND, now=0.0) == 1
        assert dial(peers, 0.0) == [B, A]


@given(seed=st.integers(0, 2**32))
def test_any_story_keeps_the_promises(seed: int) -> None:
    """Random adds, dials, failures, closes and bans: never twice at once, never banned, never too soon."""
    rng = random.Random(seed)
    universe = [(f"192.0.2.{host}", port) for host in range(1, 6) for port in range(1, 6)]
    peers = KnownPeers(max_known=15)
    dialling: list[Address] = []
    connected: list[Address] = []
    ended_at: dict[Address, float] = {}
    now = 0.0
    for _ in range(200):
        now += rng.expovariate(0.2)
        action = rng.randrange(5)
        if action == 0:
            peers.add(rng.sample(universe, 5), rng.choice([Source.TRACKER, Source.HAND]), now)
            ended_at = {address: at for address, at in ended_at.items() if peers.get(address)}
        elif action == 1:
            for address in peers.next_to_dial(now, 4, rng):
                assert address not in dialling + connected, f"{seed=}"
                assert not peers.is_banned(address), f"{seed=}"
                assert now - ended_at.get(address, -FIRST_REST) >= FIRST_REST, f"{seed=}"
                dialling.append(address)
        elif action == 2 and dialling:
            address = dialling.pop()
            if rng.random() < 0.5:
                peers.on_connected(address, rng.randbytes(20))
                connected.append(address)
            else:
                peers.on_failed(address, now)
                ended_at[address] = now
        elif action == 3 and connected:
            address = connected.pop()
            peers.on_closed(address, now, was_useful=rng.random() < 0.5)
            ended_at[address] = now
        elif action == 4 and rng.random() < 0.1:
            peers.ban(rng.choice(universe), "x")
