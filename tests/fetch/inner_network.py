"""Run in a network namespace of its own: everything a guard is to keep out of is truly there, and listens.

`python -m tests.fetch.inner_network` prints a JSON object: for each case what guarded transfers came to, and how many
connections the inner listener saw of them; and how many it saw of the same transfer without a guard.

127.0.0.2 plays the public internet: the guards here are told that it is public. Names are looked up by the system, at
a name server on loopback that changes its answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from shoal.errors import GuardError, ShoalError
from shoal.fetch.guard import Guard
from shoal.fetch.judging import Answer
from shoal.fetch.options import FetchOptions, asked_url
from shoal.fetch.transfer import Flow, Transfers
from shoal.net.address_classes import AddressClass, Classified, classify
from shoal.net.guarding import AddressGuard, TorrentGuard
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect

PUBLIC = "127.0.0.2"
PORT = 8080  # of the inner listener
ALONE = 8082  # where only the inner network listens, and the public host does not
HERE = (
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "169.254.7.7", "168.63.129.16",
    "192.0.2.2", "198.18.0.1", "240.0.0.1", "fd00::1", "fec0::1", "fe80::1", "fd00:ec2::254", "64:ff9b::a00:1",
    "64:ff9b:1::a00:1", "2002:a00:1::1", "2001:db8::2", "2001:0:a00:1::f5ff:fffe", "::10.0.0.1", "2600::5efe:10.0.0.1",
)  # fmt: skip
HOSTS = Path(__file__).with_name("inner_hosts.txt")  # as URLs spell them
WHOLE_URLS = {  # the ports and users, as far as a host's spelling does not say it
    "user": f"http://public.example@127.0.0.1:{PORT}/",
    "user and password": f"http://public.example:80@127.0.0.1:{PORT}/",
    "user that is quoted": f"http://public.example%40127.0.0.1@127.0.0.1:{PORT}/",
    "two users": f"http://a@public.example@127.0.0.1:{PORT}/",
    "backslash": f"http://127.0.0.1:{PORT}\\@public.example/",
    "backslash before": f"http://public.example\\@127.0.0.1:{PORT}/",
    "hash": f"http://127.0.0.1:{PORT}#@public.example/",
    "port with zeroes": f"http://127.0.0.1:000{PORT}/",
    "capitals": f"HTTP://127.0.0.1:{PORT}/",
    "tls": f"https://127.0.0.1:{PORT}/",
    "ftp": f"ftp://127.0.0.1:{PORT}/",
}
A_NAMES = {"inner.example": "10.0.0.1", "printer.local": "192.168.0.1", "nas.internal": "172.16.0.1",
           "metadata.google.internal": "169.254.169.254", "127.0.0.1.nip.example": "127.0.0.1"}  # fmt: skip


def classify_here(address: str) -> Classified:
    found = classify(address)
    return Classified(found.ip, AddressClass.PUBLIC) if address == PUBLIC else found


class AtConnecting(Guard):
    """Lets every URL pass, so that all that refuses is the look at the address when it is connected to."""

    __slots__ = ()

    def refusal(self, url: str, *, hop: int, is_proxied: bool = False) -> str | None:
        return None


GUARDS: dict[str, AddressGuard] = {
    "helper": Guard(classify=classify_here),
    "at connecting": AtConnecting(classify=classify_here),
    "torrent": TorrentGuard(classify=classify_here),
}


class Inner:
    """Listens on all addresses; counts who came to any but the public one."""

    def __init__(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server(
            (host, port), family=family, dualstack_ipv6=host == "::", backlog=64
        )
        self.seen: list[str] = []
        self._marks: set[int] = set()  # ports from which nobody but `count` came
        self._marked = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, address = self._socket.accept()
            with connection:
                if address[1] in self._marks:
                    self._marked.release()
                    continue
                self.seen.append(connection.getsockname()[0].removeprefix("::ffff:"))
                connection.settimeout(5)
                with contextlib.suppress(OSError):
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")

    def count(self) -> int:
        """Of all who came before this: connections are accepted in their order."""
        with socket.socket() as mark:
            mark.bind((PUBLIC, 0))
            self._marks.add(mark.getsockname()[1])
            host, port = self._socket.getsockname()[:2]
            mark.connect((PUBLIC if host == "::" else host, port))
            self._marked.acquire()
        self._marks.clear()
        return sum(address != PUBLIC for address in self.seen)


class NameServer:
    """Answers A queries over UDP: `rebind*.example` is public once and private ever after, `both.example` is both."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            labels, at = [], 12
            while length := query[at]:
                labels.append(query[at + 1 : at + 1 + length].decode().lower())
                at += 1 + length
            (kind,) = struct.unpack_from("!H", query, at + 1)
            name, question = ".".join(labels), query[12 : at + 5]
            addresses = self._addresses(name) if kind == 1 else []
            known = name.endswith(("example", "internal", "local"))
            flags = 0x8400 if known else 0x8403
            head = query[:2] + struct.pack("!5H", flags, 1, len(addresses), 0, 0)
            answers = [
                b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(one) for one in addresses
            ]
            self._socket.sendto(head + question + b"".join(answers), client)

    def _addresses(self, name: str) -> list[str]:
        self.asked.append(name)
        if name == "both.example":
            return [PUBLIC, "10.0.0.1"]
        if name.startswith("rebind"):
            return [PUBLIC] if self.asked.count(name) == 1 else ["10.0.0.1"]
        return [A_NAMES[name]] if name in A_NAMES else []


