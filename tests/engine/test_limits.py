"""Transfers below a limit, over real sockets: they complete, nobody is taken for dead, and nothing comes twice."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from shoal.engine.engine import Engine
from shoal.engine.torrent import Torrent
from shoal.net.limited_link import LimitedLink
from shoal.net.link import PeerLink
from shoal.net.sockets import Address
from shoal.swarm import pipeline
from shoal.swarm.known_peers import Source
from shoal.testing.build import make_payload
from shoal.testing.scripted_peer import Script
from shoal.units import KIB, MIB

from .scene import HOST, LOOPS, Scene, finish, play, until

LIMITS: list[dict[str, int]] = [
    {"max_upload_rate": 400 * KIB},
    {"max_download_rate": 400 * KIB},
    {"max_upload_rate": 400 * KIB, "max_download_rate": 400 * KIB},
]


class Crowd:
    """Seeds and leechers of one scene, each an engine of its own with its limits."""

    def __init__(self, scene: Scene, stack: AsyncExitStack) -> None:
        self._scene = scene
        self._stack = stack

    async def seed(self, name: str, **limits: Any) -> Address:
        engine = await self._stack.enter_async_context(Engine(bind=HOST, port=0, **limits))
        folder = self._scene.folder(name, with_payload=True)
        await engine.add(self._scene.metainfo, folder, read_only=True)
        return HOST, engine.port

    async def leecher(self, name: str, *peers: Address, **limits: Any) -> Torrent:
        engine = await self._stack.enter_async_context(Engine(bind=HOST, port=0, **limits))
        return await engine.add(self._scene.metainfo, self._scene.folder(name), peers=peers)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("limits", LIMITS, ids=" ".join)
def test_a_limited_download_completes_and_is_right(tmp_path: Path, loop: str, limits: dict[str, int]) -> None:
    scene = Scene(tmp_path, make_payload(300_001))

    async def story() -> None:
        async with AsyncExitStack() as stack:
            crowd = Crowd(scene, stack)
            torrent = await crowd.leecher("get", await crowd.seed("seed"), **limits)
            await finish(torrent)

    play(story(), loop=loop)
    assert scene.got() == scene.data


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("limits", LIMITS, ids=" ".join)
def test_a_limited_seed_serves_several(tmp_path: Path, loop: str, limits: dict[str, int]) -> None:
    scene = Scene(tmp_path, make_payload(200_001))

    async def story() -> None:
        async with AsyncExitStack() as stack:
            crowd = Crowd(scene, stack)
            address = await crowd.seed("seed", **limits)
            torrents = [await crowd.leecher(f"get{number}", address) for number in range(3)]
            for torrent in torrents:
                await finish(torrent)

    play(story(), loop=loop)
    assert [scene.got(f"get{number}") for number in range(3)] == [scene.data] * 3


@pytest.mark.parametrize(
    ("seed_limits", "leecher_limits"),
    [({}, {"max_download_rate": 10 * KIB}), ({"max_upload_rate": 5 * KIB}, {})],
    ids=["ours as leecher", "ours as seed"],
)
def test_a_block_that_takes_seconds_is_neither_taken_for_silence_nor_asked_for_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed_limits: dict[str, int],
    leecher_limits: dict[str, int],
) -> None:
    monkeypatch.setattr(pipeline, "SILENCE_BEFORE_SNUB", 2.5)  # a block takes 3.2 s
    scene = Scene(tmp_path, make_payload(64 * KIB), piece_length=16 * KIB)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            crowd = Crowd(scene, stack)
            seeds = [await crowd.seed(f"seed{number}", **seed_limits) for number in range(2)]
            torrent = await crowd.leecher("get", *seeds, **leecher_limits)
            peers = torrent.swarm.peers
            await until(lambda: len(peers) == 2)
            everybody = list(peers.values())
            await until(lambda: torrent.completed.is_set() or any(peer.is_snubbed for peer in everybody))
            assert [peer.is_snubbed for peer in everybody] == [False, False]
            assert [peer.wasted for peer in everybody] == [0, 0]

    play(story())
    assert scene.got() == scene.data


def test_a_download_does_not_wait_for_a_limited_upload_to_others(tmp_path: Path) -> None:
    """Its requests go before the blocks that it sends, and are few: 2 MiB are asked for with 2 KiB."""
    scene = Scene(tmp_path, make_payload(2 * MIB))

    async def story() -> None:
        async with AsyncExitStack() as stack:
            crowd = Crowd(scene, stack)
            middle = await crowd.leecher("middle", max_upload_rate=2 * KIB)
            end = await crowd.leecher("end", (HOST, middle.engine.port))
            await until(lambda: bool(middle.neighbours))
            with scene.scripted(Script(seed=1)) as source:
                middle.dialling.learn([source.listen()], Source.HAND)
                await finish(middle)
            assert end.left_bytes > MIB

    play(story())
    assert scene.got("middle") == scene.data


def test_only_links_below_a_limit_are_limited_links(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        silent = Script(unchokes=False)
        with scene.scripted(silent) as one, scene.scripted(silent) as other:
            async with AsyncExitStack() as stack:
                crowd = Crowd(scene, stack)
                free = await crowd.leecher("free", one.listen())
                limited = await crowd.leecher("limited", other.listen(), max_download_rate=10 * MIB)
                await until(lambda: bool(free.neighbours) and bool(limited.neighbours))
                assert [type(neighbour.link) for neighbour in free.neighbours.values()] == [PeerLink]
                assert [type(neighbour.link) for neighbour in limited.neighbours.values()] == [LimitedLink]

    play(story())
