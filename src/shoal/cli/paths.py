"""Paths that people named, looked at before anything is done with them.

A path that is not there is an answer; one that cannot be looked at (no permission, too long) is an error.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from shoal.disk.faults import file_fault


def stat_of(path: Path) -> os.stat_result | None:
    """What is at `path`, behind links; None if nothing is. Raises `FileError`."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise file_fault(error, path, "looking at it") from error


def is_folder(path: Path) -> bool:
    """Whether a folder is at `path`. Raises `FileError`."""
    found = stat_of(path)
    return found is not None and stat.S_ISDIR(found.st_mode)
