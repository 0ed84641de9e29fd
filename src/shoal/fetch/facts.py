"""What a response says of the file: its length, its version, its name, where else it is.

Pure. Whether the response's bytes may be written is judged from these facts in `fetch/judging.py`. A transfer over FTP
has no headers; `protocol/http/head.py` makes some of what the server says of size and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shoal.formats.metalink import METALINK_SUFFIXES, Mirror
from shoal.protocol.http.digests import parse_digests
from shoal.protocol.http.headers import (
    Headers,
    content_codings,
    content_length,
    media_type,
    parse_content_range,
    parse_http_date,
)
from shoal.protocol.http.links import METALINK_TYPES, TORRENT_TYPE, parse_links
from shoal.protocol.http.names import name_of_url, parse_content_disposition, suffix_of
from shoal.protocol.http.validators import Validator, validator_of

PARTIAL_CONTENT = 206
PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
TORRENT_SUFFIX = ".torrent"
NAMELESS = b"download"
_PROGRAMS = frozenset(
    {".php", ".asp", ".aspx", ".jsp", ".cgi", ".do", ".ashx"}
)  # they make files and are none


@dataclass(frozen=True, slots=True)
class Facts:
    length: int | None = None  # bytes; of what is sent, if that has a content coding
    validator: Validator | None = None
    shown_later: Validator | None = (
        None  # where the first response had none: by it a change shows all the same
    )
    takes_ranges: bool = False
    name: bytes | None = None  # as Content-Disposition has it; see `file_name`
    modified_at: int | None = None  # Unix seconds, for --remote-time; as a validator only if that says so
    digests: Mapping[str, bytes] = field(default_factory=dict)
    content_type: str = ""
    codings: tuple[str, ...] = ()
    # no URL is in the repr: it may hold a signature
    final_url: str = field(default="", repr=False)
    mirrors: tuple[Mirror, ...] = field(default=(), repr=False)  # the best first
    metalinks: tuple[str, ...] = field(default=(), repr=False)
    torrents: tuple[str, ...] = field(default=(), repr=False)

    def can_be_split(self, *, is_digest_known: bool = False) -> bool:
        """Whether parts may be fetched apart, now or after a stop, and be told to fit together."""
        is_checkable = self.validator is not None or bool(self.digests) or is_digest_known
        return self.takes_ranges and bool(self.length) and is_checkable

    def why_in_one_stream(self, *, is_digest_known: bool = False) -> str:
        """What it does or does not, that no parts can be fetched."""
        if self.length is None:
            return "does not say how long it is"
        if not self.takes_ranges or self.can_be_split(is_digest_known=is_digest_known):
            return "does not serve parts of it"  # though it may say that it does
        return "does not say which version it is (a checksum makes up for that)"

    def for_mirror(self) -> Facts:
        """What must hold on another server, which has versions of its own: the length."""
        return replace(self, validator=None, shown_later=None, modified_at=None, content_type="")


def facts_of(status: int, headers: Headers, url: str) -> Facts:
    """`url` is where the response came from, after all redirects."""
    content_range = parse_content_range(headers.get("content-range", ""))
    is_part = status == PARTIAL_CONTENT
    links = parse_links(headers.get("link", ""), url)
    if is_part:
        length = content_range.total if content_range is not None else None
        takes_ranges = content_range is not None
    else:
        length = content_length(headers)
        units = headers.get("accept-ranges", "").lower().split(",")
        takes_ranges = "bytes" in [unit.strip() for unit in units]
    return Facts(
        length=length,
        validator=validator_of(headers),
        takes_ranges=takes_ranges,
        name=parse_content_disposition(headers.get("content-disposition", "")),
        modified_at=parse_http_date(headers.get("last-modified", "")),
        digests=parse_digests(headers, is_whole=not is_part),
        content_type=media_type(headers),
        codings=content_codings(headers),
        final_url=url,
        mirrors=links.mirrors,
        metalinks=links.metalinks,
        torrents=links.torrents,
    )


def file_name(facts: Facts, asked_url: str) -> bytes:
    """What the file is called; not yet safe (`formats/safe_names.py`).

    As the server says, else as the URL says that was redirected to, else as the one asked for. One with a suffix goes
    before one without: stores redirect `/disk.iso` to `/blob/2f9a3c`.
    """
    if facts.name is not None:
        return facts.name
    names = [name for url in (facts.final_url, asked_url) if (name := name_of_url(url)) is not None]
    with_suffix = (name for name in names if suffix_of(name) not in {"", *_PROGRAMS})
    nameless = b"index.html" if facts.content_type in PAGE_TYPES else NAMELESS
    return next(with_suffix, names[0] if names else nameless)


def looks_like(facts: Facts, asked_url: str = "") -> str:
    """`"torrent"` or `"metalink"` by content type or suffix, else `""`. Only parsing it tells."""
    if facts.content_type in PAGE_TYPES:
        return ""
    suffix = suffix_of(file_name(facts, asked_url))
    if facts.content_type == TORRENT_TYPE or suffix == TORRENT_SUFFIX:
        return "torrent"
    return "metalink" if facts.content_type in METALINK_TYPES or suffix in METALINK_SUFFIXES else ""
