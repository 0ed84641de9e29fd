"""Processes of a lab: started in a host, their lines of output stamped as they come, ended by their id.

One loop reads what all of them print (`Crew.watch`), so that a time is that of the line and not of our next look.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness import ROOT
from lab.parts.namespaces import Host, LabError, Network
from lab.parts.stopping import undisturbed

STOP_LIMIT = 10.0  # seconds for all of them together to end when told to; then they are killed
READ_LENGTH = 65536
MOST_SAID = 300  # characters of a failed process' words that fit into one line


@dataclass(slots=True)
class Process:
    """One program in one host; `lines` with the time of each (`time.perf_counter`)."""

    name: str
    host: Host
    popen: subprocess.Popen[bytes]
    errors: Path
    started_at: float
    end_is_expected: bool = False
    ended_at: float = 0.0  # 0: it runs
    lines: list[tuple[float, str]] = field(default_factory=list)
    _rest: bytes = b""

    def take(self, now: float) -> bool:
        """Read what there is; False at the end of its output."""
        assert self.popen.stdout is not None
        data = os.read(self.popen.stdout.fileno(), READ_LENGTH)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self.lines += [(now, line.decode(errors="replace")) for line in whole]
        return bool(data)

    def take_rest(self) -> None:
        """After its end."""
        while self.take(time.perf_counter()):
            pass

    @property
    def last_line(self) -> str:
        return self.lines[-1][1] if self.lines else ""

    @property
    def last_words(self) -> str:
        said = [line for _, line in self.lines[-3:]] + [self.errors.read_text(errors="replace")]
        return " ".join(" ".join(said).split())[-MOST_SAID:]


class Crew(AbstractContextManager["Crew"]):
    """All processes of one experiment; none outlives the block."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder
        self.processes: list[Process] = []
        self._selector = selectors.DefaultSelector()

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            self.stop()
        self._selector.close()

    def start(
        self, name: str, host: Host, command: Sequence[str | Path], settings: Mapping[str, str] | None = None
    ) -> Process:
        """Start `command` in `host`, with a memory of its own and this checkout for ours.

        `settings` are environment variables besides.
        """
        errors = self.folder / f"{name}.errors"
        with errors.open("wb") as stderr:
            started_at = time.perf_counter()
            popen = subprocess.Popen(
                self.network.at(host, command),
                cwd=self.folder,
                env={**self._environment(name), **(settings or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is ours to hear; we end them in order
            )
        process = Process(name, host, popen, errors, started_at)
        self.processes.append(process)
        assert popen.stdout is not None
        self._selector.register(popen.stdout, selectors.EVENT_READ, process)
        return process

    def _environment(self, name: str) -> Mapping[str, str]:
        return {
            **os.environ,
            "SHOAL_STATE_DIR": str(self.folder / f"{name}.state"),
            "PYTHONPATH": str(ROOT / "src"),
        }

    def watch(
        self,
        is_over: Callable[[], bool],
        limit: float,
        *,
        every: float = 1.0,
        look: Callable[[float], None] = lambda now: None,
    ) -> None:
        """Read what they print until `is_over()`, calling `look(now)` every so often.

        Raises `LabError` if one of them ends meanwhile that should not, or after `limit` seconds.
        """
        now = time.perf_counter()
        deadline, next_look = now + limit, now + every
        while not is_over():
            if now >= deadline:
                raise LabError(f"not done after {limit:.0f} s: {self._states()}")
            self._read(min(next_look, deadline) - now)
            now = time.perf_counter()
            if now >= next_look:
                look(now)
                next_look += every

    def _read(self, timeout: float) -> None:
        for key, _ in self._selector.select(max(0.0, timeout)):
            process: Process = key.data
            if not process.take(time.perf_counter()):
                self._selector.unregister(key.fileobj)
                process.ended_at = time.perf_counter()
                if not process.end_is_expected:
                    raise LabError(f"{process.name} ended early: {process.last_words}")

    def _states(self) -> str:
        return "; ".join(f"{process.name}: {process.last_words or 'silent'}" for process in self.processes)

    def stop(self, those: Sequence[Process] | None = None) -> None:
        """End them (all, if none are named), by id, patiently first; and read their last lines."""
        those = self.processes if those is None else those
        for process in those:
            process.popen.terminate()
        deadline = time.monotonic() + STOP_LIMIT
        for process in those:
            try:
                process.popen.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()
            self._forget(process)
        self.processes = [process for process in self.processes if process not in those]

    def _forget(self, process: Process) -> None:
        assert process.popen.stdout is not None
        if not process.ended_at:
            self._selector.unregister(process.popen.stdout)
            process.take_rest()
        process.popen.stdout.close()
