"""An FTP server for one file: enough of RFC 959 and 3659 for libcurl to fetch parts of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

HOST = "127.0.0.1"


class FtpOrigin:
    def __init__(self, body: bytes, *, says_size: bool = True, password: str = "") -> None:
        self.body = body
        self.said: list[str] = []
        self._says_size = says_size
        self._password = password
        self._listener = socket.create_server((HOST, 0))
        self.url = f"ftp://{HOST}:{self._listener.getsockname()[1]}/dir/file.bin"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        begin, data, opened = 0, None, ExitStack()
        with suppress(OSError), opened, connection, connection.makefile("r", encoding="latin-1") as lines:
            connection.sendall(b"220 welcome\r\n")
            for line in lines:
                self.said.append(line.strip())
                verb, _, word = line.strip().partition(" ")
                reply = "500 what?"
                if verb == "USER":
                    reply = "331 and the password?"
                elif verb == "PASS":
                    reply = "230 come in" if self._password in ("", word) else "530 no"
                elif verb in ("CWD", "TYPE"):
                    reply = "200 yes"
                elif verb == "PWD":
                    reply = '257 "/"'
                elif verb == "MDTM":
                    reply = "213 20240102030405"
                elif verb == "SIZE" and self._says_size:
                    reply = f"213 {len(self.body)}"
                elif verb == "REST":
                    begin, reply = int(word), "350 from there"
                elif verb == "EPSV":
                    data = opened.enter_context(socket.create_server((HOST, 0)))
                    reply = f"229 here (|||{data.getsockname()[1]}|)"
                elif verb == "RETR" and data is not None:
                    connection.sendall(b"150 it comes\r\n")
                    with suppress(OSError), data, data.accept()[0] as channel:
                        channel.sendall(self.body[begin:])
                    begin, reply = 0, "226 that was it"
                elif verb == "QUIT":
                    return
                connection.sendall(f"{reply}\r\n".encode())


@contextmanager
def ftp_origin(body: bytes, *, says_size: bool = True, password: str = "") -> Iterator[FtpOrigin]:
    origin = FtpOrigin(body, says_size=says_size, password=password)
    try:
        yield origin
    finally:
        origin.close()
