"""The kinds of values a setting may have, each read from text: `parse(text)` -> value, or `UsageError`.

Those that only a tracker has are in its own table, so that no other command loads what a tracker is made of.

Always true: a reader of something secret says what is wrong with a value and never quotes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from shoal.cli.options import MAX_PORT, parse_announced_url, parse_host_port, parse_path
from shoal.errors import UsageError
from shoal.net.listening import parse_bind
from shoal.protocol.tracker.urls import shown_url
from shoal.tracker.proxies import parse_network
from shoal.units import format_duration, parse_duration, parse_rate, parse_size

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
HASH_LENGTHS = (40, 64)  # hex digits: SHA-1, SHA-256
WIRE_HASH_LENGTH = 20  # bytes; a v2 hash is cut to it (BEP 52)
LEAST_TOKEN_LENGTH = 8  # what is shorter is guessed
MOST_CONNECTIONS = 64  # of one download; servers take more for an attack
PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
LONGEST_TIME = 7 * 86400.0  # seconds; beyond a week a typing error is likelier than a wish

_GROUP_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_KEY_PREFIX = "shoal1-"
_HOST_PATTERN = re.compile(r"[a-z0-9*?.:_\[\]-]{1,253}")


@dataclass(frozen=True, slots=True)
class Kind:
    """How one sort of value is written. In TOML it has one of `toml_types`, whose text is read like any other.

    `shown` gives the text of a value without what is secret in it.
    """

    metavar: str
    parse: Callable[[str], Any]
    toml_types: tuple[type, ...] = (str,)
    shown: Callable[[str], str] = str


def parse_flag(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise UsageError(f"'{text}' is neither true nor false")


def parse_count(text: str, most: int = 10**12) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"'{text}' is not a whole number")
    if len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise UsageError(f"'{text}' is not between 1 and {most}")
    return int(text)


def parse_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= MAX_PORT):
        raise UsageError(
            f"'{text}' is not a port", hint=f"a port is a number from 0 to {MAX_PORT}; 0 takes any"
        )
    return int(text)


def parse_time(text: str, least: float = 0.0) -> float:
    seconds = parse_duration(text)
    if not least <= seconds <= LONGEST_TIME:
        raise UsageError(f"'{text}' is not between {least:g} s and {format_duration(LONGEST_TIME)}")
    return seconds


def parse_served(text: str) -> Any:
    """`TORRENT|HASH` -> the path of a torrent file, or an info hash as it is on the wire."""
    if len(text) in HASH_LENGTHS:
        try:
            return bytes.fromhex(text)[:WIRE_HASH_LENGTH]
        except ValueError:
            pass  # a file may have so long a name
    return parse_path(text)


def parse_token(text: str) -> str:
    """A secret that is shown in an HTTP header by those who know it."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise UsageError("a token is made of ASCII letters, digits and signs, without spaces")
    if len(text) < LEAST_TOKEN_LENGTH:
        raise UsageError(f"a token shorter than {LEAST_TOKEN_LENGTH} characters is easily guessed")
    return text


def parse_amount(text: str) -> int:
    """A size that is not nothing."""
    size = parse_size(text)
    if not size:
        raise UsageError(f"'{text}' is nothing", hint="without the setting there is no limit")
    return size


def parse_proxy(text: str) -> str:
    """`http://host:3128`, `socks5h://host:1080`, `host:3128`. Raises `UsageError`, which quotes nothing."""
    hint = f"write it like http://host:3128 or socks5h://host:1080; there are {', '.join(PROXY_SCHEMES)}"
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_proxy = parts.scheme in PROXY_SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_proxy = False
    if not is_proxy:
        raise UsageError("that is not the URL of a proxy", hint=hint)
    return url


def parse_group(text: str) -> str:
    """The name of a group. A whole key, given by mistake, is not quoted."""
    if text.startswith(_KEY_PREFIX):
        raise UsageError(
            "that is a key, not the name of a group",
            hint="shoal group join - takes the key; the name is what it begins with",
        )
    if not _GROUP_NAME.fullmatch(text):
        raise UsageError(
            f"'{text}' is not the name of a group",
            hint="one has 1 to 32 of a-z, 0-9 and -, and begins with a letter or a digit",
        )
    return text


def parse_host_pattern(text: str) -> str:
    """`"*.example.org"`, in lower case."""
    pattern = text.lower()
    host, _, port = pattern.rpartition(":")
    if port.isdecimal() and host and (":" not in host or host.endswith("]")):
        raise UsageError(f"'{text}' has a port, and a host is named without one", hint=f"write {host}")
    if not _HOST_PATTERN.fullmatch(pattern):
        raise UsageError(
            f"'{text}' matches no host", hint="write it like downloads.example.org or *.example.org"
        )
    return pattern


FLAG = Kind("", parse_flag, (bool,))
TEXT = Kind("TEXT", str)
PORT = Kind("N", parse_port, (int,))
COUNT = Kind("N", parse_count, (int,))
TIME = Kind("SECONDS", parse_time, (int, float, str))
INTERVAL = Kind("SECONDS", partial(parse_time, least=1.0), (int, float, str))
FILE = Kind("FILE", parse_path)
FOLDER = Kind("DIR", parse_path)
ADDRESS = Kind("ADDR", parse_bind)
NETWORK = Kind("CIDR", parse_network)
SERVED = Kind("TORRENT|HASH", parse_served)
TOKEN = Kind("TOKEN", parse_token)
RATE = Kind("RATE", parse_rate, (int, str))
SIZE = Kind("SIZE", parse_amount, (int, str))
CONNECTIONS = Kind("N", partial(parse_count, most=MOST_CONNECTIONS), (int,))
PROXY = Kind("URL", parse_proxy)
TRACKER_URL = Kind("URL", parse_announced_url, shown=shown_url)
GROUP = Kind("NAME", parse_group)
PEER = Kind("HOST:PORT", parse_host_port)
HOST_PATTERN = Kind("GLOB", parse_host_pattern)
