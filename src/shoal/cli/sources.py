"""Turn what a person named as SOURCE or peer into a `Metainfo` or addresses."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Iterable
from pathlib import Path

from shoal.cli.torrent_files import FOLDERS_IGNORE_CASE, read_torrent
from shoal.errors import FileError, FormatError, NetworkError, NotFoundError, UsageError
from shoal.formats.metainfo import MAX_METAINFO_LENGTH, Metainfo, parse_metainfo
from shoal.protocol.tracker.urls import is_http, shown_url

URL_BEGINNINGS = ("http://", "https://", "ftp://", "ftps://")  # of files
METALINK_ENDINGS = (".meta4", ".metalink")
SOURCE_HINT = "SOURCE is a .torrent file, a Metalink (.meta4 or .metalink), or the URL of any file"
URL_HINT = "a URL begins with http://, https:// or ftp://"
_LIKE_A_URL = re.compile(
    r"[a-zA-Z][a-zA-Z0-9+.-]*://|magnet:|([^/@]*@)?(localhost|[\w-]+(\.[\w-]+)+)(:\d+)?/"
)  # `host.example/x`, too
FETCH_TIMEOUT = 60.0  # seconds for a torrent file over HTTP


def is_url(source: str) -> bool:
    return source.lower().startswith(URL_BEGINNINGS)


def is_metalink_file(source: str) -> bool:
    """Whether a Metalink is at that path."""
    return source.lower().endswith(METALINK_ENDINGS) and Path(source).is_file()


def shown_source(source: str) -> str:
    """A path as it is, and what looks like a URL without what may be secret in it."""
    if not _LIKE_A_URL.match(source):
        return source
    return shown_url(source) if "://" in source else shown_url(f"//{source}").removeprefix("//")


async def load_source(source: str, bind: str | None) -> Metainfo:
    """The metainfo of a .torrent file, of the http(s) URL of one, or of `shoal://HOST/NAME`. Raises `ShoalError`."""
    if source.lower().startswith("magnet:"):
        raise UsageError(
            "magnet links cannot be fetched yet", hint="name the .torrent file, or the URL of one"
        )
    if source.lower().startswith("shoal://"):
        from shoal.cli.catalogues import fetch_published

        return await fetch_published(source, bind)
    if not is_http(source):
        try:
            return await asyncio.to_thread(_load_file, Path(source))
        except (NotFoundError, FileError) as error:
            is_missing = isinstance(error, NotFoundError) or _is_too_long(error)
            if not is_missing or not _LIKE_A_URL.match(source):
                raise
            raise NotFoundError(f"{shown_source(source)}: no such file", hint=URL_HINT) from None
    from shoal.net.http import get

    response = await get(source, bind=bind, timeout=FETCH_TIMEOUT, max_bytes=MAX_METAINFO_LENGTH)
    response.raise_for_status()
    shown = shown_url(source)
    try:
        return parse_metainfo(response.body, source=shown, ignore_case=FOLDERS_IGNORE_CASE)
    except FormatError as error:
        raise FormatError(
            f"{shown}: not a torrent file: {error.message.removeprefix(f'{shown}: ')}",
            hint="SOURCE is a .torrent file, or the http(s) URL of one",
        ) from None


def _load_file(path: Path) -> Metainfo:
    body = read_torrent(path)
    if not body.startswith(b"d"):  # as every torrent does
        raise FormatError(f"{path}: neither a torrent nor a URL", hint=SOURCE_HINT)
    return parse_metainfo(body, source=str(path), ignore_case=FOLDERS_IGNORE_CASE)


def _is_too_long(error: FileError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENAMETOOLONG


async def resolve_peers(peers: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The IP addresses of `--peer` hosts. Raises `NetworkError` for a name that is not known."""
    loop = asyncio.get_running_loop()
    addresses: dict[tuple[str, int], None] = {}
    for host, port in peers:
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            raise NetworkError(f"no address is known for the peer '{host}'") from None
        for *_, address in found:
            addresses[(str(address[0]).partition("%")[0], port)] = None
    return list(addresses)
