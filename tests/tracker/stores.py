"""What tests of the stores share: a store that can be asked without waiting, and short words for visits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from shoal.tracker.scopes import Scope
from shoal.tracker.soon import Soon, known
from shoal.tracker.store import (
    Entries,
    ListedPeer,
    PeerStore,
    Presence,
    StoreCounts,
    SwarmView,
    Trouble,
    Visit,
)

LIFETIME = 160.0
HASH = b"h" * 20
OTHER_HASH = b"o" * 20
LIMIT = 60.0  # seconds for anything to come true, on a busy machine

Answer = TypeVar("Answer")


class AskedStore:
    """A store whose answers, now or later, are waited for: whatever is asked has happened when the next is."""

    def __init__(self, store: PeerStore, runner: asyncio.Runner) -> None:
        self.store = store
        self._runner = runner

    def visit(self, visit: Visit, now: float) -> SwarmView:
        """The view of a store that is neither full nor away."""
        view = self.try_visit(visit, now)
        assert isinstance(view, SwarmView)
        return view

    def try_visit(self, visit: Visit, now: float) -> SwarmView | Trouble:
        return self._wait(lambda: self.store.visit(visit, now))

    def scrape(self, info_hashes: list[bytes], now: float) -> Entries | Trouble:
        return self._wait(lambda: self.store.scrape(info_hashes, now))

    def list_peers(self, most: int, now: float) -> list[ListedPeer]:
        listed = self._wait(lambda: self.store.list_peers(most, now))
        assert isinstance(listed, list)
        return listed

    def count(self, now: float) -> StoreCounts | Trouble:
        return self._wait(lambda: self.store.count(now))

    def expire(self, now: float) -> None:
        self._wait(lambda: self.store.expire(now))

    def wait_count(self, expected: StoreCounts, now: float) -> None:
        """Keep house until the count is right: a shared store may be late with it."""
        deadline = time.monotonic() + LIMIT
        self.expire(now)
        while (count := self.count(now)) != expected:
            assert time.monotonic() < deadline, f"counted {count}, not {expected}"

    def close(self) -> None:
        self._runner.run(self.store.close())

    def _wait(self, ask: Callable[[], Soon[Answer]]) -> Answer:
        async def asked() -> Answer:
            return await known(ask())

        return self._runner.run(asked())


def v4(number: int, first: int = 10) -> bytes:
    return bytes([first, 0, number >> 8, number & 255]) + b"\x1a\xe1"


def v6(number: int, first: int = 0xFD) -> bytes:
    return bytes([first]) + bytes(14) + bytes([number]) + b"\x1a\xe1"


def seeding(record: bytes, wanted: int = 50, *, completed: bool = False, info_hash: bytes = HASH) -> Visit:
    return Visit(info_hash, record, Presence.SEEDING, completed, wanted)


def leeching(
    record: bytes, wanted: int = 50, *, info_hash: bytes = HASH, scope: Scope = Scope.PUBLIC
) -> Visit:
    return Visit(info_hash, record, Presence.LEECHING, False, wanted, scope)


def gone(record: bytes, *, info_hash: bytes = HASH) -> Visit:
    return Visit(info_hash, record, Presence.GONE)


def records(packed: bytes, length: int = 6) -> list[bytes]:
    """Packed peers, one by one."""
    assert len(packed) % length == 0
    return [packed[start : start + length] for start in range(0, len(packed), length)]


def told(view: SwarmView) -> list[bytes]:
    """Everybody in a view."""
    return records(view.peers_v4) + records(view.peers_v6, 18)
