"""Decide what a tracker answers: request + swarm -> response, the same behind every door.

Two pure steps around one call of the store: `plan_visit` (what the request means for the swarm) and `respond`
(what is said of the swarm's view); `refuse` comes before both. Nothing here knows of HTTP, UDP, sockets or the
time of day.

The announcing address is the one the door saw; an address in the request is never believed, or anybody could
point a swarm at a victim. Peers with a private or loopback address are told to their like only (`scopes.py`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import force_setattr

from shoal.protocol.tracker.messages import (
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeEntry,
    ScrapeResponse,
    TrackerFailure,
)
from shoal.tracker.scopes import scope_of
from shoal.tracker.store import Presence, SwarmView, Trouble, Visit

DEFAULT_INTERVAL = 600.0  # BEP 3's custom is 1800; an announce is cheap, and a swarm heals faster
MIN_INTERVAL_SHARE = 1 / 20  # of the interval: 30 s at the default, so that early leechers find each other
# Of the interval: each answer names one of its own, so that those who started together spread.
EARLIEST, JITTER = 0.9, 0.2
MISSED_ANNOUNCES = 2  # a peer is forgotten after so many; one lost packet is no goodbye
DEFAULT_NUMWANT = 50
MAX_NUMWANT = 200  # an answer of 1.2 KB still leaves in one packet
# Names cost less than attributes, and these are asked for often.
SEEDING, LEECHING = Presence.SEEDING, Presence.LEECHING
GONE, LOOKING = Presence.GONE, Presence.LOOKING
STOPPED, COMPLETED = Event.STOPPED, Event.COMPLETED

AWAY_INTERVAL = 60.0  # seconds, while the store cannot be reached
AWAY_WARNING = "this tracker cannot look up its peers just now"

NO_KEY = TrackerFailure("this tracker is private: its URL needs a passkey", retry_in=math.inf)
UNKNOWN_KEY = TrackerFailure("this passkey is not known here", retry_in=math.inf)
NOT_SERVED = TrackerFailure("this tracker does not serve that torrent")


class Policy(Struct, frozen=True):
    """How one tracker wants it. Times in seconds. What is derived is worked out once: every answer needs it.

    No `repr` tells of passkeys.
    """

    interval: float = DEFAULT_INTERVAL
    min_interval: float | None = None  # None: a twentieth of the interval
    only: set[bytes] | None = None  # info hashes that are served, more may be added at any time; None: all
    passkeys: Mapping[bytes, str] | None = None  # key in the path -> whose it is; None: everybody is welcome
    # Derived:
    earliest: float = 0.0  # the shortest interval that an answer names
    spread: float = 0.0  # how much longer than that the others are at most
    shortest_interval: int = 0  # whole seconds that even an eager client waits
    peer_lifetime: float = 0.0  # how long a peer may be silent
    is_choosy: bool = False  # whether anybody is refused at all

    def __post_init__(self) -> None:
        shortest = self.interval * MIN_INTERVAL_SHARE if self.min_interval is None else self.min_interval
        shortest = max(1, round(min(shortest, self.interval)))
        earliest = max(shortest, self.interval * EARLIEST)  # or somebody would be told to come before he may
        derived = {
            "earliest": earliest,
            "spread": max(0.0, self.interval * (EARLIEST + JITTER) - earliest),
            "shortest_interval": shortest,
            "peer_lifetime": self.interval * (EARLIEST + JITTER) * MISSED_ANNOUNCES,
            "is_choosy": self.only is not None or self.passkeys is not None,
        }
        for name, value in derived.items():
            force_setattr(self, name, value)

    def __repr__(self) -> str:
        return f"<Policy interval={self.interval:g} is_choosy={self.is_choosy}>"


def refuse(info_hash: bytes | None, passkey: bytes, policy: Policy) -> TrackerFailure | None:
    """Why this asker gets no answer (about this torrent); None where it gets one."""
    if policy.passkeys is not None and passkey not in policy.passkeys:
        return UNKNOWN_KEY if passkey else NO_KEY
    if policy.only is not None and info_hash is not None and info_hash not in policy.only:
        return NOT_SERVED
    return None


def plan_visit(request: AnnounceRequest, host: bytes) -> Visit:
    """What a request says about its sender, whose packed address (4 or 16 bytes) is `host`, for the store."""
    wanted, event = request.numwant, request.event
    if event is STOPPED:
        presence = GONE
    elif request.port == 0:
        presence = LOOKING
    else:
        presence = SEEDING if request.left == 0 else LEECHING
    return Visit(
        request.info_hash,
        host + request.port.to_bytes(2, "big"),
        presence,
        event is COMPLETED,
        DEFAULT_NUMWANT if wanted is None else wanted if wanted < MAX_NUMWANT else MAX_NUMWANT,
        scope_of(host),
    )


def respond(
    view: SwarmView | Trouble, host: bytes, policy: Policy, rng: random.Random
) -> AnnounceResponse | TrackerFailure:
    """What is said of a swarm to one of its peers, or why nothing can be.

    A store that is away is no reason to turn to another tracker for good: the answer has nobody in it, says so,
    and asks to come back soon.
    """
    if isinstance(view, SwarmView):
        return AnnounceResponse(
            int(policy.earliest + policy.spread * rng.random()),
            policy.shortest_interval,
            view.complete,
            view.incomplete,
            view.peers_v4,
            view.peers_v6,
            external_ip=host,
        )
    if view is Trouble.FULL:
        return TrackerFailure("this tracker is full", retry_in=policy.interval)
    soon = round(min(policy.interval, AWAY_INTERVAL))
    shortest = min(policy.shortest_interval, soon)
    return AnnounceResponse(soon, shortest, external_ip=host, warning=AWAY_WARNING)


def respond_to_scrape(entries: Mapping[bytes, ScrapeEntry] | Trouble) -> ScrapeResponse | TrackerFailure:
    """Sizes of swarms, or why they are not known."""
    if isinstance(entries, Trouble):
        return TrackerFailure(AWAY_WARNING, retry_in=AWAY_INTERVAL)
    return ScrapeResponse(entries)
