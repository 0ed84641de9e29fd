"""Peers that lie, stall, flood and break off: the file comes out right, and the honest are served on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from shoal.engine import door as door_module
from shoal.engine import neighbour as neighbour_module
from shoal.swarm import pipeline
from shoal.swarm.known_peers import Source
from shoal.testing import raw_wire
from shoal.testing.build import make_payload
from shoal.testing.raw_wire import MessageId
from shoal.testing.scripted_peer import Script
from shoal.units import KIB

from .scene import HOST, LOOPS, PATIENCE, Record, Scene, finish, play, until


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("share", [1.0, 0.05])
def test_a_corrupting_peer_among_good_ones_is_named_and_nobody_else(
    tmp_path: Path, share: float, loop: str
) -> None:
    scene = Scene(tmp_path, make_payload(8192 * KIB), piece_length=256 * KIB)
    record = Record()

    async def story() -> None:
        slow = 0.005  # seconds a block of the honest: they cannot be done before the liar has had its say
        scripts = [
            Script(corrupt_share=share, seed=1),
            *(Script(seed=seed, block_delay=slow) for seed in (2, 3)),
        ]
        with ExitStack() as stack:
            liar, *honest = [stack.enter_context(scene.scripted(script)) for script in scripts]
            addresses = [peer.listen() for peer in (liar, *honest)]
            async with scene.getting(peers=addresses, report=record) as torrent:
                await finish(torrent)
                assert liar.corrupted
                assert set(record.banned()) == {f"{HOST}:{addresses[0][1]}"}
                assert len(record.banned()) == 1
                assert torrent.dialling.known.is_banned(addresses[0])

    play(story(), loop=loop)
    assert scene.got() == scene.data


def test_a_liar_that_was_banned_does_not_come_back_from_another_port(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        hello = b"d1:pi%dee"
        with scene.scripted(Script(corrupt_share=1.0)) as liar:
            address = liar.listen()
            async with scene.getting(peers=[address]) as torrent:
                await until(lambda: torrent.dialling.known.is_banned(address))
                again = scene.scripted(Script(extension=True, extended_handshake=hello % address[1]))
                with again:
                    talk = again.connect((HOST, torrent.engine.port))
                    await until(lambda: bool(talk.end))
                    assert not torrent.neighbours

    play(story())


def test_a_peer_that_names_a_thousand_ports_is_known_by_the_first(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    hellos = [
        raw_wire.encode_message(MessageId.EXTENDED, b"\0d1:pi%dee" % port) for port in range(2000, 3000)
    ]
    last = raw_wire.encode_message(MessageId.HAVE, bytes([0, 0, 0, 1]))

    async def story() -> None:
        async with scene.seeding() as (torrent, address):
            script = Script(extension=True, opening=b"".join(hellos) + last)
            with scene.scripted(script, pieces={0}) as wanderer:
                wanderer.connect(address)
                await until(lambda: any(peer.has == 0b11 for peer in torrent.swarm.peers.values()))
                assert len(torrent.dialling.known) == 1
                assert torrent.dialling.known.get((HOST, 2000)) is not None

    play(story())


def test_a_peer_that_stalls_loses_its_requests_to_others_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SILENCE_BEFORE_SNUB", 1.0)
    scene = Scene(tmp_path, make_payload(4096 * KIB))

    async def story() -> None:
        with scene.scripted(Script(stall_after_blocks=5)) as staller, scene.scripted(Script(seed=1)) as good:
            stalled_at = staller.listen()
            async with scene.getting(peers=[stalled_at]) as torrent:
                await until(lambda: staller.blocks_sent == 5)
                torrent.dialling.known.add([good.listen()], Source.HAND, torrent.engine.now())
                await finish(torrent)

    play(story())
    assert scene.got() == scene.data


def test_a_peer_that_breaks_off_in_the_middle_of_a_block_leaves_no_trace(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        with (
            scene.scripted(Script(close_after_bytes=100_000)) as broken,
            scene.scripted(Script(seed=1)) as good,
        ):
            async with scene.getting(peers=[broken.listen(), good.listen()]) as torrent:
                await finish(torrent)

    play(story())
    assert scene.got() == scene.data


BAD_OPENINGS = {
    "oversize frame": raw_wire.OVERSIZE_LENGTH,
    "requests out of range": raw_wire.requests_out_of_range(16, 64 * KIB),
    "a have out of range": raw_wire.encode_message(MessageId.HAVE, (16).to_bytes(4, "big")),
    "a second bitfield": raw_wire.encode_message(MessageId.HAVE_ALL),
    "a bitfield of the wrong length": raw_wire.encode_message(MessageId.BITFIELD, b"\xff" * 9),
    "an extension's message without a number": raw_wire.encode_message(MessageId.EXTENDED),
    "an extension's handshake that is no dictionary": raw_wire.encode_message(MessageId.EXTENDED, b"\0li1ee"),
    "noise": raw_wire.garbage(1),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("opening", BAD_OPENINGS.values(), ids=list(BAD_OPENINGS))
def test_who_breaks_the_protocol_is_dropped_and_others_are_served(
    tmp_path: Path, opening: bytes, loop: str
) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        with scene.scripted(Script(opening=opening), pieces={0}) as bad:
            async with scene.seeding() as (seed, address):
                talk = bad.connect(address)
                await until(lambda: bool(talk.end))
                async with scene.getting(peers=[address]) as torrent:
                    await finish(torrent)
                assert seed.failed.done() is False

    play(story(), loop=loop)
    assert scene.got() == scene.data


@pytest.mark.parametrize(
    "handshake",
    [
        raw_wire.garbage(2),
        b"GET / HTTP/1.1\r\n\r\n",
        raw_wire.encode_handshake(bytes(20), b"-XX0000-abcdefghijkl", fast=True, extension=True),
    ],
    ids=["noise", "http", "another torrent"],
)
def test_a_wrong_handshake_ends_the_connection(tmp_path: Path, handshake: bytes) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        with scene.scripted(Script(handshake=handshake)) as bad:
            async with scene.seeding() as (torrent, address):
                talk = bad.connect(address)
                await until(lambda: bool(talk.end))
                assert not torrent.engine._neighbours

    play(story())


def test_a_handshake_that_comes_too_slowly_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_module, "HANDSHAKE_TIMEOUT", 0.3)
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.seeding() as (torrent, address):
            assert await asyncio.to_thread(dawdle, address) == b""
            await until(lambda: not torrent.engine._neighbours)

    play(story())


def dawdle(address: tuple[str, int]) -> bytes:
    """Say the beginning of a handshake, byte by byte. -> What is heard until the end."""
    sock = socket.create_connection(address, timeout=PATIENCE)
    with sock, contextlib.suppress(ConnectionError):  # on a busy machine the last of them come after the end
        for byte in b"\x13BitTorr":
            sock.sendall(bytes([byte]))
            time.sleep(0.02)
        return sock.recv(100)
    return b""


@pytest.mark.parametrize("loop", LOOPS)
def test_a_crowd_that_says_nothing_keeps_nobody_out(tmp_path: Path, loop: str) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.seeding() as (torrent, address):
            crowd = [socket.create_connection(address) for _ in range(3 * door_module.MOST_STRANGERS)]
            try:
                async with scene.getting(peers=[address]) as getter:
                    await finish(getter)
                assert len(torrent.engine._neighbours) <= door_module.MOST_STRANGERS + 1
            finally:
                for sock in crowd:
                    sock.close()

    play(story(), loop=loop)
    assert scene.got() == scene.data


def test_a_flood_of_requests_while_choked_is_refused_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbour_module, "MOST_UNREAD", 256 * KIB)
    scene = Scene(tmp_path)
    record = Record()

    async def story() -> None:
        async with scene.seeding(report=record) as (_, address):
            reader, writer = await asyncio.open_connection(*address, limit=2**16)
            handshake = raw_wire.encode_handshake(
                scene.metainfo.wire_hash, b"-XX0000-abcdefghijkl", fast=True, extension=False
            )
            writer.write(handshake)
            flood = raw_wire.request_flood(10_000)
            with pytest.raises(ConnectionError):  # it does not read the answers
                while True:
                    writer.write(flood)
                    await writer.drain()
            writer.close()
            assert reader
            await until(lambda: bool(record.of("disconnected")))
            async with scene.getting(peers=[address]) as getter:
                await finish(getter)

    play(story())
    assert "does not read" in record.of("disconnected")[0]["reason"]


def test_a_flood_of_requests_while_unchoked_is_answered_in_bounded_memory(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        interested = raw_wire.encode_message(MessageId.INTERESTED)
        with scene.scripted(Script(opening=interested), pieces=set()) as greedy:
            async with scene.seeding() as (torrent, address):
                talk = greedy.connect(address)
                await until(lambda: bool(talk.of(MessageId.UNCHOKE)))
                await asyncio.to_thread(talk.sock.sendall, raw_wire.request_flood(20_000))
                await until(lambda: len(talk.of(MessageId.REJECT)) > 1_000)
                (peer,) = torrent.swarm.peers.values()
                assert len(peer.uploads) <= 2_000
                async with scene.getting(peers=[address]) as getter:
                    await finish(getter)

    play(story())
    assert scene.got() == scene.data


@pytest.mark.parametrize("loop", LOOPS)
def test_many_slow_readers_all_get_the_right_bytes(
    tmp_path: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buffers are used again while links still send from others: each byte is compared at its receiver."""
    monkeypatch.setattr(
        "shoal.engine.outgoing.CACHE_BYTES", 256 * KIB
    )  # so that units are retired all the time
    scene = Scene(tmp_path, make_payload(2048 * KIB), piece_length=64 * KIB)

    async def story() -> None:
        async with scene.seeding() as (_, address):
            await asyncio.gather(*(read_slowly(scene, address, number) for number in range(4)))

    play(story(), loop=loop)


