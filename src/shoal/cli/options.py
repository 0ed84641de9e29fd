"""Options that several commands share, so that they are named, explained and checked alike.

Each is a decorator for a click command. Values leave here checked: a size is bytes, a rate bytes a second,
a peer a host and a port.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from shoal.errors import FormatError, UsageError
from shoal.formats.foreign_text import TRACKER_SCHEMES, WEB_SEED_SCHEMES, clean_url
from shoal.protocol.tracker.urls import announce_url, is_http, is_udp, parse_udp_url, shown_url
from shoal.units import parse_rate, parse_size

MAX_PORT = 65535
ASKED_SCHEMES = TRACKER_SCHEMES - {"ws", "wss"}


def parse_host_port(text: str) -> tuple[str, int]:
    """`"10.0.0.7:6881"`, `"[fe80::1]:6881"`, `"host.lan:6881"` -> host and port. Raises `UsageError`."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdecimal():
        raise UsageError(f"'{text}' is not HOST:PORT", hint="write it like 10.0.0.7:6881 or [fe80::1]:6881")
    if not 0 < int(port) <= MAX_PORT:
        raise UsageError(f"'{text}': port {port} is not in 1..{MAX_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"'{text}' is ambiguous", hint=f"put an IPv6 address in brackets: [{host}]:{port}")
    return host, int(port)


def parse_path(text: str) -> Path:
    """A path; an empty one (of a variable that is not set, mostly) is not the current folder. `UsageError`."""
    if not text:
        raise UsageError("an empty path names nothing", hint="write . for the current folder")
    return Path(text)


def parse_tracker_url(text: str) -> str:
    """A tracker's URL; one of HTTP without a path means `/announce`, one of UDP needs a port. Raises `UsageError`."""
    return _tracker_url(text, TRACKER_SCHEMES)


def parse_announced_url(text: str) -> str:
    """The same of one that we ask ourselves: over WebSocket, which a torrent may name for others, we ask nobody."""
    return _tracker_url(text, ASKED_SCHEMES)


def _tracker_url(text: str, schemes: frozenset[str]) -> str:
    url = checked_url(text, schemes)
    if is_udp(url):
        try:
            parse_udp_url(url)
        except FormatError as error:
            raise UsageError(error.message, hint=error.hint) from None
    return announce_url(url) if is_http(url) else url


def parse_web_seed_url(text: str) -> str:
    """The URL of a web server that has the files. Raises `UsageError`."""
    return checked_url(text, WEB_SEED_SCHEMES)


def checked_url(text: str, schemes: frozenset[str]) -> str:
    url = clean_url(text.encode("utf-8", "surrogateescape"), schemes)
    if url is None:
        raise UsageError(f"'{shown_url(text)}' is not a URL of {', '.join(sorted(schemes))}")
    return url


SIZE = parse_size  # click takes any function; its UsageError is told like ours
RATE = parse_rate
HOST_PORT = parse_host_port
TRACKER_URL = parse_tracker_url
WEB_SEED_URL = parse_web_seed_url
PORT = click.IntRange(0, MAX_PORT)
PATH = parse_path  # whether it is there is found out by opening it

bind_option = click.option(
    "--bind",
    metavar="ADDR",
    default=None,
    help="Listen on this address, and connect from it. Without it: all interfaces, IPv4 and IPv6.",
)
port_option = click.option(
    "--port",
    type=PORT,
    metavar="N",
    default=None,
    help="Listen on this port; 0 takes any. Without it: 6881 or the next free one.",
)
name_option = click.option(
    "--name", metavar="NAME", default="", help="What the log calls this machine; others see its address."
)
log_option = click.option(
    "--log",
    type=PATH,
    metavar="FILE",
    default=None,
    help="Record in FILE, a JSON object a line, which piece came from whom and went to whom.",
)
max_upload_rate_option = click.option(
    "--max-upload-rate",
    type=RATE,
    metavar="RATE",
    default=None,
    help="Send no more than this a second to all peers together: 500k, 2MB/s, 1.5MiB/s; a bare number is bytes.",
)
max_download_rate_option = click.option(
    "--max-download-rate",
    type=RATE,
    metavar="RATE",
    default=None,
    help="Receive no more than this a second from all peers together, written the same way.",
)


def _peer_option(who: str) -> Callable[[Any], Any]:
    return click.option(
        "--peer",
        "peers",
        type=HOST_PORT,
        metavar="HOST:PORT",
        multiple=True,
        help=f"{who} to connect to; may be given several times. IPv6: [ADDR]:PORT.",
    )


peer_option = _peer_option("A peer")
peer_or_member_option = _peer_option("A peer of the torrent, or a member of the group,")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
