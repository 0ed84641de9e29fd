"""A tracker with all that it may have beside its answers, on loopback, asked as a browser or a script asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from shoal.tracker.annex import Annex
from shoal.tracker.server import Serving, serve
from shoal.tracker.settings import TrackerSettings, build
from shoal.tracker.tracker import Tracker

HOST = "127.0.0.1"
TOKEN = "publish-token-0123"
PATIENCE = 60.0  # seconds; for a busy machine


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Open:
    """An open tracker."""

    tracker: Tracker
    annex: Annex
    serving: Serving

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        host: str = "tracker.example:6969",
        **headers: str,
    ) -> Answer:
        """`_` in a header's name stands for `-`."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if (body or method == "PUT") and "Content_Length" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        reader, writer = await asyncio.open_connection(HOST, self.serving.port)
        try:
            with contextlib.suppress(ConnectionError):
                writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
                await writer.drain()
            async with asyncio.timeout(PATIENCE):
                head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        first, *rest = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ")[::2] for line in rest)
        return Answer(int(first.split()[1]), {name.lower(): value for name, value in pairs}, content)

    async def put(self, name: str, body: bytes, *, token: str = TOKEN, owner: str = "") -> Answer:
        more = {"Shoal_Owner": owner} if owner else {}
        return await self.ask("PUT", f"/catalogue/{name}", body, Authorization=f"Bearer {token}", **more)


@contextlib.asynccontextmanager
async def opened(folder: Path, **settings: object) -> AsyncIterator[Open]:
    """With a catalogue in `folder`, unless the settings say otherwise."""
    chosen = {"binds": (HOST,), "port": 0, "catalogue": folder, "publish_token": TOKEN, **settings}
    complain = chosen.pop("complain", lambda line: None)
    built = build(TrackerSettings(**chosen), complain=complain)  # type: ignore[arg-type]
    async with serve(built.tracker, built.site, built.doors) as serving:
        with built.annex.open(serving):
            yield Open(built.tracker, built.annex, serving)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - only the loop can say
            await asyncio.sleep(0.01)
