"""One raw TCP copy with SHA-1 and a write: the least that a verified transfer of a file can cost.

    raw_copy.py send FILE                      prints "listening on ADDR", sends FILE to whoever connects
    raw_copy.py receive FILE ADDR SIZE DIGESTS  DIGESTS: the pieces' SHA-1, one after another

No protocol, no asyncio, nothing but the standard library: blocking sockets, buffers of 1 MiB. The sender reads and
sends one piece after another. The receiver fills a piece's buffer, and a thread hashes it, compares and writes
while the next one comes in; two threads would only quarrel about two cores.
"""

from __future__ import annotations

import hashlib
import os
import queue
import socket
import sys
import threading
from pathlib import Path

PIECE_LENGTH = 1 << 20
BUFFERS = 8  # pieces that may wait for the hasher
SOCKET_BUFFER = 4 << 20
DIGEST_LENGTH = 20


def send(path: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
    host, port = listening.getsockname()
    print(f"listening on {host}:{port}", flush=True)
    buffer = memoryview(bytearray(PIECE_LENGTH))
    while True:
        connection, _ = listening.accept()
        with connection, Path(path).open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                connection.sendall(buffer[:count])


def receive(path: str, address: str, size: int, digests: bytes) -> None:
    host, _, port = address.rpartition(":")
    free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
    for _ in range(BUFFERS):
        free.put(memoryview(bytearray(PIECE_LENGTH)))
    full: queue.SimpleQueue[tuple[int, memoryview]] = queue.SimpleQueue()
    bad: list[int] = []
    piece_count = -(-size // PIECE_LENGTH)

    def hash_and_write() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        for _ in range(piece_count):
            piece, view = full.get()
            expected = digests[piece * DIGEST_LENGTH : (piece + 1) * DIGEST_LENGTH]
            if hashlib.sha1(view).digest() != expected:
                bad.append(piece)
            os.pwrite(descriptor, view, piece * PIECE_LENGTH)
            free.put(memoryview(view.obj))
        os.close(descriptor)

    worker = threading.Thread(target=hash_and_write)
    worker.start()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    connection.connect((host, int(port)))
    for piece in range(piece_count):
        view = free.get()[: min(PIECE_LENGTH, size - piece * PIECE_LENGTH)]
        filled = 0
        while filled < len(view):
            count = connection.recv_into(view[filled:])
            if not count:
                raise SystemExit("the sender hung up")
            filled += count
        full.put((piece, view))
    worker.join()
    if bad:
        raise SystemExit(f"bad pieces: {bad}")


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2])
    else:
        receive(sys.argv[2], sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]).read_bytes())
