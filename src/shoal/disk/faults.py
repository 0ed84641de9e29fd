"""Turn what the operating system refuses into the errors a person can act on.

Knows errno values and nothing of torrents. Always true: the message names the path, and a full disk is
told apart from every other failure, since the answer to it is another one (make room and go on).
"""

from __future__ import annotations

import errno
import os

from shoal.errors import DiskFullError, FileError, ShoalError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # EDQUOT: this person's share of the disk is used up
_HINTS = {
    errno.EACCES: "check who may read and write there",
    errno.EPERM: "check who may read and write there",
    errno.EROFS: "the file system is mounted read-only; choose another folder",
    errno.EFBIG: "the file system or a resource limit allows no file of that length",
    errno.EIO: "the device reports an error; its data may be lost",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the whole machine has no open file left",
    errno.ENAMETOOLONG: "choose a shorter name, or a folder with a shorter path",
}


class MissingDataError(FileError):
    """Bytes were asked for that are not on the disk: no such file, or it ends too early."""


def file_fault(error: OSError, path: str | os.PathLike[str], doing: str) -> ShoalError:
    """The error to raise for `error`, met while `doing` ("writing", "reading", ...) to `path`."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    shown = os.fspath(path)
    if error.errno in _FULL:
        return DiskFullError(
            f"disk full: {shown}: {reason}",
            hint="make room, then run the same command again: it goes on where it stopped",
        )
    return FileError(f"{shown}: {doing} failed: {reason}", hint=_HINTS.get(error.errno or 0, ""))
