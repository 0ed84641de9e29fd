"""A bounded number of open files, shared by threads without a lock on the way.

Always true: a descriptor is closed only when nobody uses it. A caller holds the `OpenFile` for as long as
it reads or writes; dropped from here meanwhile, the descriptor lives until the caller lets go of the object.
So no thread can ever meet a number that already means another file.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable

Opener = Callable[[int, bool], int]  # (key, for writing?) -> descriptor

MAX_OPEN_FILES = 128  # a folder of many files keeps its hot ones; half of the smallest usual limit is left


class OpenFile:
    """An open file that closes itself when the last reference goes.

    So keep it in a variable while its `descriptor` is in use: that of `get(...).descriptor` may be closed.
    """

    __slots__ = ("cached_flags", "descriptor", "is_writable", "used_at", "writing")

    def __init__(self, descriptor: int, is_writable: bool) -> None:
        self.descriptor = descriptor
        self.is_writable = is_writable
        self.cached_flags: int | None = getattr(
            os, "RWF_NOWAIT", None
        )  # to read what is in memory; None: cannot
        self.used_at = 0
        self.writing = threading.Lock()  # the kernel has one too, but spins while it waits

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.descriptor)


class OpenFiles:
    """Files by key, opened when first asked for; past `limit` the one unused for longest goes."""

    def __init__(self, opener: Opener, limit: int = MAX_OPEN_FILES) -> None:
        self._opener = opener
        self._limit = limit
        self._files: dict[int, OpenFile] = {}
        self._lock = threading.Lock()
        self._clock = itertools.count(1)

    def get(self, key: int, *, for_writing: bool) -> OpenFile:
        """The file, opened now if need be. Raises what the opener raises."""
        found = self._files.get(key)
        if found is None or (for_writing and not found.is_writable):
            found = self._open(key, for_writing)
        found.used_at = next(self._clock)
        return found

    def peek(self, key: int) -> OpenFile | None:
        """The file if it is open; nothing is opened."""
        found = self._files.get(key)
        if found is not None:
            found.used_at = next(self._clock)
        return found

    def close(self) -> None:
        """Let go of all. Files that a thread still uses close when it is done."""
        with self._lock:
            self._files.clear()

    def __len__(self) -> int:
        return len(self._files)

    def _open(self, key: int, for_writing: bool) -> OpenFile:
        with self._lock:
            found = self._files.get(key)
            if found is not None and (found.is_writable or not for_writing):
                return found  # another thread was first
            opened = OpenFile(self._opener(key, for_writing), for_writing)
            self._files[key] = opened
            if len(self._files) > self._limit:
                del self._files[min(self._files, key=self._last_use_but(key))]
            return opened

    def _last_use_but(self, newest: int) -> Callable[[int], float]:
        return lambda key: float("inf") if key == newest else self._files[key].used_at
