"""Let the system hand each datagram to the worker that has its swarm.

On Linux a program of classic BPF chooses among the sockets of a shared port, in the order in which they were opened:
announces and scrapes by the end of their (first) info hash, as `mesh_store.worker_of` does; connects, which have none,
by their transaction id, which is as random. Elsewhere datagrams come to anybody, who asks the right worker. It is a
matter of speed only: no answer depends on who got the question.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys
from collections.abc import Sequence

from shoal.tracker.mesh_store import SHARD_BYTES

_ATTACH_FILTER = 51  # SO_ATTACH_REUSEPORT_CBPF, which Python's `socket` does not name
# Instructions of <linux/bpf_common.h>: code, steps to jump if true, if false, operand.
_LOAD_LENGTH, _LOAD_WORD, _JUMP_IF_AT_LEAST, _MODULO, _RETURN_A = 0x80, 0x20, 0x35, 0x94, 0x16
_INSTRUCTION = struct.Struct("=HBBI")
_INFO_HASH_END, _TRANSACTION_ID_AT = 36, 12  # in a datagram (BEP 15)


def steer_datagrams(sockets_of_workers: Sequence[Sequence[socket.socket]]) -> None:
    """Each worker's sockets, in the order of the workers; on each port and address there is one of each."""
    if sys.platform != "linux":
        return
    program = _program(len(sockets_of_workers))
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    for sock in sockets_of_workers[0]:  # one for all of a port
        if sock.type == socket.SOCK_DGRAM:
            with contextlib.suppress(OSError):  # a kernel that does not let us: slower, and as right
                sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, described)


def _program(worker_count: int) -> bytes:
    instructions = (
        (_LOAD_LENGTH, 0, 0, 0),
        (_JUMP_IF_AT_LEAST, 0, 2, _INFO_HASH_END),
        (_LOAD_WORD, 0, 0, _INFO_HASH_END - SHARD_BYTES),
        (_JUMP_IF_AT_LEAST, 1, 1, 0),  # over the next one, always
        (_LOAD_WORD, 0, 0, _TRANSACTION_ID_AT),
        (_MODULO, 0, 0, worker_count),
        (_RETURN_A, 0, 0, 0),
    )
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)
