"""The least that a server can do, to tell the ceiling of the generators: `python -m bench.tracking.sinks udp|http`.

Answers everything with the same bytes and looks at nothing. Says `listening on PORT`, and ends when its parent does.
"""

from __future__ import annotations

import os
import select
import socket
import sys

from bench.tracking.rings import BATCH, Inbox, Outbox
from bench.tracking.udp_load import BUFFER_BYTES, CONNECT, HOST

LOOK_EVERY = 1.0  # seconds between looks whether anybody still wants us
CLOSES = b"Connection: close"


def main(door: str, length: int) -> None:
    {"udp": serve_udp, "http": serve_http}[door](length)


def serve_udp(length: int) -> None:
    """Every datagram gets `length` bytes that pass for the answer to an announce."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, select.epoll() as ready:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        sock.bind((HOST, 0))
        ready.register(sock.fileno(), select.EPOLLIN)
        inbox = Inbox(sock)
        announced = Outbox(sock, bytearray((b"\0\0\0\1" + bytes(length - 4)) * BATCH), length, inbox.names)
        connected = Outbox(sock, bytearray(16 * BATCH), 16, inbox.names)
        say_port(sock)
        while is_wanted():
            ready.poll(LOOK_EVERY)
            while count := inbox.receive():
                is_connect = inbox.payloads.startswith(CONNECT[:8])
                (connected if is_connect else announced).send(0, count)


def serve_http(length: int) -> None:
    """Every read gets a reply with a body of `length` bytes; it must have been a whole request."""
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % length + bytes(
        length
    )
    connections: dict[int, socket.socket] = {}
    with socket.create_server((HOST, 0), backlog=1024) as listener, select.epoll() as ready:
        listener.setblocking(False)
        ready.register(listener.fileno(), select.EPOLLIN)
        say_port(listener)
        while is_wanted():
            for descriptor, _ in ready.poll(LOOK_EVERY):
                if descriptor == listener.fileno():
                    connection = listener.accept()[0]
                    connections[connection.fileno()] = connection
                    ready.register(connection.fileno(), select.EPOLLIN)
                    continue
                if not answer_one(connections[descriptor], reply):
                    connections.pop(descriptor).close()


def answer_one(connection: socket.socket, reply: bytes) -> bool:
    """Reply to what has come; whether more may come."""
    try:
        request = connection.recv(4096)
        if request:
            connection.send(reply)
    except ConnectionError:
        return False
    return bool(request) and CLOSES not in request


def say_port(sock: socket.socket) -> None:
    print(f"listening on {sock.getsockname()[1]}", flush=True)


def is_wanted() -> bool:
    return os.getppid() == PARENT


if __name__ == "__main__":
    PARENT = os.getppid()
    main(sys.argv[1], int(sys.argv[2]))
