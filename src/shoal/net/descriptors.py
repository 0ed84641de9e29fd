"""How many sockets and files a process may have open at a time."""

from __future__ import annotations

import contextlib
import sys


def take_all_descriptors() -> None:
    """Raise this process's limit as far as the system lets us: the usual one of 1,024 is a small crowd.

    It goes for the processes that this one starts, too. Where there is no such limit (Windows), nothing happens.
    """
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS says "unlimited", and does not mean it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
