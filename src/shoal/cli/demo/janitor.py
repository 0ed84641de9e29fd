"""Clear away what a demo leaves, however the demo ends: end its processes, remove its folder.

Run as a program it outlives the demo by a moment. Its standard input is a pipe that only the demo can write to, so
the end of that input is the end of the demo, be it by `kill -9`. Imports nothing of Shoal: it starts at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

REMOVE_FOR = 5.0  # seconds: a process that was just killed may finish a write into the folder
RETRY_AFTER = 0.05  # seconds


def kill_group(group: int) -> None:
    """End all processes of a process group, if there are any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM where all are zombies
        os.killpg(group, signal.SIGKILL)


def remove_folder(folder: str | os.PathLike[str]) -> None:
    """Remove `folder` and what is in it; tries again while somebody still writes there."""
    give_up_at = time.monotonic() + REMOVE_FOR
    while os.path.lexists(folder) and time.monotonic() < give_up_at:
        shutil.rmtree(folder, ignore_errors=True)
        if os.path.lexists(folder):
            time.sleep(RETRY_AFTER)


def main(folder: str) -> None:
    groups = [int(line) for line in sys.stdin]
    for group in groups:
        kill_group(group)
    remove_folder(folder)


if __name__ == "__main__":
    main(sys.argv[1])
