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

from shoal.tracker.annex import Annex, Complain, Membership
from shoal.tracker.decision import DEFAULT_INTERVAL, Policy
from shoal.tracker.memory_store import MAX_PEERS, MAX_SWARMS, MemoryStore
from shoal.tracker.mesh import Mesh
from shoal.tracker.mesh_store import MeshStore
from shoal.tracker.passkeys import PasskeyFile
from shoal.tracker.proxies import Network
from shoal.tracker.server import DEFAULT_PORT, SECRET_LENGTH, Doors
from shoal.tracker.shared_report import SharedReport
from shoal.tracker.site import Site
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
    max_peers: int | None = None  # None: as many as suit the store
    max_swarms: int | None = None
    passkeys: Path | None = None
    catalogue: Path | None = None
    publish_token: str = field(default="", repr=False)
    has_metrics: bool = False
    secret: bytes = field(default_factory=lambda: os.urandom(SECRET_LENGTH), repr=False)  # of connection ids


class Built(NamedTuple):
    tracker: Tracker
    site: Site
    doors: Doors
    annex: Annex


def build(
    settings: TrackerSettings,
    *,
    mesh: Mesh | None = None,
    on_announce: OnAnnounce | None = None,
    complain: Complain = lambda line: None,
) -> Built:
    """A tracker, its pages and its doors, all of them closed yet. `mesh` is the way to its fellow workers.

    `complain` is told of trouble that may pass. Raises what is wrong with the files and folders that are named.
    """
    passkeys = None if settings.passkeys is None else PasskeyFile(settings.passkeys, complain=complain)
    policy = make_policy(settings, passkeys)
    membership = None if passkeys is None else Membership(passkeys, policy.peer_lifetime, complain)
    if membership is not None:
        on_announce = membership.hear(on_announce)
    store = make_store(settings, policy.peer_lifetime, mesh, complain)
    tracker = Tracker(policy, store=store, on_announce=on_announce)
    annex = Annex(
        tracker,
        membership=membership,
        catalogue=settings.catalogue,
        publish_token=settings.publish_token,
        has_metrics=settings.has_metrics,
    )
    if mesh is not None:
        annex.gather = SharedReport(annex.reporter, mesh).gather
    return Built(tracker, Site(tracker, pages=annex.pages), make_doors(settings), annex)


def make_policy(settings: TrackerSettings, passkeys: PasskeyFile | None) -> Policy:
    return Policy(
        interval=settings.interval,
        min_interval=settings.min_interval,
        only=None if settings.only is None else set(settings.only),
        passkeys=None if passkeys is None else passkeys.keys,
    )


def make_store(
    settings: TrackerSettings, lifetime: float, mesh: Mesh | None, complain: Complain
) -> PeerStore:
    """Each worker has a part of the memory, or a way of its own to the shared store."""
    if settings.store != MEMORY:
        from shoal.tracker import redis_store  # an extra that need not be installed

        return redis_store.RedisStore(
            settings.store,
            lifetime,
            max_peers=settings.max_peers or redis_store.MAX_PEERS,
            max_swarms=settings.max_swarms or redis_store.MAX_SWARMS,
            on_change=complain,
        )
    count = 1 if mesh is None else len(mesh.others) + 1
    own = MemoryStore(
        lifetime,
        random.Random(),
        max_peers=ceil((settings.max_peers or MAX_PEERS) / count),
        max_swarms=ceil((settings.max_swarms or MAX_SWARMS) / count),
    )
    return own if mesh is None else MeshStore(own, mesh, time.monotonic)


def make_doors(settings: TrackerSettings) -> Doors:
    return Doors(
        settings.binds,
        settings.port,
        has_udp=settings.has_udp,
        trusted_proxies=settings.trusted_proxies,
        shares_port=settings.workers > 1,
        secret=settings.secret,
    )
