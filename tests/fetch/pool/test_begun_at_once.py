"""What a group costs is paid when it is of use: loading behind the first request, hashing when somebody comes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.errors import FileError
from shoal.fetch.group import membership
from shoal.fetch.group.key import new_key
from shoal.fetch.group.keyring import Keyring
from shoal.fetch.group.signing import MemberKey
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB

from ...peers.processes import free_port
from .hostile import until
from .room import HOST, SMALL, made_up, room
from .test_resumed import getting

LOADED_AT_THE_FIRST_REQUEST = """
import json, sys
import shoal
from shoal.fetch import transfer

first = []
get = transfer.Transfers.get

async def noting(*args, **how):
    if not first:
        first.append([name for name in ("cryptography", "shoal.engine.engine") if name in sys.modules])
    return await get(*args, **how)

transfer.Transfers.get = noting
url, folder, *group = sys.argv[1:]
how = {"group": group[0], "bind": "127.0.0.1", "port": 0} if group else {}
got = shoal.get_blocking(url, folder=folder, **how)
at_the_end = [name for name in ("shoal.engine.engine",) if name in sys.modules]
print(json.dumps([first[0], at_the_end, got.length]))
"""


def loaded(url: str, folder: Path, *group: str) -> tuple[list[str], list[str], int]:
    """When the first request goes, and at the end, by a program that does nothing else; and the length of the file."""
    env = {**os.environ, "SHOAL_STATE_DIR": str(folder.parent), "SHOAL_CONFIG": os.devnull}
    command = [sys.executable, "-c", LOADED_AT_THE_FIRST_REQUEST, url, str(folder), *group]
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    first, at_the_end, length = json.loads(said.stdout)
    return first, at_the_end, length


def test_the_first_request_goes_before_anything_is_loaded_that_only_a_group_needs(tmp_path: Path) -> None:
    Keyring(tmp_path / "groups").join(new_key("room"))
    with HostileOrigin() as origin:
        origin.pages["/x"] = Page(made_up(256 * KIB))
        alone = loaded(origin.url("/x"), tmp_path / "alone")
        together = loaded(origin.url("/x"), tmp_path / "together", "room")
    assert together[0] == alone[0] == []
    assert (alone[1], together[1]) == ([], ["shoal.engine.engine"])
    assert together[2] == 256 * KIB


def run(story) -> None:
    asyncio.run(story)


def test_a_group_that_cannot_be_prepared_is_said_and_the_download_goes_on_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **how: object) -> None:
        raise FileError("/tmp: nothing can be written there")

    monkeypatch.setattr(membership, "tls_context", refuse)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body)
            got = await here.get()
            assert got.path.read_bytes() == body
            assert here.notes == ["downloads alone: group room: /tmp: nothing can be written there"]

    run(story())


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pieces that were signed, by whomever."""
    pieces = []
    sign = MemberKey.sign

    def noting(key: MemberKey, info_hash: bytes, piece: int, digest: bytes) -> bytes:
        pieces.append(piece)
        return sign(key, info_hash, piece, digest)

    monkeypatch.setattr(MemberKey, "sign", noting)
    return pieces


def test_where_nobody_is_there_nothing_is_signed(tmp_path: Path, signed: list[int]) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=512 * KIB)
            got = await here.get()
            assert got.path.read_bytes() == body
            assert not signed

    run(story())


def test_what_came_while_nobody_was_there_is_given_to_whoever_comes(
    tmp_path: Path, signed: list[int]
) -> None:
    async def story() -> None:
        port = free_port()
        async with room(tmp_path) as here:
            here.serve(made_up(SMALL), rate=512 * KIB)
            async with getting(here, port=port) as first:
                await until(lambda: first.here > SMALL // 2)
                assert not signed
                here.serve(made_up(SMALL), stalls_after=16 * KIB)
                here.peers[:] = [(HOST, port)]
                async with getting(here, number=2) as new:
                    await until(lambda: new.brought(is_us=False) > SMALL // 3)
                    assert sum(one.had for one in new.seen.members) == 0, "it was fetched for this download"

    run(story())
