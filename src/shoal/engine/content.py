"""What a torrent is about, and where its bytes lie: all that the engine needs to know of either."""

from __future__ import annotations

from typing import Protocol

from shoal.disk.storage import Buffer
from shoal.formats.layout import Layout
from shoal.formats.metainfo import Metainfo, is_piece_good


class Content(Protocol):
    """The bytes that a swarm spreads, and how a piece of them is known to be right."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def info_hash(self) -> bytes:
        """20 bytes, as the wire has it."""

    @property
    def layout(self) -> Layout: ...

    def is_good(self, piece: int, data: memoryview, /) -> bool:
        """Whether `data` is the piece. Called in workers, several at a time."""


class PieceStore(Protocol):
    """The bytes by their offset in the content. Called in workers, several at a time; may raise `ShoalError`."""

    def write(self, offset: int, data: Buffer, /) -> None: ...

    def read_into(self, offset: int, view: memoryview, /) -> None:
        """Fill `view`."""

    def read_cached_into(self, offset: int, view: memoryview, /) -> bool:
        """Fill `view` if that takes no waiting for the disk, for it is called on the loop; whether it did."""

    def close(self) -> None: ...


class TorrentContent:
    """What a metainfo describes."""

    def __init__(self, metainfo: Metainfo) -> None:
        self.metainfo = metainfo
        self.name = metainfo.name
        self.info_hash = metainfo.wire_hash
        self.layout = metainfo.layout

    def is_good(self, piece: int, data: memoryview) -> bool:
        return is_piece_good(self.metainfo, piece, data)
