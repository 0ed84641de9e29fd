"""Who uploaded and downloaded how much: announces collected, and handed to the accounts in bundles.

The tracker's loop never waits for the file: a worker writes every few seconds. Always true: no report is counted
twice; one that cannot be written is kept for the next attempt, up to a bound; memory is that of one bundle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from shoal.disk.accounts import Accounts, PeerReport, Traffic
from shoal.disk.workers import Workers
from shoal.errors import ShoalError
from shoal.protocol.tracker.messages import AnnounceRequest, Event

FLUSH_SECONDS = 10.0  # what a kill may cost; a peer announces every few minutes, and totals say it again
MAX_PENDING = 100_000  # reports, 40 MB: 10,000 announces a second for ten seconds; more are written sooner
SUFFIX = ".accounts.sqlite"
STARTED, STOPPED = Event.STARTED, Event.STOPPED


def accounts_path(passkeys: Path) -> Path:
    """Where the sums of a file of passkeys are."""
    return passkeys.with_name(passkeys.name + SUFFIX)


class Accountant:
    """Give `on_announce` to the tracker, and call `keep_house` every second or so."""

    def __init__(
        self,
        path: Path,
        lifetime: float,
        *,
        clock: Callable[[], float] = time.time,
        complain: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`lifetime` is how long a peer may be silent. Raises `DiskFullError`, `FileError`."""
        self.traffic: dict[str, Traffic] = {}  # by owner, since the start
        self._accounts = Accounts(path)
        self._lifetime = lifetime
        self._clock = clock
        self._complain = complain
        self._pending: list[PeerReport] = []
        self._is_writing = False
        self._flushed_at = clock()
        self._workers: Workers | None = None
        self._is_in_trouble = False

    def on_announce(self, request: AnnounceRequest, _host: bytes, owner: str) -> None:
        if len(self._pending) >= MAX_PENDING:
            if self._is_writing:
                return  # the file is far behind; the peer's next report holds this one
            self._flush(self._clock())
        self._pending.append(
            PeerReport(
                owner,
                request.info_hash,
                request.peer_id,
                Traffic(request.uploaded, request.downloaded),
                self._clock(),
                request.event is STARTED,
                request.event is STOPPED,
            )
        )

    def keep_house(self) -> None:
        now = self._clock()
        if self._pending and not self._is_writing and now - self._flushed_at >= FLUSH_SECONDS:
            self._flush(now)

    def close(self) -> None:
        """Write what is left, waiting for it."""
        if self._workers is not None:
            self._workers.close()
        if self._pending:
            self._written(self._pending, self._write(self._pending))
        self._accounts.close()

    def _flush(self, now: float) -> None:
        if self._workers is None:
            self._workers = Workers(asyncio.get_running_loop().call_soon_threadsafe, 1)
        reports, self._pending = self._pending, []
        self._is_writing, self._flushed_at = True, now
        self._workers.submit(lambda: self._write(reports), lambda result: self._written(reports, result))

    def _write(self, reports: list[PeerReport]) -> dict[str, Traffic] | ShoalError:
        try:
            return self._accounts.add(reports, forget_before=self._clock() - self._lifetime)
        except ShoalError as error:
            return error

    def _written(self, reports: list[PeerReport], result: dict[str, Traffic] | ShoalError) -> None:
        self._is_writing = False
        if isinstance(result, ShoalError):
            self._pending = (reports + self._pending)[:MAX_PENDING]
            if not self._is_in_trouble:
                self._complain(f"{result.message}; it is tried again")
            self._is_in_trouble = True
            return
        self._is_in_trouble = False
        for owner, more in result.items():
            self.traffic[owner] = self.traffic.get(owner, Traffic()) + more
