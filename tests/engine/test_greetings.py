"""Who may join a torrent with extensions, and what it hears first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import AsyncExitStack

import pytest

from shoal.engine import neighbour as neighbour_module
from shoal.engine.neighbour import MOST_UNREAD, Neighbour
from shoal.net.sockets import Address
from shoal.swarm.known_peers import Source
from shoal.testing import raw_wire
from shoal.units import KIB, MIB

from .pooling import ALL, INFO_HASH, Member, Stage, Telling
from .scene import play, until

PEER_ID = b"-XX0000-abcdefghijkl"


def connect_raw(address: Address, *, extension: bool = True) -> socket.socket:
    sock = socket.create_connection(address, timeout=60)
    sock.sendall(raw_wire.encode_handshake(INFO_HASH, PEER_ID, fast=True, extension=extension))
    return sock


def hello(names: bytes) -> bytes:
    return raw_wire.encode_message(raw_wire.MessageId.EXTENDED, b"\0" + names)


def read_to_end(sock: socket.socket) -> bytes:
    received = b""
    with sock, contextlib.suppress(ConnectionResetError):  # it did not read all that was said to it
        while data := sock.recv(65_536):
            received += data
    return received


HAVE_NONE = raw_wire.encode_message(raw_wire.MessageId.HAVE_NONE)


@pytest.mark.parametrize(
    ("extension", "sent", "reason"),
    [
        (False, b"", "it does not speak the extension protocol"),
        (True, hello(b"d1:mdee"), "it speaks no extension of this torrent"),
        (True, hello(b"d1:md7:ut_metai1eee"), "it speaks no extension of this torrent"),
        (True, hello(b"d1:md9:test_telli0eee"), "it speaks no extension of this torrent"),
        (True, HAVE_NONE, "it did not begin with its extended handshake"),
        (True, raw_wire.encode_block(0, 0, bytes(16_384)), "a block before its extended handshake"),
        (True, hello(b"no dict"), ""),
    ],
    ids=["no BEP 10", "no names", "other names", "switched off", "bitfield first", "block first", "garbage"],
)
def test_who_speaks_none_of_its_extensions_is_no_neighbour(extension: bool, sent: bytes, reason: str) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            member = await Stage(stack).member(have=ALL)
            partings = watch_partings(member)
            sock = connect_raw(member.address, extension=extension)
            sock.sendall(sent)
            await asyncio.to_thread(read_to_end, sock)
            assert partings and partings[0].startswith(reason)
            assert member.telling.events == []
            assert not member.torrent.engine._neighbours

    play(story())


def watch_partings(member: Member) -> list[str]:
    """The reasons for which connections end, of those too that never joined."""
    reasons: list[str] = []
    part = member.torrent.part

    def noting(neighbour: object, reason: str, *, is_fault: bool) -> None:
        reasons.append(reason)
        part(neighbour, reason, is_fault=is_fault)  # type: ignore[arg-type]

    member.torrent.part = noting  # type: ignore[method-assign,assignment]
    return reasons


def test_the_bitfield_comes_after_what_extensions_say_and_not_before_the_hello() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            member = await Stage(stack).member(have=ALL)
            sock = connect_raw(member.address)
            kinds: list[object] = []

            def talk() -> None:
                with sock, sock.makefile("rb") as stream:
                    stream.read(raw_wire.HANDSHAKE_LENGTH)
                    read_kind(stream, kinds)
                    sock.settimeout(0.3)
                    with pytest.raises(TimeoutError):
                        sock.recv(1)
                    sock.settimeout(60)
                    sock.sendall(hello(b"d1:md9:test_telli7eee"))
                    with sock.makefile("rb") as rest:
                        read_kind(rest, kinds)
                        read_kind(rest, kinds)

            await asyncio.to_thread(talk)
            extended = raw_wire.MessageId.EXTENDED
            assert kinds == [(extended, 0), (extended, 7), (raw_wire.MessageId.HAVE_ALL, None)]

    play(story())


def read_kind(stream: object, kinds: list[object]) -> None:
    length = int.from_bytes(stream.read(4), "big")  # type: ignore[attr-defined]
    message = stream.read(length)  # type: ignore[attr-defined]
    is_extended = message[0] == raw_wire.MessageId.EXTENDED
    kinds.append((message[0], message[1] if is_extended else None))


def test_who_says_no_hello_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_module, "HANDSHAKE_TIMEOUT", 0.3)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            member = await Stage(stack).member(have=ALL)
            partings = watch_partings(member)
            await asyncio.to_thread(read_to_end, connect_raw(member.address))
            assert partings == ["no handshake"]

    play(story())


def test_a_newcomer_may_be_told_more_than_a_peer_may_make_us_say() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            talkative, other = Telling(), await stage.member()
            on_joining = talkative.on_joining

            def tell_all(neighbour: Neighbour) -> None:
                on_joining(neighbour)
                for _ in range(2 * MOST_UNREAD // (720 * KIB)):
                    neighbour.say("test_tell", bytes(720 * KIB))

            talkative.on_joining = tell_all  # type: ignore[method-assign]
            await stage.member(other.address, telling=talkative)
            await until(lambda: len(other.telling.of("message")) == 1 + 2 * MOST_UNREAD // (720 * KIB))
            assert other.telling.of("parted") == []

    play(story())


def test_an_extension_that_refuses_a_message_closes_as_a_fault() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            one, other = await stage.member(have=ALL), await stage.member()
            other.torrent.dialling.learn([one.address], Source.HAND)
            await until(lambda: bool(other.telling.neighbours))
            other.telling.neighbours[0].say("test_tell", b"nonsense")
            await until(lambda: one.telling.of("parted") == ["a message of 8 bytes"])

    play(story())


def test_a_message_that_no_peer_would_read_is_a_bug_of_ours() -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack)
            one = await stage.member(have=ALL)
            other = await stage.member(one.address)
            await until(lambda: bool(other.telling.neighbours))
            with pytest.raises(
                ValueError, match="an extended message of 1048576 bytes; the limit is 1048574"
            ):
                other.telling.neighbours[0].say("test_tell", bytes(MIB))

    play(story())
