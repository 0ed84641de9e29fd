"""Whatever comes through a door, the loop never hears of an exception, and what leaves has the form that it should."""

from __future__ import annotations

import asyncio
import itertools
import re
import select
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shoal.net.datagrams import Datagram, DatagramSocket
from shoal.protocol.tracker.udp import MAX_DATAGRAM, PROTOCOL_ID
from shoal.tracker.connection_ids import ConnectionIds
from shoal.tracker.decision import Policy
from shoal.tracker.door_http import TURN_LENGTH, HttpDoor, Question
from shoal.tracker.door_udp import UdpDoor
from shoal.tracker.proxies import parse_network
from shoal.tracker.replies import Reply
from shoal.tracker.site import Site
from shoal.tracker.soon import Soon
from shoal.tracker.tracker import Tracker
from tests.campaigns.datagrams import announce_datagram

POLICIES = {
    "public": Policy(),
    "private": Policy(passkeys={b"key": "somebody"}),
    "choosy": Policy(only={bytes(20)}),
}
TARGETS = [
    b"/", b"*", b"//announce", b"/key/announce", b"/k%65y/announce", b"/a/b/announce?", b"/%61nnounce", b"/page/x",
    b"http://h/announce", b"http://h", b"h:1", b"://", b"/announce?info_hash=%00%zz&port=-1&left=1e9",
    b"/announce?" + b"&" * 200, b"/scrape?" + b"info_hash=" + bytes(20), b"/\xff\xfe?\x00", b"/x" * 3000,
    b"/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=aaaaaaaaaaaaaaaaaaaa&port=1&left=1&compact=0",
    b"/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=aaaaaaaaaaaaaaaaaaaa&port=0&left=0&numwant=9999999",
]  # fmt: skip
HEADERS = [
    b"Host: x", b"Connection: close", b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", b"Content-Length: 5",
    b"Content-Length: 99999999999999999999", b"Content-Length: -1", b"Content-Length:", b"Content-Length: 5, 5",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue", b": nameless", b"x",
    b"X-Forwarded-For: 192.0.2.1, 10.0.0.1", b"X-Forwarded-For: \xff", b"X-Forwarded-For: ", b" folded",
    b"X-Forwarded-For: [::1]:1", b"X-Forwarded-For: fe80::1%eth0", b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: a",
    b"Authorization: " + b"a" * 5000, b"A\x00: b",
]  # fmt: skip
METHODS = [
    b"GET",
    b"HEAD",
    b"PUT",
    b"POST",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"PRI",
    b"get",
    b"",
    b"M-SEARCH",
]
VERSIONS = [b" HTTP/1.1", b" HTTP/1.0", b" HTTP/0.9", b" HTTP/2.0", b" HTTP/9.9", b" ICE/1.0", b""]
ENDS = [b"\r\n", b"\n", b"\r"]
BODIES = [
    b"",
    b"12345",
    b"5\r\n12345\r\n0\r\n\r\n",
    b"0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    b"ffffffffffffffff\r\n",
]


@st.composite
def requests(draw: Callable[..., Any]) -> bytes:
    """Nearly a request, or one."""
    end = draw(st.sampled_from(ENDS))
    lines = [
        draw(st.sampled_from(METHODS))
        + b" "
        + draw(st.sampled_from(TARGETS))
        + draw(st.sampled_from(VERSIONS)),
        *draw(st.lists(st.sampled_from(HEADERS), max_size=4)),
    ]
    return end.join(lines) + end * 2 + draw(st.sampled_from(BODIES))


conversations = st.lists(st.one_of(requests(), st.binary(max_size=40)), min_size=1, max_size=6).map(b"".join)


