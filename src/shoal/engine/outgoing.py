"""Bring the bytes that peers asked for from the disk to their links: whole units, read once, sent by reference.

A unit is a piece, or 256 KiB of a larger one. Units stay in memory for the next peer that asks (least recently used go
first). Always true: a buffer is used again only after every link has handed all of its bytes to the system.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from shoal.disk.workers import Workers
from shoal.engine.content import PieceStore
from shoal.errors import ShoalError
from shoal.formats.layout import Layout
from shoal.net.link import PeerLink
from shoal.net.wire import Buffer
from shoal.protocol.peer.messages import BLOCK_HEAD_LENGTH, Request, encode_block_head
from shoal.swarm.peer import Peer
from shoal.swarm.swarm import Swarm
from shoal.units import KIB, MIB

UNIT_LENGTH = 256 * KIB  # read at once: still in the core's own cache when it is sent, 16 blocks a vector
CACHE_BYTES = 4 * MIB  # units kept, for those that ask in the same moment; the system caches the file itself

_Key = tuple[int, int, int]  # piece, start and stop within it


class _Unit:
    __slots__ = ("in_use", "is_read", "view", "waiting")

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.is_read = False
        self.waiting: list[PeerLink] = []  # to be told when it is read
        self.in_use: dict[PeerLink, int] = {}  # link -> what it must have sent before the buffer is free

    @property
    def is_free(self) -> bool:
        return self.is_read and all(link.sent >= mark for link, mark in self.in_use.items())


class Outgoing:
    """Uploads of one torrent. `on_unreadable(piece, error)` tells of pieces the disk no longer gives."""

    def __init__(
        self,
        layout: Layout,
        storage: PieceStore,
        workers: Workers,
        swarm: Swarm,
        *,
        on_unreadable: Callable[[int, ShoalError], None],
    ) -> None:
        self._layout = layout
        self._storage = storage
        self._workers = workers
        self._swarm = swarm
        self._on_unreadable = on_unreadable
        self._units: OrderedDict[_Key, _Unit] = OrderedDict()
        self._held_bytes = 0
        self._retired: list[_Unit] = []  # out of the cache, still being sent
        self._usual_length = min(UNIT_LENGTH, layout.piece_length)
        self._free: list[memoryview] = []  # of the usual length

    def fill(self, peer: Peer, link: PeerLink, room: int) -> list[Request]:
        """Queue about `room` bytes of what `peer` asked for; the requests that were answered."""
        answered: list[Request] = []
        while room > 0 and peer.uploads:
            key = self._key_of(self._swarm.next_upload(peer))
            unit = self._unit(key)
            if not unit.is_read:
                unit.waiting.append(link)
                break
            run = self._swarm.take_run(peer, *key, room)
            room -= self._queue_run(link, unit, key[1], run)
            answered += run
        if peer.uploads and room <= 0:
            self._unit(self._key_of(self._swarm.next_upload(peer)))  # read ahead while the link is busy
        return answered

    def forget(self, bits: int) -> None:
        """These pieces may come anew with other bytes: what was read of them is not sent any more."""
        for key in [key for key in self._units if bits >> key[0] & 1]:
            unit = self._units.pop(key)
            self._held_bytes -= len(unit.view)
            if unit.is_read:
                self._retired.append(unit)

    def _queue_run(self, link: PeerLink, unit: _Unit, start: int, run: list[Request]) -> int:
        view = unit.view
        buffers: list[Buffer] = []
        size = 0
        for piece, begin, length in run:
            position = begin - start
            buffers += (encode_block_head(piece, begin, length), view[position : position + length])
            size += length
        link.queue_all(buffers, size + BLOCK_HEAD_LENGTH * len(run))
        unit.in_use[link] = link.queued
        return size

    def _key_of(self, request: Request) -> _Key:
        piece, begin, length = request
        start = begin - begin % UNIT_LENGTH
        stop = min(start + UNIT_LENGTH, self._layout.piece_size(piece))
        if begin + length <= stop:
            return piece, start, stop
        return piece, begin, begin + length  # an odd request over the border of two units is one of its own

    def _unit(self, key: _Key) -> _Unit:
        unit = self._units.get(key)
        if unit is not None:
            self._units.move_to_end(key)
            return unit
        unit = self._units[key] = _Unit(self._take_buffer(key[2] - key[1]))
        self._retire_oldest()
        piece, start, _ = key
        offset = self._layout.piece_offset(piece) + start
        if self._storage.read_cached_into(offset, unit.view):
            unit.is_read = True
            return unit

        def read() -> ShoalError | None:
            try:
                self._storage.read_into(offset, unit.view)
            except ShoalError as error:
                return error
            return None

        self._workers.submit(read, lambda error: self._on_read(key, unit, error))
        return unit

    def _on_read(self, key: _Key, unit: _Unit, error: ShoalError | None) -> None:
        unit.is_read = True
        waiting, unit.waiting = unit.waiting, []
        if error is not None:
            if self._units.get(key) is unit:
                del self._units[key]
                self._held_bytes -= len(unit.view)
            self._on_unreadable(key[0], error)
        for link in waiting:
            link.flush()

    def _take_buffer(self, length: int) -> memoryview:
        self._held_bytes += length
        still_in_use: list[_Unit] = []
        for unit in self._retired:
            if not unit.is_free:
                still_in_use.append(unit)
            elif len(unit.view) == self._usual_length:
                self._free.append(unit.view)
        self._retired = still_in_use
        if self._free and length == self._usual_length:
            return self._free.pop()
        return memoryview(bytearray(length))

    def _retire_oldest(self) -> None:
        """Never one that is still being read: those who wait for it would have it read again, a crowd for ever."""
        if self._held_bytes <= CACHE_BYTES:
            return
        for key in [key for key, unit in self._units.items() if unit.is_read]:
            unit = self._units.pop(key)
            self._held_bytes -= len(unit.view)
            self._retired.append(unit)
            if self._held_bytes <= CACHE_BYTES:
                return
