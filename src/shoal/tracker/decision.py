"""Decide what a tracker answers: request + swarm -> response, the same behind every door.

Two pure steps around one call of the store: `plan_visit` (what the request means for the swarm) and `respond`
(what is said of the swarm's view). `answer_announce` and `answer_scrape` join them. Nothing here knows of
HTTP, sockets or the time of day.

The announcing address is the one the door saw; an address in the request is never believed, or anybody could
point a swarm at a victim. Peers are handed out as they were seen: one that announced over loopback is told
to others as 127.0.0.1, which is right for swarms on one machine; on a machine whose seeds are to be
reached from outside, let them announce to its outer address.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from shoal.protocol.tracker.messages import (
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeResponse,
    TrackerFailure,
)
from shoal.tracker.store import PeerStore, Presence, StoreFullError, SwarmView, Visit

DEFAULT_INTERVAL = 600.0  # BEP 3's custom is 1800; an announce is cheap, and a swarm heals faster
MIN_INTERVAL_SHARE = 1 / 20  # of the interval: 30 s at the default, so that early leechers find each other
INTERVAL_JITTER = 0.1  # either way: peers that started together spread out
MISSED_ANNOUNCES = 2  # a peer is forgotten after so many; one lost packet is no goodbye
DEFAULT_NUMWANT = 50
MAX_NUMWANT = 200  # an answer of 1.2 KB still leaves in one packet


@dataclass(frozen=True, slots=True)
class Policy:
    """How one tracker wants it. Times in seconds."""

    interval: float = DEFAULT_INTERVAL
    only: set[bytes] | None = None  # info hashes that are served, more may be added at any time; None: all

    @property
    def min_interval(self) -> float:
        return max(1.0, self.interval * MIN_INTERVAL_SHARE)

    @property
    def peer_lifetime(self) -> float:
        """How long a peer may be silent."""
        return self.interval * (1 + INTERVAL_JITTER) * MISSED_ANNOUNCES


def answer_announce(
    request: AnnounceRequest, host: bytes, store: PeerStore, policy: Policy, now: float, rng: random.Random
) -> AnnounceResponse | TrackerFailure:
    """Answer the peer whose packed address (4 or 16 bytes) is `host`."""
    if not _is_served(request.info_hash, policy):
        return TrackerFailure("this tracker does not serve that torrent")
    try:
        view = store.visit(plan_visit(request, host), now)
    except StoreFullError:
        return TrackerFailure("this tracker is full", retry_in=policy.interval)
    return respond(view, host, policy, rng)


def plan_visit(request: AnnounceRequest, host: bytes) -> Visit:
    """What a request says about its sender, for the store."""
    return Visit(
        info_hash=request.info_hash,
        record=host + request.port.to_bytes(2, "big"),
        presence=_presence(request),
        has_completed=request.event is Event.COMPLETED,
        wanted_count=min(DEFAULT_NUMWANT if request.numwant is None else request.numwant, MAX_NUMWANT),
    )


def respond(view: SwarmView, host: bytes, policy: Policy, rng: random.Random) -> AnnounceResponse:
    """What is said of a swarm to one of its peers."""
    jitter = 1 + INTERVAL_JITTER * (2 * rng.random() - 1)
    return AnnounceResponse(
        interval=max(1, round(policy.interval * jitter)),
        min_interval=round(policy.min_interval),
        complete=view.complete,
        incomplete=view.incomplete,
        peers_v4=view.peers_v4,
        peers_v6=view.peers_v6,
        external_ip=host,
    )


def answer_scrape(
    info_hashes: list[bytes], store: PeerStore, policy: Policy
) -> ScrapeResponse | TrackerFailure:
    """Sizes of the swarms asked for. A scrape of everything is refused: it would be the whole catalogue."""
    if not info_hashes:
        return TrackerFailure("name the info hashes to scrape")
    served = [info_hash for info_hash in info_hashes if _is_served(info_hash, policy)]
    return ScrapeResponse(store.scrape(served))


def _is_served(info_hash: bytes, policy: Policy) -> bool:
    return policy.only is None or info_hash in policy.only


def _presence(request: AnnounceRequest) -> Presence:
    if request.event is Event.STOPPED:
        return Presence.GONE
    if request.port == 0:
        return Presence.LOOKING
    return Presence.SEEDING if request.left == 0 else Presence.LEECHING
