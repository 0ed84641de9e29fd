"""What strangers do to a tracker's HTTP door: all of it at a whole tracker, which serves others on meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from shoal.formats.bencode import decode
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.query import encode_announce_query
from shoal.tracker.door_http import MAX_REQUEST_LENGTH
from shoal.units import KIB, MIB

from ..cli.running import start
from .whole import HOST, PATIENCE, Asker, Prober, Whole, many_descriptors, whole_tracker

SILENT = 5_000
DRIPPING = 200
UNREADING = 40
UNREAD_BYTES = 32 * MIB  # of their answers in our memory
CROWDED = bytes(19) + b"\xff"  # a swarm of more peers than anybody is told of
SPARE_DESCRIPTORS = 500  # for all else that the test has open
SOURCES = [f"127.0.0.{last}" for last in range(2, 52)]  # many hosts on one machine
BYTES_A_CONNECTION = 20 * KIB  # what a silent one may cost at most; it is measured at about half
MUCH = 8 * MIB  # no more than that is taken of an endless request; most of it lies in the system's buffers


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Whole]:
    with whole_tracker(tmp_path) as tracker:
        yield tracker


def open_many(
    tracker: Whole, count: int, opened: ExitStack, *, receives_little: bool = False
) -> list[socket.socket]:
    """Connections from many hosts, which wait for nothing."""
    connections = []
    for _, source in zip(range(count), itertools.cycle(SOURCES), strict=False):
        connection = opened.enter_context(socket.socket())
        if receives_little:  # so that what it does not read is kept by the other side
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.bind((source, 0))
        connection.connect((HOST, tracker.port))
        connection.setblocking(False)
        connections.append(connection)
    return connections


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def drip(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.send(b"x")


def test_thousands_who_say_nothing_or_too_slowly_are_closed_in_time(tracker: Whole) -> None:
    """Fewer only where the system's hard limit leaves no room for 5,000 descriptors."""
    with many_descriptors() as hard, ExitStack() as opened, Prober(tracker):
        count = min(SILENT, hard - SPARE_DESCRIPTORS)
        before, resident = tracker.descriptors, tracker.resident
        connections = open_many(tracker, count, opened)
        dripping = connections[:DRIPPING]
        for connection in dripping:
            connection.send(b"GET /")
        tracker.wait(lambda: tracker.descriptors >= before + count, f"{count} connections")
        assert tracker.resident - resident < count * BYTES_A_CONNECTION

        def drips_are_over() -> bool:
            for connection in dripping:
                drip(connection)
            return all(map(is_closed, dripping))

        tracker.wait(drips_are_over, "end of those who drip")
        tracker.wait(lambda: tracker.descriptors < before + 10, "end of those who are silent")


