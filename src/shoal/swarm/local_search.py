"""When to call out in the local network which swarms we are in, and what to make of the others' calls (BEP 14).

Pure: the time is an argument, and nothing is sent from here. Always true: a swarm is called at most once a second,
however many ask for it; our own voice is not heard; what is remembered of others is bounded, and what they call is
believed only for swarms that we are in.

BEP 14 has one call in five minutes. Whoever comes is heard by then only if that call is not lost, so there are three;
and whoever hears a voice that is new answers, so that both know each other within a round trip.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from shoal.protocol.local_discovery import Announcement

Address = tuple[str, int]  # host and port

FIRST_GAPS: Final = (1.0, 4.0)  # seconds after the call at the beginning: one of the three is heard
INTERVAL: Final = 300.0  # seconds between later calls, as BEP 14 has it
JITTER: Final = 0.1  # of the interval, so that those who started together part
LEAST_GAP: Final = 1.0  # seconds between two calls of a swarm, answers included
FORGOTTEN_AFTER: Final = 3 * INTERVAL  # seconds: three calls were not heard
TOLD_AGAIN_AFTER: Final = 60.0  # seconds; a peer whose line was down is worth another attempt
MOST_PEERS: Final = 256  # of a swarm that are remembered, so told of; a room of machines, not a flood
MOST_PER_SOURCE: Final = 20  # datagrams a second; loopback is one source for all processes of a machine
MOST_SOURCES: Final = 1024  # told apart within a second; with more of them it is a flood


@dataclass(slots=True)
class _Voice:
    cookie: str
    heard_at: float
    told_at: float


@dataclass(slots=True)
class _Swarm:
    due_at: float
    calls: int = 0  # made so far; an answer is one, too
    called_at: float = float("-inf")
    voices: dict[Address, _Voice] = field(default_factory=dict)


class LocalSearch:
    """`cookie` is ours: whoever calls with it is us."""

    def __init__(self, cookie: str, rng: random.Random) -> None:
        self.cookie = cookie
        self._rng = rng
        self._swarms: dict[bytes, _Swarm] = {}
        self._second = 0
        self._counts: dict[str, int] = {}  # datagrams of each source within that second

    @property
    def info_hashes(self) -> list[bytes]:
        return list(self._swarms)

    def join(self, info_hash: bytes, now: float) -> None:
        self._swarms.setdefault(info_hash, _Swarm(due_at=now))

    def leave(self, info_hash: bytes) -> None:
        self._swarms.pop(info_hash, None)

    # -- calling

    def next_deadline(self) -> float | None:
        return min((swarm.due_at for swarm in self._swarms.values()), default=None)

    def take_due(self, now: float) -> list[bytes]:
        """The swarms to call now."""
        due = [info_hash for info_hash, swarm in self._swarms.items() if swarm.due_at <= now]
        for info_hash in due:
            swarm = self._swarms[info_hash]
            gap = INTERVAL * self._rng.uniform(1 - JITTER, 1 + JITTER)
            if swarm.calls < len(FIRST_GAPS):
                gap = FIRST_GAPS[swarm.calls]
            swarm.calls += 1
            swarm.called_at = now
            swarm.due_at = now + gap
        return due

    # -- hearing

    def admits(self, host: str, now: float) -> bool:
        """Whether a datagram of this source is read; it counts as one."""
        if int(now) != self._second:
            self._second = int(now)
            self._counts.clear()
        if host not in self._counts and len(self._counts) >= MOST_SOURCES:
            return False
        self._counts[host] = self._counts.get(host, 0) + 1
        return self._counts[host] <= MOST_PER_SOURCE

    def on_heard(self, heard: Announcement, host: str, now: float) -> list[tuple[bytes, Address]]:
        """Which peers to try, each with the swarm that it is in."""
        if heard.cookie == self.cookie:
            return []
        found = []
        for info_hash in heard.info_hashes:
            swarm = self._swarms.get(info_hash)
            if swarm is not None and _hear(swarm, (host, heard.port), heard.cookie, now):
                found.append((info_hash, (host, heard.port)))
        return found


def _hear(swarm: _Swarm, address: Address, cookie: str, now: float) -> bool:
    """Whether the peer is worth an attempt."""
    voice = swarm.voices.get(address)
    if voice is None or voice.cookie != cookie:  # another cookie: it was started anew
        if voice is None and not _make_room(swarm, now):
            return False
        swarm.voices[address] = _Voice(cookie, now, now)
        swarm.due_at = min(swarm.due_at, max(now, swarm.called_at + LEAST_GAP))
        return True
    voice.heard_at = now
    if now - voice.told_at < TOLD_AGAIN_AFTER:
        return False
    voice.told_at = now
    return True


def _make_room(swarm: _Swarm, now: float) -> bool:
    if len(swarm.voices) >= MOST_PEERS:
        for address in [a for a, voice in swarm.voices.items() if now - voice.heard_at > FORGOTTEN_AFTER]:
            del swarm.voices[address]
    return len(swarm.voices) < MOST_PEERS
