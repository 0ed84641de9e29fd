"""Two calls of Linux that Python does not have, and what to do without them.

Knows descriptors, paths and errno values. Always true: no file is replaced, and no file system is made to write zeros
where it can reserve room without.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

_AT_FDCWD = -100
_NOREPLACE = 1  # RENAME_NOREPLACE
_NOT_HERE = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})


def allocate(descriptor: int, length: int) -> bool:
    """Reserve room for the first `length` bytes, and make the file as long at least. What is in it stays.

    False where the file system cannot do it without writing (`os.posix_fallocate` would write then).
    """
    call = _library_call("fallocate64") or _library_call("fallocate")
    if call is None:
        return False
    while call(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(length)) != 0:
        code = ctypes.get_errno()
        if code in _NOT_HERE:
            return False
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
    return True


def rename_to_new(old: Path, new: Path) -> None:
    """Rename within a folder; `FileExistsError` if anything has the new name, a broken link included.

    Where the file system cannot do that in one step, the name is first taken with an empty file.
    """
    if _rename_in_one_step(old, new):
        return
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    try:
        old.rename(new)
    except BaseException:
        new.unlink()
        raise


def _rename_in_one_step(old: Path, new: Path) -> bool:
    call = _library_call("renameat2")
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_HERE:
        return False
    raise OSError(code, os.strerror(code), os.fspath(new))


@functools.cache
def _library_call(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (AttributeError, OSError):
        return None
    return found