async def read_slowly(scene: Scene, address: tuple[str, int], number: int) -> None:
    """Ask for the whole torrent in an order of its own, and read it in sips through a small socket buffer."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
    sock.connect(address)
    reader, writer = await asyncio.open_connection(sock=sock, limit=16 * KIB)
    peer_id = b"-XX0000-%012d" % number
    writer.write(
        raw_wire.encode_handshake(scene.metainfo.wire_hash, peer_id, fast=True, extension=False)
        + raw_wire.encode_message(MessageId.HAVE_NONE)
        + raw_wire.encode_message(MessageId.INTERESTED)
    )
    await reader.readexactly(raw_wire.HANDSHAKE_LENGTH)
    got = bytearray(len(scene.data))
    missing = {(piece, begin) for piece in range(32) for begin in range(0, 64 * KIB, raw_wire.BLOCK_LENGTH)}
    order = sorted(missing, key=lambda block: hash((block, number)))
    while missing:
        length = int.from_bytes(await reader.readexactly(4), "big")
        body = await reader.readexactly(length)
        if body[0] == MessageId.UNCHOKE:
            writer.write(b"".join(raw_wire.encode_request(*block) for block in order if block in missing))
        elif body[0] == MessageId.PIECE:
            piece, begin = int.from_bytes(body[1:5], "big"), int.from_bytes(body[5:9], "big")
            offset = piece * scene.piece_length + begin
            got[offset : offset + len(body) - 9] = body[9:]
            missing.discard((piece, begin))
            await asyncio.sleep(0.001)
    writer.close()
    assert got == scene.data


@pytest.mark.parametrize("loop", LOOPS)
def test_a_seed_whose_file_is_cut_serves_what_is_left(tmp_path: Path, loop: str) -> None:
    scene = Scene(tmp_path)
    record = Record()

    async def story() -> None:
        async with scene.seeding(report=record) as (seed, address):
            os.truncate(tmp_path / "seed/payload", 512 * KIB)
            with scene.scripted() as other:  # it has what the seed has lost: the seed does not take it
                there = other.listen()
                async with scene.getting(peers=[address]) as torrent:
                    await until(lambda: bool(record.of("unreadable")))
                    torrent.dialling.learn([there], Source.HAND)
                    seed.dialling.learn([there], Source.HAND)
                    await finish(torrent)
                assert not seed.failed.done()

    play(story(), loop=loop)
    assert scene.got() == scene.data
    assert (tmp_path / "seed/payload").stat().st_size == 512 * KIB


def test_a_seed_whose_file_vanishes_lives_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    record = Record()

    async def story() -> None:
        async with scene.seeding(report=record) as (seed, address):
            (tmp_path / "seed/payload").unlink()
            seed.storage._open_files.close()  # as if many other files had been in use since
            async with scene.getting(peers=[address]) as torrent:
                await until(lambda: bool(record.of("unreadable")))
                assert not torrent.failed.done()
            assert not seed.failed.done()

    play(story())


def test_a_leecher_that_is_corrupted_from_all_sides_keeps_asking_and_believes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        with (
            scene.scripted(Script(corrupt_share=1.0)) as one,
            scene.scripted(Script(corrupt_share=1.0, seed=1)) as two,
        ):
            async with scene.getting(peers=[one.listen(), two.listen()]) as torrent:
                await until(lambda: not torrent.neighbours and one.blocks_sent > 0 and two.blocks_sent > 0)
                assert torrent.have_bytes == 0
                with scene.scripted(Script(seed=2)) as good:
                    torrent.dialling.learn([good.listen()], Source.HAND)
                    await finish(torrent)

    play(story())
    assert scene.got() == scene.data
