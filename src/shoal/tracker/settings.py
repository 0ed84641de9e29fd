"""All that a tracker may be told before it starts, as one checked value, and the tracker that is built of it.

The value can be pickled, so that every worker process builds a tracker of its own from it. Always true: what is
secret is not in its `repr`.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import NamedTuple

from shoal.tracker.decision import DEFAULT_INTERVAL, Policy
from shoal.tracker.memory_store import MAX_PEERS, MAX_SWARMS, MemoryStore
from shoal.tracker.mesh import Mesh
from shoal.tracker.mesh_store import MeshStore
from shoal.tracker.proxies import Network
from shoal.tracker.server import DEFAULT_PORT, SECRET_LENGTH, Doors
from shoal.tracker.site import Page, Site
from shoal.tracker.store import PeerStore
from shoal.tracker.tracker import OnAnnounce, Tracker

MEMORY = "memory"  # the store in the process itself
STORE_SCHEMES = ("redis", "rediss", "unix")  # of the URLs of a shared one


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """Times in seconds."""

    binds: tuple[str, ...] = ()
    port: int = DEFAULT_PORT
    has_udp: bool = True
    trusted_proxies: tuple[Network, ...] = ()
    workers: int = 1
    interval: float = DEFAULT_INTERVAL
    min_interval: float | None = None
    only: frozenset[bytes] | None = None
    store: str = field(default=MEMORY, repr=False)  # or a URL, which may hold a password
    max_peers: int = MAX_PEERS
    max_swarms: int = MAX_SWARMS
    passkeys: Path | None = None
    catalogue: Path | None = None
    publish_token: str = field(default="", repr=False)
    has_metrics: bool = False
    secret: bytes = field(default_factory=lambda: os.urandom(SECRET_LENGTH), repr=False)  # of connection ids


class Built(NamedTuple):
    tracker: Tracker
    site: Site
    doors: Doors


def build(
    settings: TrackerSettings, *, mesh: Mesh | None = None, on_announce: OnAnnounce | None = None
) -> Built:
    """A tracker, its pages and its doors, all of them closed yet. `mesh` is the way to its fellow workers."""
    policy = make_policy(settings)
    store = make_store(settings, policy.peer_lifetime, mesh)
    tracker = Tracker(policy, store=store, on_announce=on_announce)
    return Built(tracker, Site(tracker, pages=make_pages(settings, tracker)), make_doors(settings))


def make_policy(settings: TrackerSettings) -> Policy:
    return Policy(
        interval=settings.interval,
        min_interval=settings.min_interval,
        only=None if settings.only is None else set(settings.only),
    )


def make_store(settings: TrackerSettings, lifetime: float, mesh: Mesh | None) -> PeerStore:
    count = 1 if mesh is None else len(mesh.others) + 1
    own = MemoryStore(
        lifetime,
        random.Random(),
        max_peers=ceil(settings.max_peers / count),
        max_swarms=ceil(settings.max_swarms / count),
    )
    return own if mesh is None else MeshStore(own, mesh, time.monotonic)


def make_pages(settings: TrackerSettings, tracker: Tracker) -> dict[str, Page]:
    """What there is besides announces and scrapes."""
    return {}


def make_doors(settings: TrackerSettings) -> Doors:
    return Doors(
        settings.binds,
        settings.port,
        has_udp=settings.has_udp,
        trusted_proxies=settings.trusted_proxies,
        shares_port=settings.workers > 1,
        secret=settings.secret,
    )
