"""Many datagrams a system call: `recvmmsg` and `sendmmsg` of Linux, by way of ctypes.

Two rings of `BATCH` slots, one for what comes and one for what goes. A slot is a buffer, the address beside it and
the structures that tell the system of both; they are set up once, and a call changes lengths only. Always true:
the rings live as long as the socket, so the system never writes into memory that is ours no more.
"""

from __future__ import annotations

import ctypes
import socket
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from shoal.net.datagrams import BATCH, MAX_DATAGRAM, Datagram, DatagramSocket

_NAME_LENGTH = {socket.AF_INET: 16, socket.AF_INET6: 28}  # of sockaddr_in and sockaddr_in6
_HOST_IN_NAME = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}


class _Buffer(ctypes.Structure):
    """struct iovec"""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr"""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("buffers", ctypes.c_void_p),
        ("buffer_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr"""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class _Ring:
    """`BATCH` slots in memory of our own."""

    def __init__(self, name_length: int) -> None:
        self.payloads = bytearray(BATCH * MAX_DATAGRAM)
        self.payload_view = memoryview(self.payloads)
        self.names = bytearray(BATCH * name_length)
        self._messages = (_Message * BATCH)()
        self._buffers = (_Buffer * BATCH)()
        self._kept = [(ctypes.c_char * len(self.payloads)).from_buffer(self.payloads),
                      (ctypes.c_char * len(self.names)).from_buffer(self.names)]  # fmt: skip
        payloads, names = map(ctypes.addressof, self._kept)
        self.payloads_at = payloads
        for slot, (message, buffer) in enumerate(zip(self._messages, self._buffers, strict=True)):
            buffer.base, buffer.length = payloads + slot * MAX_DATAGRAM, MAX_DATAGRAM
            header = message.header
            header.name, header.name_length = names + slot * name_length, name_length
            header.buffers, header.buffer_count = ctypes.addressof(buffer), 1
        self.address = ctypes.addressof(self._messages)
        # Plain numbers over the same memory: a tenth of the price of ctypes' own fields.
        self.received_lengths = memoryview(self._messages).cast("B").cast("I")[_LENGTH_AT::_MESSAGE_INTS]
        buffers = memoryview(self._buffers).cast("B").cast("Q")
        self.begins_to_send, self.lengths_to_send = buffers[0::2], buffers[1::2]


_MESSAGE_LENGTH = ctypes.sizeof(_Message)
_MESSAGE_INTS = _MESSAGE_LENGTH // 4
_LENGTH_AT = _Message.length.offset // 4


class ManyDatagrams(DatagramSocket):
    """A datagram socket of Linux."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        system = ctypes.CDLL(None, use_errno=True)
        self._receive, self._send = system.recvmmsg, system.sendmmsg
        self._receive.argtypes = (
            ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p
        )  # fmt: skip
        self._send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._descriptor = sock.fileno()
        name_length, host = _NAME_LENGTH[sock.family], _HOST_IN_NAME[sock.family]
        self._incoming, self._outgoing = _Ring(name_length), _Ring(name_length)
        self._places = [  # of each slot: where its payload begins, its name, and the address in it
            (
                slot * MAX_DATAGRAM,
                slice(slot * name_length, (slot + 1) * name_length),
                slice(slot * name_length + host.start, slot * name_length + host.stop),
            )
            for slot in range(BATCH)
        ]

    def is_allowed(self) -> bool:
        """Whether the system lets us: some containers forbid calls that they do not know."""
        return bool(
            self._receive(self._descriptor, self._incoming.address, 0, socket.MSG_DONTWAIT, None) == 0
        )

    def receive(self) -> list[Datagram]:
        ring = self._incoming
        count = self._receive(self._descriptor, ring.address, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            return []
        payloads, names = bytes(ring.payload_view[: count * MAX_DATAGRAM]), bytes(ring.names)
        return [
            Datagram(payloads[start : start + length], names[host], names[name])
            for (start, name, host), length in zip(self._places[:count], ring.received_lengths, strict=False)
        ]

    def send(self, replies: Sequence[tuple[bytes, Any]]) -> None:
        for first in range(0, len(replies), BATCH):
            self._send_batch(replies[first : first + BATCH])

    def _send_batch(self, replies: Sequence[tuple[bytes, Any]]) -> None:
        ring, count = self._outgoing, len(replies)
        payloads, names = zip(*replies, strict=True)
        lengths = array("Q", map(len, payloads))
        begins = array("Q", accumulate(lengths, initial=ring.payloads_at))
        joined = b"".join(payloads)
        ring.payloads[: len(joined)] = joined
        joined = b"".join(names)
        ring.names[: len(joined)] = joined
        ring.begins_to_send[:count], ring.lengths_to_send[:count] = begins[:count], lengths
        sent = 0
        while sent < count:
            moved = self._send(
                self._descriptor, ring.address + sent * _MESSAGE_LENGTH, count - sent, socket.MSG_DONTWAIT
            )
            sent += moved if moved > 0 else 1  # one that cannot be sent is lost, and those behind it are not
