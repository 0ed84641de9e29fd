"""Datagram sockets of both kinds keep one contract; on real loopback sockets of both families."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from collections.abc import Callable, Iterator
from operator import itemgetter

import pytest

from shoal.net.addresses import pack_host
from shoal.net.datagrams import BATCH, MAX_DATAGRAM, Datagram, DatagramSocket, open_datagram_socket
from shoal.net.many_datagrams import ManyDatagrams

HOSTS = {"ipv4": "127.0.0.1", "ipv6": "::1"}
PATIENCE = 60.0  # seconds; for a busy machine, loopback takes microseconds

Open = Callable[[socket.socket], DatagramSocket]


def bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE)
    sock.bind((host, 0))
    return sock


def one_by_one(sock: socket.socket) -> DatagramSocket:
    return DatagramSocket(sock)


def many_at_a_time(sock: socket.socket) -> DatagramSocket:
    if sys.platform != "linux":
        pytest.skip("recvmmsg is Linux's")
    opened = open_datagram_socket(sock)
    assert type(opened) is not DatagramSocket
    return opened


@pytest.fixture(params=HOSTS.values(), ids=HOSTS)
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[one_by_one, many_at_a_time], ids=["one by one", "many at a time"])
def server(request: pytest.FixtureRequest, host: str) -> Iterator[DatagramSocket]:
    with contextlib.closing(request.param(bound(host))) as opened:
        yield opened


@pytest.fixture
def client(host: str) -> Iterator[socket.socket]:
    with bound(host) as sock:
        yield sock


def received(server: DatagramSocket, count: int) -> list[Datagram]:
    """Wait until so many have come; more than a batch takes more than one call."""
    datagrams: list[Datagram] = []
    while len(datagrams) < count:
        readable, _, _ = select.select([server.fileno()], [], [], PATIENCE)
        assert readable, f"{len(datagrams)} of {count} datagrams came"
        batch = server.receive()
        assert 0 < len(batch) <= BATCH
        datagrams += batch
    return datagrams


def test_what_was_sent_comes_with_its_sender_and_the_answer_finds_its_way(
    server: DatagramSocket, client: socket.socket, host: str
) -> None:
    client.sendto(b"question", (host, server.port))
    (datagram,) = received(server, 1)
    assert datagram.payload == b"question"
    assert datagram.host == pack_host(host)
    assert server.is_v6 == (len(datagram.host) == 16)
    server.send([(b"answer", datagram.reply_to)])
    answer, sender = client.recvfrom(100)
    assert answer == b"answer" and sender[:2] == (host, server.port)


def test_nothing_waits(server: DatagramSocket) -> None:
    assert server.receive() == []
    server.send([])


def tripled(number: int) -> bytes:
    return b"%d" % number * 3


def test_more_than_a_batch_comes_and_goes_in_order_and_to_its_own_sender(
    server: DatagramSocket, host: str
) -> None:
    count = 2 * BATCH + 7
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(bound(host)) for _ in range(5)]
        for number in range(count):
            clients[number % 5].sendto(tripled(number), (host, server.port))
        datagrams = received(server, count)
        numbers = [int(datagram.payload[: len(datagram.payload) // 3]) for datagram in datagrams]
        assert [datagram.payload for datagram in datagrams] == list(map(tripled, numbers))
        assert sorted(numbers) == list(range(count))
        for client in range(5):  # the system may let one overtake another
            own = [number for number in numbers if number % 5 == client]
            assert own == sorted(own)
        pairs = sorted(zip(numbers, datagrams, strict=True), key=itemgetter(0))
        server.send([(b"to %d" % number, each.reply_to) for number, each in pairs])
        for number in range(count):
            assert clients[number % 5].recv(100) == b"to %d" % number


def test_a_long_datagram_does_not_shine_through_a_short_one(
    server: DatagramSocket, client: socket.socket, host: str
) -> None:
    for payload in (b"x" * 1000, b"y", b"", b"z" * 20):
        client.sendto(payload, (host, server.port))
        (datagram,) = received(server, 1)
        assert datagram.payload == payload
        server.send([(payload[:500], datagram.reply_to)])
        assert client.recv(2000) == payload[:500]


def test_a_datagram_that_is_too_long_is_cut(server: DatagramSocket, client: socket.socket, host: str) -> None:
    client.sendto(b"x" * (MAX_DATAGRAM + 500), (host, server.port))
    client.sendto(b"next", (host, server.port))
    assert [len(datagram.payload) for datagram in received(server, 2)] == [MAX_DATAGRAM, 4]


def test_a_payload_of_the_longest_kind_leaves_whole(
    server: DatagramSocket, client: socket.socket, host: str
) -> None:
    client.sendto(b"?", (host, server.port))
    (datagram,) = received(server, 1)
    longest = bytes(range(256)) * (MAX_DATAGRAM // 256)
    server.send([(longest, datagram.reply_to)] * BATCH)
    for _ in range(BATCH):
        assert client.recv(2 * MAX_DATAGRAM) == longest


def test_one_that_cannot_be_sent_is_lost_and_those_around_it_are_not(
    server: DatagramSocket, client: socket.socket, host: str
) -> None:
    client.sendto(b"?", (host, server.port))
    (datagram,) = received(server, 1)
    nowhere = with_port_0(datagram.reply_to)
    replies = [(b"%d" % number, nowhere if number % 10 == 0 else datagram.reply_to) for number in range(100)]
    server.send(replies)
    for number in range(100):
        if number % 10:
            assert client.recv(100) == b"%d" % number


def with_port_0(reply_to: object) -> object:
    """The same address with a port that nothing can be sent to."""
    if isinstance(reply_to, bytes):  # a sockaddr: the port stands behind the family
        return reply_to[:2] + b"\0\0" + reply_to[4:]
    assert isinstance(reply_to, tuple)
    return (reply_to[0], 0, *reply_to[2:])


def test_a_receiver_that_is_gone_is_no_trouble(server: DatagramSocket, host: str) -> None:
    with bound(host) as short_lived, bound(host) as staying:
        short_lived.sendto(b"bye", (host, server.port))
        (gone,) = received(server, 1)
        short_lived.close()
        server.send([(b"answer", gone.reply_to)] * 3)
        staying.sendto(b"hello", (host, server.port))
        assert [datagram.payload for datagram in received(server, 1)] == [b"hello"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has calls for many datagrams")
def test_where_the_system_forbids_many_at_a_time_they_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert isinstance(open_datagram_socket(sock), ManyDatagrams)
        monkeypatch.setattr(ManyDatagrams, "is_allowed", lambda self: False)
        assert type(open_datagram_socket(sock)) is DatagramSocket
