"""What people are told of a source: its host, and the path where several sources are on one host. Pure; no secret."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from shoal.net.curl_errors import host_of
from shoal.protocol.tracker.urls import shown_url


def names_of(urls: Iterable[str]) -> list[tuple[str, str]]:
    """`(URL, name)` of each."""
    hosts = {url: host_of(url) for url in urls}
    counts = Counter(hosts.values())
    return [(url, host if counts[host] == 1 else _with_path(url)) for url, host in hosts.items()]


def name_beside(url: str, names: Iterable[str]) -> str:
    """Of one that is found when those names are told already."""
    host = host_of(url)
    return _with_path(url) if host in {name.partition("/")[0] for name in names} else host


def _with_path(url: str) -> str:
    return shown_url(url).partition("//")[2]
