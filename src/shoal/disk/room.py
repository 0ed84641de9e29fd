"""Room on the disk for a file that is still to come."""

from __future__ import annotations

import os
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.disk.linux_calls import allocate
from shoal.disk.memory_backed import is_in_memory
from shoal.errors import DiskFullError
from shoal.units import format_size

_STAT_BLOCK = 512  # the unit of st_blocks, on every file system


def make_room(descriptor: int, path: Path, length: int, here: int, *, is_sparse: bool) -> None:
    """Bring the file to its length, with room reserved where that costs nothing, else (or if `is_sparse`) as a hole.

    `here` bytes of it were written before. Raises `DiskFullError` or `FileError`, naming `path`.
    """
    try:
        status = os.fstat(descriptor)
        _check(descriptor, path, length - max(here, status.st_blocks * _STAT_BLOCK))
        is_reserved = False
        if length > 0 and not is_sparse and not is_in_memory(descriptor):  # there, to reserve is to write
            is_reserved = allocate(descriptor, length)
        if status.st_size > length or not is_reserved:
            os.ftruncate(descriptor, length)
    except OSError as error:
        raise file_fault(error, path, "making room") from error


def _check(descriptor: int, path: Path, missing: int) -> None:
    """Raises `DiskFullError` if the disk says that there is less; one that says nothing of use may have room."""
    try:
        disk = os.fstatvfs(descriptor)
    except OSError:
        return
    free = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and missing > free:
        raise DiskFullError(
            f"disk full: {path}: {format_size(missing)} more are needed, {format_size(free)} are free",
            hint="make room, then run the same command again: it goes on where it stopped",
        )
