"""The programs that a lab lets loose: how each is started as seed and as leecher, and how it says what happened.

A leecher stays when it has everything, as people's do. It says so itself, in the line that `is_complete` knows.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.harness import ROOT, first_line_of
from lab.parts.namespaces import Command
from shoal import __version__

HERE = Path(__file__).resolve().parent
PORT = 6881  # every member has an address of its own
SHOAL: Command = [sys.executable, "-P", ROOT / "src/shoal/__main__.py"]  # as ./shoal does
STAY = str(24 * 3600)  # seconds; longer than any lab


@dataclass(frozen=True, slots=True)
class Post:
    """Where one member stands: its torrent, its folder, its address."""

    torrent: Path
    folder: Path
    address: str


@dataclass(frozen=True, slots=True)
class Client:
    name: str
    version: str
    seed: Callable[[Post], Command]
    leech: Callable[[Post], Command]
    is_complete: Callable[[str], bool]  # whether a line of a leecher's says that it has everything
    # What the last line says, when it has been told to end; None where a program does not say it:
    sent: Callable[[str], int | None]  # of a seed: the payload bytes that it sent
    got_from: Callable[[str, str], int | None]  # of a leecher: those that it had from an address


def known_clients() -> Mapping[str, Client]:
    """Those that are installed, by name."""
    found = [_shoal()]
    libtorrent = first_line_of([sys.executable, "-c", "import libtorrent; print(libtorrent.__version__)"])
    if libtorrent[0].isdigit():
        found.append(_libtorrent(libtorrent))
    if shutil.which("aria2c"):
        found.append(_aria2())
    return {client.name: client for client in found}


def says_not(*_: str) -> None:
    """For what a program does not tell."""


def _shoal() -> Client:
    def here(post: Post) -> Command:
        return ["--dir", post.folder, "--bind", post.address, "--port", str(PORT)]

    return Client(
        "shoal",
        __version__,
        seed=lambda post: [*SHOAL, "seed", post.torrent, *here(post)],
        leech=lambda post: [*SHOAL, "get", post.torrent, *here(post), "--json", "--seed-time", STAY],
        is_complete=lambda line: line.startswith('{"event": "complete"'),
        sent=says_not,
        got_from=_got_from,
    )


def _got_from(last_line: str, address: str) -> int | None:
    if not last_line.startswith('{"status"'):  # it had to be killed
        return None
    sources = json.loads(last_line)["sources"]
    return sum(int(source["bytes"]) for source in sources if source["address"].startswith(f"{address}:"))


def _libtorrent(version: str) -> Client:
    def start(post: Post) -> Command:
        program = HERE / "libtorrent_member.py"
        return [sys.executable, "-P", program, post.torrent, post.folder, post.address, str(PORT)]

    return Client(
        "libtorrent",
        version,
        seed=lambda post: [*start(post), "seed"],
        leech=start,
        is_complete=lambda line: line == "complete",
        sent=_sent,
        got_from=says_not,
    )


def _sent(last_line: str) -> int | None:
    word, _, count = last_line.partition(" ")
    return int(count) if word == "sent" else None  # or it had to be killed


def _aria2() -> Client:
    def start(post: Post, *options: str) -> Command:
        return [
            "aria2c", "--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
            "--file-allocation=none", "--disable-ipv6", f"--interface={post.address}", f"--listen-port={PORT}",
            "--seed-ratio=0.0", *options, f"--dir={post.folder}", post.torrent,
        ]  # fmt: skip

    echo = shutil.which("echo") or "echo"  # it is started with three arguments; any line of it is the word
    return Client(
        "aria2",
        first_line_of(["aria2c", "--version"]).removeprefix("aria2 version "),
        seed=lambda post: start(post, "--bt-seed-unverified=true"),
        leech=lambda post: start(post, f"--on-bt-download-complete={echo}"),
        is_complete=lambda line: bool(line.strip()),
        sent=says_not,
        got_from=says_not,
    )
