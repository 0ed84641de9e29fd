"""The server name in a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3), read before anything else is made of it.

So that the port answers strangers without a certificate, and without OpenSSL seeing their bytes. Pure; any bytes give a
name or `FormatError`. Whether the rest of the hello is right is for OpenSSL to say.
"""

from __future__ import annotations

from typing import Final

from shoal.errors import FormatError

RECORD_HEADER_LENGTH: Final = 5
MAX_RECORD_LENGTH: Final = (1 << 14) + 256  # of a protected record's content, RFC 8446 5.2
_HANDSHAKE_RECORD: Final = 22
_CONTENT_TYPES: Final = range(20, 24)
_CLIENT_HELLO: Final = 1
_VERSION_AND_RANDOM: Final = 2 + 32
_SERVER_NAME: Final = 0  # both the extension's number and the kind of name that is a host's
UNKNOWN_NAME_ALERT: Final = bytes([21, 3, 3, 0, 2, 2, 112])  # a record: fatal, unrecognized_name


def record_length(header: bytes) -> int:
    """Bytes that follow a record's header."""
    length = int.from_bytes(header[3:RECORD_HEADER_LENGTH], "big")
    is_short = len(header) < RECORD_HEADER_LENGTH
    if is_short or header[0] not in _CONTENT_TYPES or header[1] != 3 or length > MAX_RECORD_LENGTH:
        raise FormatError("this is not a TLS record")
    return length


def server_name(record: bytes) -> str:
    """The name that the ClientHello in this record asks for, in ASCII; "" if it names none.

    A hello that goes on in a second record is refused: none of ours is as long as that.
    """
    if record[:1] != bytes([_HANDSHAKE_RECORD]) or len(record) - RECORD_HEADER_LENGTH != record_length(
        record
    ):
        raise FormatError("this is not a ClientHello")
    message = _Reader(record[RECORD_HEADER_LENGTH:])
    if message.number(1) != _CLIENT_HELLO:
        raise FormatError("this is not a ClientHello")
    hello = message.vector(3)
    hello.take(_VERSION_AND_RANDOM)
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    extensions = hello.vector(2)
    while extensions:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            return _first_name(body.vector(2))
    return ""


def _first_name(names: _Reader) -> str:
    kind, name = names.number(1), names.vector(2).rest()
    if kind != _SERVER_NAME or not name.isascii():
        raise FormatError("the server name in this ClientHello is none")
    return name.decode("ascii")


class _Reader:
    """Takes fields off the front of bytes; too few of them is a `FormatError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise FormatError("this ClientHello ends too early")
        self._at += count
        return taken

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def vector(self, length: int) -> _Reader:
        """What follows a count of so many bytes."""
        return _Reader(self.take(self.number(length)))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)
