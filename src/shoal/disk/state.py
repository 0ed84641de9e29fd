"""Remember what is known of a torrent in a folder, across restarts and kills.

One small SQLite file for each (info hash, real root), in WAL mode with synchronous=FULL: what `record`
returned from survives a power cut. The caller orders things: `storage.sync()`, then `storage.stamps()`,
then `record`; so a piece is remembered only once its bytes are durable, and a file that somebody wrote to
afterwards (we ourselves among them) has another stamp and is checked anew (`disk/check.py`).

Always true: while a `TorrentState` is open, no other process has it open (an advisory lock the kernel lets go
of when the process ends, however it ends). A damaged file is set aside and forgotten, never an error:
everything in it can be found out again by reading the data.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.disk.storage import Stamp
from shoal.errors import DiskFullError, ExistsError, FileError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS torrent (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    have BLOB NOT NULL,
    stamps BLOB NOT NULL,
    uploaded INTEGER NOT NULL,
    downloaded INTEGER NOT NULL
)
"""
_SELECT = "SELECT have, stamps, uploaded, downloaded FROM torrent"
_REPLACE = "INSERT OR REPLACE INTO torrent (id, have, stamps, uploaded, downloaded) VALUES (1, ?, ?, ?, ?)"
_VERSION = 1  # PRAGMA user_version; another one is set aside like damage
_STAMP = struct.Struct("<qq?")  # as `Stamp`; size -1 for a file that is not there
_NO_FILE = (-1, 0, False)
_ROOT_DIGITS = 16  # 64 bits of the root's hash: roots of one torrent are few

_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_ERROR,  # a database, but our table is not in it or is another one
        sqlite3.SQLITE_IOERR_SHORT_READ,  # it ends too early
    }
)
_PRIMARY_CODE = 0xFF  # SQLite's extended codes keep the kind in the low byte


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was true of the torrent when it was last recorded."""

    have_bits: int
    stamps: tuple[Stamp | None, ...]  # of each file, in torrent order
    uploaded: int
    downloaded: int


def state_dir() -> Path:
    """`$SHOAL_STATE_DIR`, or where this platform keeps the state of programs."""
    chosen = os.environ.get("SHOAL_STATE_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs  # here, since most commands never need it

    return platformdirs.user_state_path("shoal")


class TorrentState:
    """The open, locked state of one torrent in one folder. Usable from any thread."""

    def __init__(self, path: Path, lock: int, database: sqlite3.Connection) -> None:
        self.path = path
        self._lock_descriptor = lock
        self._database = database
        self._mutex = threading.Lock()

    @classmethod
    def open(cls, state_dir: Path, info_hash: bytes, root: Path) -> TorrentState:
        """Raises `ExistsError` if another process has it open, `FileError` if it cannot be kept."""
        path = state_dir / "torrents" / f"{info_hash.hex()}-{_root_key(root)}.sqlite"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = _lock(path.with_suffix(".lock"), root)
        except OSError as error:
            raise file_fault(error, path, "opening the state") from error
        try:
            return cls(path, lock, _open_or_start_anew(path))
        except BaseException:
            os.close(lock)
            raise

    def load(self) -> Remembered | None:
        """What was recorded last; None if nothing was, or it is damaged (then it is set aside)."""
        with self._mutex:
            try:
                row = self._database.execute(_SELECT).fetchone()
                return None if row is None else _remembered(*row)
            except (sqlite3.DatabaseError, ValueError, TypeError, struct.error) as error:
                _raise_unless_damaged(error, self.path)
                self._database.close()
                _set_aside(self.path)
                self._database = _open(self.path)
                return None

    def record(
        self, have_bits: int, stamps: Sequence[Stamp | None], *, uploaded: int = 0, downloaded: int = 0
    ) -> None:
        """Remember this from now on. Durable when it returns."""
        have = have_bits.to_bytes((have_bits.bit_length() + 7) // 8, "little")
        packed = b"".join(_STAMP.pack(*(_NO_FILE if stamp is None else stamp)) for stamp in stamps)
        with self._mutex:
            try:
                self._database.execute(_REPLACE, (have, packed, uploaded, downloaded))
            except sqlite3.DatabaseError as error:
                raise _state_fault(error, self.path) from error

    def close(self) -> None:
        """Let others open it. A second call does nothing."""
        with self._mutex:
            if self._lock_descriptor >= 0:
                self._database.close()
                os.close(self._lock_descriptor)
                self._lock_descriptor = -1


def _root_key(root: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:_ROOT_DIGITS]


def _lock(path: Path, root: Path) -> int:
    """A descriptor that holds the lock. The file stays: to remove it would let two hold one each."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise ExistsError(
            f"another shoal process (pid {owner}) is at work on this torrent in {root}",
            hint=f"wait for it, or stop it (kill {owner})" if owner.isdigit() else "wait for it, or stop it",
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return descriptor


def _open_or_start_anew(path: Path) -> sqlite3.Connection:
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        _raise_unless_damaged(error, path)
    _set_aside(path)
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        raise _state_fault(error, path) from error


def _open(path: Path) -> sqlite3.Connection:
    # isolation_level=None: every statement is a transaction of its own. The lock already keeps others out.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        found = database.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"version {found} of the state, {_VERSION} is understood")
        database.execute(_SCHEMA)
        database.execute(f"PRAGMA user_version={_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def _remembered(have: bytes, stamps: bytes, uploaded: int, downloaded: int) -> Remembered:
    if not isinstance(uploaded, int) or not isinstance(downloaded, int):
        raise TypeError("a total that is no number")
    return Remembered(
        have_bits=int.from_bytes(have, "little"),
        stamps=tuple(None if fields[0] < 0 else Stamp(*fields) for fields in _STAMP.iter_unpack(stamps)),
        uploaded=uploaded,
        downloaded=downloaded,
    )


def _raise_unless_damaged(error: Exception, path: Path) -> None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code not in _DAMAGE and code & _PRIMARY_CODE not in _DAMAGE:
        raise _state_fault(error, path) from error


def _state_fault(error: Exception, path: Path) -> DiskFullError | FileError:
    if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_FULL:
        return DiskFullError(f"disk full: {path}: {error}", hint="make room, then run the same command again")
    return FileError(
        f"{path}: keeping the state failed: {error}", hint="set SHOAL_STATE_DIR to another folder"
    )


def _set_aside(path: Path) -> None:
    """Keep the damaged file for whoever wants to look at it; the last one only."""
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
    with suppress(FileNotFoundError):
        path.replace(path.with_suffix(".damaged"))
