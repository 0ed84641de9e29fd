"""One TCP stream without any protocol, to see what a link really carries; a program of its own.

raw_stream.py receive ADDRESS PORT            prints "listening", then the payload's bytes a second
raw_stream.py send ADDRESS PORT SECONDS       sends for so long
"""

from __future__ import annotations

import signal
import socket
import sys
import time

CHUNK = bytes(65536)
WARM_UP = 0.3  # seconds that do not count: the stream's window opens, the bucket's burst is spent


def receive(address: str, port: str) -> None:
    with socket.create_server((address, int(port))) as server:
        print("listening", flush=True)
        connection, _ = server.accept()
        with connection:
            counted_from = time.perf_counter() + WARM_UP
            begun, last, size = 0.0, 0.0, 0
            while data := connection.recv(len(CHUNK)):
                last = time.perf_counter()
                if begun:
                    size += len(data)
                elif last >= counted_from:
                    begun = last
    print(f"rate {size / (last - begun)}", flush=True)
    signal.pause()  # until it is ended, as everything in a lab


def send(address: str, port: str, seconds: str) -> None:
    with socket.create_connection((address, int(port))) as connection:
        end = time.perf_counter() + float(seconds)
        while time.perf_counter() < end:
            connection.sendall(CHUNK)
    signal.pause()


def main(verb: str, *arguments: str) -> None:
    if verb == "receive":
        receive(*arguments)
    else:
        send(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
