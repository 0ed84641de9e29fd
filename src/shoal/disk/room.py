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


def make_room(descriptor: int, path: Path, length: int, *, is_sparse: bool) -> None:
    """Bring the file to its length, with room reserved where that costs nothing, else (or if `is_sparse`) as a hole.

    Raises `DiskFullError` or `FileError`, naming `path`.
    """
    try:
        status = os.fstat(descriptor)
        is_reserved = False
        if not is_in_memory(descriptor):  # there, to reserve is to write
            disk = os.fstatvfs(descriptor)
            missing = length - status.st_blocks * _STAT_BLOCK
            free = disk.f_bavail * disk.f_frsize
            if disk.f_blocks and missing > free:
                raise DiskFullError(
                    f"disk full: {path}: {format_size(missing)} more are needed, {format_size(free)} are free",
                    hint="make room, then run the same command again: it goes on where it stopped",
                )
            if length > 0 and not is_sparse:
                is_reserved = allocate(descriptor, length)
        if status.st_size > length or not is_reserved:
            os.ftruncate(descriptor, length)
    except OSError as error:
        raise file_fault(error, path, "making room") from error
