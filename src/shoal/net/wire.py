"""What a link needs of a socket: that of the system has it all, and so has one that encrypts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class Wire(Protocol):
    """A connected byte stream that never waits: `BlockingIOError` where it would have to.

    Always true: when `recv_into` gave less than the buffer holds, all that has come was read, so that the
    descriptor becomes readable when there is more.
    """

    def fileno(self) -> int: ...

    def recv_into(self, buffer: memoryview, /) -> int:
        """Bytes read into the beginning of `buffer`; 0 at the end of the stream."""

    def sendmsg(self, buffers: Iterable[Buffer], /) -> int:
        """How many bytes of `buffers`, one after the other, were taken."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...

    def setblocking(self, is_blocking: bool, /) -> None: ...

    def close(self) -> None: ...