def _label(kind: str) -> str:
    return kind.replace(" ", "-")


class Nowhere:
    def __init__(self) -> None:
        self.body = b""

    def on_response(self, response: Answer, go_on: Callable[[], None]) -> bool:
        return True

    def on_data(self, data: bytes) -> Flow:
        self.body += data
        return Flow.MORE


def set_up() -> None:
    def run(*command: str) -> None:
        subprocess.run(command, check=True)

    run("ip", "link", "set", "lo", "up")
    for address in HERE:
        run(
            "ip",
            "addr",
            "add",
            f"{address}/{'128' if ':' in address else '32'}",
            "dev",
            "lo",
            *["nodad"] * (":" in address),
        )
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    Path(file.name).chmod(0o644)
    run("mount", "--bind", file.name, "/etc/resolv.conf")
    Path(file.name).unlink()


async def transfer(url: str, guard: AddressGuard | None, *more: str) -> str:
    """What it came to: "ok", or the kind of error and its words. `more` URLs are asked by the same `Transfers`."""
    options = FetchOptions(connect_timeout=2.0, stall_timeout=2.0)
    try:
        async with Transfers(options, asked_url(url), guard) as transfers:
            for each in (url, *more):
                sink = Nowhere()
                await transfers.get(asked_url(each), sink, None)
        return "ok"
    except GuardError as error:
        return f"refused: {error.message}"
    except ShoalError as error:
        return f"error: {error.message}"


@contextlib.contextmanager
def counting(inner: Inner) -> Iterator[list[int]]:
    before, counted = inner.count(), [0]
    yield counted
    counted[0] = inner.count() - before


async def story() -> dict[str, object]:
    inner, alone, names = Inner("::", PORT), Inner("10.0.0.1", ALONE), NameServer()
    cases: dict[str, object] = {}

    async def case(label: str, url: str, *more: str, watched: Inner = inner) -> None:
        row: dict[str, object] = {}
        for kind, guard in GUARDS.items():
            with counting(watched) as counted:
                row[kind] = await transfer(url.replace("KIND", _label(kind)), guard, *more)
            row[f"{kind} seen"] = counted[0]
        with counting(watched) as counted:
            row["free"] = await transfer(url.replace("KIND", "free"), None, *more)
        row["free seen"] = counted[0]
        cases[label] = row

    urls = {host: f"http://{host}:{PORT}/" for host in HOSTS.read_text().split()} | WHOLE_URLS
    with HostileOrigin(PUBLIC) as origin:
        for label, url in urls.items():
            await case(f"direct {label}", url)
            path = f"/to{len(origin.pages)}"
            origin.pages[path] = redirect(url.encode().decode("latin-1"))
            await case(f"redirect {label}", origin.url(path))
        origin.pages["/there"] = Page(b"there")
        await case("public", origin.url("/there"))
        await case("two addresses", f"http://both.example:{ALONE}/", watched=alone)
        for kind in (*map(_label, GUARDS), "free"):
            origin.pages[f"/{kind}"] = redirect(f"http://rebind-{kind}.example:{PORT}/")
        await case("rebinding by redirect", f"http://rebind-KIND.example:{origin.port}/KIND")
        origin.pages["/again"] = redirect(f"http://10.0.0.1:{PORT}/")
        await case("connection that is open", f"http://10.0.0.1:{PORT}/", origin.url("/again"))
    cases["asked"] = names.asked
    return cases


if __name__ == "__main__":
    set_up()
    print(json.dumps(asyncio.run(story()), ensure_ascii=True))
