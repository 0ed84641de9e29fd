"""Members and strangers on real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from typing import Any, TypeVar

from shoal.engine.security import Secured
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.key import GroupKey, new_key
from shoal.fetch.group.membership import Membership
from shoal.fetch.group.signing import new_member_key

Result = TypeVar("Result")


def joined(key: GroupKey | None = None) -> JoinedGroup:
    """A machine that is in this group, or in a new one."""
    return JoinedGroup(key or new_key("home"), new_member_key())


def sockets() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    for sock in (ours, theirs):
        sock.setblocking(False)
    return ours, theirs


async def outcomes(*works: Coroutine[Any, Any, Result]) -> list[Result | BaseException]:
    return await asyncio.gather(*works, return_exceptions=True)


async def meet(
    dialling: Membership, answering: Membership, info_hash: bytes
) -> tuple[Secured | BaseException, Secured | BaseException]:
    """What comes of it on both sides."""
    ours, theirs = sockets()
    first, second = await outcomes(
        dialling.secure_outgoing(ours, info_hash), answering.secure_incoming(theirs)
    )
    return first, second


def close(*secured: object) -> None:
    for one in secured:
        if isinstance(one, Secured):
            one.sock.close()


def careless(is_server: bool = False) -> ssl.SSLContext:
    """TLS that trusts everybody and shows nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def first_word(secured: Any) -> bytes:
    """What can be read first; what ended it is raised."""
    view = memoryview(bytearray(100))
    async with asyncio.timeout(60):
        while True:
            try:
                return bytes(view[: secured.recv_into(view)])
            except BlockingIOError:
                readable = asyncio.Event()
                asyncio.get_running_loop().add_reader(secured.fileno(), readable.set)
                await readable.wait()
                asyncio.get_running_loop().remove_reader(secured.fileno())
