"""Texts and URLs from strangers, as torrents and magnets carry them, made fit to show and to use.

Nothing here refuses: a torrent with one bad tracker is still a torrent, so what is no usable URL is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

TRACKER_SCHEMES = frozenset({"http", "https", "udp", "ws", "wss"})
WEB_SEED_SCHEMES = frozenset({"http", "https", "ftp"})

MAX_URL_LENGTH = 4096  # bytes as written; servers give up well before
MAX_URLS = 500  # of one kind in one torrent; nobody asks more trackers than that

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://[^/?#\s]+([/?#].*)?")
_KEPT = "!#$%&'()*+,/:;=?@[]~"  # what a URL may hold, and "%", for most come quoted already


def clean_text(raw: bytes) -> str:
    """A text for people: broken UTF-8 is marked, and no control character reaches their terminal."""
    text = raw.decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def clean_url(raw: bytes, schemes: frozenset[str]) -> str | None:
    """The URL without blanks around it, and those in it quoted; None if there is no such URL."""
    if len(raw) > MAX_URL_LENGTH:
        return None
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        return None
    match = _URL.fullmatch(text)
    if match is None or not text.isprintable() or match[1].lower() not in schemes:
        return None
    return quote(text, safe=_KEPT)


def clean_urls(raws: Iterable[object], schemes: frozenset[str]) -> list[str]:
    """The first `MAX_URLS` good URLs among `raws`, each once, in their order."""
    found: dict[str, None] = {}
    for raw in raws:
        url = clean_url(raw, schemes) if isinstance(raw, bytes) else None
        if url is not None:
            found.setdefault(url)
        if len(found) == MAX_URLS:
            break
    return list(found)
