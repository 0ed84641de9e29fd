"""Engines on loopback in one event loop: a payload, who seeds it, who gets it, and what was reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from shoal.engine.engine import Engine
from shoal.engine.torrent import Torrent
from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.net.sockets import Address
from shoal.testing.build import Payload, build_torrent, make_payload, write_payload
from shoal.testing.scripted_peer import Script, ScriptedPeer
from shoal.units import KIB

HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds; for a busy machine, nothing takes that long on an idle one
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}

Event = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Record:
    """Everything a torrent reported."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]

    def banned(self) -> list[str]:
        return [fields["peer"] for fields in self.of("banned")]


@dataclass(slots=True)
class Scene:
    """One torrent, and a folder below `root` for each who has or wants it."""

    root: Path
    payload: Payload = field(default_factory=lambda: make_payload(1024 * KIB))
    piece_length: int = 64 * KIB
    metainfo: Metainfo = field(init=False)

    def __post_init__(self) -> None:
        self.metainfo = parse_metainfo(build_torrent(self.payload, piece_length=self.piece_length))

    @property
    def data(self) -> bytes:
        """The whole torrent."""
        return self.payload if isinstance(self.payload, bytes) else b"".join(self.payload.values())

    def folder(self, name: str, *, with_payload: bool = False) -> Path:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        if with_payload:
            write_payload(folder, self.payload)
        return folder

    def scripted(self, script: Script | None = None, *, pieces: set[int] | None = None) -> ScriptedPeer:
        return ScriptedPeer(self.metainfo.wire_hash, self.data, self.piece_length, script, pieces=pieces)

    @asynccontextmanager
    async def seeding(
        self, *, bind: str = HOST, port: int = 0, name: str = "seed", **how: Any
    ) -> AsyncIterator[tuple[Torrent, Address]]:
        folder = self.folder(name, with_payload=True)
        async with Engine(bind=bind, port=port) as engine:
            torrent = await engine.add(self.metainfo, folder, read_only=True, **how)
            yield torrent, (bind, engine.port)

    @asynccontextmanager
    async def getting(self, *, bind: str = HOST, name: str = "get", **how: Any) -> AsyncIterator[Torrent]:
        async with Engine(bind=bind, port=0) as engine:
            yield await engine.add(self.metainfo, self.folder(name), **how)

    def got(self, name: str = "get") -> bytes:
        return (self.root / name / "payload").read_bytes()


async def finish(torrent: Torrent, *, within: float = PATIENCE) -> None:
    """Wait until the torrent is complete; raise what made it fail."""
    completed = asyncio.ensure_future(torrent.completed.wait())
    try:
        waiting: set[asyncio.Future[Any]] = {completed, torrent.failed}
        done, _ = await asyncio.wait(waiting, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        completed.cancel()
    if torrent.failed.done():
        raise torrent.failed.result()
    assert done, f"not complete within {within} s: {torrent.left_bytes} bytes are missing"


async def until(is_so: Callable[[], bool], *, within: float = PATIENCE) -> None:
    async with asyncio.timeout(within):
        while not is_so():  # noqa: ASYNC110 - engines have no event for everything a test can ask
            await asyncio.sleep(0.01)


def play(story: Coroutine[Any, Any, None], *, loop: str = "uvloop") -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop], debug=False) as runner:
        runner.run(story)
