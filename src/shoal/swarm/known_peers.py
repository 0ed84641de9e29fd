"""Remember the addresses of one torrent's swarm, and say which to dial next.

Always true: an address is dialled at most once at a time, never while connected, never when banned or our
own; after a failure it rests, twice as long each time. The number of addresses is bounded, and a flood of
new ones cannot push out those that never failed. Addresses named by hand are kept, tried first and tried for
ever. An IPv4 address has one spelling, whether it came plain or mapped into IPv6: callers take theirs from
`unify_address`.

This module opens no connection and resolves no name: hosts are IP addresses as text.
"""

from __future__ import annotations

import enum
import heapq
import ipaddress
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

Address = tuple[str, int]  # (IP address, port), as `unify_address` spells it

MAX_KNOWN_PEERS = 2_000  # ten full tracker answers; a swarm needs far fewer connections
MAX_BANS = 10_000  # an attacker with more addresses than this is not stopped by a list
FIRST_REST = 5.0  # seconds; a peer that is just restarting is back by then
LONGEST_REST = 600.0  # before jitter; a peer that is gone costs six attempts an hour
DOUBLINGS = 10  # enough to reach LONGEST_REST; keeps the power small
JITTER = 0.25  # so that a swarm cut off together does not dial again together
PORTS_BEFORE_IP_BAN = 3  # one address behind a NAT may hold honest neighbours of a liar, hardly of three


class Source(enum.Flag):
    """Where an address came from."""

    HAND = enum.auto()  # a person named it
    TRACKER = enum.auto()
    INCOMING = enum.auto()  # it dialled us and told its listening port
    MAGNET = enum.auto()
    EXCHANGE = enum.auto()  # another peer named it
    DHT = enum.auto()
    LOCAL = enum.auto()  # local service discovery


@dataclass(slots=True, eq=False)
class KnownPeer:
    """One address and what became of it. Only `KnownPeers` changes it."""

    address: Address
    sources: Source
    failures: int = 0  # attempts in a row that led to nothing
    last_attempt: float | None = None
    rests_until: float = 0.0
    jitter: float = 1.0  # drawn when dialled, stretches the rest that may follow
    is_dialling: bool = False
    is_connected: bool = False
    peer_id: bytes | None = None  # of the connected peer
    is_seed: bool = False
    is_self: bool = False

    @property
    def is_by_hand(self) -> bool:
        return Source.HAND in self.sources

    @property
    def is_free(self) -> bool:
        """Nothing is going on with it, and something could."""
        return not (self.is_dialling or self.is_connected or self.is_self)


