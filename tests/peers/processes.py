"""Real processes on loopback: started with their words kept, waited for by condition, ended by their id."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from shoal.formats import bencode
from shoal.testing.raw_wire import HANDSHAKE_LENGTH, encode_handshake

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 90.0  # seconds for anything to come true: to start takes 30 where 17 want 2 cores; announces come by the minute
POLL_EVERY = 0.02  # seconds
STOP_LIMIT = 3.0  # seconds for a program to end when told to; Transmission says goodbye for long
PROBE_PEER_ID = b"-XS0001-is-it-up-yet"
FIRST_PORT = 20_000  # below it are those of known services
PART = 300  # ports that one worker of pytest has for itself; when it comes round, the first are free again
GIVEN_AWAY_NOW = Path("/proc/sys/net/ipv4/ip_local_port_range")
GIVEN_AWAY = (32_768, 65_535)  # by systems that do not tell: Linux from there on, others from 49152
NO_LINGERING = struct.pack("ii", 1, 0)  # a probe leaves no trace behind

Command = Sequence[str | os.PathLike[str]]


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for something that nobody who may end brings about."""
    deadline = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < deadline, f"no {what} in {LIMIT:g} s"
        time.sleep(POLL_EVERY)


class Running:
    """One process; all that it says goes to `said`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], said: Path) -> None:
        self.name = name
        self.process = process
        self._said = said

    @property
    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def line_after(self, beginning: str) -> str:
        """Wait for a line that begins so; the rest of it."""

        def found() -> str | None:
            lines = self.said.split("\n")[:-1]  # what comes after the last one is not a whole line yet
            return next((line[len(beginning) :] for line in lines if line.startswith(beginning)), None)

        self.wait_until(lambda: found() is not None, f"'{beginning}...'")
        return found() or ""

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something that this process is to bring about; it may not end meanwhile."""
        deadline = time.monotonic() + LIMIT
        while not is_so():
            code = self.process.poll()
            if code is not None and not is_so():
                raise AssertionError(f"{self.name} ended with {code} before {what}; it said:\n{self.said}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: no {what} in {LIMIT:g} s; it said:\n{self.said}")
            time.sleep(POLL_EVERY)

    def wait_success(self) -> None:
        """Wait for its end, which must be a good one."""
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end in {LIMIT:g} s; it said:\n{self.said}") from None
        assert code == 0, f"{self.name} ended with {code}; it said:\n{self.said}"

    def leave(self) -> None:
        """Ask it to end with a goodbye, as Ctrl-C does, and wait for that."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not leave in {LIMIT:g} s; it said:\n{self.said}") from None

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Pen:
    """Everything that a test has started; none of it outlives the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Running] = []
        self._open_folders: list[Path] = []

    def start(self, name: str, command: Command, *, env: Mapping[str, str] | None = None) -> Running:
        said = self.folder / f"said-{len(self._running)}-{name}"
        with said.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        running = Running(name, process, said)
        self._running.append(running)
        return running

    def make_folder(self, name: str) -> Path:
        """A new folder for one of them."""
        folder = self.folder / f"{name}-{len(self._running)}"
        folder.mkdir()
        return folder

    def make_open_folder(self) -> Path:
        """A new folder that any user may look into; pytest's own are not."""
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        self._open_folders.append(folder)
        return folder

    def close(self) -> None:
        for running in self._running:
            running.process.terminate()
        for running in self._running:
            running.stop()
        for folder in self._open_folders:
            shutil.rmtree(folder)


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody has now, for programs that cannot choose one and tell; no other test gets it meanwhile.

    It is not one of those that the system gives away itself: nobody takes it by chance until the program does.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in itertools.islice(_ports, PART):
        with contextlib.suppress(OSError), socket.create_server((host, port), family=family):
            with socket.socket(family, socket.SOCK_DGRAM) as datagrams:  # some want both
                datagrams.bind((host, port))
            return port
    raise AssertionError("all ports are taken")


def _own_ports() -> Iterator[int]:
    """Those of one part, round and round from a random one on: the run before left connections behind.

    The part is this process's alone, of all workers of all runs on this machine, while it listens at its first port.
    """
    everywhere = _ports_of_nobody()
    for first in everywhere[::PART]:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", first)):
            begin = random.SystemRandom().randrange(PART - 1)
            while True:
                for number in range(PART - 1):
                    yield first + 1 + (begin + number) % (PART - 1)
    raise AssertionError("more runs at a time than there are parts")


def _ports_of_nobody() -> range:
    """Whole parts of the ports that are not given away by the system; of any, where it gives away all."""
    first_given, last_given = GIVEN_AWAY
    with contextlib.suppress(OSError):
        first_given, last_given = map(int, GIVEN_AWAY_NOW.read_text().split())
    found = max(range(FIRST_PORT, first_given), range(last_given + 1, 1 << 16), key=len)
    if len(found) < PART:
        found = range(FIRST_PORT, GIVEN_AWAY[0])
    return found[: len(found) // PART * PART]


_ports = _own_ports()


def answers(address: str, info_hash: bytes) -> bool:
    """Whether somebody there answers a handshake for this torrent."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2.0) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
            connection.sendall(encode_handshake(info_hash, PROBE_PEER_ID, fast=False, extension=False))
            answer = connection.recv(HANDSHAKE_LENGTH, socket.MSG_WAITALL)
    except OSError:
        return False
    return answer[28:48] == info_hash


def listed(announce_url: str, info_hash: bytes) -> tuple[int, int] | None:
    """How many seeds and leechers of a torrent a tracker knows (BEP 48); None while it does not answer."""
    counts = scraped(announce_url, info_hash)
    return None if counts is None else counts[:2]


def scraped(announce_url: str, info_hash: bytes) -> tuple[int, int, int] | None:
    """Likewise, and how often somebody said that it had completed it."""
    url = f"{announce_url.replace('/announce', '/scrape')}?info_hash={quote(info_hash, safe='')}"
    try:
        with urllib.request.urlopen(url, timeout=LIMIT) as response:
            answer = bencode.decode(response.read())
    except OSError:
        return None
    match answer:
        case {b"files": {**files}} if info_hash in files:
            found = files[info_hash]
            assert isinstance(found, dict)
            seeds, leechers, completed = found[b"complete"], found[b"incomplete"], found[b"downloaded"]
            assert isinstance(seeds, int) and isinstance(leechers, int) and isinstance(completed, int)
            return seeds, leechers, completed
    return 0, 0, 0
