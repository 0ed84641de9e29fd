"""Several processes that are one tracker: every answer is that of one."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from shoal.net.listening import open_port
from shoal.protocol.tracker.answers import parse_announce_response, parse_scrape_response
from shoal.protocol.tracker.messages import (
    AnnounceRequest,
    AnnounceResponse,
    ScrapeEntry,
    ScrapeResponse,
    TrackerFailure,
)
from shoal.protocol.tracker.query import encode_announce_query, encode_scrape_query
from shoal.tracker.mesh_store import worker_of
from shoal.tracker.steering import steer_datagrams

WORKERS = 3
SECONDS = 60  # of patience


def hash_of(number: int) -> bytes:
    return bytes(16) + number.to_bytes(4, "big")


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.02)


class Running:
    """`shoal tracker --workers` as a process."""

    def __init__(self, tmp_path: Path) -> None:
        self.errors = (tmp_path / "errors").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "shoal", "tracker", "--bind", "127.0.0.1", "--port", "0",
             "--workers", str(WORKERS), "--status-every", "0"],
            stdout=subprocess.PIPE, stderr=self.errors, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().removeprefix("tracker ").strip()
        self.port = int(self.url.split(":")[2].split("/")[0])

    def said(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode()

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def announce(self, number: int, port: int, left: int = 1) -> AnnounceResponse:
        answer = self.try_announce(number, port, left)
        assert isinstance(answer, AnnounceResponse)
        return answer

    def try_announce(self, number: int, port: int, left: int = 1) -> AnnounceResponse | TrackerFailure:
        request = AnnounceRequest(hash_of(number), b"p" * 20, port, left=left)
        with urlopen(f"{self.url}?{encode_announce_query(request)}", timeout=SECONDS) as answer:
            return parse_announce_response(answer.read())

    def wait_announced(self, number: int, port: int) -> AnnounceResponse:
        """While a worker is away, the others say so of its swarms."""
        answers: list[AnnounceResponse] = []

        def is_answered() -> bool:
            answer = self.try_announce(number, port)
            answers.extend([answer] if isinstance(answer, AnnounceResponse) else [])
            return bool(answers)

        until(is_answered, "answer")
        return answers[0]

    def scrape(self, *numbers: int) -> ScrapeResponse:
        query = encode_scrape_query([hash_of(number) for number in numbers])
        with urlopen(f"{self.url.removesuffix('announce')}scrape?{query}", timeout=SECONDS) as answer:
            parsed = parse_scrape_response(answer.read())
        assert isinstance(parsed, ScrapeResponse)
        return parsed


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    tracker = Running(tmp_path)
    try:
        yield tracker
    finally:
        tracker.process.kill()
        tracker.process.wait()
        assert tracker.process.stdout is not None
        tracker.process.stdout.close()
        tracker.errors.close()


def test_whoever_answers_tells_of_everybody(running: Running) -> None:
    for number in range(9):
        for port in range(1, 7):
            running.announce(number, port, left=port % 2)
    for number in range(9):
        told = running.announce(number, 7)
        assert sorted(port for _, port in told.peers) == [1, 2, 3, 4, 5, 6]
        assert (told.complete, told.incomplete) == (3, 4)
    assert running.scrape(*range(9)).entries == {hash_of(n): ScrapeEntry(3, 4, 0) for n in range(9)}


def test_datagrams_and_http_requests_meet_in_one_swarm(running: Running) -> None:
    for number in range(6):
        running.announce(number, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect(("127.0.0.1", running.port))
        for number in range(6):
            sock.send(struct.pack("!QII", 0x41727101980, 0, number))
            connection_id = sock.recv(100)[8:]
            sock.send(
                connection_id
                + struct.pack(
                    "!I4s20s20sQQQIIIiH", 1, b"tran", hash_of(number), b"q" * 20, 0, 1, 0, 0, 0, 0, -1, 2
                )
            )
            answer = sock.recv(2000)
            assert answer[:8] == b"\0\0\0\1tran"
            assert answer[20:] == bytes([127, 0, 0, 1, 0, 1])
    assert [port for _, port in running.announce(3, 1).peers] == [2]


def test_a_worker_that_is_killed_is_started_again_and_the_others_serve_on(running: Running) -> None:
    until(lambda: len(running.children()) == WORKERS, "workers")
    for number in range(WORKERS):
        running.announce(number, 1)
    before = running.children()
    os.kill(before[0], signal.SIGKILL)
    until(lambda: set(running.children()) != set(before) and len(running.children()) == WORKERS, "new worker")
    until(lambda: "is started again" in running.said(), "word of it")
    told = {port for number in range(WORKERS) for _, port in running.wait_announced(number, 2).peers}
    assert told == {1}  # the swarms of the others are as they were


def test_the_tracker_ends_with_all_its_workers(running: Running) -> None:
    until(lambda: len(running.children()) == WORKERS, "workers")
    children = running.children()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(SECONDS) == 0
    assert not any(is_alive(child) for child in children)
    assert running.said() == ""


def test_no_worker_outlives_a_parent_that_is_killed(running: Running) -> None:
    until(lambda: len(running.children()) == WORKERS, "workers")
    children = running.children()
    running.process.kill()
    until(lambda: not any(is_alive(child) for child in children), "end of the workers")


def is_alive(process: int) -> bool:
    """Whether it runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux chooses by what is in a datagram")
def test_a_datagram_goes_to_the_worker_that_has_its_swarm() -> None:
    first = open_port(["127.0.0.1"], 0, [socket.SOCK_DGRAM], shares_port=True)
    port = first[0].getsockname()[1]
    rest = [open_port(["127.0.0.1"], port, [socket.SOCK_DGRAM], shares_port=True) for _ in range(WORKERS - 1)]
    groups = [first, *rest]
    steer_datagrams(groups)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(20):
                sender.sendto(bytes(16) + hash_of(number) + bytes(62), ("127.0.0.1", port))
                sender.sendto(bytes(12) + number.to_bytes(4, "big"), ("127.0.0.1", port))
                owner = groups[worker_of(hash_of(number), WORKERS)][0]
                owner.settimeout(SECONDS)
                assert len(owner.recv(200)) == 98
                assert len(owner.recv(200)) == 16
    finally:
        for group in groups:
            for sock in group:
                sock.close()
