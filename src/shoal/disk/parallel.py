"""Work through pieces on all cores, tell how far it is, and stop when asked.

Threads are enough: `hashlib` (above 2047 bytes) and `os.preadv` work without the interpreter lock
(docs/decisions/0003-hashing.md has the figures). Each thread takes the next piece when it is done with
one, so a slow piece holds up nobody.

Always true: when `work_through` returns or raises, none of its threads is left. Callbacks are called in
the caller's own thread, so they may draw, raise, or be interrupted with Ctrl-C.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator

Work = Callable[[int], int]  # piece -> bytes it was worth
OnProgress = Callable[[int], None]  # bytes so far
ShouldStop = Callable[[], bool]

TICK = 0.1  # seconds between two looks at progress: smooth to the eye, nothing to the processor


def core_count() -> int:
    """The cores this process may use (containers and `taskset` allow fewer than there are)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def work_through(
    pieces: Iterable[int],
    make_worker: Callable[[], Work],
    *,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> bool:
    """Call a worker with every piece; `make_worker` gives each thread one with buffers of its own.

    True if all was done, False if `should_stop` said so before. The first exception of a worker ends
    the others after their present piece and is raised here.
    """
    crew = _Crew(iter(pieces), threads or core_count())
    stopped = False
    try:
        crew.start(make_worker)
        while not crew.finished.wait(TICK):
            if on_progress is not None:
                on_progress(crew.bytes_done)
            if should_stop is not None and should_stop():
                stopped = True
                break
    finally:
        crew.dismiss()
    if crew.error is not None:
        raise crew.error
    if on_progress is not None:
        on_progress(crew.bytes_done)
    return not stopped


class _Crew:
    def __init__(self, pieces: Iterator[int], size: int) -> None:
        self.finished = threading.Event()
        self.error: BaseException | None = None
        self._pieces = pieces
        self._lock = threading.Lock()
        self._is_dismissed = False
        self._running = size
        self._done = [0] * size  # bytes, one counter a thread: nobody else writes it
        self._threads: list[threading.Thread] = []

    @property
    def bytes_done(self) -> int:
        return sum(self._done)

    def start(self, make_worker: Callable[[], Work]) -> None:
        for number in range(self._running):
            thread = threading.Thread(target=self._run, args=(number, make_worker), name=f"pieces-{number}")
            thread.start()
            self._threads.append(thread)

    def dismiss(self) -> None:
        self._is_dismissed = True
        for thread in self._threads:
            thread.join()

    def _run(self, number: int, make_worker: Callable[[], Work]) -> None:
        try:
            work = make_worker()
            while not self._is_dismissed and (piece := self._take()) is not None:
                self._done[number] += work(piece)
        except BaseException as error:  # noqa: BLE001  it is raised again in the caller's thread
            with self._lock:
                self.error = self.error or error
            self._is_dismissed = True
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self.finished.set()

    def _take(self) -> int | None:
        with self._lock:
            return next(self._pieces, None)
