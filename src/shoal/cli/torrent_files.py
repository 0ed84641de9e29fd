"""Torrent files as people name them on a command line, read into a `Metainfo`."""

from __future__ import annotations

import sys
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.errors import FileError, NotFoundError
from shoal.formats.metainfo import MAX_METAINFO_LENGTH, Metainfo, parse_metainfo

# Where `A` and `a` are one file, the second of two such names gets another one; elsewhere they are as they are.
FOLDERS_IGNORE_CASE = sys.platform in ("win32", "darwin")


def load_metainfo(path: Path) -> Metainfo:
    """The metainfo in the file at `path`. Raises `NotFoundError`, `FileError`, `MetainfoError`."""
    return parse_metainfo(read_torrent(path), source=str(path), ignore_case=FOLDERS_IGNORE_CASE)


def read_torrent(path: Path) -> bytes:
    """The bytes of a torrent file, one more than the limit at most: parsing refuses those."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_METAINFO_LENGTH + 1)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise FileError(
            f"{path}: a folder, not a torrent file", hint=f"shoal create {path} makes one of it"
        ) from None
    except OSError as error:
        raise file_fault(error, path, "reading") from error
