"""A group of machines, small: an authority, certificates for its members, and real TLS between them."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from shoal.engine.security import Secured
from shoal.errors import PeerError
from shoal.net.wire import Buffer

RECORD = 16 * 1024
EPOCH = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


def certificate(
    name: str, key: Ed25519PrivateKey, issuer: str, signing: Ed25519PrivateKey
) -> x509.Certificate:
    def named(common_name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])

    builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(EPOCH).not_valid_after(END)
    is_authority = name == issuer
    return builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True).sign(signing, None)


class Group:
    def __init__(self, folder: Path, name: str = "group") -> None:
        self._folder = folder
        self._name = name
        self._key = Ed25519PrivateKey.generate()
        self.authority = certificate(name, self._key, name, self._key)

    def member(self, name: str, *info_hashes: bytes) -> MemberSecurity:
        """Who belongs to the group, and speaks of these torrents."""
        key = Ed25519PrivateKey.generate()
        path = self._folder / f"{self._name}-{name}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + certificate(name, key, self._name, self._key).public_bytes(Encoding.PEM))
        authority = self.authority.public_bytes(Encoding.PEM).decode()
        return MemberSecurity(path, authority, key, info_hashes)


class MemberSecurity:
    def __init__(
        self, path: Path, authority: str, key: Ed25519PrivateKey, info_hashes: Iterable[bytes]
    ) -> None:
        self._path = path
        self._authority = authority
        self.member = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.info_hashes = set(info_hashes)

    def context(self, side: int) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self._authority)
        context.load_cert_chain(self._path)
        return context

    async def secure_incoming(self, sock: socket.socket) -> Secured:
        context = self.context(ssl.PROTOCOL_TLS_SERVER)
        asked: list[str] = []
        context.sni_callback = lambda _, name, __: asked.append(name or "")
        wire = await shake_hands(context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False))
        info_hash = bytes.fromhex(asked[0].removesuffix(".shoal")) if asked else b""
        return Secured(wire, info_hash, wire.member)

    async def secure_outgoing(self, sock: socket.socket, info_hash: bytes) -> Secured:
        context = self.context(ssl.PROTOCOL_TLS_CLIENT)
        name = f"{info_hash.hex()}.shoal"
        tls = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        wire = await shake_hands(tls)
        return Secured(wire, info_hash, wire.member)


async def shake_hands(tls: ssl.SSLSocket) -> TlsWire:
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                tls.do_handshake()
                return TlsWire(tls)
            except ssl.SSLWantReadError:
                await ready(loop.add_reader, loop.remove_reader, tls.fileno())
            except ssl.SSLWantWriteError:
                await ready(loop.add_writer, loop.remove_writer, tls.fileno())
    except ssl.SSLError as error:
        tls.close()
        raise PeerError(f"its TLS is not right: {error.reason}") from None
    except BaseException:
        tls.close()
        raise


async def ready(add: object, remove: object, descriptor: int) -> None:
    is_ready = asyncio.Event()
    add(descriptor, is_ready.set)  # type: ignore[operator]
    try:
        await is_ready.wait()
    finally:
        remove(descriptor)  # type: ignore[operator]


class TlsWire:
    """OpenSSL on a socket that does not block; a record that did not go is tried again before anything else."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls
        self._trying = b""
        der = tls.getpeercert(binary_form=True)
        assert der is not None
        key = x509.load_der_x509_certificate(der).public_key()
        self.member = key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def fileno(self) -> int:
        return self._tls.fileno()

    def recv_into(self, buffer: memoryview) -> int:
        got = 0
        try:
            while not got or len(buffer) - got >= RECORD:
                count = self._tls.recv_into(buffer[got:])
                if not count:
                    return got
                got += count
        except ssl.SSLWantReadError:
            if not got:
                raise BlockingIOError from None
        return got

    def sendmsg(self, buffers: Iterable[Buffer]) -> int:
        self._trying = self._trying or b"".join(buffers)[:RECORD]
        try:
            count = self._tls.send(self._trying)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            raise BlockingIOError from None
        self._trying = b""
        return count

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self._tls.setsockopt(level, option, value)

    def setblocking(self, is_blocking: bool) -> None:
        self._tls.setblocking(is_blocking)

    def close(self) -> None:
        self._tls.close()
