"""A `PeerStore` in Redis or Valkey, which any number of trackers on any number of machines share.

This module puts visits into bytes for `redis_store.lua`, which is where peers come, go and are chosen, and reads its
answers; `redis_link.py` carries both. Nothing is remembered here, so a tracker may come and go at any time. Why it is
laid out as it is, and what it costs: docs/decisions/0007-shared-store.md.

Time is that of Redis, or machines would have to agree about it. Altogether, those are counted who are here and those
who fell silent without a goodbye in the last minute (some minutes, beyond 150,000 swarms), in swarms that nobody asks
about; the bounds on peers and swarms go by that.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import partial
from importlib.resources import files

from shoal.protocol.tracker.messages import ScrapeEntry
from shoal.tracker.redis_link import Answers, RedisLink
from shoal.tracker.soon import Soon
from shoal.tracker.store import Entries, ListedPeer, Presence, StoreCounts, SwarmView, Trouble, Visit

MAX_PEERS = 10_000_000  # about 1 GB of Redis: 40 to 110 bytes each, most where swarms are large
MAX_SWARMS = 1_000_000  # about 400 bytes each
MAX_LISTED = 10_000  # peers in a list: Redis does nothing else while it makes it

# The letter, role, has it completed?, scope, how many are wanted, info hash.
_VISIT = struct.Struct(">cBBBH20s")
_VIEW = struct.Struct(">IIH")  # seeds, leechers, bytes of IPv4 peers
_SIZES = struct.Struct(">III")
_LIST = struct.Struct(">cI")
_LISTED = struct.Struct(">20sBB")  # info hash, is it a seed?, length of the record
_ROLES = {Presence.LEECHING: 0, Presence.SEEDING: 1, Presence.GONE: 2, Presence.LOOKING: 3}
_COUNT, _WALK, _SCRAPE = b"c", b"w", b"s"


class RedisStore:
    """Has no connection before the first question. `lifetime` is how long a peer may be silent, in seconds."""

    def __init__(
        self,
        url: str,
        lifetime: float,
        *,
        max_peers: int = MAX_PEERS,
        max_swarms: int = MAX_SWARMS,
        rng: random.Random | None = None,
        on_change: Callable[[str], None] | None = None,
        keeps_time: bool = True,
    ) -> None:
        """`redis://`, `rediss://` (TLS) or `unix://`. Raises `UsageError`, also where the package is missing.

        `on_change` is told, in one line, that Redis is away or back. Without `keeps_time` it is the time of the
        caller that counts, which suits a test.
        """
        self._settings = [b"%r" % lifetime, b"%d" % max_peers, b"%d" % max_swarms]
        self._keeps_time = keeps_time
        self._now = 0.0
        self._rng = rng or random.Random()
        self._link = RedisLink(url, read_script(), self._head, on_change)

    # -- the contract --------------------------------------------------------------------------------

    def visit(self, visit: Visit, now: float) -> Soon[SwarmView | Trouble]:
        self._now = now
        question = _VISIT.pack(
            b"v",
            _ROLES[visit.presence],
            visit.has_completed,
            visit.scope,
            visit.wanted_count,
            visit.info_hash,
        )
        return self._link.ask((question + visit.record,), _read_view)

    def scrape(self, info_hashes: list[bytes], now: float) -> Soon[Entries | Trouble]:
        self._now = now
        questions = [_SCRAPE + info_hash for info_hash in info_hashes]
        return self._link.ask(questions, partial(_read_entries, info_hashes))

    def expire(self, now: float) -> None:
        self._now = now
        self._link.ask((_WALK,), self._walk_on)

    def count(self, now: float) -> Soon[StoreCounts | Trouble]:
        self._now = now
        return self._link.ask((_COUNT,), _read_counts)

    def list_peers(self, most: int, now: float) -> Soon[list[ListedPeer] | Trouble]:
        self._now = now
        return self._link.ask((_LIST.pack(b"l", min(most, MAX_LISTED)),), _read_list)

    async def close(self) -> None:
        await self._link.close()

    def _walk_on(self, answers: Answers) -> None:
        if answers[0] == _WALK:
            self._link.ask((_WALK,), self._walk_on)

    def _head(self) -> list[bytes]:
        now = b"" if self._keeps_time else b"%r" % self._now
        return [now, b"%d" % self._rng.getrandbits(31), *self._settings]


def read_script() -> str:
    """The part of the store that runs in Redis."""
    return files("shoal.tracker").joinpath("redis_store.lua").read_text("utf-8")


# -- answers -----------------------------------------------------------------------------------------


def _read_view(answers: Answers) -> SwarmView | Trouble:
    (answer,) = answers
    if not answer:
        return Trouble.FULL
    complete, incomplete, length = _VIEW.unpack_from(answer)
    v6_at = _VIEW.size + length
    return SwarmView(complete, incomplete, answer[_VIEW.size : v6_at], answer[v6_at:])


def _read_entries(info_hashes: list[bytes], answers: Answers) -> Entries:
    pairs = zip(info_hashes, answers, strict=True)
    return {info_hash: ScrapeEntry(*_SIZES.unpack(sizes)) for info_hash, sizes in pairs if sizes}


def _read_counts(answers: Answers) -> StoreCounts:
    return StoreCounts(*_SIZES.unpack(answers[0]))


def _read_list(answers: Answers) -> list[ListedPeer]:
    listed, at = [], 0
    while at < len(answers[0]):
        info_hash, is_seed, length = _LISTED.unpack_from(answers[0], at)
        at += _LISTED.size + length
        listed.append(ListedPeer(info_hash, answers[0][at - length : at], is_seed == 1))
    return listed
