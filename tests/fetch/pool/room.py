"""A room of machines on loopback: an origin, helpers and requesters of one group, each with an engine of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shoal.fetch.download import download
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.key import GroupKey, new_key
from shoal.fetch.group.signing import MemberKey, new_member_key
from shoal.fetch.options import FetchOptions
from shoal.fetch.pool.cache import Cache
from shoal.fetch.pool.helper_options import HelperOptions
from shoal.fetch.pool.helping import HelperServer
from shoal.fetch.pool.quota import Quota
from shoal.fetch.pool.wish import Contacts, GroupWish
from shoal.fetch.progress import Document, Downloaded, OnProgress, Progress, Wanted
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

HOST = "127.0.0.1"
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
HELPER = HelperOptions(groups=("room",), bind=HOST, port=0, allow_private=(LOOPBACK,))
LONGEST = 100.0  # seconds for any story, on a busy machine; most of them take a few, and none above twelve
SLOW = 512 * KIB  # bytes a second of each connection to the origin: so that members have something to do
BARELY = 128 * KIB  # the same as long as somebody is still to come, who takes a few seconds


def made_up(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@dataclass
class RunningHelper:
    """One helper, what it said, and how to end it."""

    server: HelperServer
    stop: asyncio.Event
    said: list[tuple[str, dict[str, Any]]]
    port: int = 0
    task: asyncio.Task[None] | None = None

    async def end(self) -> None:
        """Its folder is free when this returns."""
        self.stop.set()
        if self.task is not None:
            await asyncio.wait({self.task})

    def fields_of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.said if name == event]


@dataclass
class Room:
    """`get` and `helper` are members of one group; their folders are below `folder`."""

    folder: Path
    origin: HostileOrigin
    group: asyncio.TaskGroup
    key: GroupKey = field(default_factory=lambda: new_key("room"))
    helpers: list[RunningHelper] = field(default_factory=list)
    peers: list[tuple[str, int]] = field(default_factory=list)  # whom requesters know
    notes: list[str] = field(default_factory=list)
    requesters: int = 0
    members: dict[int, MemberKey] = field(default_factory=dict)  # by the number of the requester
    to_meet: dict[int, int] = field(
        default_factory=dict
    )  # how many each requester that is at it has not met yet

    def url(self, path: str = "/file.bin") -> str:
        return self.origin.url(path)

    def serve(self, body: bytes, path: str = "/file.bin", **page: Any) -> None:
        self.origin.pages[path] = Page(body, **page)

    def slow(self) -> int:
        """The rate of a page that is not over before all have met whom requesters know, however long that takes."""
        return BARELY if any(list(self.to_meet.values())) else SLOW

    def once(self, is_so: Callable[[], object], rate: int = SLOW) -> Callable[[], int]:
        """The rate of a page that is not over before this is so."""
        return lambda: rate if is_so() else BARELY

    def is_noted(self, text: str) -> bool:
        return any(text in note for note in self.notes)

    async def helper(
        self, options: HelperOptions = HELPER, *, cache_size: int = 0, number: int | None = None
    ) -> RunningHelper:
        """Start one; it listens when this returns."""
        number = len(self.helpers) if number is None else number
        said: list[tuple[str, dict[str, Any]]] = []
        server = HelperServer(
            options,
            [JoinedGroup(self.key, new_member_key())],
            {},
            Cache(self.folder / f"helper{number}", cache_size),
            Quota(options.quota, self.folder / f"quota{number}.json"),
            lambda event, **fields: said.append((event, fields)),
        )
        helper = RunningHelper(server, asyncio.Event(), said)
        ready = asyncio.Event()

        def on_ready(port: int) -> None:
            helper.port = port
            ready.set()

        helper.task = self.group.create_task(server.run(helper.stop, on_ready))
        async with asyncio.timeout(LONGEST):
            await ready.wait()
        self.helpers.append(helper)
        self.peers.append((HOST, helper.port))
        return helper

    async def get(
        self,
        path: str = "/file.bin",
        *,
        options: FetchOptions | None = None,
        on_progress: OnProgress | None = None,
        connections: int = 3,
        port: int = 0,
        mirrors: tuple[str, ...] = (),
        number: int | None = None,
        **wanted: Any,
    ) -> Downloaded:
        """As one requester more, or as the one of this number again."""
        got = await self.download(path, options, on_progress, connections, port, mirrors, number, **wanted)
        assert not isinstance(got, Document)
        return got

    async def download(
        self,
        path: str,
        options: FetchOptions | None = None,
        on_progress: OnProgress | None = None,
        connections: int = 3,
        port: int = 0,
        mirrors: tuple[str, ...] = (),
        number: int | None = None,
        max_upload_rate: int | None = None,
        **wanted: Any,
    ) -> Downloaded | Document:
        if number is None:
            self.requesters += 1
            number = self.requesters
        member = self.members.setdefault(number, new_member_key())
        wanted.setdefault(
            "group", replace(self.wish(JoinedGroup(self.key, member), port), max_upload_rate=max_upload_rate)
        )
        asked = Wanted(
            (self.url(path), *mirrors), self.folder_of(number),
            options=options or FetchOptions(), most_fetchers=connections, **wanted,
        )  # fmt: skip
        others = [peer for peer in self.peers if peer != (HOST, port) and asked.group is not None]
        self.to_meet[number] = len(others)

        def look(progress: Progress) -> None:
            met = max(0, len(progress.members) - 1)  # it is one of them
            self.to_meet[number] = max(0, len(others) - met)
            if on_progress is not None:
                on_progress(progress)

        try:
            async with asyncio.timeout(LONGEST):
                return await download(asked, on_progress=look, on_note=self.notes.append)
        finally:
            del self.to_meet[number]

    def wish(self, group: JoinedGroup, port: int = 0) -> GroupWish:
        return GroupWish(group, Contacts(peers=tuple(self.peers)), bind=HOST, port=port)

    def folder_of(self, number: int) -> Path:
        return self.folder / f"requester{number}"

    def allowing(self, **changes: Any) -> HelperOptions:
        return replace(HELPER, **changes)


@asynccontextmanager
async def room(folder: Path) -> AsyncIterator[Room]:
    """Everything in it has ended when the block is left."""
    with HostileOrigin() as origin:
        async with asyncio.TaskGroup() as group:
            made = Room(folder, origin, group)
            try:
                yield made
            finally:
                for helper in made.helpers:
                    helper.stop.set()


SMALL = 6 * MIB  # two dozen pieces: enough that one more gets some, whenever it comes ...
LARGE = 4 * SMALL  # ... and enough for several, though the first ones each claim as much as they may
