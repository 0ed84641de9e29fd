"""Part files to test with: a file of ten pieces and a bit, written piece by piece."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shoal.disk.part_file import PartFile

PIECE = 4096
LENGTH = 10 * PIECE + 5
PIECES = 11
WHOLE = random.Random(1).randbytes(LENGTH)
IDENTITY = b"http://origin/file|etag-1"


def open_part(
    folder: Path, name: str = "file", identity: bytes | None = IDENTITY, **changes: Any
) -> PartFile:
    facts = {"length": LENGTH, "piece_length": PIECE, **changes}
    return PartFile.open(folder, name, identity, **facts)


def put(part: PartFile, pieces: Iterable[int], data: bytes = WHOLE) -> None:
    """Write these pieces, and say so."""
    for piece in pieces:
        part.write(piece * PIECE, data[piece * PIECE : (piece + 1) * PIECE])
        part.on_piece(piece)


def left_by_a_kill(part: PartFile) -> None:
    """End it as a kill would: with bytes written after the record."""
    part.write(LENGTH - 1, WHOLE[-1:])
    later = part.part_path.stat().st_mtime_ns + 1_000_000_000  # the clock of some file systems is coarse
    os.utime(part.part_path, ns=(later, later))
    part.close()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
