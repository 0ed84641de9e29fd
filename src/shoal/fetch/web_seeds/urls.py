"""Where a web seed has which file of a torrent (BEP 19), as libtorrent and others ask for it.

Pure. A URL that ends with a slash is that of a folder: the torrent's name follows, and for a torrent of several files
the file's path below it. Without a slash it is the file itself, if there is only one; else the slash was forgotten.
The names are those of the torrent as they are written, not those that files have on this disk.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from shoal.formats.metainfo import Metainfo, written_names

_KEPT: Final = "-_.!~*()"  # besides letters and digits; what libtorrent writes as it is


class SeedUrls:
    """The URLs of one torrent's files at any web seed."""

    def __init__(self, metainfo: Metainfo) -> None:
        name, paths = written_names(metainfo)
        self._name = _quoted(name)
        self._paths = ["/".join(map(_quoted, path)) for path in paths]
        self._is_single_file = metainfo.is_single_file

    def url_of(self, base: str, file_index: int) -> str:
        """`base` is what the torrent says."""
        address, mark, query = base.partition("?")
        if not self._is_single_file:
            folder = address if address.endswith("/") else f"{address}/"
            address = f"{folder}{self._name}/{self._paths[file_index]}"
        elif address.endswith("/"):
            address += self._name
        return f"{address}{mark}{query}"


def _quoted(name: bytes) -> str:
    return quote(name, safe=_KEPT)
