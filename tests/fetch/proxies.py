"""Proxies on loopback, HTTP and SOCKS 5, that remember what they were told."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HOST = "127.0.0.1"


class Proxy:
    """`to`: where everything is connected to, whatever host is asked for. `heard`: all that clients said first."""

    def __init__(self, is_socks: bool, to: tuple[str, int] | None) -> None:
        self.heard = bytearray()
        self._is_socks = is_socks
        self._to = to
        self._listener = socket.create_server((HOST, 0))
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, struct.error), client:
            first, target = self._socks(client) if self._is_socks else self._http(client)
            with socket.create_connection(self._to or target) as server:
                server.sendall(first)
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()

    def _http(self, client: socket.socket) -> tuple[bytes, tuple[str, int]]:
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(65536)
            if not more:
                raise ConnectionError("nobody asks for anything")
            head += more
        self.heard += head
        verb, target, _ = head.decode("latin-1").split(" ", 2)
        host, _, port = target.removeprefix("http://").partition("/")[0].partition(":")
        if verb == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Connected\r\nX-Proxy: 1\r\n\r\n")
            head = b""
        kept = [line for line in head.split(b"\r\n") if not line.startswith(b"Proxy-")]
        return b"\r\n".join(kept), (host, int(port or 80))

    def _socks(self, client: socket.socket) -> tuple[bytes, tuple[str, int]]:
        _, count = struct.unpack("BB", client.recv(2))
        methods = client.recv(count)
        if 2 in methods:
            client.sendall(b"\x05\x02")
            said = client.recv(512)
            self.heard += said
            client.sendall(b"\x01\x00")
        else:
            client.sendall(b"\x05\x00")
        _, _, _, kind = client.recv(4)
        host = socket.inet_ntoa(client.recv(4)) if kind == 1 else client.recv(client.recv(1)[0]).decode()
        (port,) = struct.unpack("!H", client.recv(2))
        self.heard += f"[{host}:{port}]".encode()
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        return b"", (host, port)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(*, is_socks: bool = False, to: tuple[str, int] | None = None) -> Iterator[Proxy]:
    running = Proxy(is_socks, to)
    try:
        yield running
    finally:
        running.close()
