"""The hostile member: a good one helps, each misdeed shows on the wire and is seen for what it is."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ssl
from collections.abc import Coroutine
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shoal.fetch.pool.authors import Authors, News
from shoal.formats.layout import BLOCK_LENGTH
from shoal.protocol.group.meeting import encode_meeting
from shoal.protocol.group.messages import (
    MEETING,
    Accuse,
    AskHelp,
    Claims,
    Helping,
    PieceRecord,
    Presence,
    Records,
    ValidatorKind,
)
from shoal.testing.build import make_payload
from shoal.testing.group_floods import (
    MALFORMED_IN_MEETING,
    MALFORMED_IN_POOL,
    flood_of_accusations,
    flood_of_claims,
    flood_of_presence,
    invented_records,
)
from shoal.testing.hostile_member import RUN, HostileMember, MemberScript
from shoal.testing.member_line import MemberLine

PIECE_LENGTH = 2 * BLOCK_LENGTH
PAYLOAD = make_payload(10 * PIECE_LENGTH + 20_000, 5)
PIECES = range(11)
MEETING_HASH = hashlib.sha1(b"meeting").digest()
POOL_HASH = hashlib.sha1(b"pool").digest()
READER = MemberScript(claims=False, downloads=True, is_helper=False)


class Key:
    def __init__(self, name: str) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self.public = self._private.public_key().public_bytes_raw()

    def sign(self, info_hash: bytes, piece: int, digest: bytes) -> bytes:
        return self._private.sign(b"shoal piece\0" + info_hash + piece.to_bytes(4, "big") + digest)


def verify(info_hash: bytes, piece: int, author: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        message = b"shoal piece\0" + info_hash + piece.to_bytes(4, "big") + digest
        Ed25519PublicKey.from_public_bytes(author).verify(signature, message)
    except InvalidSignature:
        return False
    return True


HELPER, REQUESTER = Key("helper"), Key("requester")


def member(script: MemberScript | None = None, key: Key = HELPER, payload: bytes = PAYLOAD) -> HostileMember:
    return HostileMember(MEETING_HASH, payload, PIECE_LENGTH, key, script)


class Scene:
    """A helper with a script, and a requester in a pool with it, or in the meeting."""

    def __init__(self, script: MemberScript | None = None, payload: bytes = PAYLOAD) -> None:
        self.helper = member(script, payload=payload)
        self.reader = member(READER, REQUESTER)
        self.authors = Authors(POOL_HASH, REQUESTER.public, len(PIECES), verify)
        self.line: MemberLine

    async def __aenter__(self) -> Scene:
        await self.helper.__aenter__()
        await self.reader.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.reader.__aexit__()
        await self.helper.__aexit__()

    async def meet(self, info_hash: bytes = POOL_HASH) -> None:
        self.line = await self.reader.dial("127.0.0.1", self.helper.port, info_hash)

    async def read(self, pieces: range | frozenset[int] = PIECES) -> None:
        await self.meet()
        await self.reader.wait_until(lambda: all(self.piece(piece) for piece in pieces))

    def records(self) -> list[PieceRecord]:
        return [record for message in self.reader.heard(Records) for record in message.records]

    def news(self) -> set[News]:
        return {self.authors.on_record(record, HELPER.public) for record in self.records()}

    def piece(self, piece: int) -> bytes:
        """What came of it, once all of it came."""
        begins = range(0, self.reader.layout.piece_size(piece), BLOCK_LENGTH)
        blocks = [self.reader.received.get((piece, begin)) for begin in begins]
        return b"".join(block for block in blocks if block) if all(blocks) else b""

    def false_pieces(self) -> set[int]:
        """Those that came and are not what the origin sends."""
        starts = {piece: piece * PIECE_LENGTH for piece in PIECES}
        return {
            piece
            for piece, start in starts.items()
            if self.piece(piece) and self.piece(piece) != PAYLOAD[start : start + PIECE_LENGTH]
        }


def play(story: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60.0))


def test_a_good_helper_claims_signs_tells_and_serves() -> None:
    async def story() -> None:
        async with Scene() as scene:
            await scene.read()
            assert b"".join(scene.piece(piece) for piece in PIECES) == PAYLOAD
            assert scene.news() == {News.NEW}
            assert all(scene.authors.is_good(piece, scene.piece(piece)) for piece in PIECES)
            await scene.reader.wait_until(lambda: scene.reader.heard(Claims)[-1] == Claims((), 1_000_000))
            assert [claims.runs for claims in scene.reader.heard(Claims)] == [
                ((0, RUN),), ((4, RUN),), ((8, 3),), (),
            ]  # fmt: skip

    play(story())


def test_what_was_cached_is_told_before_the_bitfield() -> None:
    async def story() -> None:
        cached = frozenset({1, 2, 9})
        async with Scene(MemberScript(cached_pieces=cached, claims=False)) as scene:
            await scene.read(cached)
            assert {record.piece for record in scene.records()} == cached
            assert not scene.reader.heard(Claims)

    play(story())


def test_a_helper_comes_when_it_is_asked_in_the_meeting() -> None:
    async def story() -> None:
        async with Scene() as scene:
            await scene.meet(MEETING_HASH)
            await scene.reader.wait_until(lambda: scene.reader.heard(Presence))
            assert scene.reader.heard(Presence)[0].is_helper
            ask = AskHelp(POOL_HASH, "http://origin.example/f", len(PAYLOAD), '"v1"', ValidatorKind.ETAG)
            scene.line.say(MEETING, encode_meeting(ask))
            await scene.reader.wait_until(lambda: scene.reader.heard(Helping))
            assert scene.reader.heard(Helping) == [Helping(POOL_HASH)]
            assert scene.helper.heard(AskHelp) == [ask]
            assert scene.line.hello.listen_port == scene.helper.port

    play(story())


def test_false_bytes_have_the_digest_that_was_signed() -> None:
    async def story() -> None:
        async with Scene(MemberScript(false_pieces=frozenset({3, 10}))) as scene:
            await scene.read()
            assert scene.news() == {News.NEW}
            assert all(scene.authors.is_good(piece, scene.piece(piece)) for piece in PIECES)
            assert scene.false_pieces() == {3, 10}

    play(story())


def test_broken_bytes_have_not() -> None:
    async def story() -> None:
        async with Scene(MemberScript(broken_pieces=frozenset({4}))) as scene:
            await scene.read()
            assert scene.news() == {News.NEW}
            bad = {piece for piece in PIECES if not scene.authors.is_good(piece, scene.piece(piece))}
            assert bad == scene.false_pieces() == {4}

    play(story())


def test_another_version_is_false_from_end_to_end() -> None:
    async def story() -> None:
        async with Scene(payload=make_payload(len(PAYLOAD), 6)) as scene:
            await scene.read()
            assert scene.news() == {News.NEW}
            assert scene.false_pieces() == set(PIECES)

    play(story())


def test_a_wrong_signature_is_seen_as_one() -> None:
    async def story() -> None:
        async with Scene(MemberScript(has_wrong_signatures=True)) as scene:
            await scene.read()
            assert scene.news() == {News.FORGED}

    play(story())


def test_everything_is_claimed_and_nothing_delivered() -> None:
    async def story() -> None:
        async with Scene(MemberScript(claims_everything=True, brings=False)) as scene:
            await scene.meet()
            await scene.reader.wait_until(lambda: scene.reader.heard(Claims))
            assert scene.reader.heard(Claims)[0].runs == ((0, len(PIECES)),)
            assert (scene.helper.brought, scene.line.has) == (0, 0)

    play(story())


def test_one_that_freezes_stays_and_answers_nothing() -> None:
    async def story() -> None:
        async with Scene(MemberScript(freezes_after=2)) as scene:
            await scene.meet()
            await scene.reader.wait_until(lambda: scene.line.has == 0b11)
            assert scene.helper.is_frozen
            with pytest.raises(TimeoutError):
                await scene.reader.wait_until(lambda: scene.reader.received or scene.line.end, within=0.3)

    play(story())


def test_one_that_dies_cuts_its_connections() -> None:
    async def story() -> None:
        async with Scene(MemberScript(dies_after=2)) as scene:
            await scene.meet()
            await scene.reader.wait_until(lambda: scene.line.end)
            assert scene.helper.brought == 2
            with pytest.raises(OSError, match=r"refused|Connect"):
                await scene.meet()

    play(story())


def test_one_that_crawls_brings_and_serves_at_its_rates() -> None:
    async def story() -> None:
        script = MemberScript(bring_rate=PIECE_LENGTH / 0.1, serve_rate=BLOCK_LENGTH / 0.1)
        async with Scene(script) as scene:
            started_at = asyncio.get_running_loop().time()
            await scene.read(frozenset({0, 1}))
            brought, took = scene.helper.brought, asyncio.get_running_loop().time() - started_at
            assert took >= 0.5  # one to bring, four blocks to serve
            assert brought <= took / 0.1 + 1

    play(story())


def test_floods_arrive_to_the_last_message() -> None:
    async def story() -> None:
        pool = (
            *flood_of_claims(200, len(PIECES)),
            *flood_of_accusations([HELPER.public, REQUESTER.public], len(PIECES)),
            *invented_records(100, 0),
        )
        script = MemberScript(claims=False, says_in_pool=pool, says_in_meeting=flood_of_presence(300))
        async with Scene(script) as scene:
            await scene.meet()
            await scene.meet(MEETING_HASH)
            reader = scene.reader
            await reader.wait_until(
                lambda: len(scene.records()) == 100 and len(reader.heard(Presence)) == 301
            )
            assert len(reader.heard(Claims)) == 200
            assert len(reader.heard(Accuse)) == 2 * len(PIECES)
            assert scene.news() == {News.FORGED}

    play(story())


@pytest.mark.parametrize("payload", [*MALFORMED_IN_MEETING, *MALFORMED_IN_POOL], ids=range(14))
def test_nonsense_ends_the_connection_of_who_understands_it(payload: bytes) -> None:
    async def story() -> None:
        where = MEETING_HASH if payload in MALFORMED_IN_MEETING[2:] else POOL_HASH
        script = MemberScript(claims=False, says_in_meeting=[payload], says_in_pool=[payload])
        async with Scene(script) as scene:
            await scene.meet(where)
            await scene.reader.wait_until(lambda: scene.line.end)
            assert scene.line.end.startswith(
                ("FormatError: meeting", "FormatError: pool", "FormatError: records")
            )

    play(story())


# ---- TLS


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """One certificate that both sides show and trust. -> (dialling, answering)"""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "member")])
    year = datetime.timedelta(days=365)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now - year, now + year)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    path = folder / "member.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    dialling, answering = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    dialling.check_hostname = False
    for context in (dialling, answering):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(path)
        context.load_verify_locations(path)
    return dialling, answering


def test_over_tls_the_server_name_is_the_info_hash(tmp_path: Path) -> None:
    dialling, answering = certificate(tmp_path)
    names: list[str | None] = []
    answering.sni_callback = lambda _, name, __: names.append(name)

    async def story() -> None:
        async with (
            HostileMember(MEETING_HASH, PAYLOAD, PIECE_LENGTH, HELPER, answering=answering) as helper,
            HostileMember(
                MEETING_HASH, PAYLOAD, PIECE_LENGTH, REQUESTER, READER, dialling=dialling
            ) as reader,
        ):
            await reader.dial("127.0.0.1", helper.port, POOL_HASH)
            await reader.wait_until(lambda: len(reader.received) == 22)
            assert names == [f"{POOL_HASH.hex()}.shoal"]

    play(story())
