"""A few threads for what blocks: hashing, reading, writing. Both release the interpreter's lock while they work.

A job returns a value; what it must not do is raise. Its `done` is called with the value through `deliver`, which the
owner of the workers chooses (an event loop passes its `call_soon_threadsafe`). Jobs begin in the order they came.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")

Deliver = Callable[..., Any]
_Job = tuple[Callable[[], Any], Callable[[Any], None]]


def _no_crash(error: BaseException) -> None:
    raise error


def default_worker_count() -> int:
    """One more than cores: while one waits for the interpreter's lock, another has a core to hash on."""
    return min(4, 1 + (os.cpu_count() or 2))


class Workers:
    def __init__(
        self,
        deliver: Deliver,
        count: int | None = None,
        *,
        on_crash: Callable[[BaseException], None] = _no_crash,
    ) -> None:
        self._deliver = deliver
        self._on_crash = on_crash
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"shoal-worker-{number}", daemon=True)
            for number in range(count or default_worker_count())
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[], Result], done: Callable[[Result], None]) -> None:
        self._jobs.put((job, done))

    def close(self) -> None:
        """Let what is queued end, then the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done = item
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 (a bug of ours; it must reach whoever can end the program)
                done, result = self._on_crash, error
            try:
                self._deliver(done, result)
            except RuntimeError:
                return  # the loop is closed: nobody waits for results any more
            del item, job, done, result  # hold no buffer while waiting for the next job
