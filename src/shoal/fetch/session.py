"""One try at one version of a file: from the first response to the final name, or to what is remembered of it.

It decides nothing; it hands the first transfer to whoever goes on with it (`ranged.py` or `stream.py`), keeps the part
file and its checker company, and leaves all of it in order, however it ends.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from shoal.disk.part_file import PartFile
from shoal.errors import ChecksumError, FormatError, ShoalError
from shoal.fetch.claims import LONE_STALL
from shoal.fetch.description import Describing
from shoal.fetch.facts import Facts, facts_of, file_name
from shoal.fetch.judging import WriteAt
from shoal.fetch.kept import Kept, add_hint
from shoal.fetch.limit import longest_pause
from shoal.fetch.opening import Opening, body_of
from shoal.fetch.options import AskedUrl, asked_url
from shoal.fetch.origins import Origins
from shoal.fetch.pieces import piece_length_for
from shoal.fetch.plan import Plan
from shoal.fetch.pooling import Pooling
from shoal.fetch.progress import Document, Downloaded, OnNote, OnProgress, Phase, Wanted
from shoal.fetch.ranged import Changed, Disagreed, NoRangesAfterAll, Ranged
from shoal.fetch.receiver import Receiver
from shoal.fetch.remembering import Remembering
from shoal.fetch.repairs import Repairs
from shoal.fetch.showing import progress_of
from shoal.fetch.source_names import name_beside, names_of
from shoal.fetch.sources import Source, Sources
from shoal.fetch.stream import Stream
from shoal.fetch.transfer import Transfers
from shoal.fetch.trust import Trust
from shoal.fetch.verification import Verification
from shoal.fetch.writing import Writing
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.metainfo import MAX_METAINFO_LENGTH
from shoal.formats.metalink import MetalinkFile, Mirror
from shoal.formats.safe_names import seen_name
from shoal.units import format_size

if TYPE_CHECKING:
    from shoal.fetch.joining import Joining

MOST_DOCUMENT = MAX_METAINFO_LENGTH  # bytes; of a Metalink its own parser takes less


class Session:
    """One try at one version of the file."""

    def __init__(
        self,
        wanted: Wanted,
        asked: list[AskedUrl],
        transfers: Transfers,
        trust: Trust,
        started_at: float,
        in_runs: bool,
        on_progress: OnProgress | None,
        on_note: OnNote | None,
        joining: Joining | None,
        is_anew: bool,
    ) -> None:
        """`is_anew`: what is here is not gone on with."""
        self._is_anew = is_anew
        self._wanted = wanted
        self._asked = {one.url: one for one in asked if one.url in trust.usable}
        self._takes_mirrors = not trust.is_alone
        self._pooling = Pooling(joining, self.note)
        self._first_url = asked[0].url
        self._transfers = transfers
        self._started_at = started_at
        self._in_runs_wanted = in_runs
        self._is_stopped = False
        self._on_progress = on_progress
        self._on_note = on_note
        self._sources = Sources(names_of(self._asked), time.monotonic(), random.Random())
        self._phase = Phase.ASKING
        self._name = ""
        self._facts = Facts()
        self._part: PartFile | None = None
        self._writing: Writing | None = None
        self._verification = Verification(wanted.checksums, wanted.described)
        self._describing = Describing(transfers, self._on_described, self.note)
        self._work: Opening | Ranged | Stream | None = None
        self._resumed = 0
        self._remembering: Remembering | None = None
        self._repairs: Repairs | None = None

    async def run(self) -> Downloaded | Document:
        document: Document | None = None
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                described = self._wanted.described
                self._origins = Origins(
                    group, self._transfers, self._sources, self._asked,
                    first_url="" if self._verification.is_known else self._first_url,
                    length=None if described is None else described.size,
                )  # fmt: skip
                try:
                    document = await self._fetch(group)
                except (ShoalError, Changed, Disagreed, NoRangesAfterAll) as error:
                    failure = error
                self._describing.end()
                self._origins.end_all()  # or the group would wait for one that is held
            self._remembering = None  # its group is over
            if self._writing is not None:
                await self._writing.drain()
                failure = failure or self._writing.error  # of what came when nothing was left to ask for
            if failure is not None:
                raise failure
            if document is not None:
                return document
            got = await self._finish()
            self._wanted.on_whole(got)
            await self._pooling.leave(lingers=True)
            return got
        except (Changed, Disagreed, NoRangesAfterAll):
            await self._pooling.leave()
            self._put_down(keeps=False)
            raise
        except ChecksumError as error:
            await self._pooling.leave()
            kept = self._part and await self._kept.keep(self._part, error)
            self._put_down(keeps=kept is not None)
            raise kept or error from None
        except ShoalError as error:
            add_hint(error, self._part)
            raise
        finally:
            await self._pooling.leave()
            self._put_down(keeps=True)

    @property
    def had_help(self) -> bool:
        """Members brought some of it."""
        return self._pooling.had_help

    @property
    def was_here(self) -> bool:
        """Nothing had to be fetched."""
        return self._resumed > 0 and self._resumed == self._facts.length

    @property
    def gave(self) -> dict[str, str]:
        """Who gave the bytes: URL and name. Empty if some came in an earlier try, or from others."""
        gave = {one.url: one.name for one in self._sources if one.meter.total}
        return {} if self._resumed or self.had_help else gave

    @property
    def given_up(self) -> set[str]:
        return {one.url for one in self._sources if one.patience.gave_up is not None}

    def answered(self) -> dict[str, str]:
        """The same of whose file this is."""
        return self._origins.answered

    def note(self, text: str) -> None:
        if self._on_note is not None:
            self._on_note(text)

    # ---- the first response

    async def _fetch(self, group: asyncio.TaskGroup) -> Document | None:
        origins = self._origins
        given_name = (self._wanted.name or "").encode()
        first_end = self._pooling.probe_end
        opening = Opening(origins, given_name, self._in_runs_wanted, self._beat, first_end)
        self._work = opening
        source, receiver = await opening.first_response()
        answer = receiver.answer
        assert answer is not None
        self._facts = facts_of(answer.status, answer.headers, answer.url)
        raw_name = file_name(self._facts, source.url)
        self._name = self._wanted.name or seen_name(raw_name)
        wants_document = self._wanted.is_document
        is_document = wants_document is not None and wants_document(self._facts, source.url)
        self._verification.on_said(self._facts.digests, self._facts.final_url)
        is_split = (
            self._in_runs_wanted
            and not is_document
            and self._facts.can_be_split(is_digest_known=self._verification.is_known)
        )
        if not is_split and first_end is not None and isinstance(receiver.verdict, WriteAt):
            origins.end(receiver)  # it is only the beginning
            opening = Opening(origins, given_name, False, self._beat)
            source, receiver = await opening.first_response()
        if is_document:
            body = await body_of(origins, receiver, MOST_DOCUMENT)
            return Document(body, self._facts, self._name)
        await self._open(is_split)
        assert self._part is not None
        if self._takes_mirrors and self._wanted.described is None:
            self._describing.begin(group, self._facts)
        if is_split or self._part.is_whole:
            await self._in_runs(origins, group, receiver, source, raw_name, is_split=is_split)
        else:
            await self._in_one(origins, receiver, source, raw_name)
            await self._describing.wait()
        return None

    # ---- the file

    async def _open(self, is_split: bool) -> None:
        self._phase = Phase.OPENING
        length = self._facts.length
        self._kept = Kept(self._wanted, self._first_url, self._facts, self._verification)
        opening = partial(
            self._kept.open, self._name,
            is_split=is_split, is_anew=self._is_anew, should_stop=lambda: self._is_stopped,
        )  # fmt: skip
        self._part = await asyncio.to_thread(opening)
        if why := self._kept.why_anew(self._part):
            self.note(f"begins anew: {why}")
        self._resumed = min(self._part.have_bits.bit_count() * piece_length_for(length or 0), length or 0)
        if self._resumed and length is not None:
            self.note(f"goes on: {format_size(self._resumed)} of {format_size(length)} are here")
        self._verification.begin(self._part)
        self._phase = Phase.FETCHING

    async def _in_runs(
        self, origins: Origins, group: asyncio.TaskGroup, receiver: Receiver, source: Source, name: bytes,
        *, is_split: bool,
    ) -> None:  # fmt: skip
        assert self._part is not None and self._facts.length is not None
        most, first = self._wanted.most_fetchers, self._wanted.first_fetchers
        plan = Plan(
            self._facts.length, self._part.have_bits, most_fetchers=most, first_fetchers=first,
            lone_stall=LONE_STALL + longest_pause(self._wanted.options.max_rate),
        )  # fmt: skip
        self._add_mirrors(self._facts.mirrors)
        is_fresh = not plan.have_bits
        if not is_fresh:
            origins.end(receiver)
        pooled = None if not is_split else await self._pooling.join(
            source, self._first_url, self._facts, self._part, plan, origins, name=name, most=most,
            has_digest=self._verification.is_known, sha256=self._verification.sha256,
            on_lost=self._verification.restart,
        )  # fmt: skip
        self._writing = Writing(self._part, self._on_trouble, None if pooled is None else pooled.sharing)
        self._writing.is_first_hand = lambda: all(one.url == self._first_url for one in self._sources)
        ranged = self._work = Ranged(
            origins, plan, self._writing, name, self._beat, pooled,
            on_note=self.note, is_to_wait=lambda: self._describing.is_running,
        )  # fmt: skip
        self._writing.on_span = ranged.provenance.on_written
        self._remembering = Remembering(self._part, plan, self._pooling.remember, self._on_trouble)
        self._pooling.begin(ranged, group)
        self._check_pieces()
        await ranged.run(group, receiver if is_fresh else None, source)
        await self._pooling.settle(ranged, group, source, self._is_right)

    async def _is_right(self) -> bool:
        """Whether the digest is, if one is known; only what others brought may be fetched once more."""
        assert self._writing is not None and isinstance(self._work, Ranged)
        await self._writing.drain()
        pooled = self._pooling.pooled
        if pooled is None or not pooled.pool.holdings.doubtful_bits:
            return True
        try:
            length = self._work.plan.length
            await asyncio.to_thread(self._verification.finish_all, length, lambda: self._is_stopped)
        except ChecksumError:
            self._verification.restart()
            return False
        return True

    async def _in_one(self, origins: Origins, receiver: Receiver, source: Source, name: bytes) -> None:
        assert self._part is not None
        facts = self._facts
        if facts.length != 0:
            alone = ", without the group" if self._pooling.is_wanted else ""
            why = facts.why_in_one_stream(is_digest_known=self._verification.is_known)
            self.note(f"one connection{alone}, and no going on after a stop: {source.name} {why}")
        self._writing = Writing(self._part, self._on_trouble)
        self._work = Stream(
            origins, facts, self._writing, name, self._beat, self._begin_anew, self.note,
            shortest_silence=LONE_STALL + longest_pause(self._wanted.options.max_rate),
        )  # fmt: skip
        await self._work.run(receiver, source)

    def _add_mirrors(self, mirrors: Sequence[Mirror]) -> None:
        """With a digest a stranger's mirror may be asked, too."""
        for mirror in mirrors if self._takes_mirrors and self._verification.is_known else ():
            one = asked_url(mirror.url)
            if one.url not in self._asked:
                self._asked[one.url] = one
                name = name_beside(one.url, (source.name for source in self._sources))
                self._sources.add(one.url, name, time.monotonic())

    def _on_described(self, file: MetalinkFile) -> None:
        """Raises `FormatError`."""
        if not self._verification.on_described(file):
            raise FormatError("its digest is another than the one in the response")
        self._add_mirrors((*file.urls, *self._facts.mirrors))
        self._check_pieces()

    def _check_pieces(self) -> None:
        """On their way."""
        work = self._work
        if not isinstance(work, Ranged) or self._writing is None or self._repairs is not None:
            return
        pieces = self._verification.pieces(work.plan.length)
        if pieces is not None and self._pooling.pooled is not None:
            self._pooling.know(pieces)
        elif pieces is not None:
            self._repairs = work.check_pieces(pieces, self._writing)

    def _begin_anew(self) -> None:
        assert self._part is not None and self._writing is not None
        self._writing.written = 0
        self._part.start_anew(None, self._part.length, piece_length=piece_length_for(self._part.length or 0))
        self._verification.begin(self._part)

    def _on_trouble(self, error: ShoalError) -> None:
        """The disk refused."""
        if isinstance(self._work, Ranged | Stream):
            self._work.fail(error)

    # ---- while it runs

    def _beat(self) -> None:
        now = time.monotonic()
        for line in self._sources.take_troubles():
            self.note(line)
        if self._remembering is not None:
            self._remembering.beat(self._group, now)
        if self._part is not None and self._writing is not None:
            here = self._part.prefix_length if isinstance(self._work, Ranged) else self._writing.written
            self._verification.advance(min(here, self._repairs.good_prefix) if self._repairs else here)
        if self._on_progress is not None:
            self._on_progress(
                progress_of(
                    self._work, self._sources, self._pooling.pooled, phase=self._phase, name=self._name,
                    facts=self._facts, began_at=self._started_at, now=now,
                )
            )  # fmt: skip

    # ---- the end

    async def _finish(self) -> Downloaded:
        part, work, pooled = self._part, self._work, self._pooling.pooled
        assert part is not None and self._writing is not None and isinstance(work, Ranged | Stream)
        self._writing.close()
        self._remembering = None
        length = work.plan.length if isinstance(work, Ranged) else work.position
        if isinstance(work, Stream):
            piece_count = -(-(part.length or 0) // piece_length_for(part.length or 0))
            for piece in iter_bits(all_bits(piece_count)):
                part.on_piece(piece)
        if self._verification.is_known:
            self._phase = Phase.CHECKING
        self._beat()  # the last word on who brought what
        if self._verification.is_known:
            finish = self._verification.finish if self._repairs else self._verification.finish_all
            await asyncio.to_thread(finish, length, lambda: self._is_stopped)
        modified_at = self._facts.modified_at if self._wanted.keeps_remote_time else None
        path = await asyncio.to_thread(part.finish, modified_at)
        given = self._sources.given()
        return Downloaded(
            path=path,
            length=length,
            seconds=time.monotonic() - self._started_at,
            received=sum(count for _, count in given),
            resumed=self._resumed,
            sources=given,
            connections=self._sources.most_delivering,
            urls=self._sources.good_urls(self._first_url),
            verified=self._verification.checked_by or (pooled and pooled.checked_by) or "none",
            members=() if pooled is None else pooled.shares(),
            facts=self._facts,
        )

    def _put_down(self, *, keeps: bool) -> None:
        """Leave the part file as it is to be found: synced and remembered, or gone. Nothing runs any more."""
        self._is_stopped = True
        if self._writing is not None:
            self._writing.close()
        if self._repairs is not None:
            self._repairs.close()
        self._verification.close()
        part, self._part, self._writing = self._part, None, None
        if part is None:
            return
        try:
            if keeps:
                part.remember()
            else:
                part.discard()
        finally:
            part.close()
