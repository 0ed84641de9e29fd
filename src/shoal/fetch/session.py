"""One try at one version of a file: from the first response to the final name, or to what is remembered of it.

It decides nothing; it hands the first transfer to whoever goes on with it (`ranged.py` or `stream.py`), keeps the part
file and its checker company, and leaves all of it in order, however it ends.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from typing import TYPE_CHECKING

from shoal.disk.checksum import Checker, Checksum
from shoal.disk.part_file import PartFile
from shoal.errors import ChecksumError, ShoalError
from shoal.fetch.facts import Facts, facts_of, file_name
from shoal.fetch.judging import WriteAt
from shoal.fetch.opening import Opening
from shoal.fetch.options import AskedUrl, asked_url
from shoal.fetch.origins import Origins
from shoal.fetch.plan import Plan, piece_length_for
from shoal.fetch.pool.poolable import reason_not_to_pool_file
from shoal.fetch.progress import Document, Downloaded, OnNote, OnProgress, Phase, Progress, Wanted
from shoal.fetch.ranged import Changed, NoRangesAfterAll, Ranged
from shoal.fetch.receiver import Receiver
from shoal.fetch.sources import Source, Sources
from shoal.fetch.stream import Stream
from shoal.fetch.transfer import Flow, Transfers
from shoal.fetch.writing import Writing
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.digests import strongest
from shoal.formats.metainfo import MAX_METAINFO_LENGTH
from shoal.formats.safe_names import safe_name
from shoal.net.curl_errors import host_of
from shoal.units import format_size

if TYPE_CHECKING:
    from shoal.fetch.pool.pooled import Pooled
    from shoal.fetch.pool.requesting import Requesting

REMEMBERED_EVERY = 5.0  # seconds; what a power cut costs
MOST_DOCUMENT = MAX_METAINFO_LENGTH  # bytes; of a Metalink its own parser takes less


class Session:
    """One try at one version of the file."""

    def __init__(
        self,
        wanted: Wanted,
        asked: list[AskedUrl],
        transfers: Transfers,
        started_at: float,
        in_runs: bool,
        on_progress: OnProgress | None,
        on_note: OnNote | None,
        requesting: Requesting | None,
    ) -> None:
        self._wanted = wanted
        self._requesting = requesting  # None: alone
        self._pooled: Pooled | None = None
        self._asked = {one.url: one for one in asked}
        self._first_url = asked[0].url
        self._transfers = transfers
        self._started_at = started_at
        self._in_runs_wanted = in_runs
        self._is_stopped = False
        self._on_progress: OnProgress = on_progress or (lambda now: None)
        self._on_note = on_note
        self._sources = Sources(
            [(url, host_of(url)) for url in self._asked], time.monotonic(), random.Random()
        )
        self._phase = Phase.ASKING
        self._name = ""
        self._facts = Facts()
        self._part: PartFile | None = None
        self._writing: Writing | None = None
        self._checker: Checker | None = None
        self._work: Opening | Ranged | Stream | None = None
        self._resumed = 0
        self._remembered_at = 0.0
        self._remembering: asyncio.Task[None] | None = None

    async def run(self) -> Downloaded | Document:
        document: Document | None = None
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._origins = Origins(group, self._transfers, self._sources, self._asked)
                try:
                    document = await self._fetch(group)
                except (ShoalError, Changed, NoRangesAfterAll) as error:
                    failure = error
                self._origins.end_all()  # or the group would wait for one that is held
            if self._writing is not None:
                await self._writing.drain()
                failure = (
                    failure or self._writing.error
                )  # of bytes that came when nothing was left to ask for
            if failure is not None:
                raise failure
            if document is not None:
                return document
            got = await self._finish()
            await self._leave_pool(lingers=True)
            return got
        except (Changed, NoRangesAfterAll, ChecksumError):
            await self._leave_pool()
            self._put_down(keeps=False)
            raise
        finally:
            await self._leave_pool()
            self._put_down(keeps=True)

    def note(self, text: str) -> None:
        if self._on_note is not None:
            self._on_note(text)

    # ---- the first response

    async def _fetch(self, group: asyncio.TaskGroup) -> Document | None:
        origins = self._origins
        given_name = (self._wanted.name or "").encode()
        first_end = None if self._requesting is None else self._requesting.probe_end
        opening = Opening(origins, given_name, self._in_runs_wanted, self._beat, first_end)
        self._work = opening
        source, receiver = await opening.first_response()
        assert receiver.answer is not None
        answer = receiver.answer
        self._facts = facts_of(answer.status, answer.headers, answer.url)
        raw_name = file_name(self._facts, source.url)
        self._name = self._wanted.name or safe_name(raw_name)
        wants_document = self._wanted.is_document
        if wants_document is not None and wants_document(self._facts, source.url):
            return await self._document(origins, receiver)
        is_split = self._in_runs_wanted and self._facts.can_be_split(
            is_digest_known=bool(self._wanted.checksums)
        )
        if not is_split and first_end is not None and isinstance(receiver.verdict, WriteAt):
            origins.end(receiver)  # it is only the beginning
            opening = Opening(origins, given_name, False, self._beat)
            source, receiver = await opening.first_response()
        await self._open(is_split)
        if is_split:
            await self._in_runs(origins, group, receiver, source, raw_name)
        else:
            await self._in_one(origins, receiver, source, raw_name)
        return None

    async def _document(self, origins: Origins, receiver: Receiver) -> Document:
        body = bytearray()

        def keep(receiver: Receiver) -> Flow:
            chunks, _ = receiver.take()
            body.extend(b"".join(chunks))
            return Flow.MORE if len(body) <= MOST_DOCUMENT else Flow.END

        receiver.hand_to(keep)
        await origins.wait_for(receiver)
        receiver.flush()
        if receiver.error is not None:
            raise receiver.error
        return Document(bytes(body), self._facts, self._name)

    # ---- the file

    async def _open(self, is_split: bool) -> None:
        self._phase = Phase.OPENING
        facts = self._facts
        length = facts.length
        piece_length = piece_length_for(length or 0)
        identity = None
        if is_split:
            version = facts.validator.text if facts.validator is not None else str(self._checksums())
            identity = f"{self._first_url} {version}".encode()
        opening = partial(
            PartFile.open, self._wanted.folder, self._name, identity, length,
            piece_length=piece_length, overwrite=self._wanted.overwrite, should_stop=lambda: self._is_stopped,
        )  # fmt: skip
        self._part = await asyncio.to_thread(opening)
        self._resumed = min(self._part.have_bits.bit_count() * piece_length, length or 0)
        if self._resumed and length is not None:
            self.note(f"goes on: {format_size(self._resumed)} of {format_size(length)} are here")
        self._begin_checking()
        self._phase = Phase.FETCHING

    async def _in_runs(
        self, origins: Origins, group: asyncio.TaskGroup, receiver: Receiver, source: Source, name: bytes
    ) -> None:
        assert self._part is not None and self._facts.length is not None
        most, first = self._wanted.most_fetchers, self._wanted.first_fetchers
        plan = Plan(self._facts.length, self._part.have_bits, most_fetchers=most, first_fetchers=first)
        if self._facts.digests:
            for mirror in self._facts.mirrors:  # with a digest a stranger's mirror may be asked, too
                self._add_source(mirror.url)
        is_fresh = not plan.have_bits
        if not is_fresh:
            origins.end(receiver)
        pooled = self._join_pool(plan, origins, name, source)
        on_pieces = None if pooled is None else pooled.pool.on_pieces
        self._writing = Writing(self._part, self._on_trouble, on_pieces)
        ranged = self._work = Ranged(origins, plan, self._writing, name, self._beat, pooled)
        if pooled is not None and self._requesting is not None:
            pooled.attach(ranged, group)
            group.create_task(self._requesting.begin(pooled))
        await ranged.run(group, receiver if is_fresh else None, source)
        while pooled is not None and not await self._is_right():
            self.note("the digest is wrong: what others brought is compared with the server")
            pooled.pool.doubt()
            await ranged.run(group, None, source)

    def _join_pool(self, plan: Plan, origins: Origins, name: bytes, source: Source) -> Pooled | None:
        assert self._part is not None
        if self._requesting is None:
            return None
        reason = reason_not_to_pool_file(self._facts)
        if reason is not None:
            self.note(f"downloads without the group: {reason}")
            return None
        self._pooled = self._requesting.pooled(
            source.url, self._facts, self._part, plan, origins, name=name, most=self._wanted.most_fetchers,
            has_digest=bool(self._checksums()), on_lost=self._begin_checking,
        )  # fmt: skip
        return self._pooled

    async def _leave_pool(self, *, lingers: bool = False) -> None:
        pooled, self._pooled = self._pooled, None
        if pooled is not None and self._requesting is not None:
            await self._requesting.end(lingers=lingers)

    async def _is_right(self) -> bool:
        """Whether the digest is, if one is known; only what others brought may be fetched once more."""
        assert self._writing is not None and isinstance(self._work, Ranged)
        await self._writing.drain()
        if self._checker is None or self._pooled is None or not self._pooled.pool.has_doubtful:
            return True
        finish = partial(self._checker.finish, self._work.plan.length, should_stop=lambda: self._is_stopped)
        try:
            await asyncio.to_thread(finish)
        except ChecksumError:
            self._begin_checking()
            return False
        return True

    async def _in_one(self, origins: Origins, receiver: Receiver, source: Source, name: bytes) -> None:
        assert self._part is not None
        facts = self._facts
        reason = (
            "does not serve parts of it" if not facts.takes_ranges else "does not say which version it is"
        )
        if facts.length is None:
            reason = "does not say how long it is"
        if facts.length != 0:
            self.note(f"one connection, and no going on after a stop: {source.name} {reason}")
        self._writing = Writing(self._part, self._on_trouble)
        self._work = Stream(origins, facts, self._writing, name, self._beat, self._begin_anew)
        await self._work.run(receiver, source)

    def _add_source(self, url: str) -> None:
        one = asked_url(url)
        if one.url not in self._asked:
            self._asked[one.url] = one
            self._sources.add(one.url, host_of(one.url), time.monotonic())

    def _begin_anew(self) -> None:
        assert self._part is not None and self._writing is not None
        self._writing.written = 0
        self._part.start_anew(None, self._part.length, piece_length=piece_length_for(self._part.length or 0))
        self._begin_checking()

    def _on_trouble(self, error: ShoalError) -> None:
        """The disk refused."""
        if isinstance(self._work, Ranged | Stream):
            self._work.fail(error)

    # ---- while it runs

    def _checksums(self) -> list[Checksum]:
        """What the person gave; else the strongest that the origin did."""
        digests = self._facts.digests
        best = strongest(digests)
        given = [] if best is None else [Checksum(best, digests[best])]
        return list(self._wanted.checksums) or given

    def _begin_checking(self) -> None:
        if self._checker is not None:
            self._checker.close()
            self._checker = None
        checksums = self._checksums()
        if checksums and self._part is not None:
            self._checker = Checker(self._part.read_into, checksums, self._part.path)

    def _beat(self) -> None:
        now = time.monotonic()
        if isinstance(self._work, Ranged):
            self._remember(now)
        if self._checker is not None and self._part is not None and self._writing is not None:
            is_ranged = isinstance(self._work, Ranged)
            self._checker.advance(self._part.prefix_length if is_ranged else self._writing.written)
        self._on_progress(self._progress(now))

    def _remember(self, now: float) -> None:
        if self._remembering is None and now - self._remembered_at >= REMEMBERED_EVERY:
            is_first = not self._remembered_at
            self._remembered_at = now
            if not is_first:
                self._remembering = self._group.create_task(self._remember_now())

    async def _remember_now(self) -> None:
        assert self._part is not None
        try:
            await asyncio.to_thread(self._part.remember)
        except ShoalError as error:
            self._on_trouble(error)
        finally:
            self._remembering = None

    def _progress(self, now: float) -> Progress:
        work, facts = self._work, self._facts
        fetching = () if work is None or isinstance(work, Opening) else work.fetching(now)
        here = have_bits = 0
        if isinstance(work, Ranged):
            here, have_bits = work.plan.length - work.plan.bytes_left, work.plan.have_bits
        elif isinstance(work, Stream):
            here = work.position
        deadline = self._sources.next_deadline()
        is_waiting = work is not None and work.is_waiting
        return Progress(
            phase=Phase.WAITING if is_waiting else self._phase,
            name=self._name,
            length=facts.length,
            here=here,
            rate=sum(one.rate for one in fetching) + (self._pooled.rate if self._pooled is not None else 0.0),
            fetching=fetching,
            have_bits=have_bits,
            piece_length=piece_length_for(facts.length or 0),
            members=() if self._pooled is None else self._pooled.members(now),
            seconds=now - self._started_at,
            waits_for=max(0.0, deadline - now) if is_waiting and deadline is not None else 0.0,
            trouble=work.trouble if work is not None else "",
        )

    # ---- the end

    async def _finish(self) -> Downloaded:
        part, work = self._part, self._work
        assert part is not None and self._writing is not None and isinstance(work, Ranged | Stream)
        self._writing.close()
        length = work.plan.length if isinstance(work, Ranged) else work.position
        if isinstance(work, Stream):
            piece_count = -(-(part.length or 0) // piece_length_for(part.length or 0))
            for piece in iter_bits(all_bits(piece_count)):
                part.on_piece(piece)
        checksums = self._checksums()
        self._phase = Phase.CHECKING
        self._on_progress(self._progress(time.monotonic()))  # the last word on who brought what
        if self._checker is not None:
            await asyncio.to_thread(
                partial(self._checker.finish, length, should_stop=lambda: self._is_stopped)
            )
        modified_at = self._facts.modified_at if self._wanted.keeps_remote_time else None
        path = await asyncio.to_thread(part.finish, modified_at)
        given = [(source.name, source.meter.total) for source in self._sources if source.meter.total]
        return Downloaded(
            path=path,
            length=length,
            seconds=time.monotonic() - self._started_at,
            received=sum(count for _, count in given),
            resumed=self._resumed,
            sources=tuple(given),
            verified=checksums[0].algorithm if checksums else self._sample() or "none",
            members=() if self._pooled is None else self._pooled.shares(),
            facts=self._facts,
        )

    def _sample(self) -> str:
        """What others brought was compared here and there."""
        return "sample" if self._pooled is not None and self._pooled.pool.audits.checked_bytes else ""

    def _put_down(self, *, keeps: bool) -> None:
        """Leave the part file as it is to be found: synced and remembered, or gone. Nothing runs any more."""
        self._is_stopped = True
        if self._writing is not None:
            self._writing.close()
        if self._checker is not None:
            self._checker.close()
        part, self._part, self._writing, self._checker = self._part, None, None, None
        if part is None:
            return
        try:
            if keeps:
                part.remember()
            else:
                part.discard()
        finally:
            part.close()
