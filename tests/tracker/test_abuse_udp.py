"""What strangers do to a tracker's UDP door: all of it at a whole tracker, which serves others on meanwhile."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shoal.protocol.tracker.udp import MAX_SCRAPE_HASHES, Action
from shoal.units import MIB
from tests.campaigns.datagrams import Noise, announce_datagram, connect_datagram

from .whole import HOST, PROBE_HASH, SEED_PORT, Asker, Prober, Whole, packed, whole_tracker

NOISE_COUNT = 200_000
FLOOD_COUNT = 20_000  # announces, each with an info hash of its own
ID_USES = 1_000  # announces with one connection id: it is good for a minute at least
MOST_SWARMS, MOST_PEERS = 1_000, 1_500  # that the flooded tracker may remember
MAX_GROWTH = 6 * MIB  # of a tracker that remembers nothing of what came


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Whole]:
    with whole_tracker(tmp_path, "--max-swarms", str(MOST_SWARMS), "--max-peers", str(MOST_PEERS)) as tracker:
        yield tracker


@pytest.fixture
def asker(tracker: Whole) -> Iterator[Asker]:
    with closing(Asker(tracker.port)) as asker:
        yield asker


def test_noise_is_dropped_and_others_are_served_on(tracker: Whole) -> None:
    """With ids that nobody was given: what valid ones make of it is the campaign's, in `tests/campaigns`."""
    noise = Noise(seed=5, make_id=lambda host: host + host)
    with Prober(tracker), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, tracker.port))
        warm_up(tracker, sock, noise)
        resident, descriptors = tracker.resident, tracker.descriptors
        for _ in range(NOISE_COUNT):
            sock.send(noise.next()[0])
        with closing(Asker(tracker.port)) as asker:
            asker.connection_id()  # so everything before it has been read, or lost
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(2048)
        assert tracker.resident - resident < MAX_GROWTH
        assert tracker.descriptors < descriptors + 10


def warm_up(tracker: Whole, sock: socket.socket, noise: Noise) -> None:
    """Let it make its buffers, which stay."""
    for _ in range(1000):
        sock.send(noise.next()[0])
    with closing(Asker(tracker.port)) as asker:
        asker.connection_id()


def test_an_id_is_good_at_its_own_address_only(tracker: Whole, asker: Asker) -> None:
    connection_id = asker.connection_id()
    stolen = announce_datagram(connection_id, PROBE_HASH, 6881)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.bind(("127.0.0.2", 0))
        thief.connect((HOST, tracker.port))
        thief.send(stolen)
        thief.send(connect_datagram(b"next"))
        thief.settimeout(60)
        assert thief.recv(2048)[4:8] == b"next", "the announce was not answered, what came behind it was"
    assert asker.ask(stolen, b"tran")[:4] == struct.pack("!I", Action.ANNOUNCE)


def test_no_more_peers_than_fit_are_told_however_many_are_wanted(tracker: Whole, asker: Asker) -> None:
    for port in range(1001, 1301):
        asker.announce(PROBE_HASH, port)
    for wanted in (201, 0x7FFFFFFF):
        assert len(asker.announce(PROBE_HASH, 1, numwant=wanted)) == 12 + 200 * 6
    assert len(asker.announce(PROBE_HASH, 1, numwant=0xFFFFFFFF)) == 12 + 50 * 6
    assert len(asker.announce(PROBE_HASH, 1, numwant=0)) == 12


@pytest.mark.parametrize("count", [0, MAX_SCRAPE_HASHES + 1, MAX_SCRAPE_HASHES + 2, 3_000])
def test_a_scrape_of_none_or_too_many_is_dropped(count: int, asker: Asker) -> None:
    head = asker.connection_id() + struct.pack("!I", Action.SCRAPE) + b"scrp"
    assert asker.is_ignored(head + PROBE_HASH * count)
    assert len(asker.ask(head + PROBE_HASH * MAX_SCRAPE_HASHES, b"scrp")) == 8 + 12 * MAX_SCRAPE_HASHES


def test_a_flood_of_new_swarms_ends_at_the_bound_and_harms_nobody_who_is_there(tracker: Whole) -> None:
    with Prober(tracker), closing(Asker(tracker.port)) as asker:
        let_in, resident = 0, tracker.resident
        for number in range(FLOOD_COUNT):
            if number % ID_USES == 0:
                connection_id = asker.connection_id()
            info_hash = number.to_bytes(20, "big")
            answer = asker.ask(
                announce_datagram(connection_id, info_hash, 6881, transaction_id=info_hash[-4:]),
                info_hash[-4:],
            )
            if answer[:4] == struct.pack("!I", Action.ANNOUNCE):
                let_in += 1
            else:
                assert answer == struct.pack("!I", Action.ERROR) + info_hash[-4:] + b"this tracker is full"
        assert let_in == MOST_SWARMS - 1, "one is the prober's"
        assert tracker.resident - resident < MAX_GROWTH
        assert b"this tracker is full" in tracker.announce(1, b"a newcomer's torrent")[b"failure reason"]
        assert packed(SEED_PORT) in asker.announce(PROBE_HASH, 7)


def test_a_flood_of_new_peers_ends_at_the_bound(tracker: Whole) -> None:
    with Prober(tracker), closing(Asker(tracker.port)) as asker:
        connection_id = asker.connection_id()
        answers = [
            asker.ask(
                announce_datagram(connection_id, bytes(20), port, transaction_id=port.to_bytes(4, "big")),
                port.to_bytes(4, "big"),
            )
            for port in range(1, 2001)
        ]
        let_in = sum(answer[:4] == struct.pack("!I", Action.ANNOUNCE) for answer in answers)
        assert let_in == MOST_PEERS - 3, "three are the prober's"
