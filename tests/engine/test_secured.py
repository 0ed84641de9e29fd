"""Secured torrents over real TLS, and others beside them, on one port; and whoever does not belong there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shoal.engine import door as door_module
from shoal.engine.engine import Engine
from shoal.net.sockets import Address
from shoal.swarm.known_peers import Source
from shoal.testing import raw_wire
from shoal.units import KIB

from .pooling import ALL, DATA, INFO_HASH, Member, take_part
from .scene import HOST, LOOPS, Scene, finish, play, until
from .securing import Group, MemberSecurity

PEER_ID = b"-XX0000-abcdefghijkl"


class Stage:
    """Engines of one group, that end with the story."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self.group = Group(folder)
        self._count = 0

    def security(self) -> MemberSecurity:
        self._count += 1
        return self.group.member(f"member {self._count}")

    async def engine(self, security: MemberSecurity, **limits: int) -> Engine:
        return await self._stack.enter_async_context(
            Engine(bind=HOST, port=0, security=security, **limits)  # type: ignore[arg-type]
        )

    async def member(
        self, *peers: Address, have: int = 0, security: MemberSecurity | None = None, **limits: int
    ) -> Member:
        engine = await self.engine(security or self.security(), **limits)
        return await take_part(engine, *peers, have=have, is_secured=True)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("limits", [{}, {"max_upload_rate": 800 * KIB, "max_download_rate": 800 * KIB}])
