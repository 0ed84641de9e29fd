"""The server of `shoal demo url`: one folder of files, so slow for each client that more clients are of use.

    python -m shoal.cli.demo.url_origin FOLDER ADDRESS CLIENT_RATE CONNECTION_RATE

Prints the URL of the folder, then a JSON object a line for each response that is over: `client` (its address) and
`bytes` (of the file, that were sent to it). It knows GET, ranges and ETags, and stays until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

from shoal.units import KIB

CHUNK = 16 * KIB  # bytes a write: a hundred or so a second at the demo's rates
MOST_HEAD = 16 * KIB
MOST_WAITING = (
    64 * KIB
)  # bytes that are sent and not yet on their way: what a client does not want is not sent
SLACK = 0.1  # seconds that were not used and may be later: a late timer loses nothing
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Pace:
    """So many bytes a second, for whoever asks, in the order of asking."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_at = 0.0

    def turn(self, count: int, now: float) -> float:
        """In how many seconds `count` bytes may go."""
        self._free_at = max(self._free_at, now - SLACK) + count / self._rate
        return max(0.0, self._free_at - now)


class UrlOrigin:
    """Rates are bytes a second: of each client, by its address, and of each of its connections."""

    def __init__(self, folder: Path, client_rate: int, connection_rate: int) -> None:
        self._folder = folder
        self._client_rate = client_rate
        self._connection_rate = connection_rate
        self._clients: dict[str, Pace] = {}

    async def serve(self, address: str) -> None:
        server = await asyncio.start_server(self._on_connection, address, 0, limit=MOST_HEAD)
        print(f"http://{address}:{server.sockets[0].getsockname()[1]}", flush=True)
        async with server:
            await server.serve_forever()

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        writer.transport.set_write_buffer_limits(MOST_WAITING)
        paces = (
            self._clients.setdefault(client, Pace(self._client_rate)),
            Pace(self._connection_rate),
        )
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    await self._answer(client, head, writer, paces)
        finally:
            writer.close()

    async def _answer(
        self, client: str, head: str, writer: asyncio.StreamWriter, paces: tuple[Pace, ...]
    ) -> None:
        method, _, rest = head.partition(" ")
        path = self._folder / Path(rest.partition(" ")[0]).name
        if method != "GET" or not path.is_file():
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        stat = path.stat()
        status, fields, begin, end = answer_to(head, stat.st_size)
        lines = [*fields, f'ETag: "{stat.st_mtime_ns:x}-{stat.st_size:x}"', "Accept-Ranges: bytes"]
        lines += [f"Content-Length: {end - begin}", "Content-Type: application/octet-stream"]
        writer.write("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode())
        sent = 0
        try:
            with path.open("rb") as file:
                file.seek(begin)
                while begin + sent < end:
                    count = min(CHUNK, end - begin - sent)
                    now = time.monotonic()
                    await asyncio.sleep(max(pace.turn(count, now) for pace in paces))
                    writer.write(file.read(count))
                    await writer.drain()
                    sent += count
        finally:
            print(json.dumps({"client": client, "bytes": sent}), flush=True)


def answer_to(head: str, size: int) -> tuple[str, list[str], int, int]:
    """Status, fields, and the bytes `[begin, end)` for a request's head."""
    found = re.search(r"^range: *(.*?)\s*$", head, re.IGNORECASE | re.MULTILINE)
    asked = found and RANGE.fullmatch(found[1])
    if not asked:
        return "200 OK", [], 0, size
    begin = int(asked[1])
    end = min(size, int(asked[2]) + 1) if asked[2] else size
    if begin >= end:
        return "416 Range Not Satisfiable", [f"Content-Range: bytes */{size}"], 0, 0
    return "206 Partial Content", [f"Content-Range: bytes {begin}-{end - 1}/{size}"], begin, end


def main(folder: str, address: str, client_rate: str, connection_rate: str) -> None:
    origin = UrlOrigin(Path(folder), int(client_rate), int(connection_rate))
    asyncio.run(origin.serve(address))


if __name__ == "__main__":
    main(*sys.argv[1:])
