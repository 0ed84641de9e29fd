"""Write a small file under a new name, without harm.

Nothing is overwritten unasked, and no half of a file is ever left under the name that was asked for.
"""

from __future__ import annotations

import os
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.errors import ExistsError


def refuse_existing(path: Path, *, option: str = "-o") -> None:
    """Raise `ExistsError` if something is at `path`: best known before an hour of hashing. `option` named it."""
    if os.path.lexists(path):
        raise ExistsError(
            f"{path} is there already", hint=f"--overwrite replaces it, {option} names another file"
        )


def write_whole(path: Path, data: bytes, *, overwrite: bool, option: str = "-o") -> None:
    """Write `data` to `path`, all of it or nothing. Raises `ExistsError`, `FileError`, `DiskFullError`."""
    if not overwrite:
        refuse_existing(path, option=option)
    unfinished = path.with_name(f".{path.name[:200]}.{os.getpid()}")
    try:
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise file_fault(error, path, "writing") from error
