"""What tests of sockets share: some systems take a moment from one end to the other, even on loopback."""

from __future__ import annotations

import select
import socket
import time

PATIENCE = 60.0  # seconds; for a busy machine


def wait_arrived(sock: socket.socket, count: int) -> None:
    """Until so many bytes can be read; they stay where they are."""
    deadline = time.monotonic() + PATIENCE
    while True:
        wait_readable(sock)
        if len(sock.recv(count, socket.MSG_PEEK)) >= count:
            return
        assert time.monotonic() < deadline, f"{count} bytes did not arrive in {PATIENCE:g} s"


def wait_readable(sock: socket.socket) -> None:
    """Until a reader would be woken."""
    assert select.select([sock], [], [], PATIENCE)[0], f"nothing to read in {PATIENCE:g} s"
