"""The command line as a person uses it: commands that run until they are told to stop, in processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.testing.build import Payload, build_torrent, write_payload
from shoal.testing.scripted_peer import Script, ScriptedPeer
from shoal.units import KIB

ROOT = Path(__file__).resolve().parent.parent.parent
HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds; for a busy machine
COMMAND = [sys.executable, "-P", "-W", "error::ResourceWarning", "-m", "shoal"]
LOCAL = ("--bind", HOST, "--port", "0")


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), **more}


def remarks(lines: list[str]) -> list[str]:
    """What was said on stderr, but for how far it is: that is told whenever it takes more than a second."""
    return [line for line in lines if not re.match(r"\S+  \d+ %  ", line)]


@dataclass(slots=True)
class Running:
    """A command that runs. What it says is collected from the first line on."""

    process: subprocess.Popen[str]
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            if stream is not None:
                thread = threading.Thread(target=self._collect, args=(stream, lines), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _collect(self, stream: Any, lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    lines.append(line.rstrip("\n"))
                    self._news.notify_all()

    def wait_line(self, pattern: str, *, on_stderr: bool = False) -> re.Match[str]:
        """The first line that the pattern is found in."""
        lines = self.err if on_stderr else self.out
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            found[:] = [match for line in lines if (match := re.search(pattern, line))]
            return bool(found)

        with self._news:
            if not self._news.wait_for(is_there, PATIENCE):
                raise TimeoutError(f"no line like {pattern!r}; out: {self.out}, err: {self.err}")
        return found[0]

    def address(self) -> tuple[str, int]:
        host, port = self.wait_line(r"listening on (\S+):(\d+)").groups()
        return host, int(port)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return code

    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out]


@contextmanager
def start(folder: Path, *arguments: str | os.PathLike[str], **how: Any) -> Iterator[Running]:
    """Run a command in `folder`; it is killed at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        env=environment(**how.pop("env", {})),
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            **how,
        },
    )
    running = Running(process)
    try:
        yield running
    finally:
        process.kill()
        running.wait()


@dataclass(slots=True)
class Offer:
    """A payload in `root/seed`, its torrent in `root/t.torrent`."""

    root: Path
    payload: Payload
    piece_length: int = 64 * KIB
    trackers: tuple[str, ...] = ()
    metainfo: Metainfo = field(init=False)

    def __post_init__(self) -> None:
        tiers = [(tracker,) for tracker in self.trackers]
        data = build_torrent(self.payload, piece_length=self.piece_length, trackers=tiers)
        self.metainfo = parse_metainfo(data)
        self.torrent.write_bytes(data)
        (self.root / "seed").mkdir()
        write_payload(self.root / "seed", self.payload)

    @property
    def torrent(self) -> Path:
        return self.root / "t.torrent"

    @property
    def data(self) -> bytes:
        return self.payload if isinstance(self.payload, bytes) else b"".join(self.payload.values())

    def scripted(self, script: Script | None = None, *, pieces: set[int] | None = None) -> ScriptedPeer:
        return ScriptedPeer(self.metainfo.wire_hash, self.data, self.piece_length, script, pieces=pieces)

    def got(self, folder: str = "get") -> bytes:
        return (self.root / folder / "payload").read_bytes()


def peer(address: tuple[str, int]) -> tuple[str, str]:
    return ("--peer", f"{address[0]}:{address[1]}")
