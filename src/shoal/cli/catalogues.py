"""Catalogues of trackers, as clients see them: addresses like `shoal://HOST/NAME`, the list, and torrents by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import quote, unquote, urlsplit

import msgspec

from shoal.cli.torrent_files import FOLDERS_IGNORE_CASE
from shoal.errors import FormatError, NotFoundError, UsageError
from shoal.formats.metainfo import MAX_METAINFO_LENGTH, Metainfo, parse_metainfo
from shoal.net.http import HttpResponse, get
from shoal.protocol.tracker.urls import shown_url
from shoal.tracker.server import DEFAULT_PORT
from shoal.units import MIB

SCHEME = "shoal://"
FETCH_SECONDS = 60.0  # for a torrent, or a list
MAX_LIST_LENGTH = 16 * MIB  # of a catalogue that is full of long names
NEAR_NAMES = 3


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Where one is. `key` is the passkey that a private tracker wants to see in announces."""

    scheme: str
    host: str  # with its port, as it stands in URLs
    key: str = ""

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def announce_url(self) -> str:
        return f"{self.base_url}/{self.key}/announce" if self.key else f"{self.base_url}/announce"

    def torrent_url(self, name: str) -> str:
        return f"{self.base_url}/catalogue/{quote(name, safe='')}.torrent"

    def source(self, name: str) -> str:
        """What `shoal get` is given for an entry."""
        if self.scheme == "http":
            return f"{SCHEME}{self.host}/{quote(name, safe='')}"
        return self.torrent_url(name)


class Published(msgspec.Struct, frozen=True):
    """An entry of the list. The numbers of peers are None while the tracker does not know them."""

    name: str
    info_hash: str
    size: int
    file_count: int
    published_at: int  # Unix time
    seeds: int | None
    leechers: int | None
    magnet: str


def parse_catalogue(text: str) -> tuple[Catalogue, str]:
    """`HOST`, `HOST:PORT`, `shoal://HOST/NAME`, `http://HOST:PORT/announce`, ... -> where it is, and the name or "".

    A passkey stands before the host, `shoal://KEY@HOST/NAME`, or as in announce URLs, `http://HOST/KEY/announce`.
    """
    hint = "write it like HOST, HOST:6969 or shoal://HOST/NAME"
    try:
        parts = urlsplit(text if "://" in text else SCHEME + text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise UsageError(f"{_shown(text)} is not the address of a catalogue", hint=hint) from None
    is_plain = parts.scheme == "shoal"
    elements = [unquote(element) for element in parts.path.split("/")[1:] if element]
    if not host or parts.query or parts.password or parts.scheme not in ("shoal", "http", "https"):
        raise UsageError(f"{_shown(text)} is not the address of a catalogue", hint=hint)
    if port is None and is_plain:
        port = DEFAULT_PORT
    shown_host = f"[{host}]" if ":" in host else host
    netloc = shown_host if port is None else f"{shown_host}:{port}"
    key, name = unquote(parts.username or ""), ""
    if is_plain and len(elements) == 1:
        name = elements[0].removesuffix(".torrent")
    elif not is_plain and elements[-1:] == ["announce"] and len(elements) <= 2:
        key = elements[0] if len(elements) == 2 else key
    elif elements:
        raise UsageError(f"{_shown(text)} is not the address of a catalogue", hint=hint)
    return Catalogue("http" if is_plain else parts.scheme, netloc, key), name


def parse_whole_catalogue(text: str) -> Catalogue:
    """The address of a catalogue and not of a name in it."""
    catalogue, name = parse_catalogue(text)
    if name:
        raise UsageError(
            f"{_shown(text)} names an entry, where the tracker alone is wanted",
            hint="what is published has the name of its file or folder",
        )
    return catalogue


def _shown(text: str) -> str:
    """Without what may be a passkey or a password."""
    if "://" in text:
        return f"'{shown_url(text)}'"
    return f"'{shown_url(SCHEME + text).removeprefix(SCHEME)}'"


async def fetch_list(catalogue: Catalogue, bind: str | None = None) -> list[Published]:
    """Newest first. Raises `NotFoundError` where there is no catalogue, `NetworkError`, `FormatError`."""
    url = f"{catalogue.base_url}/catalogue"
    response = await get(url, bind=bind, timeout=FETCH_SECONDS, max_bytes=MAX_LIST_LENGTH)
    if response.status == HTTPStatus.NOT_FOUND:
        raise no_catalogue(catalogue)
    response.raise_for_status()
    try:
        return msgspec.json.decode(response.body, type=list[Published])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise FormatError(f"{catalogue.host} answers with something that is no catalogue") from None


async def fetch_published(source: str, bind: str | None) -> Metainfo:
    """The torrent at `shoal://HOST/NAME`; the tracker it comes from is asked for peers first.

    Raises `UsageError`, `NotFoundError` (with near names as hint), `NetworkError`, `FormatError`.
    """
    catalogue, name = parse_catalogue(source)
    if not name:
        raise UsageError(
            f"{_shown(source)} names no torrent", hint=f"shoal list {catalogue.host} shows what there is"
        )
    url = catalogue.torrent_url(name)
    response = await get(url, bind=bind, timeout=FETCH_SECONDS, max_bytes=MAX_METAINFO_LENGTH)
    if response.status == HTTPStatus.NOT_FOUND:
        raise await _not_found(catalogue, name, bind)
    response.raise_for_status()
    metainfo = parse_metainfo(response.body, source=catalogue.source(name), ignore_case=FOLDERS_IGNORE_CASE)
    return asking(metainfo, catalogue)


def asking(metainfo: Metainfo, catalogue: Catalogue) -> Metainfo:
    """With the catalogue's own tracker, as we reach it and with our key, before the others that the torrent names.

    A private torrent's peers come from its own trackers alone, so there its own one is left as it is without a key.
    """
    if metainfo.is_private and not catalogue.key:
        return metainfo
    keyless = replace(catalogue, key="").announce_url
    others = tuple(
        kept for tier in metainfo.trackers if (kept := tuple(url for url in tier if url != keyless))
    )
    return replace(metainfo, trackers=((catalogue.announce_url,), *others))


async def _not_found(catalogue: Catalogue, name: str, bind: str | None) -> NotFoundError:
    published = await fetch_list(catalogue, bind)
    near = near_names(name, [entry.name for entry in published])
    hint = (
        "did you mean: " + ", ".join(catalogue.source(one) for one in near)
        if near
        else f"shoal list {catalogue.host} shows what there is"
    )
    return NotFoundError(f"{catalogue.host} has nothing published as '{name}'", hint=hint)


def near_names(name: str, names: Sequence[str]) -> list[str]:
    by_folded = {one.casefold(): one for one in names}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=NEAR_NAMES, cutoff=0.5)
    return [by_folded[one] for one in near]


def no_catalogue(catalogue: Catalogue) -> NotFoundError:
    return NotFoundError(
        f"{catalogue.host} has no catalogue", hint="its tracker has one with shoal tracker --catalogue DIR"
    )


def told_line(response: HttpResponse) -> str:
    """The one line in which a tracker says no; it is a stranger's word, and kept short."""
    line = response.body[:300].decode("utf-8", "replace").strip().partition("\n")[0]
    return line if not line.startswith("<") else f"HTTP status {response.status}"
