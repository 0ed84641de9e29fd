"""Link headers that name mirrors, a Metalink or a torrent of the same file (RFC 6249, RFC 8288).

Always true: the URLs are absolute, and http, https or ftp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin

from shoal.formats.foreign_text import MAX_URLS, WEB_SEED_SCHEMES, clean_url
from shoal.formats.metalink import LOWEST_PRIORITY, Mirror, country, in_order
from shoal.protocol.http.headers import parse_parameters

METALINK_TYPES = frozenset({"application/metalink4+xml", "application/metalink+xml"})
TORRENT_TYPE = "application/x-bittorrent"

_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s=;,"<]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)')
_PRIORITY = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Links:
    mirrors: tuple[Mirror, ...] = ()  # the best first
    metalinks: tuple[str, ...] = ()
    torrents: tuple[str, ...] = ()


def parse_links(text: str, base_url: str) -> Links:
    """What the header says of the same file. `base_url` is that of the response; what is no use is left out."""
    mirrors: dict[str, Mirror] = {}
    described: dict[str, list[str]] = {"metalink": [], "torrent": []}
    for target, tail in _LINK.findall(text):
        parameters = parse_parameters(tail)
        relations = parameters.get("rel", "").lower().split()
        url = _absolute(base_url, target)
        if url is None or "anchor" in parameters or len(mirrors) == MAX_URLS:
            continue
        if "duplicate" in relations:
            mirrors.setdefault(url, Mirror(url, _priority(parameters), country(parameters.get("geo", ""))))
        if "describedby" in relations:
            kind = _kind(parameters.get("type", "").lower())
            if kind and len(described[kind]) < MAX_URLS:
                described[kind].append(url)
    return Links(in_order(mirrors.values()), tuple(described["metalink"]), tuple(described["torrent"]))


def _absolute(base_url: str, target: str) -> str | None:
    try:
        return clean_url(urljoin(base_url, target.strip()).encode("utf-8", "replace"), WEB_SEED_SCHEMES)
    except ValueError:
        return None


def _priority(parameters: dict[str, str]) -> int:
    text = parameters.get("pri", "")
    return max(1, int(text)) if _PRIORITY.fullmatch(text) else LOWEST_PRIORITY


def _kind(content_type: str) -> str:
    if content_type in METALINK_TYPES:
        return "metalink"
    return "torrent" if content_type == TORRENT_TYPE else ""
