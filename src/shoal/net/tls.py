"""A socket with TLS in it, for `PeerLink`: the same calls, the same answers, and a certificate behind them.

OpenSSL sees memory only; the socket is read and written here. So nothing of TLS's own (an answer to a new key, an
alert) ever makes reading wait for writing, and who names no group of ours is turned away before OpenSSL sees a byte.

Always true:
- The handshake takes whole records off the socket and not a byte more: what was sent right behind it is still in
  the socket, which wakes its reader.
- After `recv_into` the view is full, or nothing that could be read is left in here: a reader that is woken by the
  socket alone misses nothing, if its views have room for two records, or if it asks again after a full one.
- What `sendmsg` says was taken has left us. What was made unreadable already and did not fit is kept, and is
  not counted before it has gone; the caller offers the same bytes again, as it must after `BlockingIOError`.
- Faults after the handshake are `OSError`s, in words.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from shoal.errors import FormatError, NetworkError, PeerError
from shoal.net.limited_link import first_bytes
from shoal.net.wire import Buffer
from shoal.protocol.tls_hello import (
    MAX_RECORD_LENGTH,
    RECORD_HEADER_LENGTH,
    UNKNOWN_NAME_ALERT,
    record_length,
    server_name,
)
from shoal.units import KIB

RECORD_LENGTH: Final = RECORD_HEADER_LENGTH + MAX_RECORD_LENGTH  # at most
PLAIN_LENGTH: Final = 16 * KIB  # that a record carries at most
READ_LENGTH: Final = 256 * KIB  # bytes off the socket at a time; still in the cache when they are decrypted
WRITE_LENGTH: Final = 128 * KIB  # bytes encrypted at a time, which then cannot be thought of again
MOST_READS: Final = 64  # of the socket in a row; records without a byte for us shall not hold the loop
MOST_ANSWERS: Final = 64 * KIB  # bytes of TLS's own that wait for our next word; a flood makes more

Choose = Callable[[str], ssl.SSLContext | None]  # a server name -> the context of its group, if there is one


class TlsSocket:
    """Made by `secure` and `secure_incoming`. `server_name` is the one that was asked for."""

    def __init__(
        self, sock: socket.socket, tls: ssl.SSLObject, bios: tuple[ssl.MemoryBIO, ssl.MemoryBIO], name: str
    ) -> None:
        self._sock = sock
        self._tls = tls
        self._incoming, self._outgoing = bios
        self._unsent = memoryview(b"")  # records that the system has not taken yet ...
        self._unsent_plain = 0  # ... and the bytes of our caller's that they carry
        self.server_name = name
        self.peer_certificate = tls.getpeercert(binary_form=True) or b""  # DER

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, is_blocking: bool) -> None:
        self._sock.setblocking(is_blocking)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self._sock.setsockopt(level, option, value)

    def getsockopt(self, level: int, option: int) -> int:
        return self._sock.getsockopt(level, option)

    def getpeername(self) -> tuple[str, int]:
        host, port = self._sock.getpeername()[:2]
        return host, port

    def getsockname(self) -> tuple[str, int]:
        host, port = self._sock.getsockname()[:2]
        return host, port

    def close(self) -> None:
        self._sock.close()

    # Reading

    def recv_into(self, view: memoryview) -> int:
        """As of a socket: how much came, 0 at the end, `BlockingIOError` for nothing. `view` is overwritten anyway."""
        got, is_over = self._decrypt(view)
        for _ in range(MOST_READS):
            if is_over or (got and len(view) - got < 2 * RECORD_LENGTH):
                return got
            try:
                count = self._sock.recv_into(_room_for_cipher(view[got:]))
            except OSError:
                if got:
                    return got
                raise
            if not count:
                return got
            self._incoming.write(view[got : got + count])
            more, is_over = self._decrypt(view[got:])
            got += more
        if not got and not is_over:
            raise BlockingIOError  # there may be more, but others have their turn
        return got

    def _decrypt(self, view: memoryview) -> tuple[int, bool]:
        """Read what can be read; how much that was, and whether the peer said that it was all."""
        got = 0
        try:
            while got < len(view):
                count = self._tls.read(len(view) - got, view[got:])
                if not count:
                    return got, True
                got += int(count)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return got, True
        except ssl.SSLError as error:
            raise OSError(errno.EPROTO, _words(error)) from None
        if self._outgoing.pending > MOST_ANSWERS:
            raise OSError(errno.EPROTO, "it asks for new keys without end")
        return got, False

    # Writing

    def sendmsg(self, buffers: Iterable[Buffer]) -> int:
        """How many bytes have gone, in order, those included that an earlier call could not get rid of."""
        sent = self._send_rest()
        left = _without(buffers, sent)
        while left:
            plain = memoryview(b"".join(first_bytes(left, WRITE_LENGTH)))
            for begin in range(0, len(plain), PLAIN_LENGTH):
                self._encrypt(plain[begin : begin + PLAIN_LENGTH])
            self._unsent = memoryview(self._outgoing.read())
            self._unsent_plain = len(plain)
            left = _without(left, len(plain))
            try:
                sent += self._send_rest()
            except OSError:
                if sent:
                    break
                raise
        return sent

    def _encrypt(self, plain: memoryview) -> None:
        try:
            count = self._tls.write(plain)
        except ssl.SSLError as error:
            raise OSError(errno.EPROTO, _words(error)) from None
        assert count == len(plain), "one record is written whole or not at all"

    def _send_rest(self) -> int:
        """Send what is encrypted; how many bytes of the caller's it carried. `BlockingIOError` while some is left."""
        while self._unsent:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        plain, self._unsent_plain = self._unsent_plain, 0
        return plain


