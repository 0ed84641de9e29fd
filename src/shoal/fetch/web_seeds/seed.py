"""One web seed of one torrent, at work until all is here or it is of no use any more.

Always true: a piece from it is hashed like any other; a file that it has not, or has wrong, is not asked of it again,
and people are told; when it ends, nothing is kept from neighbours for it.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

from shoal.engine.torrent import Torrent
from shoal.errors import NetworkError, ShoalError
from shoal.fetch.options import FetchOptions, asked_url
from shoal.fetch.plan import Plan
from shoal.fetch.ranged import Changed, NoRangesAfterAll, Ranged
from shoal.fetch.sources import Source, Sources
from shoal.fetch.transfer import Transfers
from shoal.fetch.web_seeds.origin import SeedOrigin
from shoal.fetch.web_seeds.pieces import PieceKeeper
from shoal.fetch.web_seeds.share import SeedShare
from shoal.formats.bitfield import iter_bits
from shoal.formats.metainfo import Metainfo
from shoal.net.curl_errors import host_of
from shoal.net.guarding import TorrentGuard
from shoal.units import MIB

MOST_CONNECTIONS: Final = 8  # to a server that a stranger named, and that serves others as well
MOST_BUFFERED: Final = 256 * MIB  # bytes of pieces that are not whole; a connection has one or two
MOST_USELESS: Final = 8  # files in a row; then the URL is wrong rather than a file
MOST_TOLD: Final = 3  # files by name


class WebSeed:
    """`base` is as the torrent says."""

    def __init__(self, torrent: Torrent, metainfo: Metainfo, base: str, options: FetchOptions) -> None:
        self._torrent = torrent
        self._metainfo = metainfo
        self._base = base
        self._options = options
        self._host = host_of(base)
        self._useless_in_a_row = 0
        self._told = 0
        layout = torrent.content.layout
        most = max(1, min(MOST_CONNECTIONS, MOST_BUFFERED // (2 * layout.piece_length)))
        have = torrent.swarm.pieces.have
        plan = Plan(layout.total_size, have, piece_length=layout.piece_length, most_fetchers=most)
        self._share = SeedShare(torrent, plan)
        self._keeper = PieceKeeper(torrent, self._on_checked)
        self._sources = Sources([(base, self._host)], time.monotonic(), random.Random())
        self._plan = plan

    async def run(self) -> None:
        """Ends by itself; then, and only then, `settle`. What ends it early is told to people."""
        try:
            limit = self._torrent.engine.make_limit()
            first = asked_url(self._base)
            async with Transfers(self._options, first, TorrentGuard(), limit) as transfers:
                await self._fetch(transfers)
        except ShoalError as error:
            self._note(error.message)
        except (Changed, NoRangesAfterAll) as error:
            self._note(str(error))
        finally:
            self._share.give_back(self._share.reserved)

    async def settle(self) -> None:
        """Until what came last is checked and written."""
        await self._keeper.drain()

    async def _fetch(self, transfers: Transfers) -> None:
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            origin = SeedOrigin(group, transfers, self._sources, self._base, self._metainfo, self._on_useless)
            self._ranged = Ranged(origin, self._plan, self._keeper, b"", _nothing, self)
            try:
                await self._ranged.run(group, None, next(iter(self._sources)))
            except (ShoalError, Changed, NoRangesAfterAll) as error:
                failure = error
            origin.end_all()
        if failure is not None:
            raise failure

    # ---- as the company of `Ranged`

    @property
    def has_others(self) -> bool:
        return False  # what neighbours bring is not for this one to wait for

    def is_settled(self, now: float) -> bool:
        return True

    def on_pause(self, source: Source, seconds: float) -> None:
        """Nobody else asks this server for us."""

    def beat(self, now: float) -> None:
        torrent = self._torrent
        for piece in iter_bits(self._share.look()):
            self._keeper.forget(piece)
        if torrent.is_over or torrent.failed.done() or torrent.swarm.pieces.is_complete:
            self._ranged.stop()
            return
        busy = sum(1 << piece for piece in self._keeper.checking)
        source = next(iter(self._sources))
        if self._plan.running or source.patience.is_ready(now):
            back = self._share.deal(now, busy)
        else:
            back = self._share.give_back(
                self._share.reserved & ~busy
            )  # it asked us to wait, or does not answer
        for piece in iter_bits(back):
            self._keeper.forget(piece)

    # ---- what comes

    def _on_checked(self, piece: int, is_good: bool) -> None:
        if not is_good:
            self._share.on_wrong(piece)
            layout = self._metainfo.layout
            for span in layout.spans(layout.piece_offset(piece), layout.piece_size(piece)):
                if not self._metainfo.files[span.file_index].is_padding:
                    self._on_useless(span.file_index, f"piece {piece} is wrong")
            return
        self._useless_in_a_row = 0
        torrent = self._torrent
        if not torrent.swarm.pieces.have >> piece & 1:
            size = torrent.content.layout.piece_size(piece)
            torrent.ledger.credit_elsewhere(self._host, size)
            torrent.report("piece", piece=piece, bytes=size, sources={self._host: size})
            torrent.on_piece_elsewhere(piece)

    def _on_useless(self, file_index: int, reason: str) -> None:
        """Nothing of this file is to be had here."""
        bits = self._metainfo.layout.bits_of_files([file_index])
        if not bits & ~self._share.useless:
            return
        self._share.useless |= bits
        for piece in iter_bits(self._share.give_back(bits)):
            self._keeper.forget(piece)
        self._useless_in_a_row += 1
        if self._told < MOST_TOLD:
            self._told += 1
            path = "/".join(self._metainfo.files[file_index].path)
            self._note(f"is not asked for {path} again: {reason}")
        if (
            self._useless_in_a_row >= MOST_USELESS
            or not self._torrent.swarm.pieces.needed & ~self._share.useless
        ):
            self._ranged.fail(NetworkError("nothing more is to be had there"))

    def _note(self, text: str) -> None:
        text = text.removeprefix(f"{self._host}: ")
        self._torrent.report("web seed", host=self._host, message=f"web seed {self._host}: {text}")


def _nothing() -> None:
    """Nobody draws a picture of it."""
