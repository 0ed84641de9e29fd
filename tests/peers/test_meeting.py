"""Peers that know nobody find each other: at our tracker, at another's, and at the one inside `shoal share`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest

from .conftest import MakeOffer
from .payloads import Offer
from .processes import Pen, listed, wait_until
from .programs import (
    CLIENTS,
    HOST,
    TRACKERS,
    in_datagrams,
    libtorrent,
    shoal_get,
    shoal_seed,
    shoal_tracker,
    start_shoal,
)

pytestmark = pytest.mark.peers

MEETINGS = [(client, tracker) for client in ("libtorrent", "aria2") for tracker in TRACKERS]
each_meeting = pytest.mark.parametrize(("client", "tracker"), MEETINGS)


@pytest.fixture
def announced(
    tracker: str, payload_root: Path, make_offer: MakeOffer, offer: Offer, pen: Pen
) -> tuple[Offer, str]:
    """A torrent that names a running tracker, and that tracker's URL."""
    url = TRACKERS[tracker](pen, offer.info_hash)
    return make_offer(payload_root / offer.paths[0], "--tracker", url), url


# Transmission dials no loopback address, so it can only be found; that takes ten seconds, so it is done once.
@pytest.mark.parametrize(("client", "tracker"), [*MEETINGS, ("transmission", "shoal tracker")])
def test_we_find_their_seed(client: str, announced: tuple[Offer, str], pen: Pen) -> None:
    offer, url = announced
    theirs, ours = pen.make_folder("theirs"), pen.make_folder("ours")
    offer.copy_to(theirs)
    running, _ = CLIENTS[client](pen, offer, theirs, True)
    running.wait_until(lambda: listed(url, offer.info_hash) == (1, 0), "seed listed by the tracker")
    shoal_get(pen, offer.torrent, ours).wait_success()
    assert offer.is_copied_to(ours)


@each_meeting
def test_they_find_our_seed(client: str, announced: tuple[Offer, str], pen: Pen) -> None:
    offer, url = announced
    theirs = pen.make_folder("theirs")
    seed, _ = shoal_seed(pen, offer)
    seed.wait_until(lambda: listed(url, offer.info_hash) == (1, 0), "seed listed by the tracker")
    running, _ = CLIENTS[client](pen, offer, theirs, False)
    running.wait_until(lambda: offer.is_copied_to(theirs), "equal copy")


@each_meeting
def test_a_seed_of_ours_that_comes_late_finds_them(
    client: str, announced: tuple[Offer, str], pen: Pen
) -> None:
    offer, url = announced
    theirs = pen.make_folder("theirs")
    running, _ = CLIENTS[client](pen, offer, theirs, False)
    running.wait_until(lambda: listed(url, offer.info_hash) == (0, 1), "leecher listed by the tracker")
    shoal_seed(pen, offer)
    running.wait_until(lambda: offer.is_copied_to(theirs), "equal copy")


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_seed_and_a_get_of_ours_meet_in_datagrams(
    tracker: str, payload_root: Path, make_offer: MakeOffer, offer: Offer, pen: Pen
) -> None:
    url = TRACKERS[tracker](pen, offer.info_hash)
    offer = make_offer(payload_root / offer.paths[0], "--tracker", in_datagrams(url))
    ours = pen.make_folder("ours")
    seed, _ = shoal_seed(pen, offer)
    seed.wait_until(lambda: listed(url, offer.info_hash) == (1, 0), "seed listed by the tracker")
    shoal_get(pen, offer.torrent, ours).wait_success()
    assert offer.is_copied_to(ours)
    seed.leave()
    seed.wait_success()
    wait_until(lambda: listed(url, offer.info_hash) == (0, 0), "goodbye heard by the tracker")


def test_what_share_prints_serves_us_and_others(payload_root: Path, offer: Offer, pen: Pen) -> None:
    sharing = start_shoal(
        pen, "share", payload_root / offer.metainfo.name, "--bind", HOST, "--port", "0", "--quiet"
    )
    url = sharing.line_after("shoal get ")
    ours, theirs = pen.make_folder("ours"), pen.make_folder("theirs")
    shoal_get(pen, url, ours).wait_success()
    assert offer.is_copied_to(ours)
    torrent = pen.folder / unquote(urlsplit(url).path.rpartition("/")[2])
    with urlopen(url, timeout=60.0) as response:
        torrent.write_bytes(response.read())
    running, _ = libtorrent(pen, Offer(torrent, offer.root), theirs, False)
    running.wait_until(lambda: offer.is_copied_to(theirs), "equal copy")


# ---- IPv6


def test_we_get_from_them_over_ipv6(offer: Offer, pen: Pen) -> None:
    ours = pen.make_folder("ours")
    _, address = libtorrent(pen, offer, offer.root, True, bind="[::1]")
    shoal_get(pen, offer.torrent, ours, dial=address, bind="::1").wait_success()
    assert offer.is_copied_to(ours)


def test_they_get_from_us_over_ipv6(offer: Offer, pen: Pen) -> None:
    theirs = pen.make_folder("theirs")
    _, address = shoal_seed(pen, offer, bind="::1")
    running, _ = libtorrent(pen, offer, theirs, False, bind="[::1]", dial=address)
    running.wait_until(lambda: offer.is_copied_to(theirs), "equal copy")


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_all_meet_at_our_tracker_over_ipv6(
    scheme: str, payload_root: Path, make_offer: MakeOffer, offer: Offer, pen: Pen
) -> None:
    url = shoal_tracker(pen, offer.info_hash, bind="::1")
    assert "[::1]" in url
    announced = url if scheme == "http" else in_datagrams(url)
    offer = make_offer(payload_root / offer.paths[0], "--tracker", announced)
    ours, theirs = pen.make_folder("ours"), pen.make_folder("theirs")
    seed, _ = shoal_seed(pen, offer, bind="::1")
    seed.wait_until(lambda: listed(url, offer.info_hash) == (1, 0), "seed listed by the tracker")
    running, _ = libtorrent(pen, offer, theirs, False, bind="[::1]")
    shoal_get(pen, offer.torrent, ours, bind="::1").wait_success()
    running.wait_until(lambda: offer.is_copied_to(theirs), "equal copy")
    assert offer.is_copied_to(ours)
