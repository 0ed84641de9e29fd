"""How a URL is asked: who we are, by which way, how long we wait. And what of it may be said to whom.

Always true: nothing secret is in a `repr`. Headers and a password given by hand are for the origin of the first URL
and nobody else; those within a URL for that URL's origin; those of a netrc file for the hosts it names, and its
default for the origin of the first URL alone, since a stranger may have named the mirrors. After a redirect away from
the URL asked for nobody is told more than that, and nothing at all once https was left for http.
"""

from __future__ import annotations

import netrc as netrc_files
import re
from dataclasses import dataclass, field
from pathlib import Path

from shoal import __version__
from shoal.errors import FileError, NotFoundError, UsageError
from shoal.protocol.http.origin import NamedUser, Origin, origin_of, split_user

USER_AGENT = f"shoal/{__version__}"
CONNECT_TIMEOUT = 15.0  # seconds; with TLS over a bad line, name server included
STALL_TIMEOUT = 30.0  # seconds without a byte: then another connection is tried
MOST_REDIRECTS = 10  # download portals are known to need five or six

_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*:[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_OURS = frozenset(
    {"range", "if-range", "accept-encoding", "connection", "transfer-encoding", "content-length"}
)  # said by us as each request needs it


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What a person may choose. `headers` are pairs of name and value, as `parse_header` makes them."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)
    netrc: Path | None = None  # a file in the format of netrc; None: none is read
    cookies: Path | None = None  # a file in the format of Netscape, as browsers export it
    cacert: Path | None = None  # certificates of CAs in PEM, in place of the system's
    proxy: str | None = field(default=None, repr=False)  # None: what the environment says
    bind: str | None = None  # a local address
    user_agent: str = USER_AGENT
    connect_timeout: float = CONNECT_TIMEOUT
    stall_timeout: float = STALL_TIMEOUT
    most_redirects: int = MOST_REDIRECTS
    max_rate: int | None = None  # bytes a second, of all connections together


def parse_header(text: str) -> tuple[str, str]:
    """`"Name: value"` -> the pair. Raises `UsageError`, which does not quote the value."""
    match = _HEADER.fullmatch(text.strip())
    if match is None:
        raise UsageError("that is not a header", hint="write it like --header 'Name: value'")
    name, value = match.groups()
    if name.lower() in _OURS:
        raise UsageError(
            f"the header '{name}' is not yours to set: it says which bytes are asked for, and how"
        )
    return name, value.strip()


@dataclass(frozen=True, slots=True)
class Told:
    """What one request may say of us."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    user: NamedUser | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AskedUrl:
    """One URL as it was asked for, without the user that it may have named."""

    url: str = field(repr=False)  # its query may be a key
    user: NamedUser | None = field(default=None, repr=False)

    @property
    def origin(self) -> Origin:
        return origin_of(self.url)


def asked_url(url: str) -> AskedUrl:
    """Raises `FormatError`."""
    return AskedUrl(*split_user(url.strip()))


class Secrets:
    """What may be said to whom. `first` is the URL that headers and password were given with."""

    def __init__(self, options: FetchOptions, first: AskedUrl) -> None:
        self._headers = options.headers
        self._user = None if options.user is None else NamedUser(options.user, options.password)
        self._home = first.origin
        self._netrc = {} if options.netrc is None else read_netrc(options.netrc)

    def told_to(self, hops: list[str], source: AskedUrl) -> Told:
        """What the request to the last of `hops` may say, which began at `source` and was led on from there."""
        origins = [origin_of(url) for url in hops]
        here = origins[-1]
        headers = self._headers if here == self._home else ()
        if here == source.origin:
            is_home = here == self._home
            user = source.user or (self._user if is_home else None) or self._netrc.get(here.host)
            user = user or (self._netrc.get("default") if is_home else None)
        elif here.scheme == "http" and any(origin.scheme != "http" for origin in origins):
            user = None
        else:
            user = (self._user if here == self._home else None) or self._netrc.get(here.host)
        return Told(headers, user)


def read_netrc(path: Path) -> dict[str, NamedUser]:
    """Who we are to which host; `default` for all others. Raises `NotFoundError`, `UsageError` or `FileError`."""
    try:
        entries = netrc_files.netrc(str(path)).hosts
    except FileNotFoundError:
        raise NotFoundError(f"no netrc file at {path}") from None
    except netrc_files.NetrcParseError as error:
        raise UsageError(f"{path}:{error.lineno}: not the format of netrc") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: {error}") from None
    return {host: NamedUser(login, password) for host, (login, _, password) in entries.items()}
