"""One web seed as an origin: a run of the torrent's bytes is asked for file by file, each at its own URL.

Offsets are those of the torrent everywhere but in requests and responses. Always true: no request goes beyond its
file; no byte of a padding file is asked for, for it is known to be 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from shoal.errors import ShoalError
from shoal.fetch.facts import Facts
from shoal.fetch.judging import Answer, Asked, NoRanges, Refused, Replaced, Whole, WriteAt
from shoal.fetch.options import AskedUrl, asked_url
from shoal.fetch.origins import Origins
from shoal.fetch.receiver import Keep, Receiver
from shoal.fetch.sources import Source, Sources
from shoal.fetch.transfer import Transfers
from shoal.fetch.web_seeds.urls import SeedUrls
from shoal.formats.metainfo import Metainfo
from shoal.units import KIB

ZEROES: Final = bytes(64 * KIB)

OnUseless = Callable[[int, str], None]  # a file, and why nothing of it is had here


class SeedOrigin(Origins):
    def __init__(
        self,
        group: asyncio.TaskGroup,
        transfers: Transfers,
        sources: Sources,
        base: str,
        metainfo: Metainfo,
        on_useless: OnUseless,
    ) -> None:
        super().__init__(group, transfers, sources, {})
        self._base = base
        self._metainfo = metainfo
        self._urls = SeedUrls(metainfo)
        self._on_useless = on_useless
        self._served: set[int] = set()  # files that something came of

    def receiver(self, source: Source, asked: Asked, keep: Keep) -> Receiver:
        assert asked.begin is not None and asked.end is not None, "a run has a beginning and an end"
        layout = self._metainfo.layout
        span = layout.spans(asked.begin, asked.end - asked.begin)[0]
        file = self._metainfo.files[span.file_index]
        if file.is_padding:
            return Padding(asked.begin, asked.begin + span.length, keep)
        one = asked_url(self._urls.url_of(self._base, span.file_index))
        begin = span.file_offset
        name = file.path[-1].encode()
        return FilePart(
            one,
            Asked(one.url, begin, begin + span.length, name),
            layout.file_offsets[span.file_index],
            file.size,
            on_accepted=partial(self._served.add, span.file_index),
            on_useless=partial(self._on_no_use, span.file_index),
            keep=keep,
        )

    async def transfer(
        self, source: Source, receiver: Receiver, begin: int | None, end: int | None = None
    ) -> None:
        error: ShoalError | None = None
        try:
            match receiver:
                case Padding():
                    receiver.fill()
                case FilePart(url=url, asked=asked):
                    await self._transfers.get(url, receiver, asked.begin, asked.end)
        except ShoalError as failure:
            error = failure
        finally:
            receiver.on_over(error)

    def is_stranger(self, source: Source) -> bool:
        return True  # each file is judged by itself, and none is the torrent

    def _on_no_use(self, file_index: int, verdict: Refused | Replaced | NoRanges) -> None:
        if isinstance(verdict, NoRanges) and file_index in self._served:
            return  # one connection too many
        reason = verdict.error.message if isinstance(verdict, Refused) else verdict.reason
        self._on_useless(file_index, reason)


class FilePart(Receiver):
    """A part of one file, which begins at `offset` in the torrent; its verdict is in offsets of the torrent."""

    def __init__(
        self,
        url: AskedUrl,
        asked: Asked,
        offset: int,
        size: int,
        *,
        on_accepted: Callable[[], None],
        on_useless: Callable[[Refused | Replaced | NoRanges], None],
        keep: Keep,
    ) -> None:
        known = Facts(length=size)  # which version it is, the pieces' hashes tell
        super().__init__(asked, lambda: known, lambda _: on_accepted(), keep)
        self.url = url
        self._offset = offset
        self._size = size
        self._on_useless = on_useless

    def on_response(self, answer: Answer, go_on: Callable[[], None]) -> bool:
        is_wanted = super().on_response(answer, go_on)
        match self.verdict:
            case WriteAt(begin, end):
                self.verdict = WriteAt(self._offset + begin, self._offset + end)
            case Whole():
                self.verdict = WriteAt(self._offset, self._offset + self._size)
            case Refused() | Replaced() | NoRanges() as verdict:
                self._on_useless(verdict)
        return is_wanted


class Padding(Receiver):
    """Bytes that nobody has to send."""

    def __init__(self, begin: int, end: int, keep: Keep) -> None:
        super().__init__(Asked("", begin, end), lambda: None, lambda _: None, keep)
        self.verdict = WriteAt(begin, end)
        self._left = end - begin

    def fill(self) -> None:
        while self._left:
            part = ZEROES[: self._left]
            self._left -= len(part)
            self.on_data(part)
        self.flush()
