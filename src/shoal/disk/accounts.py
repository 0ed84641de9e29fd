"""Sums of what people uploaded and downloaded, kept in one SQLite file that several processes may add to.

A peer tells totals since its start; what counts is how far they grew since its last report (`growth`), so the last
numbers of each peer are kept beside the sums until it is silent for a lifetime. Always true: sums never shrink; a
report that is older than the last one of its peer adds nothing, whichever process brings it first.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import DiskFullError, FileError, NotFoundError

MAX_TOTAL = 2**63 - 1  # what SQLite can hold; whoever tells more is not believed beyond it
BUSY_SECONDS = 10.0  # other processes hold the file for milliseconds, at each of their flushes
BUSY_PAUSE = 0.01
_SCHEMA = """
CREATE TABLE IF NOT EXISTS totals (
    owner TEXT PRIMARY KEY,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS peers (
    owner TEXT NOT NULL,
    info_hash BLOB NOT NULL,
    peer_id BLOB NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL,
    reported_at REAL NOT NULL,
    PRIMARY KEY (owner, info_hash, peer_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS peers_by_age ON peers (reported_at);
"""
_LAST = (
    "SELECT uploaded, downloaded, reported_at FROM peers WHERE owner = ? AND info_hash = ? AND peer_id = ?"
)
_KEEP = "INSERT OR REPLACE INTO peers VALUES (?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM peers WHERE owner = ? AND info_hash = ? AND peer_id = ?"
_ADD = f"""
INSERT INTO totals VALUES (:owner, :up, :down) ON CONFLICT (owner) DO UPDATE SET
    uploaded = uploaded + min(:up, {MAX_TOTAL} - uploaded),
    downloaded = downloaded + min(:down, {MAX_TOTAL} - downloaded)
"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes, as peers tell them."""

    uploaded: int = 0
    downloaded: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            min(self.uploaded + other.uploaded, MAX_TOTAL), min(self.downloaded + other.downloaded, MAX_TOTAL)
        )


@dataclass(frozen=True, slots=True)
class PeerReport:
    """What one peer told in one announce. `reported_at` is Unix time."""

    owner: str
    info_hash: bytes
    peer_id: bytes
    told: Traffic
    reported_at: float
    is_start: bool = False
    is_stop: bool = False

    @property
    def key(self) -> tuple[str, bytes, bytes]:
        return self.owner, self.info_hash, self.peer_id


def growth(last: Traffic | None, told: Traffic, *, is_start: bool) -> Traffic:
    """What a report adds to the sums.

    Numbers that went back are those of a client that began again from 0. Those of a peer that is not known (it was
    silent for too long, or a goodbye came twice) may have been counted before, so only a start counts from 0.
    """
    if last is None:
        return told if is_start else Traffic()
    if told.uploaded < last.uploaded or told.downloaded < last.downloaded:
        return told
    return Traffic(told.uploaded - last.uploaded, told.downloaded - last.downloaded)


class Accounts:
    """Raises `DiskFullError` and `FileError`. Usable from any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._faults("opening"):
            # isolation_level=None: transactions begin and end where we say.
            self._database = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def _prepare(self) -> None:
        """Workers begin together, and whoever is in another's way here is told so at once, not after the timeout."""
        give_up_at = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
                return
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up_at:
                    raise
            time.sleep(BUSY_PAUSE)

    def add(self, reports: Iterable[PeerReport], forget_before: float = 0.0) -> dict[str, Traffic]:
        """Count all of the reports, or none if it fails; what each owner's sums grew by.

        The last numbers of peers that told nothing since `forget_before`, Unix time, are forgotten.
        """
        grown: dict[str, Traffic] = {}
        with self._transaction():
            for report in reports:
                more = self._count(report)
                if more != Traffic():
                    grown[report.owner] = grown.get(report.owner, Traffic()) + more
            self._database.executemany(
                _ADD,
                [
                    {"owner": owner, "up": more.uploaded, "down": more.downloaded}
                    for owner, more in grown.items()
                ],
            )
            self._database.execute("DELETE FROM peers WHERE reported_at < ?", (forget_before,))
        return grown

    def totals(self) -> dict[str, Traffic]:
        with self._faults("reading"):
            rows = self._database.execute("SELECT owner, uploaded, downloaded FROM totals").fetchall()
        return {owner: Traffic(uploaded, downloaded) for owner, uploaded, downloaded in rows}

    def close(self) -> None:
        self._database.close()

    def _count(self, report: PeerReport) -> Traffic:
        row = self._database.execute(_LAST, report.key).fetchone()
        if row is not None and row[2] > report.reported_at:
            return Traffic()  # another process was told later numbers already, which hold these
        last = None if row is None else Traffic(row[0], row[1])
        told = Traffic(min(report.told.uploaded, MAX_TOTAL), min(report.told.downloaded, MAX_TOTAL))
        if report.is_stop:
            self._database.execute(_FORGET, report.key)
        else:
            self._database.execute(_KEEP, (*report.key, told.uploaded, told.downloaded, report.reported_at))
        return growth(last, told, is_start=report.is_start)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._faults("writing"):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if _code(error) == sqlite3.SQLITE_FULL:
                raise DiskFullError(f"disk full: {self.path}: {error}", hint="make room") from error
            raise FileError(f"{self.path}: {doing} the accounts failed: {error}") from error


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def read_totals(path: Path) -> Mapping[str, Traffic]:
    """The sums in a file that a tracker may be writing meanwhile. Raises `NotFoundError`, `FileError`."""
    if not path.exists():
        raise NotFoundError(f"{path}: no such file")
    with closing(Accounts(path)) as accounts:
        return accounts.totals()
