"""What a network command tells people, scripts and its log, and how long it waits before it is told to stop.

`Voice` is the one place where facts become text: lines of the log, JSON on stdout, remarks on stderr.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import click

from shoal.cli.app import stop_writing
from shoal.cli.log import EventLog
from shoal.cli.network_options import NetworkOptions
from shoal.cli.text import printable
from shoal.errors import ShoalError, UnfinishedError

Result = TypeVar("Result")

REMARKS = {  # events that people are told of, with the words for it
    "banned": "dropped {peer} ({client}): {reason}",
    "tracker": "{message}",
    "web seed": "{message}",
    "unreadable": "piece {piece} cannot be read: {error}",
    "note": "{message}",
}
TOLD_AS_JSON = (
    "connected", "disconnected", "banned", "tracker", "web seed", "unreadable", "bad piece", "note", "got",
    "ready", "helping", "helped", "refused", "left",
)  # fmt: skip


class Voice(AbstractContextManager["Voice"]):
    def __init__(self, options: NetworkOptions) -> None:
        self._options = options
        self._log = EventLog(options.log, name=options.name) if options.log else None
        self._said: set[str] = set()

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            self._log.close()

    def event(self, event: str, **fields: Any) -> None:
        """Something happened: to the log always, to people and scripts if it matters to them."""
        if self._log is not None:
            self._log.record(event, **fields)
        if self._options.as_json and event in TOLD_AS_JSON:
            self.json({"event": event, **fields})
        if event in REMARKS:
            self.remark(REMARKS[event].format(**{"client": "unknown", **fields}))

    def json(self, record: dict[str, Any]) -> None:
        print(json.dumps(record, ensure_ascii=False), flush=True)

    def tell(self, text: str) -> None:
        """A line of the result on stdout. That nobody reads it any more is no failure of what it tells of."""
        try:
            click.echo(text)
        except BrokenPipeError:
            stop_writing()

    def remark(self, text: str) -> None:
        """A line on stderr, once for each text; part of `--quiet`'s silence."""
        if not self._options.quiet and text not in self._said:
            self._said.add(text)
            print(f"shoal: {printable(text)}", file=sys.stderr, flush=True)

    def complain(self, error: ShoalError) -> None:
        """Of an error that does not end the command, as of one that does."""
        lines = [f"shoal: {printable(error.message)}"]
        if error.hint:
            lines.append(f"hint: {printable(error.hint)}")
        print("\n".join(lines), file=sys.stderr, flush=True)
        if self._options.as_json:
            self.json({"event": "failed", "error": error.message, "exit_code": int(error.exit_code)})

    def serving(self, address: str) -> None:
        """The one flushed line on stdout that says where we listen."""
        if self._log is not None:
            self._log.record("listening", address=address)
        if self._options.as_json:
            self.json({"event": "listening", "address": address})
        elif not self._options.quiet:
            self.tell(f"listening on {address}")


async def unless_stopped(work: Awaitable[Result], stop: asyncio.Event, doing: str) -> Result:
    """What `work` comes to; `UnfinishedError` as soon as a stop is asked for."""
    working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise UnfinishedError(f"stopped while {doing}")
        return working.result()
    finally:
        working.cancel()
        stopped.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)
