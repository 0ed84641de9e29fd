"""The records of a cached file's pieces, beside it: without them nobody could be told who answers for its bytes.

A row of packed records (`protocol/group/records.py`). It is written after the pieces were synced, whole and by
renaming; what cannot be read back is as good as absent, and its pieces are fetched again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.errors import FormatError
from shoal.protocol.group.messages import MAX_RECORDS, PieceRecord
from shoal.protocol.group.records import (
    RECORD_LENGTH,
    RECORDS_MARK,
    encode_records,
    parse_records,
    split_records,
)

MAX_LENGTH = 64 << 20  # bytes; 100,000 pieces need 13 MiB


def save_records(path: Path, records: Sequence[PieceRecord]) -> None:
    """Raises `DiskFullError` or `FileError`."""
    beside = path.with_name(f"{path.name}.new")
    packed = b"".join(encode_records(message)[len(RECORDS_MARK) :] for message in split_records(records))
    try:
        with beside.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise file_fault(error, path, "writing") from error


def load_records(path: Path) -> list[PieceRecord]:
    try:
        if path.stat().st_size > MAX_LENGTH:
            return []
        packed = path.read_bytes()
    except OSError:
        return []
    return _parsed(packed)


def _parsed(packed: bytes) -> list[PieceRecord]:
    found: list[PieceRecord] = []
    step = RECORD_LENGTH * MAX_RECORDS
    try:
        for start in range(0, len(packed), step):
            found += parse_records(RECORDS_MARK + packed[start : start + step]).records
    except FormatError:
        return []
    return found
