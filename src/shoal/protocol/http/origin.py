"""Which server a URL names, where a redirect leads, and who is meant by `user:password@`.

Pure. Always true: two URLs have the same origin only if scheme, host and port are the same, whatever their
spelling; what `redirect_target` returns is http or https.
"""

from __future__ import annotations

import re
import string
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from shoal.errors import FormatError, UsageError
from shoal.protocol.tracker.urls import NO_PORT_NUMBER, has_port_number, shown_url

SCHEMES = {"http": 80, "https": 443, "ftp": 21, "ftps": 990}  # what a file is fetched by, and their ports
REDIRECT_SCHEMES = frozenset({"http", "https"})
_UNLIKE_A_HOST = re.compile(r'[\s\x00-\x1f\x7f"<>\\^`{|}]')
_KEPT_IN_URLS = "".join(set(string.punctuation) - set('"<>\\^`{|}'))


class Origin(NamedTuple):
    """A server by name. Secrets given for one are never sent to another."""

    scheme: str
    host: str
    port: int


class NamedUser(NamedTuple):
    user: str
    password: str


def origin_of(url: str) -> Origin:
    """Raises `FormatError` for what is no URL of a file: no host, a wrong port, another scheme."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # what it says quotes the URL
        raise FormatError(f"{shown_url(url)!r} is not a URL") from None
    if parts.scheme not in SCHEMES:
        raise FormatError(
            f"{shown_url(url)!r} is not an http, https or ftp URL",
            hint="write it like https://host.example/path/file",
        )
    if not has_port_number(parts):
        hint = "in a password / ? and # are written %2F, %3F and %23" if "@" in url else ""
        raise FormatError(f"{shown_url(url)!r} is not a URL: {NO_PORT_NUMBER}", hint=hint)
    if not host:
        raise FormatError(f"{shown_url(url)!r} names no host")
    return Origin(parts.scheme, host.rstrip("."), parts.port or SCHEMES[parts.scheme])


def refuse_unlike_url(text: str) -> None:
    """Raises `UsageError` for what a person gave as the URL of a file, and is none."""
    try:
        wrong = _UNLIKE_A_HOST.search(urlsplit(text.strip()).netloc.rpartition("@")[2])
        if wrong is not None:
            raise FormatError(f"{shown_url(text)!r} is not a URL", hint=f"a host has no {wrong[0]!r} in it")
        origin_of(text.strip())
    except ValueError:
        raise UsageError(f"{shown_url(text)!r} is not a URL") from None
    except FormatError as error:
        raise UsageError(error.message, hint=error.hint) from None


def split_user(url: str) -> tuple[str, NamedUser | None]:
    """`https://me:pw@host/x` -> `https://host/x` and who is meant; the fragment goes too. Raises `FormatError`.

    Blanks and letters that no URL may have are quoted, and hosts spelled out (`bücher.example`), as browsers do.
    """
    host = origin_of(url).host
    parts = urlsplit(url)
    named, at, address = parts.netloc.rpartition("@")
    if not host.isascii():
        address = address.lower().replace(host, _plain_host(host))
    bare = urlunsplit((parts.scheme, address, *(_quoted(part) for part in (parts.path, parts.query)), ""))
    if not at:
        return bare, None
    user, _, password = named.partition(":")
    return bare, NamedUser(unquote(user), unquote(password))


def redirect_target(url: str, location: str) -> str:
    """Where a response from `url` leads to that says `Location: location` (header bytes as Latin-1).

    Bytes that no URL may have are quoted, as browsers do. Raises `FormatError`.
    """
    wanted = _quoted(location.strip().encode("latin-1"))
    try:
        target = urljoin(url, wanted)
    except ValueError:
        raise FormatError(f"{shown_url(url)} leads to what is not a URL") from None
    if origin_of(target).scheme not in REDIRECT_SCHEMES:
        raise FormatError(
            f"{shown_url(url)} leads to {shown_url(target)!r}, which is not an http or https URL"
        )
    return urlunsplit(urlsplit(target)._replace(fragment=""))


def _quoted(part: str | bytes) -> str:
    return quote(part, safe=_KEPT_IN_URLS)


def _plain_host(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise FormatError(f"{host!r} is not the name of a host") from None
