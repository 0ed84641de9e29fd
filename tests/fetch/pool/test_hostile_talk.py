"""Members that flood, claim for nothing and talk nonsense, and strangers at the door: they are out."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import threading
from pathlib import Path

import pytest

from shoal.disk.part_file import PartFile
from shoal.formats import bencode
from shoal.protocol.group.meeting import encode_meeting
from shoal.protocol.group.messages import AskHelp, Pause, Refused, ValidatorKind
from shoal.protocol.http.validators import Validator
from shoal.protocol.peer.handshake import Handshake, encode_handshake
from shoal.testing.group_floods import (
    MALFORMED_IN_MEETING,
    MALFORMED_IN_POOL,
    flood_of_accusations,
    flood_of_claims,
    flood_of_presence,
    invented_records,
)
from shoal.testing.hostile_member import HostileMember, MemberScript
from shoal.units import MIB

from .hostile import MOST_SENT, culprit_of, culprits, hostile, parts, taken_by, until
from .room import HOST, LONGEST, SLOW, SMALL, Room, made_up, room

PIECES = SMALL // (256 * 1024)
UNKNOWN = bencode.encode({"kind": "of the future", "x": b"x" * 20_000})
INVENTED_AUTHORS = [hashlib.sha256(b"%d" % number).digest() for number in range(50)]


def run(story) -> None:
    asyncio.run(story)


IN_POOL = {
    **{f"malformed {number}": [payload] for number, payload in enumerate(MALFORMED_IN_POOL)},
    "claims": flood_of_claims(5_000, PIECES),
    "accusations": flood_of_accusations(INVENTED_AUTHORS, PIECES),
    "invented records": invented_records(5_000, 0),
    "records out of range": invented_records(1, PIECES),
    "unknown kinds": [UNKNOWN] * 2_000,
    "huge": [b"d4:kind" + b"x" * 900_000],
}
IN_MEETING = {
    **{f"malformed {number}": [payload] for number, payload in enumerate(MALFORMED_IN_MEETING)},
    "presence": flood_of_presence(3_000),
    "unknown kinds": [UNKNOWN] * 2_000,
    "refusals": [encode_meeting(Refused(bytes(20), f"reason {number}")) for number in range(3_000)],
}


@pytest.mark.parametrize("name", IN_POOL)
def test_who_floods_a_pool_or_talks_nonsense_in_it_is_out_and_named(tmp_path: Path, name: str) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(claims=False, says_in_pool=IN_POOL[name])
        async with room(tmp_path) as here, hostile(here, body, script) as culprit:
            here.serve(body, rate=here.slow)
            await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert culprits(here) == [culprit_of(culprit)]
            assert here.origin.sent < MOST_SENT * len(body)

    run(story())


@pytest.mark.parametrize("name", IN_MEETING)
def test_who_floods_the_meeting_or_talks_nonsense_in_it_is_out_and_named(tmp_path: Path, name: str) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        script = MemberScript(claims=False, says_in_meeting=IN_MEETING[name])
        async with room(tmp_path) as here, hostile(here, body, script) as culprit:
            here.serve(body, rate=here.once(lambda: here.is_noted("is out of group")))
            await here.helper()
            got = await here.get()
            assert got.path.read_bytes() == body
            assert [who.partition(" is")[0] for who in here.notes if "is out of group" in who] == [
                culprit_of(culprit)
            ]

    run(story())


def test_who_asks_everybody_to_wait_again_and_again_is_heard_for_so_long_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.fetch.pool.pooled.MOST_PAUSE", 2.0)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here:
            from shoal.fetch.pool.tags import origin_tag_of

            pause = encode_meeting(Pause(origin_tag_of(here.key, here.url()), 86_400))
            async with hostile(here, body, MemberScript(claims=False, says_in_meeting=[pause] * 400)):
                here.serve(body, rate=SLOW)
                got = await here.get()
                assert got.path.read_bytes() == body

    run(story())


# ---- strangers


@pytest.mark.parametrize("kind", ["garbage", "plain handshake", "no certificate", "another name"])
def test_a_stranger_at_the_port_learns_nothing_and_disturbs_nobody(tmp_path: Path, kind: str) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        heard = b""
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            helper = await here.helper()
            getting = here.group.create_task(here.get())
            await until(lambda: helper.server._begun)
            (pool_hash,) = helper.server._begun
            for info_hash in (pool_hash, here.key.meeting_hash):
                heard += await _knock(helper.port, kind, info_hash)
            got = await getting
            assert got.path.read_bytes() == body
            assert sum(count > 0 for _, count, _ in got.members) == 2
        assert pool_hash not in heard
        assert b"shoal" not in heard

    run(story())


async def _knock(port: int, kind: str, info_hash: bytes) -> bytes:
    """What the port says to it."""
    context = None
    if kind in ("no certificate", "another name"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = None if context is None else f"{info_hash.hex()}.shoal"
    if kind == "another name":
        name = f"{bytes(20).hex()}.shoal"
    try:
        async with asyncio.timeout(15):
            reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=name)
            try:
                hello = encode_handshake(Handshake(info_hash, b"-XX0000-a-stranger--"))
                writer.write(b"GET / HTTP/1.1\r\n\r\n" * 50 if kind == "garbage" else hello)
                return await reader.read(100_000)
            finally:
                writer.close()
    except (OSError, ssl.SSLError):
        return b""


# ---- requesters against a helper


def ask_of(
    here: Room, url: str, length: int = SMALL, etag: str = '"v1"', info_hash: bytes | None = None
) -> bytes:
    right = here.key.pool_hash(url, length, Validator(etag=etag).text)
    return encode_meeting(AskHelp(info_hash or right, url, length, etag, ValidatorKind.ETAG))


async def _asking(here: Room, member: HostileMember, port: int, payloads: list[bytes]) -> None:
    member.script = MemberScript(claims=False, is_helper=False, says_in_meeting=payloads)
    await member.dial(HOST, port, here.key.meeting_hash)


def test_who_asks_for_a_thousand_files_gets_a_few_and_leaves_places_for_others(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here, hostile(here, body, known=False) as greedy:
            here.serve(body, rate=here.slow)
            helper = await here.helper()
            asks = [ask_of(here, here.url(f"/{number}.bin")) for number in range(400)]
            await _asking(here, greedy, helper.port, asks)
            await greedy.wait_until(lambda: len(greedy.heard(Refused)) >= 300)
            assert len(helper.server._works) <= 16
            got = await here.get()
            assert got.path.read_bytes() == body
            assert sum(count > 0 for _, count, _ in got.members) == 2
            assert len(helper.fields_of("refused")) <= 20
            assert len(here.origin.asked_for("/1.bin")) < 4  # it begins while who asked may be on its way
            assert taken_by(parts(tmp_path)) < 64 * MIB

    run(story())


def test_a_length_that_no_group_can_share_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with room(tmp_path) as here, hostile(here, made_up(SMALL), known=False) as greedy:
            helper = await here.helper()
            await _asking(here, greedy, helper.port, [ask_of(here, here.url(), 1 << 49)])
            await greedy.wait_until(lambda: greedy.heard(Refused))
            (refused,) = greedy.heard(Refused)
            assert refused.reason == "it is larger than a group can share"
            assert str(tmp_path) not in refused.reason
            assert not parts(tmp_path)

    run(story())


def test_a_helper_asks_nothing_within_for_anybody(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here, hostile(here, body, known=False) as curious:
            helper = await here.helper(here.allowing(allow_private=()))
            urls = [
                "http://169.254.169.254/latest",
                "http://[::1]:8080/",
                "http://10.0.0.1/x",
                "file:///etc/passwd",
            ]
            urls += [
                here.url(),
                "http://localhost/",
                "http://2130706433:8080/",
                "http://user:pw@example.com/",
            ]
            asks = [ask_of(here, url) for url in urls] + [ask_of(here, here.url(), info_hash=bytes(20))]
            await _asking(here, curious, helper.port, asks)
            await curious.wait_until(
                lambda: len(curious.heard(Refused)) + len(helper.server._works) >= len(asks)
            )
            assert not here.origin.asked

    run(story())


def test_a_work_that_nobody_joins_ends_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.fetch.pool.work.WAITS_FOR_FIRST", 0.3)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here, hostile(here, body, known=False) as absent:
            here.serve(body)
            helper = await here.helper()
            await _asking(here, absent, helper.port, [ask_of(here, here.url())])
            await until(lambda: helper.fields_of("helped"))
            assert not helper.server._works
            assert here.origin.sent < 2 * len(body), "it begins while who asked may be on its way"
            assert not parts(tmp_path)

    run(story())


def test_who_asks_in_the_moment_in_which_a_work_ends_is_helped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.fetch.pool.work.WAITS_FOR_FIRST", 0.3)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here, hostile(here, body, known=False) as first:
            here.serve(body, rate=here.slow)
            helper = await here.helper()
            await _asking(here, first, helper.port, [ask_of(here, here.url())])
            await until(lambda: helper.fields_of("helping"))
            (work,) = helper.server._works.values()
            await until(lambda: work.is_ending)
            attendant = next(iter(helper.server.meetings.attendants("room")))
            helper.server._on_asked(helper.server.meetings._groups["room"].group, attendant, work.ask)
            await until(lambda: len(helper.fields_of("helping")) == 2)
            monkeypatch.setattr("shoal.fetch.pool.work.WAITS_FOR_FIRST", 10.0)
            got = await here.get()
            assert got.path.read_bytes() == body

    run(story())


def test_a_group_that_is_left_while_a_work_ends_has_no_other_and_the_helper_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.fetch.pool.work.WAITS_FOR_FIRST", 0.3)

    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here, hostile(here, body, known=False) as first:
            here.serve(body, rate=here.slow)
            helper = await here.helper()
            usual, may_end = helper.server._cache.put_back, threading.Event()

            def put_back(part: PartFile, *, is_wanted: bool = True) -> None:
                may_end.wait(LONGEST)
                usual(part, is_wanted=is_wanted)

            monkeypatch.setattr(helper.server._cache, "put_back", put_back)
            await _asking(here, first, helper.port, [ask_of(here, here.url())])
            await until(lambda: helper.fields_of("helping"))
            (work,) = helper.server._works.values()
            await until(lambda: work.is_ending)
            attendant = next(iter(helper.server.meetings.attendants("room")))
            group = helper.server.meetings._groups["room"].group
            helper.server._on_asked(group, attendant, work.ask)
            assert helper.server._again
            await helper.server._leave(group)
            may_end.set()
            assert len(helper.fields_of("helping")) == 1
            assert not helper.server._works

    run(story())


def test_a_validator_that_is_too_long_puts_its_sender_out_of_the_meeting(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(SMALL)
        async with room(tmp_path) as here, hostile(here, body, known=False) as wordy:
            helper = await here.helper()
            await _asking(here, wordy, helper.port, [ask_of(here, here.url(), etag='"' + "x" * 10_000 + '"')])
            await until(lambda: any("is out of group" in one["message"] for one in helper.fields_of("note")))
            assert not helper.server._works

    run(story())


def test_a_requester_that_leaves_and_comes_back_at_once_is_helped_again(tmp_path: Path) -> None:
    async def story() -> None:
        body = made_up(2 * SMALL)
        async with room(tmp_path) as here:
            here.serve(body, rate=here.slow)
            helper = await here.helper()
            getting = here.group.create_task(here.get())
            await until(lambda: here.origin.sent > SMALL)
            getting.cancel()
            await asyncio.wait([getting])
            here.requesters -= 1  # the same folder
            got = await here.get()
            assert got.path.read_bytes() == body
            assert sum(count > 0 for _, count, _ in got.members) == 2
            assert len(helper.fields_of("helping")) <= 2
            assert got.resumed or here.origin.sent < 2.5 * len(body)

    run(story())
