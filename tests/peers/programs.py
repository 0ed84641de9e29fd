"""The programs of others, and ours, started as peers and trackers.

A `Client` takes part in a torrent: what its folder lacks it gets, what is there it serves. It gives its address
once it answers a handshake, so that whoever is started next can connect to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.net.sockets import format_address

from .payloads import Offer
from .processes import ROOT, Pen, Running, answers, free_port, listed, wait_until

HOST = "127.0.0.1"
LIBTORRENT = Path(__file__).with_name("libtorrent_client.py")

TRANSMISSION_SETTINGS = {
    "bind-address-ipv4": HOST,
    "dht-enabled": False,
    "lpd-enabled": False,
    "pex-enabled": False,
    "utp-enabled": False,
    "port-forwarding-enabled": False,
    "encryption": 0,
    "rpc-enabled": False,
}

QBITTORRENT_SETTINGS = """\
[LegalNotice]
Accepted=true

[BitTorrent]
Session\\BTProtocol=TCP
Session\\DHTEnabled=false
Session\\DefaultSavePath={folder}
Session\\Interface=lo
Session\\InterfaceName=lo
Session\\InterfaceAddress={host}
Session\\LSDEnabled=false
Session\\MultiConnectionsPerIp=true
Session\\PeXEnabled=false
Session\\Port={port}
Session\\QueueingSystemEnabled=false

[Network]
PortForwardingEnabled=false

[Preferences]
Connection\\ResolvePeerCountries=false
WebUI\\Address={host}
WebUI\\Enabled=false
"""

# (pen, offer, its folder, has it everything?) -> the process and its address
Client = Callable[[Pen, Offer, Path, bool], tuple[Running, str]]


def require(program: str) -> str:
    """The path of a program; the test is skipped where there is none."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


# ---- the others


def libtorrent(
    pen: Pen, offer: Offer, folder: Path, is_seed: bool, bind: str = HOST, dial: str = ""
) -> tuple[Running, str]:
    pytest.importorskip("libtorrent")
    dialled = [dial] if dial else []
    running = pen.start(
        "libtorrent", [sys.executable, "-P", LIBTORRENT, offer.torrent, folder, bind, *dialled]
    )
    address = running.line_after("listening on ")
    return _up(running, address, offer)


def aria2(pen: Pen, offer: Offer, folder: Path, is_seed: bool, bind: str = HOST) -> tuple[Running, str]:
    """It speaks with UDP trackers only by way of its DHT, which knows nobody here and is left out over IPv6."""
    program = require("aria2c")
    port = free_port(bind)
    if ":" in bind:
        family = ["--enable-dht=false", "--enable-dht6=false", "--disable-ipv6=false"]
    else:
        table = folder.with_name(f"{folder.name}.dht")
        family = [
            "--enable-dht",
            f"--dht-file-path={table}",
            f"--dht-listen-port={free_port()}",
            "--disable-ipv6",
        ]
    running = pen.start(
        "aria2",
        [
            program, "--no-conf", *family, "--bt-enable-lpd=false", "--enable-peer-exchange=false",
            "--file-allocation=none", f"--interface={bind}", f"--bt-external-ip={bind}",
            "--summary-interval=0", "--seed-ratio=0.0", f"--listen-port={port}",
            "--check-integrity=true" if is_seed else "--check-integrity=false",
            f"--dir={folder}", offer.torrent,
        ],
    )  # fmt: skip
    return _up(running, format_address((bind, port)), offer)


def transmission(pen: Pen, offer: Offer, folder: Path, is_seed: bool) -> tuple[Running, str]:
    """It never dials a loopback address, so the other side must; and a second caller from one address waits.

    3.00 looks at itself five times a second, and ends when it finds itself between verifying and beginning.
    """
    program = require("transmission-cli")
    port = free_port()
    config = pen.make_folder("transmission-config")
    (config / "settings.json").write_text(json.dumps(TRANSMISSION_SETTINGS))
    command: list[str | Path] = (
        [require("stdbuf"), "--output=0",  # or its status would come in lumps of 20 seconds
         program, "--config-dir", config, "--download-dir", folder, "--port", str(port), "--no-portmap",
         "--encryption-tolerated", "--verify", offer.torrent]
    )  # fmt: skip
    status = "Seeding," if is_seed else "Progress:"
    running = pen.start("transmission", command)

    def has_begun() -> bool:
        nonlocal running
        if running.process.poll() == 0:
            running = pen.start("transmission", command)
        return status in running.said

    wait_until(has_begun, f"status of '{status}'")
    return running, f"{HOST}:{port}"


