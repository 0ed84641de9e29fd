"""Who gets in, and who does not: on real sockets, with everything that a stranger may show."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shoal.engine.security import Secured
from shoal.errors import NetworkError, PeerError, ShoalError
from shoal.fetch.group import certificates
from shoal.fetch.group.certificates import (
    AUTHORITY_NAME,
    BEGINS,
    ENDS,
    MEMBER_NAME,
    authority_certificate,
    member_certificate,
    tls_context,
)
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.key import GroupKey
from shoal.fetch.group.membership import Membership, info_hash_of, server_name_of
from shoal.fetch.group.signing import MemberKey, new_member_key
from shoal.net.tls import TlsSocket, secure, secure_incoming

from .scene import careless, close, first_word, joined, meet, outcomes, sockets

HOME = joined(GroupKey("home", bytes(range(32))))  # fixed: names of tests are made of it
MEETING = HOME.key.meeting_hash
POOL = b"p" * 20
YEAR = datetime.timedelta(days=365)
NOW = datetime.datetime.now(datetime.UTC)


def shown_by(
    certificate: x509.Certificate,
    private: Ed25519PrivateKey,
    *,
    is_server: bool,
    authority: JoinedGroup = HOME,
) -> ssl.SSLContext:
    """A stranger who shows this, and takes whatever it is shown."""
    context = tls_context(
        authority_certificate(authority.key.authority_seed), certificate, private, is_server=is_server
    )
    context.verify_mode = ssl.CERT_NONE
    return context


def of_another_group(is_server: bool) -> ssl.SSLContext:
    other = joined()
    certificate = member_certificate(other.key.authority_seed, other.member)
    return shown_by(certificate, other.member.private, is_server=is_server, authority=other)


def self_signed(is_server: bool) -> ssl.SSLContext:
    """It calls itself what our authority is called."""
    stranger = new_member_key()
    return shown_by(authority_certificate(stranger.seed), stranger.private, is_server=is_server)


def of_another_authority(is_server: bool) -> ssl.SSLContext:
    """One that is called as ours is."""
    stranger = new_member_key()
    return shown_by(member_certificate(stranger.seed, stranger), stranger.private, is_server=is_server)


def expired(is_server: bool) -> ssl.SSLContext:
    member = new_member_key()
    certificate = member_certificate(HOME.key.authority_seed, member, begins=NOW - 2 * YEAR, ends=NOW - YEAR)
    return shown_by(certificate, member.private, is_server=is_server)


def not_yet_valid(is_server: bool) -> ssl.SSLContext:
    member = new_member_key()
    certificate = member_certificate(HOME.key.authority_seed, member, begins=NOW + YEAR)
    return shown_by(certificate, member.private, is_server=is_server)


def tls_1_2(is_server: bool) -> ssl.SSLContext:
    """A member, but for the version."""
    member = new_member_key()
    context = shown_by(
        member_certificate(HOME.key.authority_seed, member), member.private, is_server=is_server
    )
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


STRANGERS = [of_another_group, self_signed, of_another_authority, expired, not_yet_valid, tls_1_2]


def no_certificate(is_server: bool) -> ssl.SSLContext:
    return careless(is_server)


@pytest.mark.parametrize("stranger", [*STRANGERS, no_certificate])
def test_a_stranger_that_dials_is_refused_and_nothing_it_says_is_heard(
    stranger: Callable[[bool], ssl.SSLContext],
) -> None:
    """In TLS 1.3 it is through, and speaks, before we have seen its certificate."""

    async def dial(sock: object) -> str:
        secured = await secure(sock, stranger(False), name=server_name_of(MEETING), within=60)  # type: ignore[arg-type]
        try:
            secured.sendmsg([b"let me in"])
            assert not await first_word(secured)
        except OSError as error:
            return str(error)
        finally:
            secured.close()
        return "closed"

    async def story() -> None:
        ours, theirs = sockets()
        told, secured = await outcomes(dial(ours), Membership([HOME]).secure_incoming(theirs))  # type: ignore[arg-type]
        assert isinstance(secured, PeerError), secured
        assert theirs.fileno() == -1, "it is closed"
        if stranger is tls_1_2:
            assert isinstance(told, PeerError)
        else:
            assert isinstance(told, str), "it was through"

    asyncio.run(story())


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_that_answers_is_refused(stranger: Callable[[bool], ssl.SSLContext]) -> None:
    async def story() -> None:
        ours, theirs = sockets()
        secured, _ = await outcomes(
            Membership([HOME]).secure_outgoing(ours, MEETING),
            secure_incoming(theirs, lambda name: stranger(True), within=60),  # type: ignore[arg-type]
        )
        assert isinstance(secured, PeerError), secured
        assert ours.fileno() == -1
        theirs.close()

    asyncio.run(story())


def test_two_members_know_each_other_by_their_lasting_keys() -> None:
    other = joined(HOME.key)

    async def story() -> None:
        dialled, answered = await meet(Membership([HOME]), Membership([other]), MEETING)
        assert isinstance(dialled, Secured) and isinstance(answered, Secured)
        assert dialled.member == other.member.public
        assert answered.member == HOME.member.public
        assert dialled.info_hash == answered.info_hash == MEETING
        dialled.sock.sendmsg([b"hel", b"lo"])
        assert await first_word(answered.sock) == b"hello"
        close(dialled, answered)

    asyncio.run(story())


def test_a_member_of_two_groups_speaks_in_each_as_who_it_is_there() -> None:
    """One process, one port, both groups: nothing of the one is shown in the other."""
    away = joined()
    here, there = [HOME, away], [joined(HOME.key), joined(away.key)]

    async def story() -> None:
        dialling, answering = Membership(here), Membership(there)
        for ours, theirs in zip(here, there, strict=True):
            dialled, answered = await meet(dialling, answering, ours.key.meeting_hash)
            assert isinstance(dialled, Secured) and isinstance(answered, Secured)
            assert (dialled.member, answered.member) == (theirs.member.public, ours.member.public)
            close(dialled, answered)

    asyncio.run(story())


def test_the_certificate_of_one_of_our_groups_does_not_open_another() -> None:
    """A machine that is in B alone, and knows an info hash of A, where both are ours."""
    away = joined()
    intruder = JoinedGroup(away.key, new_member_key())

    async def story() -> None:
        ours = Membership([HOME, away])
        theirs = Membership([intruder])
        theirs.admit(MEETING, intruder)
        _, answered = await meet(theirs, ours, MEETING)
        assert isinstance(answered, PeerError)
        dialled, _ = await meet(ours, theirs, MEETING)
        assert isinstance(dialled, PeerError)

    asyncio.run(story())


@pytest.mark.parametrize(
    "name",
    ["", "shoal", "a" * 40 + ".shoal", server_name_of(POOL), f"x{server_name_of(MEETING)}"],
    ids=["none", "a word", "a hash", "a pool's", "a letter more"],
)
def test_who_asks_for_none_of_our_info_hashes_gets_an_alert_and_no_certificate(name: str) -> None:
    async def story() -> None:
        ours, theirs = sockets()
        context = careless()
        told, answered = await outcomes(
            secure(ours, context, name=name or None, within=60),  # type: ignore[arg-type]
            Membership([HOME]).secure_incoming(theirs),  # type: ignore[arg-type]
        )
        assert isinstance(answered, PeerError) and "not in" in answered.message
        assert isinstance(told, PeerError) and "not in" in told.message

    asyncio.run(story())


def test_a_pool_is_open_from_its_admission_to_its_dismissal() -> None:
    other = joined(HOME.key)

    async def story() -> None:
        dialling, answering = Membership([HOME]), Membership([other])
        dialling.admit(POOL, HOME)
        assert isinstance((await meet(dialling, answering, POOL))[1], PeerError)
        answering.admit(POOL, other)
        dialled, answered = await meet(dialling, answering, POOL)
        assert isinstance(dialled, Secured) and isinstance(answered, Secured)
        assert answered.info_hash == POOL
        close(dialled, answered)
        answering.dismiss(POOL)
        assert isinstance((await meet(dialling, answering, POOL))[1], PeerError)
        dialling.dismiss(POOL)
        assert isinstance((await meet(dialling, answering, POOL))[0], ShoalError)

    asyncio.run(story())


@pytest.mark.parametrize(
    "make", [lambda: rsa.generate_private_key(65537, 2048), lambda: ec.generate_private_key(ec.SECP256R1())]
)
def test_a_member_whose_key_is_of_another_kind_is_refused(make: Callable[[], object], tmp_path: Path) -> None:
    """Such a certificate is in order for TLS: only somebody who has the group's key can make it."""
    private = make()
    authority = Ed25519PrivateKey.from_private_bytes(HOME.key.authority_seed)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(MEMBER_NAME)
        .issuer_name(AUTHORITY_NAME)
        .public_key(private.public_key())  # type: ignore[attr-defined]
        .serial_number(1)
        .not_valid_before(BEGINS)
        .not_valid_after(ENDS)
        .sign(authority, None)
    )
    path = tmp_path / "other.pem"
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
    path.write_bytes(key + certificate.public_bytes(Encoding.PEM))

    async def story() -> None:
        ours, theirs = sockets()
        context = careless()
        context.load_cert_chain(path)
        dialled, answered = await outcomes(
            secure(ours, context, name=server_name_of(MEETING), within=60),  # type: ignore[arg-type]
            Membership([HOME]).secure_incoming(theirs),  # type: ignore[arg-type]
        )
        assert isinstance(answered, PeerError) and "Ed25519" in answered.message
        assert theirs.fileno() == -1
        assert isinstance(dialled, TlsSocket)
        dialled.close()

    asyncio.run(story())


