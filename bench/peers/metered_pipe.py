"""A door before a program: connections go through it, and what they carry is counted to the byte.

    with MeteredPipe("127.0.0.1:6881") as pipe:
        ...                       # dial pipe.address instead
        pipe.sent_back()          # bytes that whoever listens at 6881 has sent so far
        pipe.read_by_dialler()    # bytes of them that the one who dialled has read out of its socket

One connection. What waits in sockets is asked of the system in ways that only Linux knows; on loopback, what has been
sent and not acknowledged is in the other socket already.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.peers.ends import HOST

CHUNK = 256 * 1024  # bytes a read
_BYTES_NOT_SENT = 0x894B  # SIOCOUTQNSD of <linux/sockios.h>
MOST_LOOKS = 10  # until nothing moves meanwhile (at a high rate it always does, and matters little)
_ESTABLISHED = "01"
_TCP_TABLE = Path("/proc/net/tcp")


class MeteredPipe:
    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listening = socket.create_server((HOST, 0))
        self._port: int = self._listening.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._begun = 0  # bytes that the target sent ...
        self._back = 0  # ... and those of them that have been passed on
        self._read = 0  # what was last seen to be read
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"{HOST}:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def sent_back(self) -> int:
        return self._begun

    def read_by_dialler(self) -> int:
        """What went back, less what we could not send yet, and what was sent and lies in the dialler's socket."""
        if not self._sockets:
            return 0
        for _ in range(MOST_LOOKS):
            begun, back = self._begun, self._back
            read = back - self._waiting_for(self._sockets[0])
            if begun == back == self._begun:
                break  # nothing moved while we looked
        self._read = max(self._read, read)  # a block on its way between two looks counts as unread
        return self._read

    def _waiting_for(self, dialler: socket.socket) -> int:
        not_sent = fcntl.ioctl(dialler, _BYTES_NOT_SENT, bytes(4))
        return int.from_bytes(not_sent, sys.byteorder) + bytes_unread(dialler.getpeername()[1], self._port)

    def _serve(self) -> None:
        try:
            dialler, _ = self._listening.accept()
        except OSError:
            return  # closed, and nobody came
        with dialler, socket.create_connection(self._target) as target:
            self._sockets += (dialler, target)
            forward = threading.Thread(target=self._copy, args=(dialler, target, False), daemon=True)
            forward.start()
            self._copy(target, dialler, True)
            forward.join()

    def _copy(self, source: socket.socket, sink: socket.socket, is_back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if is_back:
                    self._begun += len(data)
                sink.sendall(data)
                if is_back:
                    self._back += len(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def bytes_unread(port: int, peer_port: int) -> int:
    """What lies in the socket between these two ports, unread; 0 if it is gone.

    The system's table is not read in one moment: a row may be missing, or be there twice, when others come and go.
    """
    for _ in range(MOST_LOOKS):
        for line in _TCP_TABLE.read_text().splitlines()[1:]:
            fields = line.split()
            ends = tuple(int(end.rpartition(":")[2], 16) for end in fields[1:3])
            if ends == (port, peer_port) and fields[3] == _ESTABLISHED:
                return int(fields[4].rpartition(":")[2], 16)
    return 0
