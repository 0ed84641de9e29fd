"""A whole tracker in a process of its own, what it holds of the system, and somebody who keeps asking it.

Whatever a test does to the tracker, the asker (`Prober`) must be answered rightly and in time by both doors.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.formats.bencode import decode
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.query import encode_announce_query
from tests.campaigns.datagrams import announce_datagram, connect_datagram, resident_bytes
from tests.cli.running import HOST, PATIENCE, Running, start

PROBE_HASH = b"what the prober seeks"[:20]
SEED_PORT, HTTP_PORT, UDP_PORT = 1, 2, 3  # of the prober's seed, and of its two askers
BOUND = 20.0  # seconds for an answer, on a machine that does much else
UDP_PATIENCE = 0.25  # seconds; then the datagram was lost, as they may be in a flood
POLL_EVERY = 0.02  # seconds


@dataclass(slots=True)
class Whole:
    """A tracker that runs."""

    running: Running
    port: int

    @property
    def pid(self) -> int:
        return self.running.process.pid

    @property
    def resident(self) -> int:
        """Bytes in memory."""
        return resident_bytes(self.pid)

    @property
    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def wait(self, is_so: Callable[[], bool], what: str, within: float = PATIENCE) -> None:
        deadline = time.monotonic() + within
        while not is_so():
            assert self.running.process.poll() is None, f"it ended: {self.running.err}"
            assert time.monotonic() < deadline, f"no {what} in {within:g} s"
            time.sleep(POLL_EVERY)

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), BOUND)

    def get(self, target: str) -> bytes:
        """The body of a page."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=BOUND)
        try:
            connection.request("GET", target)
            return connection.getresponse().read()
        finally:
            connection.close()

    def announce(self, port: int, info_hash: bytes = PROBE_HASH, **changes: Any) -> dict[bytes, Any]:
        asked = AnnounceRequest(info_hash, b"p" * 20, port, **{"left": 7, **changes})
        answer = decode(self.get(f"/announce?{encode_announce_query(asked)}"))
        assert isinstance(answer, dict)
        return answer


@contextmanager
def whole_tracker(folder: Path, *arguments: str, **how: Any) -> Iterator[Whole]:
    """It must end well when told to, with nothing on stderr."""
    with start(folder, "tracker", "--bind", HOST, "--port", "0", *arguments, **how) as running:
        port = int(running.wait_line(r"tracker http://[\d.]+:(\d+)/announce")[1])
        yield Whole(running, port)
        assert (running.stop(), running.err) == (0, [])


@contextmanager
def many_descriptors() -> Iterator[int]:
    """As many as the system lets us have, in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Asker:
    """Over UDP, as a client does: connect, announce with the id, again when nothing comes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((HOST, port))
        self._socket.settimeout(UDP_PATIENCE)

    def close(self) -> None:
        self._socket.close()

    def connection_id(self) -> bytes:
        answer = self.ask(connect_datagram(b"cccc"), b"cccc")
        assert answer[:4] == bytes(4) and len(answer) == 16
        return answer[8:]

    def announce(self, info_hash: bytes, port: int, *, numwant: int = 50, left: int = 1) -> bytes:
        """The answer behind its head; with the connection id it takes two questions."""
        asked = announce_datagram(self.connection_id(), info_hash, port, numwant=numwant, left=left)
        answer = self.ask(asked, b"tran")
        assert answer[:4] == struct.pack("!I", 1), answer
        return answer[8:]

    def ask(self, question: bytes, transaction_id: bytes) -> bytes:
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline:
            self._socket.send(question)
            try:
                while (answer := self._socket.recv(2048))[4:8] != transaction_id:
                    pass  # a late answer to an earlier question
            except TimeoutError:
                continue
            return answer
        raise AssertionError(f"no answer over UDP in {BOUND:g} s")

    def is_ignored(self, question: bytes) -> bool:
        """Whether what is asked after it is answered, and it is not. Late answers to earlier questions do not count."""
        transaction_id, after = question[12:16], os.urandom(4)
        deadline = time.monotonic() + BOUND
        self._socket.send(question)
        while time.monotonic() < deadline:
            self._socket.send(connect_datagram(after))
            with contextlib.suppress(TimeoutError):
                while (answered := self._socket.recv(2048)[4:8]) != after:
                    if answered == transaction_id:
                        return False
                return True
        raise AssertionError(f"no answer over UDP in {BOUND:g} s")


class Prober:
    """Asks over HTTP, with a new connection each time, and over UDP, in turns and without a pause, up to the end."""

    def __init__(self, tracker: Whole) -> None:
        self._tracker = tracker
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self.failure: BaseException | None = None
        self.longest = 0.0  # seconds that an answer took

    def __enter__(self) -> Prober:
        self._tracker.announce(SEED_PORT, left=0)
        for port in (HTTP_PORT, UDP_PORT):  # or others might have taken their room before they first ask
            self._tracker.announce(port)
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._is_over.set()
        self._thread.join(PATIENCE)
        if error is None:
            if self.failure is not None:
                raise self.failure
            assert not self._thread.is_alive()
            assert self.longest < BOUND, f"one answer took {self.longest:.1f} s"

    def _ask_on(self) -> None:
        asker = Asker(self._tracker.port)
        try:
            is_last = False
            while not is_last:
                is_last = self._is_over.is_set()
                for ask in (self._ask_http, lambda: self._ask_udp(asker)):
                    asked_at = time.monotonic()
                    ask()
                    self.longest = max(self.longest, time.monotonic() - asked_at)
        except BaseException as error:  # noqa: BLE001 - it is raised where the prober ends
            self.failure = error
        finally:
            asker.close()

    def _ask_http(self) -> None:
        answer = self._tracker.announce(HTTP_PORT)
        assert answer[b"complete"] == 1
        assert packed(SEED_PORT) in answer[b"peers"]

    def _ask_udp(self, asker: Asker) -> None:
        answer = asker.announce(PROBE_HASH, UDP_PORT)
        assert packed(SEED_PORT) in answer[12:]


def packed(port: int) -> bytes:
    """A peer of this machine as trackers tell of it."""
    return socket.inet_aton(HOST) + port.to_bytes(2, "big")