def test_no_session_is_given_that_a_later_connection_could_go_on_with() -> None:
    """A ticket would let in who was a member once, without showing a certificate again."""
    other = joined(HOME.key)

    async def story() -> None:
        dialled, answered = await meet(Membership([HOME]), Membership([other]), MEETING)
        assert isinstance(dialled, Secured) and isinstance(answered, Secured)
        answered.sock.sendmsg([b"hello"])
        assert await first_word(dialled.sock) == b"hello"
        session = dialled.sock._tls.session  # type: ignore[attr-defined]
        assert not session.has_ticket
        close(dialled, answered)

    asyncio.run(story())


def test_a_silent_peer_costs_no_more_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.fetch.group.membership.HANDSHAKE_SECONDS", 0.05)

    async def story() -> None:
        ours, theirs = sockets()
        (answered,) = await outcomes(Membership([HOME]).secure_incoming(theirs))
        assert isinstance(answered, NetworkError)
        assert theirs.fileno() == -1
        ours.close()

    asyncio.run(story())


def test_the_certificate_of_the_authority_is_the_same_on_every_member() -> None:
    first, second = (
        authority_certificate(HOME.key.authority_seed).public_bytes(Encoding.DER) for _ in range(2)
    )
    assert first == second
    assert authority_certificate(joined().key.authority_seed).public_bytes(Encoding.DER) != first


