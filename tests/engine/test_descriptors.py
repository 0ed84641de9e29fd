"""Descriptors: none is left behind, and to have none left is not the end."""

from __future__ import annotations

import asyncio
import resource
import socket
from pathlib import Path

import pytest

from shoal.engine.door import Door
from shoal.testing import raw_wire

from .scene import Scene, play, until


def test_no_descriptor_is_left_behind_by_short_connections(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.seeding() as (torrent, address):
            before = descriptors()
            handshake = raw_wire.encode_handshake(
                scene.metainfo.wire_hash, b"-XX0000-abcdefghijkl", fast=True, extension=False
            )
            for number in range(200):
                with socket.create_connection(address) as sock:
                    sock.sendall((b"", handshake[:30], handshake, handshake + b"\0\0\0\1\2")[number % 4])
                await asyncio.sleep(0)
            await until(lambda: not torrent.engine._neighbours)
            await until(lambda: descriptors() <= before)

    play(story())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_when_no_descriptor_is_left_the_loop_does_not_spin_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)

    async def story() -> None:
        async with scene.seeding() as (torrent, address):
            calls = 0
            accept = Door._accept

            def counted(door: Door, listening: socket.socket) -> None:
                nonlocal calls
                calls += 1
                accept(door, listening)

            monkeypatch.setattr(Door, "_accept", counted)
            torrent.engine._door.pause()
            torrent.engine._door.begin()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            client = socket.socket()
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() - 1, hard))
            try:
                await asyncio.get_running_loop().run_in_executor(None, client.connect, address)
                await until(lambda: calls > 0)
                await asyncio.sleep(0.2)
                assert calls < 5
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: bool(torrent.engine._door.strangers))
            client.close()

    play(story())