def transmission_daemon(
    pen: Pen, offer: Offer, folder: Path, is_seed: bool, bind: str = HOST
) -> tuple[Running, str]:
    """The same without a terminal: `transmission-remote ADDRESS` asks what its trackers told it."""
    program, remote = require("transmission-daemon"), require("transmission-remote")
    port, control = free_port(), free_port()
    config = pen.make_folder("transmission-config")
    settings = {**TRANSMISSION_SETTINGS, f"bind-address-ipv{6 if ':' in bind else 4}": bind}
    settings |= {"rpc-enabled": True, "rpc-bind-address": HOST, "rpc-port": control, "peer-port": port}
    settings |= {"download-dir": str(folder), "watch-dir-enabled": False}
    (config / "settings.json").write_text(json.dumps(settings))
    running = pen.start("transmission-daemon", [program, "--foreground", "--config-dir", config])
    running.wait_until(lambda: _accepts(HOST, control), "answer to its remote control")
    subprocess.run([remote, f"{HOST}:{control}", "--add", offer.torrent], check=True, capture_output=True)
    return running, f"{HOST}:{control}"


def _accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=2.0):
        return True
    return False


def qbittorrent(pen: Pen, offer: Offer, folder: Path, is_seed: bool, bind: str = HOST) -> tuple[Running, str]:
    """The torrent comes with the command line; the web interface cannot be left out, whatever the settings say.

    It serves its user in one process by a socket in the folder of temporary files, so each has its own.
    """
    program = require("qbittorrent-nox")
    port = free_port(bind)
    profile = pen.make_folder("qbittorrent-profile")
    config = profile / "qBittorrent" / "config"
    config.mkdir(parents=True)
    settings = QBITTORRENT_SETTINGS.format(folder=folder, host=bind, port=port)
    (config / "qBittorrent.conf").write_text(settings)
    running = pen.start(
        "qbittorrent",
        [program, f"--profile={profile}", f"--save-path={folder}", "--skip-dialog=true",
         f"--webui-port={free_port()}", offer.torrent],
        env={**os.environ, "TMPDIR": str(pen.make_open_folder())},
    )  # fmt: skip
    return _up(running, format_address((bind, port)), offer)


def _up(running: Running, address: str, offer: Offer) -> tuple[Running, str]:
    running.wait_until(lambda: answers(address, offer.info_hash), "answer to a handshake")
    return running, address


CLIENTS: dict[str, Client] = {
    "libtorrent": libtorrent,
    "aria2": aria2,
    "transmission": transmission,
    "qbittorrent": qbittorrent,
}


# ---- ours


def start_shoal(pen: Pen, *arguments: str | os.PathLike[str]) -> Running:
    """Any command of ours, with a memory of its own."""
    state = pen.make_folder("state")
    environment = {**os.environ, "SHOAL_STATE_DIR": str(state), "PYTHONPATH": str(ROOT / "src")}
    return pen.start(
        f"shoal-{arguments[0]}", [sys.executable, "-P", "-m", "shoal", *arguments], env=environment
    )


def shoal_get(
    pen: Pen, source: str | Path, folder: Path, *options: str, dial: str = "", bind: str = HOST
) -> Running:
    dialled = ["--peer", dial] if dial else []
    ending = options or ("--no-seed",)
    return start_shoal(pen, "get", source, "--dir", folder, "--bind", bind, "--port", "0", *dialled, *ending)


def shoal_seed(pen: Pen, offer: Offer, dial: str = "", bind: str = HOST) -> tuple[Running, str]:
    dialled = ["--peer", dial] if dial else []
    running = start_shoal(
        pen, "seed", offer.torrent, "--dir", offer.root, "--bind", bind, "--port", "0", *dialled
    )
    return _up(running, running.line_after("listening on "), offer)


# ---- trackers, started for one torrent; the URL to announce to, and the same tracker's in datagrams


def in_datagrams(url: str) -> str:
    return url.replace("http://", "udp://")


def shoal_tracker(pen: Pen, info_hash: bytes, bind: str = HOST) -> str:
    running = start_shoal(pen, "tracker", "--bind", bind, "--port", "0", "--interval", "2")
    return running.line_after("tracker ")


def opentracker(pen: Pen, info_hash: bytes) -> str:
    """This build serves what its list names; it drops root, so its files must be for everybody to read."""
    program = require("opentracker")
    port = free_port()
    folder = pen.make_open_folder()
    (folder / "whitelist").write_text(f"{info_hash.hex()}\n")
    lines = [f"listen.tcp_udp {HOST}:{port}", f"access.whitelist {folder / 'whitelist'}"]
    if os.geteuid() == 0:
        lines.append("tracker.user nobody")
    (folder / "opentracker.conf").write_text("\n".join(lines) + "\n")
    running = pen.start("opentracker", [program, "-f", folder / "opentracker.conf"])
    url = f"http://{HOST}:{port}/announce"
    running.wait_until(lambda: listed(url, info_hash) == (0, 0), "answer to a scrape")
    return url


TRACKERS: dict[str, Callable[[Pen, bytes], str]] = {
    "shoal tracker": shoal_tracker,
    "opentracker": opentracker,
}
