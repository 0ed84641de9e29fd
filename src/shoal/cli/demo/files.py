"""The files of a demo: what is spread, the halves that the seeds start with, and the comparison at the end.

All of it blocks, for seconds with a large file, so it runs in threads; `should_stop` is asked at each chunk.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.errors import ChecksumError, DiskFullError, NotFoundError, UnfinishedError, UsageError
from shoal.units import MIB, format_size

CHUNK = 4 * MIB
SPARE_ROOM = 64 * MIB  # on the disk, for logs and for whoever else writes

ShouldStop = Callable[[], bool]


def payload_size(file: Path) -> int:
    """Raises `ShoalError` if `file` cannot be spread."""
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise NotFoundError(f"{file}: no such file") from None
    except OSError as error:
        raise file_fault(error, file, "reading") from error
    if not file.is_file():
        raise UsageError(f"{file}: not a file", hint="the demo takes one file; shoal share takes folders too")
    if not size:
        raise UsageError(f"{file}: an empty file has no pieces to spread")
    return size


def refuse_full_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_ROOM:
        raise DiskFullError(
            f"{folder.parent}: the demo needs {format_size(needed + SPARE_ROOM)}, {format_size(free)} is free",
            hint="set TMPDIR to a folder with more room, or name a smaller file",
        )


def make_payload(path: Path, size: int, should_stop: ShouldStop) -> None:
    """A file of random bytes, so that no two pieces are alike."""
    with path.open("wb") as file:
        for start in range(0, size, CHUNK):
            _refuse_stop(should_stop)
            file.write(os.urandom(min(CHUNK, size - start)))


def lay_out_halves(path: Path, middle: int, halves: Sequence[Path], should_stop: ShouldStop) -> bytes:
    """Write the bytes before `middle` to the first of `halves`, the others to the second; the SHA-256 of all.

    Each half is at its place in the file: the second one begins with a hole.
    """
    digest = hashlib.sha256()
    first, second = halves
    with first.open("wb") as head, second.open("wb") as tail:
        tail.seek(middle)
        for chunk in _chunks(path, should_stop):
            digest.update(chunk)
            split = max(0, middle - head.tell())
            head.write(chunk[:split])
            tail.write(chunk[split:])
    return digest.digest()


def verify(path: Path, sha256: bytes, name: str, should_stop: ShouldStop) -> None:
    """Raise `ChecksumError` unless the file at `path`, of the machine `name`, has this SHA-256."""
    digest = hashlib.sha256()
    for chunk in _chunks(path, should_stop):
        digest.update(chunk)
    if digest.digest() != sha256:
        raise ChecksumError(
            f"the file of {name} is not the one that was spread",
            hint="was FILE changed meanwhile? If not, this is a bug: please report it",
        )


def _chunks(path: Path, should_stop: ShouldStop) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(CHUNK))
    try:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                _refuse_stop(should_stop)
                yield buffer[:count]
    except OSError as error:
        raise file_fault(error, path, "reading") from error


def _refuse_stop(should_stop: ShouldStop) -> None:
    if should_stop():
        raise UnfinishedError("the demo was stopped; nothing of it is left")
