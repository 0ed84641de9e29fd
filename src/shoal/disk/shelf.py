"""A folder of whole files that several processes share: each file is there completely, or not at all.

Always true: a file appears and is replaced in one step and is durable when `write` returns; whatever fails, what was
there before is still there. Who changes more than one file, or looks before it writes, holds `locked()`; readers need
no lock. Names are the caller's to check; those that begin with a dot are the shelf's own.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shoal.disk.faults import file_fault

_LOCK = ".lock"
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Another one means that the file may be another."""

    inode: int
    size: int
    modified_ns: int

    @property
    def modified_at(self) -> float:
        """Unix time."""
        return self.modified_ns / 1e9


class Shelf:
    """Raises `FileError` and `DiskFullError` for what the system refuses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.one_at_a_time = threading.Lock()  # for threads of this process whose readings are not to cross
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_fault(error, folder, "making the folder") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else, thread or process, holds it meanwhile; the kernel lets go of it however a holder ends."""
        path = self.folder / _LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise file_fault(error, path, "locking") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def changed_ns(self) -> int:
        """When a file last came, went or was replaced, by the file system's clock."""
        try:
            return self.folder.stat().st_mtime_ns
        except OSError as error:
            raise file_fault(error, self.folder, "looking at the folder") from error

    def stamps(self) -> dict[str, FileStamp]:
        """The files that are there."""
        found = {}
        try:
            with os.scandir(self.folder) as inside:
                for entry in inside:
                    if not entry.name.startswith(".") and entry.is_file():
                        with suppress(FileNotFoundError):  # gone since it was listed
                            stat = entry.stat()
                            found[entry.name] = FileStamp(stat.st_ino, stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            raise file_fault(error, self.folder, "reading the folder") from error
        return found

    def read(self, name: str, most: int) -> bytes | None:
        """The first `most` bytes; None if there is no such file."""
        path = self.folder / name
        try:
            with path.open("rb") as file:
                return file.read(most)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise file_fault(error, path, "reading") from error

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        unfinished = self.folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            try:
                with unfinished.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            self._sync()
        except OSError as error:
            raise file_fault(error, path, "writing") from error

    def remove(self, name: str) -> None:
        """Nothing happens where there is none."""
        path = self.folder / name
        try:
            path.unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise file_fault(error, path, "removing") from error

    def sweep(self) -> None:
        """Remove what a kill left unfinished. For whoever holds the lock: nobody else writes then."""
        for path in self.folder.glob(f"{_UNFINISHED}*"):
            with suppress(OSError):
                path.unlink()

    def _sync(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
