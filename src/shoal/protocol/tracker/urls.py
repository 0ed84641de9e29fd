"""Tracker URLs: what people write and torrents carry -> what is really asked.

Always true of what `announce_url` returns: a scheme, a host, a path, no fragment, no blanks. A query string
in a tracker's URL (a passkey, mostly) is part of its name and is kept. What messages and logs show of any URL is
`shown_url`'s to say, and no error of this module shows more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from shoal.errors import FormatError

DEFAULT_PATH = "/announce"
HTTP_SCHEMES = frozenset({"http", "https"})
UDP_SCHEME = "udp"
PLAIN_PATHS = frozenset({"", "/", DEFAULT_PATH})  # say no more than host and port do
MAX_URL_DATA = 1024  # bytes of a UDP tracker's path and query; a passkey has 32
MAX_SHOWN = 80  # characters of a URL that is too long
NO_PORT_NUMBER = "its port is no number up to 65535"
SECRET = "…"  # stands where something was left out
_USER = re.compile(r"//[^/?#]*@")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::[0-9]*)?")
_BEHIND_THE_HOST = re.compile(r"[/?#]")
_BEHIND_THE_PATH = re.compile(r"[?#]")
_KEY = re.compile(r"(?=[^/]*[0-9])[0-9A-Za-z]{16,}")  # 32 digits mostly; names have other characters
_BEFORE_ANNOUNCE = re.compile(r"/[^/]{16,}(?=/(?:announce|scrape)[^/]*$)")  # a key, whatever it looks like


def announce_url(url: str) -> str:
    """The URL to announce to; one without a path means `/announce`. Raises `FormatError`."""
    parts = _split(url)
    path = parts.path if parts.path not in ("", "/") else DEFAULT_PATH
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def scrape_url(url: str) -> str | None:
    """The URL to scrape at, or None where there is none by convention (BEP 48).

    Only a last path element that begins with `announce` can be turned into a scrape URL.
    """
    parts = _split(announce_url(url))
    folder, _, last = parts.path.rpartition("/")
    if not last.startswith("announce"):
        return None
    path = f"{folder}/scrape{last.removeprefix('announce')}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def url_scheme(url: str) -> str:
    """`"http"`, `"udp"`, ... in lower case; `""` for what is not a URL."""
    scheme, separator, _ = url.strip().partition("://")
    return scheme.lower() if separator else ""


def is_http(url: str) -> bool:
    return url_scheme(url) in HTTP_SCHEMES


def is_udp(url: str) -> bool:
    return url_scheme(url) == UDP_SCHEME


@dataclass(frozen=True, slots=True)
class UdpUrl:
    """Where a UDP tracker is, and what of its URL it is told (BEP 41): path and query, b"" for a plain one."""

    host: str
    port: int
    url_data: bytes


def parse_udp_url(url: str) -> UdpUrl:
    """Raises `FormatError`."""
    parts = _split(url)
    if not parts.port or parts.hostname is None:
        raise FormatError(
            f"tracker URL {shown_url(url)!r} lacks a port", hint="write it like udp://192.0.2.7:6969"
        )
    path = parts.path + (parts.query and f"?{parts.query}")
    url_data = b"" if path in PLAIN_PATHS else path.encode()
    if len(url_data) > MAX_URL_DATA:
        raise FormatError(
            f"tracker URL {shown_url(url)[:MAX_SHOWN]!r}: {len(url_data)} bytes of path; at most {MAX_URL_DATA}"
        )
    return UdpUrl(parts.hostname, parts.port, url_data)


def with_query(url: str, query: str) -> str:
    """Add parameters behind those that the URL already has."""
    return f"{url}{'&' if '?' in url else '?'}{query}"


def shown_url(url: str) -> str:
    """`url` without what may be secret: user, password, query, fragment, elements of the path that look like keys.

    >>> shown_url("https://me:pw@tracker.example/0123456789abcdef/announce?passkey=1")
    'https://tracker.example/…/announce?…'
    """
    bare = _USER.sub("//", url, count=1)
    if _is_half_a_user(bare):
        return f"{bare.partition('//')[0]}//{SECRET}"
    mark = _BEHIND_THE_PATH.search(bare)
    address = bare if mark is None else bare[: mark.start()]
    host_at = address.find("://") + 3
    if (path_at := address.find("/", host_at)) >= 0:
        address = address[:path_at] + _BEFORE_ANNOUNCE.sub(f"/{SECRET}", address[path_at:])
    elements = [SECRET if _KEY.fullmatch(element) else element for element in address.split("/")]
    return "/".join(elements) + ("" if mark is None else f"{mark[0]}{SECRET}")


def _is_half_a_user(url: str) -> bool:
    """Whether what stands for host and port is a user and the beginning of a password with one of `/?#` in it."""
    host, *more = _BEHIND_THE_HOST.split(url.partition("//")[2], maxsplit=1)
    return bool(more) and "@" in more[0] and _HOST_AND_PORT.fullmatch(host) is None


def has_port_number(parts: SplitResult) -> bool:
    """Whether its port is one, or left out."""
    try:
        _ = parts.port
    except ValueError:
        return False
    return True


def _split(url: str) -> SplitResult:
    text = url.strip()
    shown = shown_url(text)
    blank = next((position for position, char in enumerate(text) if char <= " " or char == "\x7f"), None)
    if blank is not None:
        raise FormatError(f"tracker URL {shown!r}: a blank or control character at position {blank}")
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname)
    except ValueError:  # what it says quotes the URL
        raise FormatError(f"tracker URL {shown!r} is not a URL") from None
    if not has_port_number(parts):
        raise FormatError(f"tracker URL {shown!r}: {NO_PORT_NUMBER}")
    if not parts.scheme or not has_host:
        raise FormatError(
            f"tracker URL {shown!r} lacks a scheme or a host", hint="write it like http://192.0.2.7:6969"
        )
    return parts