ENDLESS = {
    "target": (b"GET /announce?", b"x" * 4096),
    "header": (b"GET / HTTP/1.1\r\nX-Long: ", b"x" * 4096),
    "headers": (b"GET / HTTP/1.1\r\n", b"X-Many: 1\r\n" * 400),
    "body": (b"POST /announce HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", b"x" * 4096),
    "body of a GET": (b"GET / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", b"x" * 4096),
    "chunks": (
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1000\r\n" + b"x" * 4096 + b"\r\n",
    ),
    "chunk extension": (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 4096),
    "trailers": (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Many: 1\r\n" * 400),
    "empty lines": (b"", b"\r\n" * 2048),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_cut_off(what: str, tracker: Whole) -> None:
    """With a status where that is heard; a sender that goes on may only hear of a broken connection."""
    head, more = ENDLESS[what]
    with Prober(tracker):
        resident = tracker.resident
        sent = 0
        with tracker.connect() as connection:
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * KIB
            )  # where systems take more than `MUCH`
            try:
                connection.sendall(head)
                while sent < MUCH:
                    connection.sendall(more)
                    sent += len(more)
                    if is_readable(connection):
                        answer = connection.recv(4096)
                        assert not answer or answer.startswith(b"HTTP/1.1 4")
                        break
            except ConnectionError:
                pass
        assert sent < MUCH
        assert tracker.resident - resident < 4 * MIB


def is_readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


def test_who_never_reads_answers_is_not_kept(tracker: Whole) -> None:
    """Announces that ask for as much as there is, one behind the other, from many connections."""
    for port in range(1001, 1301):
        tracker.announce(port, CROWDED)
    query = encode_announce_query(
        AnnounceRequest(CROWDED, b"p" * 20, 0, left=7, numwant=200, is_compact=False)
    )
    questions = f"GET /announce?{query} HTTP/1.1\r\n\r\n".encode() * 500
    with ExitStack() as opened, Prober(tracker):
        before, resident, largest = tracker.descriptors, tracker.resident, 0
        connections = open_many(tracker, UNREADING, opened, receives_little=True)
        places = dict.fromkeys(connections, 0)  # of each, where in the questions it is
        deadline = time.monotonic() + PATIENCE
        while places and time.monotonic() < deadline:
            for connection, place in list(places.items()):
                with contextlib.suppress(BlockingIOError):
                    try:
                        places[connection] += connection.send(questions[place % len(questions) :])
                    except ConnectionError:
                        del places[connection]
            largest = max(largest, tracker.resident - resident)
        assert not places
        assert largest < UNREAD_BYTES
        tracker.wait(lambda: tracker.descriptors < before + 10, "end of them")


def test_no_answer_is_longer_than_a_tracker_wants(tracker: Whole) -> None:
    for port in range(1001, 1301):
        tracker.announce(port, CROWDED)
    for wanted in (201, 10**6, 2**63 - 1):
        assert len(tracker.announce(1, CROWDED, numwant=wanted)[b"peers"]) == 200 * 6
    for wanted in (str(2**63), "9" * 4000, "1e9"):
        query = encode_announce_query(AnnounceRequest(CROWDED, b"p" * 20, 1, left=7))
        assert b"failure reason" in tracker.get(f"/announce?{query}&numwant={wanted}")
    assert len(tracker.announce(1, CROWDED, numwant=-(10**9))[b"peers"]) == 50 * 6


@pytest.mark.parametrize(("count", "is_answered"), [(100, True), (101, False), (5_000, False)])
def test_a_scrape_of_too_many_is_refused(count: int, is_answered: bool, tracker: Whole) -> None:
    hashes = [bytes([0, number >> 8, number & 0xFF]) + bytes(17) for number in range(count)]
    for info_hash in hashes[:100]:
        tracker.announce(1, info_hash)
    with Prober(tracker):
        target = "/scrape?" + "&".join(f"info_hash={quote(one, safe='')}" for one in hashes)
        try:
            body = tracker.get(target)
        except ConnectionError:
            assert count * 20 > MAX_REQUEST_LENGTH
            return
    if is_answered:
        files = decode(body)
        assert isinstance(files, dict) and set(files[b"files"]) == set(hashes)
    elif count * 20 < MAX_REQUEST_LENGTH:
        assert b"failure reason" in body
    else:
        assert body == b"Request Header Fields Too Large\n"


def test_with_no_descriptor_left_it_waits_and_goes_on(tmp_path: Path) -> None:
    """Those that are in are served; the others wait at the door until there is room, and nothing is said about it."""
    with (
        whole_tracker(tmp_path, preexec_fn=lambda: limit_descriptors(40)) as tracker,
        ExitStack() as opened,
    ):
        inside = opened.enter_context(tracker.connect())
        inside.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert inside.recv(4096)
        crowd = ExitStack()
        connections = open_many(tracker, 100, crowd)
        for connection in connections:
            connection.send(b"GET / HTTP/1.1\r\n\r\n")
        tracker.wait(lambda: sum(map(is_readable, connections)) >= 10, "answers")
        inside.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert inside.recv(4096)
        with contextlib.closing(Asker(tracker.port)) as asker:
            assert asker.connection_id()
        crowd.close()
        assert b"interval" in tracker.announce(1)


def limit_descriptors(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def test_it_takes_as_many_descriptors_as_it_may(tmp_path: Path) -> None:
    def lower_soft_limit() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))

    with (
        many_descriptors(),
        whole_tracker(tmp_path, preexec_fn=lower_soft_limit) as tracker,
        ExitStack() as opened,
    ):
        for connection in open_many(tracker, 200, opened):
            connection.send(b"GET / HTTP/1.1\r\n\r\n")
        tracker.wait(lambda: tracker.descriptors >= 200, "connections")


def test_a_log_that_is_full_is_told_once_and_all_are_served(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ("tracker", "--bind", HOST, "--port", "0", "--log", log)
    with start(tmp_path, *command, preexec_fn=lambda: limit_files(300)) as running:
        tracker = Whole(running, int(running.wait_line(r"tracker http://[\d.]+:(\d+)/announce")[1]))
        with Prober(tracker):
            pass
        assert running.stop() == 0
    said = f"shoal: cannot write the log {log}: File too large; announces are answered, and not recorded"
    assert running.err == [said]


def limit_files(length: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, length))
