"""Tell whether a file lives in memory (tmpfs, ramfs), where reading never waits for a device.

Such file systems do not support "read only what is cached" (RWF_NOWAIT), though all of it is. Linux only; elsewhere
nothing counts as memory, which costs a thread's round trip and is never wrong.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_MOUNTS = Path("/proc/self/mountinfo")  # proc(5): id, parent, major:minor, ... " - ", type, ...


def is_in_memory(descriptor: int) -> bool:
    return _is_memory_device(os.fstat(descriptor).st_dev)


@functools.lru_cache(maxsize=64)
def _is_memory_device(device: int) -> bool:
    try:
        mounts = _MOUNTS.read_text(errors="replace")
    except OSError:
        return False
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        if place.split(" ", 3)[2] == wanted:
            return kind.split(" ", 1)[0] in _IN_MEMORY
    return False