def _room_for_cipher(room: memoryview) -> memoryview:
    """Where to receive what will be decrypted into `room`: no more than fits with a record that is half here."""
    return room[: max(min(len(room), RECORD_LENGTH), min(len(room) - RECORD_LENGTH, READ_LENGTH))]


def _without(buffers: Iterable[Buffer], count: int) -> list[Buffer]:
    """`buffers` but for their first `count` bytes."""
    left: list[Buffer] = []
    for data in buffers:
        if count < len(data):
            left.append(memoryview(data)[count:])
        count = max(count - len(data), 0)
    return left


async def secure(sock: socket.socket, context: ssl.SSLContext, *, name: str, within: float) -> TlsSocket:
    """Shake hands as the one that dialled. `sock` is connected and non-blocking, and is closed if it fails.

    Raises `NetworkError` (gone, silent), `PeerError` (refused, or it is not TLS). That it refuses us is seen only when
    the first bytes are read: in TLS 1.3 we are through before it has seen our certificate.
    """
    with _closing_if_it_fails(sock, within):
        async with asyncio.timeout(within):
            return await _shake_hands(sock, context, name, hello=None)


async def secure_incoming(sock: socket.socket, choose: Choose, *, within: float) -> TlsSocket:
    """Shake hands as the one that was dialled. Raises as `secure` does; who asks for an unknown name gets an alert."""
    with _closing_if_it_fails(sock, within):
        async with asyncio.timeout(within):
            hello = await _receive_record(sock)
            name = server_name(hello)
            context = choose(name)
            if context is None:
                await asyncio.get_running_loop().sock_sendall(sock, UNKNOWN_NAME_ALERT)
                raise PeerError("it asks for a group or a pool that we are not in")
            return await _shake_hands(sock, context, name, hello=hello)


@contextlib.contextmanager
def _closing_if_it_fails(sock: socket.socket, within: float) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        sock.close()
        if isinstance(error, TimeoutError):
            raise NetworkError(f"no TLS within {within:.0f} s") from None
        if isinstance(error, ssl.SSLError):
            raise PeerError(_words(error)) from None
        if isinstance(error, FormatError):
            raise PeerError(error.message) from None
        if isinstance(error, OSError):
            raise NetworkError(error.strerror or str(error)) from None
        raise


async def _shake_hands(
    sock: socket.socket, context: ssl.SSLContext, name: str, *, hello: bytes | None
) -> TlsSocket:
    """`hello` is what the one that dialled said first; None if that is us."""
    loop = asyncio.get_running_loop()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    is_incoming = hello is not None
    tls = context.wrap_bio(
        incoming, outgoing, server_side=is_incoming, server_hostname=None if is_incoming else name
    )
    incoming.write(hello or b"")
    while True:
        try:
            tls.do_handshake()
            is_done = True
        except ssl.SSLWantReadError:
            is_done = False
        except ssl.SSLError:
            with contextlib.suppress(OSError):  # it may be gone; else it learns why
                await loop.sock_sendall(sock, outgoing.read())
            raise
        if outgoing.pending:
            await loop.sock_sendall(sock, outgoing.read())
        if is_done:
            return TlsSocket(sock, tls, (incoming, outgoing), name)
        incoming.write(await _receive_record(sock))


async def _receive_record(sock: socket.socket) -> bytes:
    header = await _receive_exactly(sock, RECORD_HEADER_LENGTH)
    return header + await _receive_exactly(sock, record_length(header))


async def _receive_exactly(sock: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        data = await asyncio.get_running_loop().sock_recv(sock, length - len(received))
        if not data:
            raise NetworkError("it closed the connection before TLS began")
        received += data
    return received


def _words(error: ssl.SSLError) -> str:
    """What OpenSSL says, for people. The codes are of this process's OpenSSL, the words are ours."""
    reason = error.reason or ""
    if "UNRECOGNIZED_NAME" in reason:
        return "it is not in this group, or not in this pool"
    if "ALERT" in reason:
        return f"it ended TLS: {_plain(reason.partition('ALERT_')[2])}; perhaps it is of another group"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not of this group: {error.verify_message}"
    return f"its TLS is not right: {_plain(reason) or 'no reason is known'}"


def _plain(reason: str) -> str:
    return reason.replace("_", " ").lower()
