"""A tracker that is killed and started again: what it remembers itself comes back, what Redis remembers stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..tracker.redis_server import RedisServer
from .conftest import MakeOffer
from .payloads import Offer
from .processes import Pen, Running, free_port, scraped
from .programs import HOST, libtorrent, shoal_get, shoal_seed, start_shoal

pytestmark = pytest.mark.peers

INTERVAL = 4.0  # seconds between two announces of a peer; each is told up to a tenth more
SHORT = ("--interval", f"{INTERVAL:g}")


def start_tracker(pen: Pen, port: int, *options: str) -> tuple[Running, str]:
    running = start_shoal(pen, "tracker", "--bind", HOST, "--port", str(port), *options)
    return running, running.line_after("tracker ")


def kill(running: Running) -> None:
    """As `kill -9`."""
    running.process.kill()
    running.process.wait()


def wait_listed(running: Running, url: str, offer: Offer, counts: tuple[int, int, int]) -> None:
    running.wait_until(lambda: scraped(url, offer.info_hash) == counts, f"{counts} listed")


@pytest.fixture
def meet(pen: Pen, make_offer: MakeOffer, payload_root: Path, offer: Offer) -> Callable[[str], Offer]:
    """Start a seed of ours, and a peer of ours that gets all from it; the torrent they share."""

    def meet(announce_url: str) -> Offer:
        announced = make_offer(payload_root / offer.paths[0], "--tracker", announce_url)
        shoal_seed(pen, announced)
        folder = pen.make_folder("ours")
        getting = shoal_get(pen, announced.torrent, folder, "--seed-time", "600")
        getting.wait_until(lambda: announced.is_copied_to(folder), "equal copy")
        return announced

    return meet


def add_libtorrent(pen: Pen, offer: Offer) -> None:
    folder = pen.make_folder("theirs")
    stranger, _ = libtorrent(pen, offer, folder, False)
    stranger.wait_until(lambda: offer.is_copied_to(folder), "equal copy")


def test_in_memory_the_swarm_is_whole_again_as_its_peers_announce(
    meet: Callable[[str], Offer], pen: Pen
) -> None:
    """Only how often it was completed is forgotten: nobody says that twice."""
    port = free_port()
    tracker, url = start_tracker(pen, port, *SHORT)
    offer = meet(url)
    add_libtorrent(pen, offer)
    wait_listed(tracker, url, offer, (3, 0, 2))
    kill(tracker)
    tracker, _ = start_tracker(pen, port, *SHORT)
    wait_listed(tracker, url, offer, (3, 0, 0))


def test_over_udp_an_id_of_the_tracker_that_was_costs_a_wait(meet: Callable[[str], Offer], pen: Pen) -> None:
    """A tracker started anew knows no ids, and answers nothing to one: a peer tries it for 15 seconds, then connects.

    An id is used for a minute, so with an interval of more than that it does not come to this. libtorrent holds on to
    its id for all of the minute, and is left out.
    """
    port = free_port()
    tracker, url = start_tracker(pen, port, *SHORT)
    offer = meet(url.replace("http:", "udp:"))
    wait_listed(tracker, url, offer, (2, 0, 1))
    kill(tracker)
    tracker, _ = start_tracker(pen, port, *SHORT)
    wait_listed(tracker, url, offer, (2, 0, 0))


def test_with_redis_nothing_is_lost(meet: Callable[[str], Offer], pen: Pen) -> None:
    """The peers of an hour's interval do not come by again, and are all there."""
    redis = RedisServer(pen)
    options = ("--store", redis.url, "--interval", "1h")
    tracker, url = start_tracker(pen, 0, *options)
    offer = meet(url)
    add_libtorrent(pen, offer)
    wait_listed(tracker, url, offer, (3, 0, 2))
    kill(tracker)
    tracker, other_url = start_tracker(pen, 0, *options)
    assert urlsplit(other_url).port != urlsplit(url).port
    wait_listed(tracker, other_url, offer, (3, 0, 2))
