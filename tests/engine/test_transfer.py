"""Torrents over real sockets: from one to another, through restarts, doubles and closed doors."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from shoal.engine import neighbour as neighbour_module
from shoal.engine import saving
from shoal.engine.engine import Engine
from shoal.errors import ExistsError
from shoal.formats.metainfo import parse_metainfo
from shoal.net.addresses import url_host
from shoal.protocol.peer.peer_id import make_peer_id
from shoal.swarm import known_peers
from shoal.swarm.known_peers import Source
from shoal.testing.build import build_torrent, make_payload, write_payload
from shoal.testing.scripted_peer import Script
from shoal.tracker.server import Doors, serve
from shoal.tracker.tracker import Tracker
from shoal.units import KIB

from .scene import HOST, LOOPS, Record, Scene, finish, play, until

ROOT_LENGTH = 16 * KIB


@pytest.mark.parametrize("loop", LOOPS)
def test_a_file_goes_from_a_seed_to_a_leecher(tmp_path: Path, loop: str) -> None:
    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address]) as torrent:
            await finish(torrent)
            assert torrent.ledger.received == len(scene.data)

    scene = Scene(tmp_path, make_payload(3_000_001))
    play(story(), loop=loop)
    assert scene.got() == scene.data


@pytest.mark.parametrize("loop", LOOPS)
def test_a_folder_goes_from_a_seed_to_a_leecher(tmp_path: Path, loop: str) -> None:
    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address]) as torrent:
            await finish(torrent)

    files = {"a/one": make_payload(100_000, 1), "a/two": make_payload(70_000, 2), "empty": b"", "z": b"!"}
    scene = Scene(tmp_path, files)
    play(story(), loop=loop)
    got = {path: (tmp_path / "get/payload" / path).read_bytes() for path in files}
    assert got == files


@pytest.mark.parametrize("loop", LOOPS)
def test_pieces_too_large_for_a_buffer_go_block_by_block(tmp_path: Path, loop: str) -> None:
    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address]) as torrent:
            await finish(torrent)

    scene = Scene(tmp_path, make_payload(40_000_000), piece_length=32 * 1024 * KIB)
    play(story(), loop=loop)
    assert scene.got() == scene.data


def test_three_with_different_parts_and_no_seed_complete_one_another(tmp_path: Path) -> None:
    scene = Scene(tmp_path, make_payload(48 * 64 * KIB))

    async def story() -> None:
        addresses: list[tuple[str, int]] = []
        engines = [Engine(bind=HOST, port=0) for _ in range(3)]
        async with engines[0], engines[1], engines[2]:
            torrents = []
            for third, engine in enumerate(engines):
                folder = scene.folder(f"part{third}")
                data = bytearray(len(scene.data))
                for piece in range(third, 48, 3):
                    start = piece * scene.piece_length
                    data[start : start + scene.piece_length] = scene.data[start : start + scene.piece_length]
                (folder / "payload").write_bytes(data)
                torrents.append(await engine.add(scene.metainfo, folder, peers=addresses))
                assert torrents[-1].swarm.pieces.have.bit_count() == 16
                addresses.append((HOST, engine.port))
            for torrent in torrents:
                await finish(torrent)

    play(story())
    assert {scene.got(f"part{third}") for third in range(3)} == {scene.data}


def test_ipv6_is_spoken_from_end_to_end(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with (
            scene.seeding(bind="::1") as (_, address),
            scene.getting(bind="::1", peers=[address]) as torrent,
        ):
            await finish(torrent)

    play(story())
    assert scene.got() == scene.data


def test_without_bind_both_families_are_served_on_one_port(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with Engine(port=0) as engine:
            folder = scene.folder("seed", with_payload=True)
            await engine.add(scene.metainfo, folder, read_only=True)
            for host in ("127.0.0.1", "::1"):
                async with scene.getting(
                    bind=host, name=url_host(host), peers=[(host, engine.port)]
                ) as torrent:
                    await finish(torrent)

    play(story())


def test_bind_is_kept_by_outgoing_connections_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    record = Record()

    async def story() -> None:
        async with (
            scene.seeding(bind="127.0.0.3", report=record) as (_, address),
            scene.getting(bind="127.0.0.2", peers=[address]) as torrent,
        ):
            await finish(torrent)

    play(story())
    assert {fields["peer"].partition(":")[0] for fields in record.of("connected")} == {"127.0.0.2"}


def test_who_dials_itself_notices_and_leaves_it_at_that(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.getting() as torrent:
            address = (HOST, torrent.engine.port)
            torrent.dialling.learn([address], Source.HAND)
            await until(lambda: bool((known := torrent.dialling.known.get(address)) and known.is_self))
            assert not torrent.neighbours

    play(story())


@pytest.mark.parametrize("first_id_is_higher", [True, False])
def test_of_two_that_dial_each_other_at_once_one_connection_stays(
    tmp_path: Path, first_id_is_higher: bool
) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.getting(name="one") as one, scene.getting(name="two") as two:
            one.engine.peer_id = make_peer_id((b"\xff" if first_id_is_higher else b"\x00") * 12)
            two.engine.peer_id = make_peer_id(b"\x80" * 12)
            one.dialling.learn([(HOST, two.engine.port)], Source.HAND)
            two.dialling.learn([(HOST, one.engine.port)], Source.HAND)
            links = (one.engine._neighbours, two.engine._neighbours)

            def is_settled() -> bool:
                """Before the second connection is there, the first may be the one that is to go."""
                if [len(each) for each in links] != [1, 1] or not (one.neighbours and two.neighbours):
                    return False
                (mine,), (theirs,) = one.neighbours.values(), two.neighbours.values()
                return mine.is_outgoing == first_id_is_higher != theirs.is_outgoing

            await until(is_settled)
            (mine,), (theirs,) = one.neighbours.values(), two.neighbours.values()
            assert mine.peer is not None and not mine.is_closed
            assert theirs.peer is not None and not theirs.is_closed

    play(story())


def test_a_peer_that_dials_twice_is_connected_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        with scene.scripted(pieces=set()) as peer:
            async with scene.seeding() as (torrent, address):
                peer.connect(address)
                await until(lambda: len(torrent.neighbours) == 1)
                second = peer.connect(address)
                await until(lambda: bool(second.end))
                assert len(torrent.neighbours) == 1

    play(story())


def test_a_seed_that_restarts_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_peers, "FIRST_REST", 0.2)
    scene = Scene(tmp_path)

    async def story() -> None:
        with scene.scripted(Script(close_after_bytes=200_000)) as dying:
            address = dying.listen()
            async with scene.getting(peers=[address]) as torrent:
                await until(lambda: torrent.have_bytes > 0)
                dying.close()
                await until(lambda: not torrent.neighbours)
                async with scene.seeding(port=address[1]):
                    await finish(torrent)

    play(story())
    assert scene.got() == scene.data


def test_all_peers_gone_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_peers, "FIRST_REST", 0.2)
    scene = Scene(tmp_path)

    async def story() -> None:
        with (
            scene.scripted(Script(stall_after_blocks=3)) as one,
            scene.scripted(Script(stall_after_blocks=2, seed=1)) as two,
        ):
            addresses = [one.listen(), two.listen()]
            async with scene.getting(peers=addresses) as torrent:
                await until(lambda: one.blocks_sent == 3 and two.blocks_sent == 2)
                one.close()
                two.close()
                await until(lambda: not torrent.neighbours)
                with scene.scripted() as again:
                    again.listen(port=addresses[1][1])
                    await finish(torrent)

    play(story())
    assert scene.got() == scene.data


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_a_tracker_that_comes_late_is_found(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.swarm.tiers.FIRST_BACKOFF", 0.2)
    scene = Scene(tmp_path)
    record = Record()
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    trackers = ((f"{scheme}://{HOST}:{port}/announce",),)

    async def story() -> None:
        async with scene.getting(trackers=trackers, report=record) as torrent:
            await until(lambda: bool(record.of("tracker")))
            doors = Doors(binds=(HOST,), port=port)
            async with serve(Tracker(), doors=doors), scene.seeding(trackers=trackers):
                await finish(torrent)

    play(story())
    assert scene.got() == scene.data


def test_a_torrent_runs_once_in_an_engine(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.getting() as torrent:
            with pytest.raises(ExistsError, match="running already"):
                await torrent.engine.add(scene.metainfo, scene.folder("other"))

    play(story())


def test_many_torrents_share_one_engine(tmp_path: Path) -> None:
    async def story() -> None:
        async with Engine(bind=HOST, port=0) as seed, Engine(bind=HOST, port=0) as leecher:
            torrents = []
            for number in range(20):
                data = make_payload(50_000, number)
                name = f"file{number}"
                metainfo = parse_metainfo(build_torrent(data, name=name, piece_length=ROOT_LENGTH))
                write_payload(seeds, data, name=name)
                await seed.add(metainfo, seeds, read_only=True)
                torrents.append(await leecher.add(metainfo, gets, peers=[(HOST, seed.port)]))
            await asyncio.gather(*(finish(torrent) for torrent in torrents))

    seeds, gets = tmp_path / "seeds", tmp_path / "gets"
    seeds.mkdir()
    play(story())
    assert {path.name: path.read_bytes() for path in seeds.iterdir()} == {
        path.name: path.read_bytes() for path in gets.iterdir()
    }


def test_what_the_state_claims_is_on_the_disk_when_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SAVE_AFTER", 128 * KIB)
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address]) as torrent:
            record = torrent._saving._state.record
            claims: list[tuple[int, bytes]] = []

            def spy(have: int, *arguments: object, **totals: int) -> None:
                claims.append((have, (tmp_path / "get/payload").read_bytes()))
                record(have, *arguments, **totals)  # type: ignore[arg-type]

            monkeypatch.setattr(torrent._saving._state, "record", spy)
            await finish(torrent)
        assert claims
        for have, data in claims:
            for piece in range(scene.metainfo.layout.piece_count):
                if have >> piece & 1:
                    part = slice(piece * scene.piece_length, (piece + 1) * scene.piece_length)
                    assert data[part] == scene.data[part]

    play(story())


def test_silence_is_broken_by_a_keep_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_module, "KEEP_ALIVE_AFTER", 0.1)
    scene = Scene(tmp_path)

    async def story() -> None:
        with scene.scripted(pieces=set()) as peer:
            async with scene.seeding() as (_, address):
                peer.connect(address)
                await asyncio.to_thread(
                    peer.wait_until, lambda: any(message.message_id == -1 for message in peer.received)
                )

    play(story())
