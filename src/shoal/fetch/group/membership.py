"""Who may be a neighbour in the swarms of our groups: the engine's `Security`.

Always true: a connection is let through only when both sides have shown certificates of the group that the info hash is
of, and the member's name is the key that TLS proved. The group is chosen by the server name alone, `HEX.shoal`, so that
one port serves many groups, and whoever names none of their info hashes learns nothing but that.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shoal.engine.security import Secured
from shoal.errors import PeerError
from shoal.fetch.group.certificates import authority_certificate, member_certificate, member_of, tls_context
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.key import INFO_HASH_LENGTH, GroupKey
from shoal.net.sockets import Socket
from shoal.net.tls import TlsSocket, secure, secure_incoming

HANDSHAKE_SECONDS: Final = 8.0  # as for a dial: some round trips, the slowest ones too
_SERVER_NAME: Final = re.compile(rf"([0-9a-f]{{{2 * INFO_HASH_LENGTH}}})\.shoal")


@dataclass(frozen=True, slots=True)
class _Contexts:
    dialling: ssl.SSLContext
    answering: ssl.SSLContext


class Membership:
    """For several groups at once. The meetings of all are admitted from the beginning; pools come and go."""

    def __init__(self, groups: Iterable[JoinedGroup]) -> None:
        """Raises `FileError`, `DiskFullError`: see `certificates.py`."""
        self._groups: dict[bytes, JoinedGroup] = {}  # info hash -> whose it is
        self._contexts: dict[GroupKey, _Contexts] = {}
        for group in groups:
            self._contexts[group.key] = _contexts_of(group)
            self.admit(group.key.meeting_hash, group)

    def admit(self, info_hash: bytes, group: JoinedGroup) -> None:
        """From now on connections for this swarm are accepted, from members of this group."""
        assert group.key in self._contexts, "a group that this was not made with"
        self._groups[info_hash] = group

    def dismiss(self, info_hash: bytes) -> None:
        """No more connections for this swarm. Those that are there are the engine's to close."""
        self._groups.pop(info_hash, None)

    async def secure_incoming(self, sock: Socket) -> Secured:
        """Raises `PeerError`, `NetworkError`; `sock` is closed then."""
        secured = await secure_incoming(sock, self._context_of, within=HANDSHAKE_SECONDS)
        info_hash = info_hash_of(secured.server_name)
        assert info_hash is not None, "a context was found for it"
        return _proven(secured, info_hash)

    async def secure_outgoing(self, sock: Socket, info_hash: bytes) -> Secured:
        """Raises as `secure_incoming` does."""
        group = self._groups.get(info_hash)
        if group is None:
            sock.close()
            raise PeerError("we left this pool")
        context = self._contexts[group.key].dialling
        secured = await secure(sock, context, name=server_name_of(info_hash), within=HANDSHAKE_SECONDS)
        return _proven(secured, info_hash)

    def _context_of(self, name: str) -> ssl.SSLContext | None:
        info_hash = info_hash_of(name)
        group = None if info_hash is None else self._groups.get(info_hash)
        return None if group is None else self._contexts[group.key].answering


def server_name_of(info_hash: bytes) -> str:
    return f"{info_hash.hex()}.shoal"


def info_hash_of(name: str) -> bytes | None:
    found = _SERVER_NAME.fullmatch(name)
    return bytes.fromhex(found[1]) if found else None


def _proven(secured: TlsSocket, info_hash: bytes) -> Secured:
    try:
        return Secured(secured, info_hash, member_of(secured.peer_certificate))
    except PeerError:
        secured.close()
        raise


def _contexts_of(group: JoinedGroup) -> _Contexts:
    seed = group.key.authority_seed
    authority = authority_certificate(seed)
    certificate = member_certificate(seed, group.member)
    return _Contexts(
        dialling=tls_context(authority, certificate, group.member.private, is_server=False),
        answering=tls_context(authority, certificate, group.member.private, is_server=True),
    )
