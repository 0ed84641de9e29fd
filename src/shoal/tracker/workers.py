"""Several processes that are one tracker: started, watched, started again, and ended together.

The parent opens every socket before it starts anybody, so the order of sockets on the shared port is that of the
workers, nobody's queue is lost when he dies, and a port below 1024 is opened once. It then only waits. Each worker is
a fork, made while the parent has neither loop nor threads. Always true: no worker outlives the parent (a pipe tells
it), and none is started again that cannot stay up.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shoal.errors import ExitCode, ShoalError, UsageError
from shoal.tracker.server import Doors, open_sockets
from shoal.tracker.steering import steer_datagrams

MAX_WORKERS = 64
STEADY_SECONDS = 5.0  # a worker that lives so long has started well
MAX_FALSE_STARTS = 3  # in a row, of one worker; then something is wrong that starting again does not mend


@dataclass(frozen=True, slots=True)
class Place:
    """What makes one worker this worker."""

    number: int
    count: int
    sockets: Sequence[socket.socket]
    folder: Path  # of the sockets over which the workers ask one another
    parent_pipe: int  # readable when the parent is gone


Work = Callable[[Place], int]  # what a worker does, until it is told to end; its exit code


def run_workers(count: int, doors: Doors, work: Work, say: Callable[[str], None]) -> int:
    """Run `count` workers until SIGINT, SIGTERM or a hangup, and give the exit code.

    `say` is told what a person should know. Raises `UsageError` and `NetworkError` before anything is started, and
    afterwards what a worker found wrong that starting it again would not mend.
    """
    if not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("this system cannot share a port among processes", hint="leave out --workers")
    all_sockets = _open_for_each(count, replace(doors, shares_port=True))
    steer_datagrams(all_sockets)
    alive, parent_end = os.pipe()
    with tempfile.TemporaryDirectory(prefix="shoal-tracker-") as folder:
        places = [Place(number, count, all_sockets[number], Path(folder), alive) for number in range(count)]
        return _Parent(places, work, say, parent_end).run()


def _open_for_each(count: int, doors: Doors) -> list[list[socket.socket]]:
    for sock in open_sockets(replace(doors, shares_port=False)):
        sock.close()  # nobody else has the port, who would share it with us if he were asked
    first = open_sockets(doors)
    port = first[0].getsockname()[1]
    return [first, *(open_sockets(replace(doors, port=port)) for _ in range(count - 1))]


class _Parent:
    def __init__(self, places: Sequence[Place], work: Work, say: Callable[[str], None], pipe: int) -> None:
        self._places = places
        self._work = work
        self._say = say
        self._pipe = pipe
        self._workers: dict[int, int] = {}  # process id -> number
        self._started_at = [0.0] * len(places)
        self._false_starts = [0] * len(places)
        self._is_ending = False
        self._exit_code = int(ExitCode.OK)
        self._fault: ShoalError | None = None
        self._awaited = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}  # nothing else is done meanwhile
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as below nohup
            self._awaited.add(signal.SIGHUP)
        self._mask_before: set[int] = set()

    def run(self) -> int:
        # What is ignored, as this one by default, may not be waited for.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._mask_before = signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)
        for place in self._places:
            self._start(place)
        while self._workers:
            if signal.sigwait(self._awaited) == signal.SIGCHLD:
                self._bury()
            else:
                self._end()
        if self._fault is not None:
            raise self._fault
        return self._exit_code

    def _start(self, place: Place) -> None:
        sys.stdout.flush()
        self._started_at[place.number] = time.monotonic()
        process = os.fork()
        if process:
            self._workers[process] = place.number
            return
        code: int = ExitCode.FAILED
        try:
            os.close(self._pipe)
            for number in self._awaited:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask_before)
            code = self._work(place)
        except ShoalError as error:
            code = error.exit_code
            _fault_file(place).write_text(json.dumps([error.message, error.hint, error.exit_code]), "utf-8")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _bury(self) -> None:
        """See to all who have ended; one signal may stand for several."""
        while self._workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            place = self._places[self._workers.pop(process)]
            if not self._is_ending:
                self._on_end(place, os.waitstatus_to_exitcode(status))

    def _on_end(self, place: Place, code: int) -> None:
        number, fault = place.number, _fault_of(place)
        was_steady = time.monotonic() - self._started_at[number] >= STEADY_SECONDS
        self._false_starts[number] = 0 if was_steady else self._false_starts[number] + 1
        why = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if fault is not None and was_steady:
            self._say(f"worker {number}: {fault.message}")
        elif fault is not None:
            self._fault = fault
            self._end()
            return
        if self._false_starts[number] >= MAX_FALSE_STARTS:
            self._say(f"worker {number} {why}, {MAX_FALSE_STARTS} times in a row: the tracker ends")
            self._exit_code = int(ExitCode.FAILED)
            self._end()
            return
        self._say(
            f"worker {number} {why}, and is started again; its swarms come back as their peers announce"
        )
        self._start(place)

    def _end(self) -> None:
        self._is_ending = True
        for process in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)


def _fault_file(place: Place) -> Path:
    return place.folder / f"{place.number}-fault"


def _fault_of(place: Place) -> ShoalError | None:
    """What a worker raised at its end, in its own words."""
    path = _fault_file(place)
    if not path.exists():
        return None
    message, hint, exit_code = json.loads(path.read_text("utf-8"))
    path.unlink()
    fault = ShoalError(message, hint=hint)
    fault.exit_code = ExitCode(exit_code)
    return fault
