"""Every program of others at our tracker, over HTTP and over UDP, IPv4 and IPv6: listed, told, counted, gone.

The torrent is private and names one URL, so whoever meets has met there. The other side is always libtorrent.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import MakeOffer
from .payloads import Offer
from .processes import Pen, Running, scraped
from .programs import HOST, aria2, libtorrent, qbittorrent, require, start_shoal, transmission_daemon

pytestmark = pytest.mark.peers

PROGRAMS: dict[str, Callable[..., tuple[Running, str]]] = {
    "libtorrent": libtorrent,
    "aria2": aria2,
    "qbittorrent": qbittorrent,
    "transmission": transmission_daemon,
}


@dataclass(slots=True)
class Place:
    """A tracker that runs, and a torrent that names it."""

    pen: Pen
    url: str  # over HTTP, for looking
    log: Path
    offer: Offer
    scheme: str
    host: str

    @property
    def counts(self) -> tuple[int, int, int] | None:
        """Seeds, leechers, completed."""
        return scraped(self.url, self.offer.info_hash)

    def start(self, program: str, *, is_seed: bool = False) -> tuple[Running, Path, str]:
        """Let a program take part; with its folder, and its address."""
        folder = self.pen.make_folder(program)
        if is_seed:
            self.offer.copy_to(folder)
        bind = f"[{self.host}]" if program == "libtorrent" and ":" in self.host else self.host
        running, address = PROGRAMS[program](self.pen, self.offer, folder, is_seed, bind=bind)
        return running, folder, address

    def wait(self, running: Running, counts: tuple[int, int, int]) -> None:
        running.wait_until(lambda: self.counts == counts, f"{counts} seeds, leechers and completed")

    def told_by(self, port: int) -> list[str]:
        """The events that the peer with this port has announced, `""` for being there still."""
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line["reason"] for line in lines if line.get("peer", "").endswith(f":{port}")]


@pytest.fixture
def place(scheme: str, host: str, payload_root: Path, make_offer: MakeOffer, offer: Offer, pen: Pen) -> Place:
    log = pen.folder / "log"
    tracker = start_shoal(pen, "tracker", "--bind", host, "--port", "0", "--interval", "60", "--log", log)
    url = tracker.line_after("tracker ")
    announce_url = url.replace("http:", f"{scheme}:")
    offer = make_offer(payload_root / offer.paths[0], "--private", "--tracker", announce_url)
    return Place(pen, url, log, offer, scheme, host)


WAYS = [
    (program, scheme, host)
    for program in ("libtorrent", "aria2", "qbittorrent")
    for scheme in ("http", "udp")
    for host in (HOST, "::1")
    if (program, scheme, host) != ("aria2", "udp", "::1")
]


@pytest.mark.parametrize(("program", "scheme", "host"), WAYS)
def test_they_come_find_complete_and_leave(program: str, place: Place) -> None:
    theirs, their_folder, address = place.start(program)
    place.wait(theirs, (0, 1, 0))
    first, _, _ = place.start("libtorrent", is_seed=True)
    theirs.wait_until(lambda: place.offer.is_copied_to(their_folder), "equal copy")
    place.wait(theirs, (2, 0, 1))
    first.leave()
    place.wait(theirs, (1, 0, 1))
    second, second_folder, _ = place.start("libtorrent")
    second.wait_until(lambda: place.offer.is_copied_to(second_folder), "equal copy")
    place.wait(theirs, (2, 0, 2))
    theirs.leave()
    place.wait(second, (1, 0, 2))
    told = place.told_by(port_of(address))
    assert (told[0], told[-1], told.count("completed")) == ("started", "stopped", 1)


@pytest.mark.parametrize(("program", "scheme", "host"), WAYS)
def test_they_dial_the_peers_that_they_are_told_of(program: str, place: Place) -> None:
    """Who is there first is told of nobody, and does not ask again for a minute."""
    first, _, _ = place.start("libtorrent", is_seed=True)
    place.wait(first, (1, 0, 0))
    theirs, their_folder, _ = place.start(program)
    theirs.wait_until(lambda: place.offer.is_copied_to(their_folder), "equal copy")


@pytest.mark.parametrize(
    ("program", "scheme", "host"), [("transmission", way, HOST) for way in ("http", "udp")]
)
def test_transmission_comes_is_told_completes_and_leaves(program: str, place: Place) -> None:
    """3.00 dials no loopback address, so others must find it; what its tracker told it, it is asked for itself.

    It leaves by letting the torrent go: when it is ended it says no goodbye over HTTP.
    """
    first, _, _ = place.start("libtorrent")
    place.wait(first, (0, 1, 0))
    theirs, their_folder, control = place.start(program)
    place.wait(theirs, (0, 2, 0))
    theirs.wait_until(lambda: "Got a list of 1 peers" in told_by_tracker(control), "list of a peer")
    place.start("libtorrent", is_seed=True)
    theirs.wait_until(lambda: place.offer.is_copied_to(their_folder), "equal copy")
    place.wait(theirs, (3, 0, 2))
    remote_control(control, "--torrent", "1", "--remove")
    place.wait(theirs, (2, 0, 2))


@pytest.mark.parametrize(
    ("program", "scheme", "host"), [("transmission", way, "::1") for way in ("http", "udp")]
)
def test_transmission_knows_no_address_in_brackets(program: str, place: Place) -> None:
    """3.00 takes what stands before the first colon for the host, so it cannot ask a tracker at `[::1]`."""
    theirs, _, control = place.start(program)
    theirs.wait_until(lambda: f"Tracker 0: {place.scheme}://[:" in told_by_tracker(control), "tracker")
    assert "[::1]" not in told_by_tracker(control)
    assert place.counts == (0, 0, 0)


@pytest.mark.parametrize(("program", "scheme", "host"), [("aria2", "udp", "::1")])
def test_aria2_asks_no_udp_tracker_over_ipv6(program: str, place: Place) -> None:
    """1.36 says so and goes on without; its UDP trackers are a part of its DHT over IPv4."""
    theirs, _, _ = place.start(program)
    theirs.wait_until(lambda: "udp is not supported yet" in theirs.said, "word of the tracker")
    assert place.counts == (0, 0, 0)


def told_by_tracker(control: str) -> str:
    return remote_control(control, "--torrent", "1", "--info-trackers")


def remote_control(control: str, *arguments: str) -> str:
    command = [require("transmission-remote"), control, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])