def test_certificates_say_nothing_of_the_name_of_a_group() -> None:
    for certificate in (
        authority_certificate(HOME.key.authority_seed),
        member_certificate(HOME.key.authority_seed, HOME.member),
    ):
        assert b"home" not in certificate.public_bytes(Encoding.DER)


def test_a_private_key_is_on_the_disk_only_encrypted_and_only_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[tuple[bytes, int]] = []
    load = ssl.SSLContext.load_cert_chain

    def look(self: ssl.SSLContext, path: Path, password: str) -> None:
        seen.append((path.read_bytes(), path.parent.stat().st_mode & 0o777))
        load(self, path, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    Membership([HOME])
    assert len(seen) == 2
    assert all(data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") for data, _ in seen)
    assert {mode for _, mode in seen} == {0o700}
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(PeerError):
        certificates.member_of(b"no certificate")


def test_server_names_are_info_hashes() -> None:
    assert info_hash_of(server_name_of(POOL)) == POOL
    for name in (
        "",
        "shoal",
        "ab.shoal",
        "AB" * 20 + ".shoal",
        "ab" * 20 + ".shoal.",
        "ab" * 20 + ".shoal\n",
    ):
        assert info_hash_of(name) is None


def test_secrets_are_in_no_repr() -> None:
    shown = repr(HOME) + repr(Membership([HOME]))
    for secret in (HOME.key.secret, HOME.key.authority_seed, HOME.member.seed):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
    assert repr(MemberKey(HOME.member.seed)) == repr(HOME.member)
