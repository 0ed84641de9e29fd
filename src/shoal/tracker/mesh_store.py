"""A `PeerStore` divided among the worker processes of one machine: each swarm lives in one of them.

Which one is told by the last bytes of its info hash, so no worker need know more of the others than their number. A
worker whose own swarm is asked for answers at once; for another's it asks that worker. A swarm of a worker that is
away is `Trouble.AWAY`, and comes back empty with it: its peers announce themselves again within an interval.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable
from typing import TypeVar

from msgspec import msgpack

from shoal.protocol.tracker.messages import ScrapeEntry
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.mesh import Mesh
from shoal.tracker.soon import Soon, later
from shoal.tracker.store import Entries, ListedPeer, StoreCounts, SwarmView, Trouble, Visit

VISIT, SCRAPE, COUNT, LIST = "visit", "scrape", "count", "list"
SHARD_BYTES = 4  # of the end of an info hash

Told = TypeVar("Told")
Result = TypeVar("Result")

_encode = msgpack.Encoder().encode
_visit_in = msgpack.Decoder(Visit).decode
_hashes_in = msgpack.Decoder(list[bytes]).decode
_number_in = msgpack.Decoder(int).decode
_view_in: msgpack.Decoder[SwarmView | Trouble] = msgpack.Decoder(SwarmView | Trouble)
_entries_in: msgpack.Decoder[dict[bytes, ScrapeEntry]] = msgpack.Decoder(dict[bytes, ScrapeEntry])
_counts_in: msgpack.Decoder[StoreCounts] = msgpack.Decoder(StoreCounts)
_peers_in: msgpack.Decoder[list[ListedPeer]] = msgpack.Decoder(list[ListedPeer])


def worker_of(info_hash: bytes, count: int) -> int:
    """Which of `count` workers has a swarm."""
    return int.from_bytes(info_hash[-SHARD_BYTES:], "big") % count


class MeshStore:
    """One worker's view of all workers' stores; `own` is the part that lives here."""

    def __init__(self, own: MemoryStore, mesh: Mesh, clock: Callable[[], float]) -> None:
        self._own = own
        self._mesh = mesh
        self._worker_count = len(mesh.others) + 1
        mesh.handlers |= {
            VISIT: lambda body: _encode(own.visit(_visit_in(body), clock())),
            SCRAPE: lambda body: _encode(own.scrape(_hashes_in(body), clock())),
            COUNT: lambda body: _encode(own.count(clock())),
            LIST: lambda body: _encode(own.list_peers(_number_in(body), clock())),
        }

    def visit(self, visit: Visit, now: float) -> Soon[SwarmView | Trouble]:
        worker = worker_of(visit.info_hash, self._worker_count)
        if worker == self._mesh.number:
            return self._own.visit(visit, now)
        return later(self._mesh.ask(worker, VISIT, _encode(visit)), _view_told)

    def scrape(self, info_hashes: list[bytes], now: float) -> Soon[Entries | Trouble]:
        shares: dict[int, list[bytes]] = {}
        for info_hash in info_hashes:
            shares.setdefault(worker_of(info_hash, self._worker_count), []).append(info_hash)
        entries = dict(self._own.scrape(shares.pop(self._mesh.number, []), now))
        if not shares:
            return entries
        asked = [self._mesh.ask(worker, SCRAPE, _encode(hashes)) for worker, hashes in shares.items()]

        def joined(parts: list[dict[bytes, ScrapeEntry]]) -> Entries:
            for part in parts:
                entries.update(part)
            return entries

        return _joined(asked, _entries_in, joined)

    def expire(self, now: float) -> None:
        self._own.expire(now)

    def count(self, now: float) -> Soon[StoreCounts | Trouble]:
        own = self._own.count(now)

        def joined(parts: list[StoreCounts]) -> StoreCounts:
            return StoreCounts(
                own.swarms + sum(part.swarms for part in parts),
                own.seeds + sum(part.seeds for part in parts),
                own.leechers + sum(part.leechers for part in parts),
            )

        return _joined([self._mesh.ask(other, COUNT) for other in self._mesh.others], _counts_in, joined)

    def list_peers(self, most: int, now: float) -> Soon[list[ListedPeer] | Trouble]:
        own = self._own.list_peers(most, now)
        asked = [self._mesh.ask(other, LIST, _encode(most)) for other in self._mesh.others]
        return _joined(
            asked, _peers_in, lambda parts: [*own, *(peer for part in parts for peer in part)][:most]
        )

    async def close(self) -> None:
        await self._own.close()


def _view_told(answer: bytes | None) -> SwarmView | Trouble:
    return Trouble.AWAY if answer is None else _view_in.decode(answer)


def _joined(
    asked: list[Future[bytes | None]], told: msgpack.Decoder[Told], make: Callable[[list[Told]], Result]
) -> Future[Result | Trouble]:
    """What `make` makes of the answers of all; a part that is missing would be an untruth."""

    def on_all(answers: list[bytes | None]) -> Result | Trouble:
        parts = [told.decode(answer) for answer in answers if answer is not None]
        return make(parts) if len(parts) == len(asked) else Trouble.AWAY

    return later(asyncio.gather(*asked), on_all)