def test_a_secured_torrent_spreads_among_members_who_know_each_other(
    tmp_path: Path, loop: str, limits: dict[str, int]
) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            ours, theirs = stage.security(), stage.security()
            source = await stage.member(have=ALL, security=ours)
            getter = await stage.member(source.address, security=theirs, **limits)
            await until(lambda: bool(source.telling.neighbours and getter.telling.neighbours))
            assert getter.telling.neighbours[0].member == ours.member
            assert source.telling.neighbours[0].member == theirs.member
            await finish(getter.torrent)
            assert bytes(getter.store.data) == DATA

    play(story(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_one_port_serves_secured_and_plain_torrents(tmp_path: Path, loop: str) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            engine = await stage.engine(stage.security())
            await take_part(engine, have=ALL, is_secured=True)
            await engine.add(scene.metainfo, scene.folder("seed", with_payload=True), read_only=True)
            getter = await stage.member((HOST, engine.port))
            async with scene.getting(peers=[(HOST, engine.port)]) as plain:
                await finish(plain)
            await finish(getter.torrent)
            assert bytes(getter.store.data) == DATA

    play(story(), loop=loop)
    assert scene.got() == scene.data


def test_a_banned_member_is_parted_from_and_stays_out_whatever_its_address(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            culprit = stage.security()
            source, other = await stage.member(have=ALL), stage.security()
            banned = await stage.member(source.address, security=culprit)
            await until(lambda: bool(source.telling.neighbours))
            source.torrent.ban_member(culprit.member, "its record was false")
            assert source.telling.of("parted") == ["its record was false"]
            again = await stage.member(source.address, security=culprit)
            welcome = await stage.member(source.address, security=other)
            await finish(welcome.torrent)
            await until(lambda: _has_tried(again, source.address))
            assert [one.member for one in source.telling.neighbours] == [other.member]
            assert again.telling.of("joining") == []
            source.torrent.dialling.learn([banned.address], Source.HAND)
            await until(lambda: _has_tried(source, banned.address))
            assert [one.member for one in source.telling.neighbours] == [other.member]

    play(story())


def _has_tried(member: Member, address: Address) -> bool:
    known = member.torrent.dialling.known.get(address)
    return known is not None and known.failures > 0


def test_who_sends_wrong_bytes_is_banned_as_a_member(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            culprit = stage.security()
            liar = await stage.member(have=ALL, security=culprit)
            liar.store.write(0, bytes(len(DATA)))
            getter = await stage.member(liar.address)
            await until(lambda: bool(getter.record.banned()))
            again = await stage.member(getter.address, security=culprit)
            await until(lambda: _has_tried(again, getter.address))
            assert getter.telling.neighbours == []

    play(story())


def test_only_who_has_shown_who_it_is_can_be_banned_as_a_member() -> None:
    async def story() -> None:
        async with Engine(bind=HOST, port=0) as engine:
            member = await take_part(engine)
            with pytest.raises(ValueError, match="can be banned by address only"):
                member.torrent.ban_member(b"", "no reason")

    play(story())


def test_a_stranger_of_another_group_is_told_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            source = await stage.member(have=ALL)
            stranger = Group(tmp_path, "others").member("stranger")
            outside = await stage.member(source.address, security=stranger)
            await until(lambda: bool(outside.record.of("unreachable")))
            assert "its TLS is not right" in outside.record.of("unreachable")[0]["reason"]
            assert source.telling.events == []

    play(story())


# ---- strangers


def handshake(info_hash: bytes) -> bytes:
    return raw_wire.encode_handshake(info_hash, PEER_ID, fast=True, extension=True)


def answer_to(address: Address, sent: bytes) -> bytes:
    """All that is said to somebody who says this."""
    with socket.create_connection(address, timeout=60) as sock:
        sock.sendall(sent)
        return read_to_end(sock)


def read_to_end(sock: socket.socket) -> bytes:
    received = b""
    try:
        while data := sock.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    return received


def answer_in_tls(address: Address, security: MemberSecurity, server_name: str, sent: bytes) -> bytes:
    with socket.create_connection(address, timeout=60) as plain:
        context = security.context(ssl.PROTOCOL_TLS_CLIENT)
        with context.wrap_socket(plain, server_hostname=server_name) as sock:
            try:
                sock.sendall(sent)
                return read_to_end(sock)
            except OSError:  # of which SSLError is one: it was closed while we spoke
                return b""


@pytest.mark.parametrize(
    "sent",
    [handshake(INFO_HASH), b"GET / HTTP/1.1\r\n\r\n", b"\x00", b"\x16" + b"garbage" * 100],
    ids=["a plain handshake", "http", "zero", "TLS, it seems"],
)
def test_who_comes_to_a_secured_torrent_without_tls_hears_nothing_of_it(tmp_path: Path, sent: bytes) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            member = await Stage(stack, tmp_path).member(have=ALL)
            answer = await asyncio.to_thread(answer_to, member.address, sent)
            assert raw_wire.encode_handshake(INFO_HASH, b"", fast=False, extension=False)[:20] not in answer
            assert answer == b"" or answer[:1] == b"\x15"  # an alert of TLS, which names nothing
            assert member.telling.events == []
            await until(lambda: not member.torrent.engine._door.strangers)

    play(story())


def test_a_plain_torrent_is_not_spoken_of_in_tls(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            security = stage.security()
            engine = await stage.engine(security)
            torrent = await engine.add(
                scene.metainfo, scene.folder("seed", with_payload=True), read_only=True
            )
            name, sent = f"{torrent.info_hash.hex()}.shoal", handshake(torrent.info_hash)
            address = (HOST, engine.port)
            assert await asyncio.to_thread(answer_in_tls, address, security, name, sent) == b""
            assert (await asyncio.to_thread(answer_to_handshake, address, sent)).startswith(b"\x13")

    play(story())


def answer_to_handshake(address: Address, sent: bytes) -> bytes:
    with socket.create_connection(address, timeout=60) as sock:
        sock.sendall(sent)
        return sock.recv(68)


def test_the_handshake_must_be_of_the_torrent_that_tls_was_made_for(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            member = await stage.member(have=ALL)
            security = stage.security()
            right, wrong = f"{INFO_HASH.hex()}.shoal", f"{bytes(20).hex()}.shoal"
            for name, is_heard in ((wrong, False), (right, True)):
                answer = await asyncio.to_thread(
                    answer_in_tls, member.address, security, name, handshake(INFO_HASH) + hello(b"de")
                )
                assert bool(answer) == is_heard
            assert member.telling.events == []

    play(story())


def hello(fields: bytes) -> bytes:
    return raw_wire.encode_message(raw_wire.MessageId.EXTENDED, b"\0" + fields)


@pytest.mark.parametrize(
    "sent", [b"", b"\x16", b"\x13"], ids=["nothing", "one byte of TLS", "one byte, plain"]
)
def test_who_dawdles_at_the_door_is_closed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("shoal.engine.neighbour.HANDSHAKE_TIMEOUT", 0.3)
    monkeypatch.setattr(door_module, "HANDSHAKE_TIMEOUT", 0.3)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            member = await Stage(stack, tmp_path).member(have=ALL)
            assert await asyncio.to_thread(answer_to, member.address, sent) == b""
            await until(lambda: not member.torrent.engine._door.strangers)
            assert not member.torrent.engine._door._callers

    play(story())


def test_a_crowd_at_the_door_keeps_out_nobody_who_shakes_hands(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            source = await stage.member(have=ALL)
            door = source.torrent.engine._door
            crowd = [socket.create_connection(source.address) for _ in range(3 * door_module.MOST_STRANGERS)]
            try:
                for number, sock in enumerate(crowd):
                    if number % 3:
                        send_anyway(sock, b"\x16" if number % 3 == 1 else b"\x13")
                await until(lambda: len(door.strangers) == door_module.MOST_STRANGERS)
                getter = await stage.member(source.address)
                await finish(getter.torrent)
                assert len(door.strangers) <= door_module.MOST_STRANGERS
            finally:
                for sock in crowd:
                    sock.close()
            await until(lambda: not door.strangers)

    play(story())


def send_anyway(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it may have been closed in favour of others
        sock.sendall(data)


def test_an_engine_is_left_while_somebody_shakes_hands(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            async with Engine(bind=HOST, port=0, security=stage.security()) as engine:  # type: ignore[arg-type]
                await take_part(engine, have=ALL, is_secured=True)
                waiting = [socket.create_connection((HOST, engine.port)) for _ in range(2)]
                waiting[1].sendall(b"\x16\x03\x01\x02\x00")
                await until(lambda: any(caller.handshake for caller in engine._door._callers))
                await until(lambda: len(engine._door._callers) == 2)
            for sock in waiting:
                with sock:
                    sock.settimeout(60)
                    assert await asyncio.to_thread(read_to_end, sock) == b""

    play(story())


def test_a_security_that_breaks_down_ends_the_torrents(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncExitStack() as stack:
            stage = Stage(stack, tmp_path)
            security = stage.security()
            member = await stage.member(have=ALL, security=security)

            async def broken(sock: socket.socket) -> object:
                raise ZeroDivisionError("a bug")

            security.secure_incoming = broken  # type: ignore[method-assign,assignment]
            assert await asyncio.to_thread(answer_to, member.address, b"\x16") == b""
            await until(member.torrent.failed.done)
            with pytest.raises(ZeroDivisionError):
                member.torrent.failed.result()

    play(story())
