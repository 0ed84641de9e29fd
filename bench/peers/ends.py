"""Every program that can be an end of a transfer, started and measured alike.

A seed is up before the clock runs: it answers a handshake for the torrent, so it has read and checked what it wants
to. A leecher is one process from start to exit; its folder and what it remembers are new each time.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.harness import ROOT, ProcessFailed, first_line_of
from shoal import __version__
from shoal.formats import bencode
from shoal.formats.compact import encode_compact_v4
from shoal.formats.metainfo import Metainfo
from shoal.testing.raw_wire import HANDSHAKE_LENGTH, encode_handshake

HOST = "127.0.0.1"
HERE = Path(__file__).resolve().parent
START_LIMIT = 60.0  # seconds; a seed without a memory reads the whole payload first
STOP_LIMIT = 10.0  # seconds for a program to end when told to
POLL_EVERY = 0.02  # seconds between looks at a program that is starting
PROBE_PEER_ID = b"-XS0001-is-it-up-yet"

Command = list[str | Path]


@dataclass(frozen=True, slots=True)
class Scene:
    """What all transfers of one run share."""

    folder: Path
    payload: Path
    torrent: Path
    metainfo: Metainfo
    tracker: str  # of `OnePeerTracker`

    @property
    def digests(self) -> Path:
        return self.folder / "digests"


@dataclass(frozen=True, slots=True)
class Program:
    """How to start one program as seed (on a port, if it cannot choose and tell one itself) and as leecher."""

    name: str
    version: str
    seed: Callable[[Scene, int], Command]
    get: Callable[[Scene, Path, str], Command]  # (scene, folder, the seed's address)
    tells_address: bool = True


def known_programs() -> dict[str, Program]:
    """Those that are installed, by name."""
    found = [_shoal(), _raw()]
    libtorrent = first_line_of([sys.executable, "-c", "import libtorrent; print(libtorrent.__version__)"])
    if libtorrent[0].isdigit():
        found.append(_libtorrent(libtorrent))
    if shutil.which("aria2c"):
        found.append(_aria2())
    return {program.name: program for program in found}


def _shoal() -> Program:
    start: Command = [sys.executable, "-P", ROOT / "src/shoal/__main__.py"]  # as ./shoal does
    here = ["--bind", HOST, "--port", "0"]
    return Program(
        "shoal",
        __version__,
        lambda scene, port: [*start, "seed", scene.torrent, "--dir", scene.payload.parent, *here],
        lambda scene, folder, address: [
            *start, "get", scene.torrent, "--dir", folder, *here, "--peer", address, "--no-seed", "--quiet",
        ],
    )  # fmt: skip


def _libtorrent(version: str) -> Program:
    start: Command = [sys.executable, "-P", HERE / "libtorrent_peer.py"]
    return Program(
        "libtorrent",
        version,
        lambda scene, port: [*start, "seed", scene.torrent, scene.payload.parent],
        lambda scene, folder, address: [*start, "get", scene.torrent, folder, address],
    )


def _aria2() -> Program:
    start: Command = [
        "aria2c", "--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
        "--enable-peer-exchange=false", "--file-allocation=none", "--disable-ipv6", f"--interface={HOST}",
    ]  # fmt: skip

    def seed(scene: Scene, port: int) -> Command:
        forever = ["--bt-seed-unverified=true", "--seed-ratio=0.0"]
        return [*start, *forever, f"--listen-port={port}", f"--dir={scene.payload.parent}", scene.torrent]

    def get(scene: Scene, folder: Path, address: str) -> Command:
        meet = f"--bt-tracker={scene.tracker}/{address}/announce"  # it has no other way to learn of a peer
        return [
            *start,
            "--seed-time=0",
            f"--listen-port={free_port()}",
            meet,
            f"--dir={folder}",
            scene.torrent,
        ]

    version = first_line_of(["aria2c", "--version"]).removeprefix("aria2 version ")
    return Program("aria2", version, seed, get, tells_address=False)


def _raw() -> Program:
    start: Command = [sys.executable, "-P", HERE / "raw_copy.py"]

    def get(scene: Scene, folder: Path, address: str) -> Command:
        target = folder / scene.payload.name
        return [*start, "receive", target, address, str(scene.payload.stat().st_size), scene.digests]

    version = "one TCP copy, 1 MiB buffers, SHA-1 and pwrite in a thread, no protocol"
    return Program("raw", version, lambda scene, port: [*start, "send", scene.payload], get)


def environment(state: Path) -> Mapping[str, str]:
    """For a process of ours (the others do not mind): this checkout, and a memory of its own."""
    return {**os.environ, "SHOAL_STATE_DIR": str(state), "PYTHONPATH": str(ROOT / "src")}


# ---- a seed that is up


@dataclass(frozen=True, slots=True)
class Seed:
    pid: int
    address: str


@contextmanager
def running_seed(program: Program, scene: Scene) -> Iterator[Seed]:
    """Start a seed, wait until it serves the torrent, and end it with the block. Raises `ProcessFailed`."""
    port = 0 if program.tells_address else free_port()
    errors = scene.folder / "seed-errors"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            program.seed(scene, port),
            cwd=ROOT,
            env=environment(scene.folder / "seed-state"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    try:
        try:
            address = told_address(process) if program.tells_address else f"{HOST}:{port}"
            if program.name != "raw":
                _wait_serving(process, address, scene.metainfo.wire_hash)
        except ProcessFailed as error:
            raise ProcessFailed(
                f"{program.name}: {error}: {errors.read_text(errors='replace').strip()}"
            ) from None
        yield Seed(process.pid, address)
    finally:
        stop(process)


def told_address(process: subprocess.Popen[bytes]) -> str:
    """What comes after `listening on` in the first line that a program prints."""
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    if not line.startswith("listening on "):
        raise ProcessFailed(f"the seed says '{line}' instead of where it listens")
    return line.removeprefix("listening on ")


def _wait_serving(process: subprocess.Popen[bytes], address: str, info_hash: bytes) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not answers(address, info_hash):
        if process.poll() is not None:
            raise ProcessFailed(f"the seed ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise ProcessFailed(f"the seed did not answer a handshake in {START_LIMIT:g} s")
        time.sleep(POLL_EVERY)


def answers(address: str, info_hash: bytes) -> bool:
    """Whether somebody there answers a handshake for this torrent."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5.0) as connection:
            connection.sendall(encode_handshake(info_hash, PROBE_PEER_ID, fast=False, extension=False))
            answer = connection.recv(HANDSHAKE_LENGTH, socket.MSG_WAITALL)
    except OSError:
        return False
    return answer[28:48] == info_hash


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it, by its id; patiently first."""
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def free_port() -> int:
    """A port nobody listens on now, for programs that cannot take any and tell which."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


# ---- a tracker that knows one peer


class OnePeerTracker(ThreadingHTTPServer):
    """Answers `/HOST:PORT/announce` with that one peer; `with` it as a thread of this process."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Announce)
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    def __enter__(self) -> OnePeerTracker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Announce(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        host, _, port = self.path.split("/")[1].rpartition(":")
        answer = bencode.encode({b"interval": 1800, b"peers": encode_compact_v4([(host, int(port))])})
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody wants to read it."""
