"""A hostile member in a room: in the group by its key, told of to requesters, and doing what its script says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from shoal.fetch.group.certificates import authority_certificate, member_certificate, tls_context
from shoal.fetch.group.signing import MemberKey, new_member_key
from shoal.fetch.pieces import piece_length_for
from shoal.testing.hostile_member import HostileMember, MemberScript
from shoal.testing.member_line import MemberLine

from .room import HOST, LONGEST, Room

MOST_SENT = (
    2.2  # times the file, by the origin: what comes late is fetched by a second one, and some is audited
)
NOBODY = MemberScript(claims=False)


def other(body: bytes) -> bytes:
    """As long as it, and different everywhere."""
    return bytes(byte ^ 0xFF for byte in body)


@asynccontextmanager
async def hostile(
    here: Room,
    body: bytes,
    script: MemberScript = NOBODY,
    *,
    key: MemberKey | None = None,
    known: bool = True,
) -> AsyncIterator[HostileMember]:
    """`body`: what it says that the origin sends; `known`: requesters dial it."""
    member = key or new_member_key()
    authority = authority_certificate(here.key.authority_seed)
    certificate = member_certificate(here.key.authority_seed, member)
    contexts = [
        tls_context(authority, certificate, member.private, is_server=is_server)
        for is_server in (False, True)
    ]
    async with HostileMember(
        here.key.meeting_hash,
        body,
        piece_length_for(len(body)),
        member,
        script,
        dialling=contexts[0],
        answering=contexts[1],
    ) as made:
        if known:
            here.peers.append((HOST, made.port))
        yield made


def name_of(member: HostileMember) -> str:
    """What people are told of it."""
    return f"{HOST}:{member.port}"


def culprit_of(member: HostileMember) -> str:
    """The same of one that is out: by its key, too, for somebody may have to look it up."""
    return f"{name_of(member)} (member {member.key.public.hex()[:8]})"


def culprits(here: Room) -> list[str]:
    """Who is out, by the notes of all requesters."""
    return [note.partition(" is out: ")[0] for note in here.notes if " is out: " in note]


def held_up(here: Room) -> list[str]:
    """Who is gone or slow, by the notes of all requesters."""
    words = (" is gone: ", " is slow: ")
    return [note.partition(word)[0] for note in here.notes for word in words if word in note]


def parts(folder: Path) -> list[Path]:
    """Files that are not whole, below it."""
    return list(folder.rglob("*.part"))


def taken_by(paths: list[Path]) -> int:
    """Bytes of the disk."""
    return sum(path.stat().st_blocks for path in paths) * 512


async def mostly_kept(here: Room, size: int) -> None:
    """Wait until the first helper has most of the file in its cache."""
    await until(lambda: taken_by(parts(here.folder / "helper0")) >= size * 3 // 4)


async def dial_in_time(member: HostileMember, port: int, info_hash: bytes) -> MemberLine:
    """As soon as somebody listens there: a requester does when its first request has gone."""
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                return await member.dial(HOST, port, info_hash)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


async def until(condition: Callable[[], object], within: float = LONGEST) -> None:
    """Wait for what other tasks bring about."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  anything in the room may bring it about
            await asyncio.sleep(0.01)
