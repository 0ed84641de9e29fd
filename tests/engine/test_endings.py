"""However it ends (stopped, cancelled, broken), an engine ends: locks are let go, and what was right is remembered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal.disk.state import TorrentState, state_dir
from shoal.disk.storage import Storage
from shoal.engine import opening
from shoal.engine.engine import Engine
from shoal.engine.torrent import Torrent
from shoal.errors import DiskFullError, ExistsError, FileError
from shoal.testing.build import make_payload
from shoal.testing.scripted_peer import Script
from shoal.units import KIB

from .scene import HOST, LOOPS, PATIENCE, Scene, finish, play, until


def remembered(scene: Scene, name: str = "get") -> int:
    """The pieces on record, read as the next start would; fails if the state is still locked."""
    state = TorrentState.open(state_dir(), scene.metainfo.wire_hash, scene.root / name)
    try:
        found = state.load()
        return found.have_bits if found else 0
    finally:
        state.close()


def slowly(function: Callable[..., Any], seconds: float = 0.05) -> Callable[..., Any]:
    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(seconds)
        return function(*arguments, **options)

    return slow


def breaking(error: BaseException) -> Callable[..., Any]:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    return broken


@pytest.mark.parametrize("loop", LOOPS)
def test_pieces_on_their_way_to_the_disk_at_the_end_still_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    monkeypatch.setattr(Storage, "write", slowly(Storage.write))
    scene = Scene(tmp_path)

    async def story() -> None:
        with scene.scripted() as source:
            async with scene.getting(peers=[source.listen()]) as torrent:
                await until(lambda: source.blocks_sent == 64 and torrent.have_bytes > 0)

    play(story(), loop=loop)
    whole = remembered(scene)
    assert whole
    data = scene.got()
    for piece in range(16):
        part = slice(piece * 64 * KIB, (piece + 1) * 64 * KIB)
        assert bool(whole >> piece & 1) == (data[part] == scene.data[part])


def test_a_stop_while_saving_waits_for_the_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "sync", slowly(Storage.sync, 0.3))
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address]) as torrent:
            await finish(torrent)
            torrent._saving.tick(torrent.engine.now() + 60, torrent.swarm.pieces.have, torrent.ledger)
            assert not torrent._saving._idle.is_set()

    play(story())
    assert remembered(scene) == 0xFFFF


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("where", ["write", "sync"])
def test_a_bug_in_a_worker_ends_the_wait_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, loop: str
) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address]) as torrent:
            monkeypatch.setattr(torrent.storage, where, breaking(ZeroDivisionError("a bug")))
            if where == "write":
                with pytest.raises(ZeroDivisionError):
                    await finish(torrent)
            else:
                await finish(torrent)

    play(asyncio.wait_for(story(), 60), loop=loop)  # type: ignore[arg-type]
    remembered(scene)


def test_a_disk_that_is_full_at_the_end_is_told_and_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    torrents: list[Torrent] = []

    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address]) as torrent:
            torrents.append(torrent)
            await finish(torrent)
            monkeypatch.setattr(torrent.storage, "sync", breaking(DiskFullError("disk full: here")))

    play(story())
    assert isinstance(torrents[0].save_error, DiskFullError)
    assert remembered(scene) == 0


def test_a_write_that_fails_ends_the_torrent_and_asks_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, make_payload(4096 * KIB))

    async def story() -> None:
        with scene.scripted(Script(block_delay=0.02)) as source:
            async with scene.getting(peers=[source.listen()]) as torrent:
                monkeypatch.setattr(torrent.storage, "write", breaking(DiskFullError("disk full: here")))
                with pytest.raises(DiskFullError):
                    await finish(torrent)
                await until(lambda: all(peer.owed_count == 0 for peer in torrent.swarm.peers.values()))
                assert source.blocks_sent < 256

    play(story())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("error", [FileError("the log cannot be written"), ZeroDivisionError("a bug")])
def test_an_error_in_a_callback_ends_the_torrent_with_itself(
    tmp_path: Path, error: Exception, loop: str, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(tmp_path)

    def report(event: str, **_: Any) -> None:
        if event == "piece":
            raise error

    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address], report=report) as torrent:
            with pytest.raises(type(error)):
                await finish(torrent)

    play(story(), loop=loop)
    assert capfd.readouterr().err == ""


def test_an_add_that_is_cancelled_lets_go_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, is_checking, may_go_on = opening._find_good_pieces, threading.Event(), threading.Event()

    def held(*arguments: Any, **options: Any) -> Any:
        is_checking.set()
        may_go_on.wait(PATIENCE)
        return find(*arguments, **options)

    monkeypatch.setattr(opening, "_find_good_pieces", held)
    scene = Scene(tmp_path)

    async def story() -> None:
        async with Engine(bind=HOST, port=0) as engine:
            adding = asyncio.ensure_future(engine.add(scene.metainfo, scene.folder("get")))
            await until(is_checking.is_set)
            adding.cancel()
            may_go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await adding
            assert not engine.torrents

    play(story())  # ends after its threads have
    assert remembered(scene) == 0


def test_an_add_that_fails_leaves_the_others_as_they_should_be(tmp_path: Path) -> None:
    scene, other = Scene(tmp_path), Scene(tmp_path, make_payload(1024 * KIB, 1))
    (scene.folder("elsewhere") / "payload").write_bytes(b"foreign")

    async def story() -> None:
        async with scene.seeding() as (_, address), scene.getting(peers=[address]) as torrent:
            await finish(torrent)
            await torrent.engine.add(other.metainfo, scene.folder("elsewhere"))

    with pytest.raises(ExistsError, match="is not part of this torrent"):
        play(story())
    assert remembered(scene) == 0xFFFF
    remembered(other, "elsewhere")


def test_a_torrent_that_cannot_stop_does_not_keep_the_others_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Scene(tmp_path), Scene(tmp_path, make_payload(1024 * KIB, 1))
    one.folder("seed", with_payload=True)
    two.folder("get")

    async def story() -> None:
        async with two.seeding(name="seed2") as (_, address), Engine(bind=HOST, port=0) as engine:
            broken = await engine.add(one.metainfo, one.folder("seed"), read_only=True)
            torrent = await engine.add(two.metainfo, two.folder("get"), peers=[address])
            await finish(torrent)
            monkeypatch.setattr(broken.dialling, "stop", breaking(ZeroDivisionError("a bug")))

    with pytest.raises(ZeroDivisionError):
        play(story())
    assert remembered(two) == 0xFFFF
    remembered(one, "seed")
