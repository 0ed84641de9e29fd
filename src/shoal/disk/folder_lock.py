"""A folder that one process alone works in, as long as it holds the lock.

Always true: the kernel lets go of it when the process ends, however it ends; nothing in the folder but the lock itself
is touched here.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.errors import ExistsError

LOCK_NAME = ".lock"
_LONGEST_PID = 20  # digits; what is more is no process


class FolderLock:
    """Made: the folder is there, and ours until `release`."""

    def __init__(self, folder: Path) -> None:
        """Raises `ExistsError` if another process has it, `FileError`, `DiskFullError`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / LOCK_NAME, flags, 0o644)
        except OSError as error:
            raise file_fault(error, folder, "writing") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, _LONGEST_PID, 0).decode("ascii", "replace")
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise file_fault(error, folder, "locking") from error
            pid = owner if owner.isdecimal() else "unknown"
            raise ExistsError(
                f"{folder}: another shoal process (pid {pid}) works in this folder",
                hint="give each a folder of its own, or stop the other one",
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise file_fault(error, folder, "writing") from error
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