class KnownPeers:
    """The addresses of one torrent."""

    def __init__(self, *, max_known: int = MAX_KNOWN_PEERS) -> None:
        self._max_known = max_known
        self._peers: dict[Address, KnownPeer] = {}
        self._banned_addresses: dict[Address, str] = {}  # address -> reason; oldest first
        self._banned_ips: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, address: Address) -> KnownPeer | None:
        return self._peers.get(address)

    def add(self, addresses: Iterable[Address], source: Source, now: float) -> int:
        """Take in addresses from outside; return how many are new. What cannot be dialled is passed over."""
        wanted: dict[Address, None] = {}
        for host, port in addresses:
            address = unify_address(host, port)
            if address is None or self.is_banned(address):
                continue
            if (known := self._peers.get(address)) is not None:
                known.sources |= source
            else:
                wanted[address] = None
        room = self._make_room(len(wanted)) if source is not Source.HAND else len(wanted)
        for address in list(wanted)[:room]:
            self._peers[address] = KnownPeer(address, source, rests_until=now)
        return min(room, len(wanted))

    def next_to_dial(
        self, now: float, count: int, rng: random.Random, *, is_seeding: bool = False
    ) -> list[Address]:
        """Up to `count` addresses, best first, which from now on count as being dialled.

        Each one must be answered by `on_connected`, `on_failed` or `on_self`. Seeds do not dial seeds.
        """
        ready = [peer for peer in self._dialable(is_seeding) if peer.rests_until <= now]
        chosen = heapq.nsmallest(count, ready, key=lambda peer: _dial_rank(peer, rng.random()))
        for peer in chosen:
            peer.is_dialling = True
            peer.last_attempt = now
            peer.jitter = 1 + JITTER * rng.random()
        return [peer.address for peer in chosen]

    def next_deadline(self, *, is_seeding: bool = False) -> float | None:
        """When `next_to_dial` will have an answer at the earliest; `None` if nothing is left to dial."""
        return min((peer.rests_until for peer in self._dialable(is_seeding)), default=None)

    def on_connected(self, address: Address, peer_id: bytes) -> None:
        """A handshake succeeded. Who dialled us is `add`ed first, once it tells its listening port."""
        if (peer := self._peers.get(address)) is not None:
            peer.is_dialling = False
            peer.is_connected = True
            peer.peer_id = peer_id

    def on_failed(self, address: Address, now: float) -> None:
        """Dialling or the handshake failed, or it led to a peer that is connected already."""
        if (peer := self._peers.get(address)) is not None:
            peer.is_dialling = False
            peer.failures += 1
            peer.rests_until = now + _rest(peer)

    def on_closed(self, address: Address, now: float, *, was_useful: bool) -> None:
        """A connection ended. One that moved no data counts as a failure, or we would dial it for ever."""
        if (peer := self._peers.get(address)) is not None:
            peer.is_connected = False
            peer.peer_id = None
            peer.failures = 0 if was_useful else peer.failures + 1
            peer.rests_until = now + _rest(peer)

    def on_seed(self, address: Address) -> None:
        """The peer has everything, or wants nothing."""
        if (peer := self._peers.get(address)) is not None:
            peer.is_seed = True

    def on_self(self, address: Address) -> None:
        """The address turned out to be our own."""
        if (peer := self._peers.get(address)) is not None:
            peer.is_dialling = peer.is_connected = False
            peer.peer_id = None
            peer.is_self = True

    def connected_with(self, peer_id: bytes) -> Address | None:
        """The address at which the peer of that id is connected."""
        return next((peer.address for peer in self._peers.values() if peer.peer_id == peer_id), None)

    def ban(self, address: Address, reason: str) -> None:
        """Never dial or accept this address again; nor its IP, once several ports of it are banned.

        A loopback IP is shared by everybody on the machine and is never banned as a whole.
        """
        self._peers.pop(address, None)
        self._banned_addresses[address] = reason
        ip = address[0]
        ports = sum(banned_ip == ip for banned_ip, _ in self._banned_addresses)
        if ports >= PORTS_BEFORE_IP_BAN and not ipaddress.ip_address(ip).is_loopback:
            self._banned_ips[ip] = reason
            for peer in [peer for peer in self._peers.values() if peer.address[0] == ip]:
                del self._peers[peer.address]
        _drop_oldest_ban(self._banned_addresses)
        _drop_oldest_ban(self._banned_ips)

    def is_banned(self, address: Address) -> bool:
        return address in self._banned_addresses or address[0] in self._banned_ips

    def ban_reason(self, address: Address) -> str | None:
        return self._banned_addresses.get(address, self._banned_ips.get(address[0]))

    def _dialable(self, is_seeding: bool) -> Iterable[KnownPeer]:
        return (peer for peer in self._peers.values() if peer.is_free and not (is_seeding and peer.is_seed))

    def _make_room(self, wanted_count: int) -> int:
        """Drop the worst of those that failed until `wanted_count` more fit; return how many do fit."""
        missing = len(self._peers) + wanted_count - self._max_known
        if missing > 0:
            failed = (
                peer
                for peer in self._peers.values()
                if peer.failures and not (peer.is_by_hand or peer.is_dialling or peer.is_connected)
            )
            for peer in heapq.nlargest(missing, failed, key=lambda peer: peer.failures):
                del self._peers[peer.address]
        return max(0, self._max_known - len(self._peers))


def unify_address(host: str, port: int) -> Address | None:
    """The one spelling of an address that can be dialled; `None` if it cannot be.

    >>> unify_address("::ffff:192.0.2.1", 6881)
    ('192.0.2.1', 6881)
    """
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_multicast or ip.is_unspecified or not 0 < port < 65_536:
        return None
    return str(ip), port


def _rest(peer: KnownPeer) -> float:
    """How long to leave the peer alone after its last attempt or connection, in seconds."""
    if peer.is_by_hand:
        return FIRST_REST
    doublings = min(max(peer.failures - 1, 0), DOUBLINGS)
    return min(FIRST_REST * (1 << doublings), LONGEST_REST) * peer.jitter


def _drop_oldest_ban(bans: dict[T, str]) -> None:
    if len(bans) > MAX_BANS:
        del bans[next(iter(bans))]


def _dial_rank(peer: KnownPeer, tiebreak: float) -> tuple[bool, int, float, float]:
    return (
        not peer.is_by_hand,  # somebody asked for it
        peer.failures,
        peer.last_attempt
        if peer.last_attempt is not None
        else float("-inf"),  # the untried, then the longest ago
        tiebreak,  # or everybody would dial the tracker's first address
    )