class Page:
    methods = (b"PUT",)

    def answer(self, question: Question) -> Soon[Reply] | None:
        return Reply(question.body) if question.method == b"PUT" else None

    def body_limit(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
        return 8


class Wire(asyncio.Transport):
    """Keeps what is written; the peer is a trusted proxy."""

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.1", 1234)})
        self.written = b""
        self.is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_over
        self.written += data

    def close(self) -> None:
        self.is_over = True

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self.is_over

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def heard_by_loop(story: Callable[[], None]) -> list[dict[str, Any]]:
    """What the loop's exception handler was told while `story` and what it left to do ran."""
    heard: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        story()
        for _ in range(20):
            await asyncio.sleep(0)

    asyncio.run(run())
    return heard


@pytest.mark.parametrize("policy", POLICIES)
@example(said=b"GET /" + b"x/" * TURN_LENGTH + b" HTTP/1.1\r\n\r\n", cuts=[])  # lost before its next turn
@given(conversations, st.lists(st.integers(0, 8000), max_size=8))
def test_any_bytes_over_http_get_replies_or_an_end(policy: str, said: bytes, cuts: list[int]) -> None:
    tracker, wire = Tracker(POLICIES[policy]), Wire()
    site = Site(tracker, pages={"page": Page()})

    def story() -> None:
        door = HttpDoor(
            site.answer,
            lambda: 0.0,
            body_limit=site.body_limit,
            trusted_proxies=(parse_network("10.0.0.0/8"),),
        )
        connection = door()
        connection.connection_made(wire)
        edges = [0, *sorted(cut % (len(said) + 1) for cut in cuts), len(said)]
        for start, end in itertools.pairwise(edges):
            connection.data_received(said[start:end])
        asyncio.get_running_loop().call_later(0, connection.connection_lost, None)

    assert heard_by_loop(story) == []
    if b"HEAD" not in said:
        assert unframed(wire.written) == b""


def unframed(written: bytes) -> bytes:
    """What is left when all whole replies are taken off the front."""
    while written:
        head = re.match(rb"HTTP/1\.1 (\d{3}) [ \w-]+\r\n((?:[\w-]+: [^\r\n]*\r\n)*)\r\n", written)
        if head is None:
            break
        length = re.search(rb"Content-Length: (\d+)\r\n", head[2])
        written = written[head.end() + (int(length[1]) if length else 0) :]
    return written


class OneBatch(DatagramSocket):
    """Hands out what a test has made, and keeps what is sent."""

    is_v6 = False

    def __init__(self, datagrams: list[Datagram]) -> None:
        super().__init__(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._sock.bind(("127.0.0.1", 0))
        self._sock.sendto(b"there is something to read", self._sock.getsockname())
        assert select.select([self._sock], [], [], 60.0)[0]
        self._datagrams = datagrams
        self.sent: list[tuple[bytes, Any]] = []

    def receive(self) -> list[Datagram]:
        received, self._datagrams = self._datagrams, []
        return received

    def send(self, replies: Sequence[tuple[bytes, Any]]) -> None:
        self.sent += replies


IDS = ConnectionIds(b"secret")
hosts = st.sampled_from(
    [bytes([192, 0, 2, 1]), bytes(4), b"\xff" * 4, bytes([224, 0, 0, 1]), bytes(15) + b"\1"]
)


@st.composite
def datagrams(draw: Callable[..., Any]) -> Datagram:
    """With a valid id, mostly."""
    host = draw(hosts)
    head = draw(st.sampled_from([IDS.make(host, 0.0), IDS.make(host, 0.0), PROTOCOL_ID, bytes(8)]))
    tail = draw(st.binary(max_size=120))
    action = draw(st.integers(0, 4))
    numbers = draw(st.sampled_from([0, 1, 2**31, 2**32 - 1]))
    port, left = draw(st.integers(0, 65535)), draw(st.sampled_from([0, 1, 2**63, 2**64 - 1]))
    announce = announce_datagram(head, bytes(20), port, left=left, numwant=numbers)
    payload = draw(
        st.sampled_from([head + struct.pack("!I", action) + tail, announce + tail, tail, announce[:-1]])
    )
    return Datagram(payload, host, (len(payload), head))


@pytest.mark.parametrize("policy", POLICIES)
@given(st.lists(datagrams(), max_size=20))
def test_any_bytes_over_udp_get_an_answer_or_none(policy: str, batch: list[Datagram]) -> None:
    tracker = Tracker(POLICIES[policy])
    source = OneBatch(list(batch))

    def story() -> None:
        door = UdpDoor(tracker, source, IDS, lambda: 0.0)
        asyncio.get_running_loop().call_later(0.0, door.close)

    try:
        assert heard_by_loop(story) == []
    finally:
        source.close()
    assert source._datagrams == []
    for payload, (question_length, head) in source.sent:
        if head == PROTOCOL_ID:
            assert len(payload) <= question_length
        assert payload[:4] in {struct.pack("!I", action) for action in range(4)}
        assert len(payload) <= MAX_DATAGRAM
