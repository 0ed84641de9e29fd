"""Local discovery over real sockets: on loopback, and between machines of one network."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.parts import namespaces
from lab.parts.namespaces import Link, Network
from shoal.net import local_discovery
from shoal.net.local_discovery import LocalDiscovery
from shoal.net.sockets import Address
from shoal.protocol.local_discovery import (
    GROUP_PORT,
    GROUP_V4,
    Announcement,
    encode_announcement,
)
from shoal.swarm.local_search import MOST_PER_SOURCE

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds; for a busy machine
POLL_EVERY = 0.01
CALLED_EVERY = 0.3  # seconds; with two or three calls each time, nothing is too much

IN_ANOTHER_NETWORK = """
import asyncio, sys
from shoal.net.local_discovery import LocalDiscovery

async def main():
    found = asyncio.Event()
    def on_peer(info_hash, address):
        if address[1] != int(sys.argv[1]):
            print(info_hash.hex(), *address, flush=True)
            found.set()
    async with LocalDiscovery(None, int(sys.argv[1]), on_peer) as discovery:
        discovery.join(bytes.fromhex(sys.argv[2]))
        await asyncio.wait_for(found.wait(), 60)
        print("found", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


class Heard:
    """What one `LocalDiscovery` told."""

    def __init__(self) -> None:
        self.peers: list[tuple[bytes, Address]] = []

    def __call__(self, info_hash: bytes, address: Address) -> None:
        self.peers.append((info_hash, address))


async def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(POLL_EVERY)


def voice() -> socket.socket:
    """A socket that calls on loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
    return sock


def call(sock: socket.socket, info_hash: bytes, port: int, cookie: str = "") -> None:
    data = encode_announcement(Announcement(GROUP_V4, port, (info_hash,), cookie))
    sock.sendto(data, (GROUP_V4, GROUP_PORT))


@pytest.fixture(scope="module", autouse=True)
def multicast() -> None:
    """Skips where the system has no multicast on loopback."""
    try:
        with voice() as sock:
            sock.sendto(b"", (GROUP_V4, GROUP_PORT))
    except OSError as error:
        pytest.skip(f"no multicast on loopback here: {error.strerror}")


def test_two_of_one_machine_find_each_other_whoever_comes_first() -> None:
    async def meet() -> None:
        info_hash, other = secrets.token_bytes(20), secrets.token_bytes(20)
        one, two = Heard(), Heard()
        async with LocalDiscovery(HOST, 1001, one) as first, LocalDiscovery(HOST, 1002, two) as second:
            first.join(info_hash)
            first.join(other)
            await wait_until(lambda: first._search.take_due(0.0) == [])
            second.join(info_hash)
            await wait_until(lambda: bool(one.peers and two.peers))
        assert set(one.peers) == {(info_hash, (HOST, 1002))}
        assert set(two.peers) == {(info_hash, (HOST, 1001))}

    asyncio.run(meet())


def test_nobody_hears_himself_or_of_a_swarm_that_he_has_left() -> None:
    async def listen() -> None:
        info_hash, left = secrets.token_bytes(20), secrets.token_bytes(20)
        heard = Heard()
        async with LocalDiscovery(HOST, 1001, heard) as discovery:
            discovery.join(info_hash)
            discovery.join(left)
            discovery.leave(left)
            with voice() as sock:
                while not heard.peers:  # a call may be lost: all programs of a machine share the port
                    call(sock, left, 1002)
                    call(sock, info_hash, 1003, discovery._search.cookie)
                    call(sock, info_hash, 1004)
                    await asyncio.sleep(CALLED_EVERY)
        assert heard.peers == [(info_hash, (HOST, 1004))]

    asyncio.run(listen())


def test_what_is_sent_to_this_machine_alone_is_not_read() -> None:
    async def listen() -> None:
        info_hash = secrets.token_bytes(20)
        heard = Heard()
        async with LocalDiscovery(HOST, 1001, heard) as discovery:
            discovery.join(info_hash)
            with voice() as sock:
                data = encode_announcement(Announcement("", 1002, (info_hash,)))
                while not heard.peers:
                    sock.sendto(data, (HOST, GROUP_PORT))
                    call(sock, info_hash, 1003)
                    await asyncio.sleep(CALLED_EVERY)
        assert heard.peers == [(info_hash, (HOST, 1003))]

    asyncio.run(listen())


def test_a_flood_is_read_no_faster_than_allowed_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[int] = Counter()  # in which second how many
    monkeypatch.setattr(local_discovery, "MOST_READ", 50)
    hear = LocalDiscovery._hear

    def count(discovery: LocalDiscovery, data: bytes, host: str, now: float) -> None:
        if host == HOST:  # other machines may call meanwhile
            read[int(now)] += 1
        hear(discovery, data, host, now)

    monkeypatch.setattr(LocalDiscovery, "_hear", count)

    async def listen() -> None:
        async with LocalDiscovery(HOST, 1001, Heard()) as discovery:
            discovery.join(secrets.token_bytes(20))
            with voice() as sock:
                sock.setblocking(False)
                while len(read) < 3:
                    for _ in range(50):
                        call(sock, bytes(20), 1)
                    await asyncio.sleep(POLL_EVERY)
            await wait_until(lambda: discovery._read_count < 50)

    asyncio.run(asyncio.wait_for(listen(), PATIENCE))
    assert max(read.values()) <= MOST_PER_SOURCE


def test_without_any_multicast_that_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(local_discovery._Group, "_join", refuse)
    notes: list[str] = []

    async def listen() -> None:
        async with LocalDiscovery(HOST, 1001, Heard(), notes.append) as discovery:
            discovery.join(secrets.token_bytes(20))
            await wait_until(lambda: bool(notes))
            discovery.join(secrets.token_bytes(20))
            await wait_until(lambda: discovery._search.take_due(0.0) == [])

    asyncio.run(listen())
    assert notes == ["local discovery: no network here lets us call out to it by multicast"]


def test_a_network_that_comes_up_later_hears_of_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_discovery, "LOOKED_EVERY", 0.05)
    join = local_discovery._Group._join
    is_up = False

    def later(group: local_discovery._Group, interface: int) -> None:
        if not is_up:
            raise OSError(19, "No such device")
        join(group, interface)

    monkeypatch.setattr(local_discovery._Group, "_join", later)

    async def listen() -> None:
        nonlocal is_up
        info_hash = secrets.token_bytes(20)
        heard, seen = Heard(), Heard()
        async with LocalDiscovery(HOST, 1001, heard) as first:
            first.join(info_hash)
            await wait_until(lambda: first._search.take_due(0.0) == [])
            assert not first._groups[0].joined
            is_up = True
            async with LocalDiscovery(HOST, 1002, seen) as second:
                second._search.join(info_hash, second._loop.time() + 9999)  # it hears, and does not call
                await wait_until(lambda: bool(seen.peers))
        assert seen.peers[0] == (info_hash, (HOST, 1001))

    asyncio.run(listen())


@pytest.mark.namespaces
def test_two_machines_of_one_network_find_each_other() -> None:
    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(reason)
    info_hash = secrets.token_hex(20)
    with Network([Link(None, None), Link(None, None)]) as network:
        processes = [
            subprocess.Popen(
                network.at(host, [sys.executable, "-c", IN_ANOTHER_NETWORK, str(1001 + number), info_hash]),
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, host in enumerate(network.hosts)
        ]
        try:
            for number, process in enumerate(processes):
                assert process.stdout is not None
                first = process.stdout.readline().split()
                other = 1 - number
                assert first[:1] == [info_hash]
                assert first[2:] == [str(1001 + other)]
                assert first[1] == network.hosts[other].address or first[1].startswith("fe80::")
                lines = iter(process.stdout.readline, "found\n")
                assert all(line.startswith(info_hash) for line in lines)
        finally:
            for process in processes:
                process.communicate("")
    assert [process.returncode for process in processes] == [0, 0]
