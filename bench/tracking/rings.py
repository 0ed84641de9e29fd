"""Many datagrams a system call for the generators, without an object for any of them (Linux).

Shares no code with the product on purpose: a mistake in its batches cannot hide itself here.
"""

from __future__ import annotations

import ctypes
import socket
from array import array

BATCH = 64
SLOT = 2048  # bytes for one that comes
_NAME_LENGTH = 16  # sockaddr_in
_HEADER_LENGTH, _LENGTH_AT = (
    64,
    14,
)  # of struct mmsghdr on a 64-bit system: bytes, and the place of its length in ints
_BUFFER_LENGTH = 16  # struct iovec

_system = ctypes.CDLL(None, use_errno=True)


class _Messages:
    """`BATCH` times struct mmsghdr, each with one buffer and, if it is `named`, an IPv4 address."""

    def __init__(self, names: bytearray | None = None) -> None:
        self._headers = array("Q", bytes(BATCH * _HEADER_LENGTH))
        self._buffers = array("Q", bytes(BATCH * _BUFFER_LENGTH))
        self.address = self._headers.buffer_info()[0]
        self.lengths = memoryview(self._headers).cast("B").cast("I")[_LENGTH_AT :: _HEADER_LENGTH // 4]
        for slot in range(BATCH):
            at = slot * _HEADER_LENGTH // 8
            if names is not None:
                self._headers[at] = address_of(names) + slot * _NAME_LENGTH
                self._headers[at + 1] = _NAME_LENGTH
            self._headers[at + 2] = self._buffers.buffer_info()[0] + slot * _BUFFER_LENGTH
            self._headers[at + 3] = 1

    def point(self, first: int, length: int) -> None:
        """At buffers of `length` bytes that lie one after another from address `first` on."""
        self._buffers[0::2] = array("Q", range(first, first + BATCH * length, length))
        self._buffers[1::2] = array("Q", [length]) * BATCH


def address_of(buffer: bytearray) -> int:
    """Where it lies; it must not be resized from then on."""
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


class Inbox:
    """Takes up to `BATCH` datagrams a call; they lie `SLOT` bytes apart in `payloads` until the next.

    Their lengths are in `lengths`, and `names` has whom they came from.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._descriptor = sock.fileno()
        self.payloads = bytearray(BATCH * SLOT)
        self.names = bytearray(BATCH * _NAME_LENGTH)
        self._messages = _Messages(self.names)
        self._messages.point(address_of(self.payloads), SLOT)
        self._address, self.lengths = self._messages.address, self._messages.lengths

    def receive(self) -> int:
        """How many came; 0 for none."""
        count: int = _system.recvmmsg(
            self._descriptor, ctypes.c_void_p(self._address), BATCH, socket.MSG_DONTWAIT, None
        )
        return max(count, 0)


class Outbox:
    """Sends from a table of datagrams of one length, neighbours in one call.

    They go where the socket is connected to, or to the `names` of an inbox, slot by slot.
    """

    def __init__(
        self, sock: socket.socket, table: bytearray, length: int, names: bytearray | None = None
    ) -> None:
        self._descriptor = sock.fileno()
        self._table, self._table_address, self._length = table, address_of(table), length
        self._messages = _Messages(names)
        self._address = ctypes.c_void_p(self._messages.address)

    def send(self, first: int, count: int) -> int:
        """Send at most `BATCH` from number `first` of the table on; how many went."""
        self._messages.point(self._table_address + first * self._length, self._length)
        sent: int = _system.sendmmsg(self._descriptor, self._address, count, socket.MSG_DONTWAIT)
        return max(sent, 0)
