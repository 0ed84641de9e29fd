"""One URL that a helper fetches for others: a pool without anybody here who wants the file.

It trusts the requester for nothing but what to ask: the origin's own responses must show the length and validator that
were named, or the work ends with the reason. It ends by itself when nobody who wants the file is in the pool any more.

Always true: unless somebody asked for more than what is kept, the origin is asked for nothing.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from shoal.disk.checksum import Checker
from shoal.disk.part_file import PartFile
from shoal.errors import ChecksumError, ShoalError, UnfinishedError
from shoal.fetch.options import AskedUrl
from shoal.fetch.origins import Origins
from shoal.fetch.pieces import piece_length_for, piece_span
from shoal.fetch.plan import Plan
from shoal.fetch.pool.cache import Cache
from shoal.fetch.pool.making import make_pool
from shoal.fetch.pool.meetings import AtOrigin, Meetings
from shoal.fetch.pool.pooled import MOST_CONNECTIONS, Pooled
from shoal.fetch.pool.proving import read_some
from shoal.fetch.pool.question import digest_asked, facts_asked
from shoal.fetch.pool.records_file import RecordsFile
from shoal.fetch.pool.tags import origin_tag_of
from shoal.fetch.ranged import Changed, NoRangesAfterAll, Ranged
from shoal.fetch.sources import Sources
from shoal.fetch.transfer import Transfers
from shoal.fetch.writing import Sharing, Writing
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.net.curl_errors import host_of
from shoal.protocol.group.messages import AskHelp, PieceRecord

if TYPE_CHECKING:
    from shoal.fetch.group.joined import JoinedGroup
    from shoal.fetch.pool.quota import Quota

LEAVES_AFTER = (
    20.0  # seconds without anybody in the pool who wants it; who is late is let in again at once ...
)
WAITS_FOR_FIRST = 10.0  # ... and in which the first one has to come: who asks and stays away costs a place
SAVES_EVERY = 5.0  # seconds; what a power cut costs


class Work:
    """`run` until nobody needs it. `is_ending`: nobody can be told to come any more."""

    def __init__(
        self,
        group: JoinedGroup,
        ask: AskHelp,
        meetings: Meetings,
        transfers: Transfers,
        cache: Cache,
        quota: Quota,
        note: Callable[[str], None],
        on_used_up: Callable[[], None],
    ) -> None:
        """`on_used_up`: nothing more may be fetched today; what is here is still taken."""
        self.ask = ask
        self.fetched = 0  # bytes from the origin
        self.sent = 0  # bytes to members
        self.member_count = 0  # that were in the pool
        self.is_ending = False
        self.fetches = not ask.only_kept  # from the origin; else what is here is passed on, and no more
        self._is_retiring = False
        self.began_at = time.monotonic()
        self.group = group
        self._meetings = meetings
        self._transfers = transfers
        self._cache = cache
        self._quota = quota
        self._note = note
        self._on_used_up = on_used_up
        self._url = AskedUrl(ask.url)
        self._counted = 0
        self._pooled: Pooled | None = None
        self._is_trusted = digest_asked(ask) is None  # it may be kept for those who come later
        self._needed_at = time.monotonic() + WAITS_FOR_FIRST - LEAVES_AFTER
        self._saved_at = time.monotonic()
        self._saving: asyncio.Task[None] | None = None

    async def run(self, on_begun: Callable[[], None]) -> None:
        """Raises a `ShoalError` that says why it cannot be helped with this."""
        opening = asyncio.ensure_future(
            asyncio.to_thread(self._cache.open, self.ask.info_hash, self.ask.length)
        )
        try:
            part = await asyncio.shield(opening)
        except asyncio.CancelledError:  # a thread goes on: what it opens is not to stay behind
            await asyncio.to_thread(self._cache.put_back, await opening)
            raise
        try:
            await self._work(part, on_begun)
        finally:
            self.is_ending = True
            self._quota.let_go(self)
            await asyncio.to_thread(self._cache.put_back, part, is_wanted=self._is_trusted)

    async def _work(self, part: PartFile, on_begun: Callable[[], None]) -> None:
        length = self.ask.length
        self._records = RecordsFile(part)
        records = await self._proved(part)
        self._needed_at = time.monotonic() + WAITS_FOR_FIRST - LEAVES_AFTER  # that may have taken long
        plan = Plan(length, part.have_bits, most_fetchers=MOST_CONNECTIONS)
        plan.withhold(0, length)
        wanted = all_bits(plan.piece_count) & ~part.have_bits if self._cache.keeps else 0
        pool = self._pool = make_pool(
            self.group,
            self.ask,
            part,
            plan,
            self._meetings,
            is_helper=True,
            wanted_bits=wanted,
            audit_share=0.0,
        )
        pool.board.rests = not self.fetches
        self._part = part
        self._take_up(part, plan, records)
        self._is_trusted |= plan.is_complete
        writing = Writing(part, self._on_trouble, Sharing(pool.store.write_own, pool.on_pieces))
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._fetch(group, plan, writing, on_begun)
                except (ShoalError, Changed, NoRangesAfterAll) as error:
                    failure = error
                self._origins.end_all()
            await writing.drain()
            if failure is None and self._cache.keeps and not self._is_trusted:
                await self._compare(part)
        finally:
            writing.close()
            await self._meetings.close_pool(self.group.name, pool)
            self.sent = pool.sent_bytes
            self.member_count = pool.company.other_count
            await asyncio.to_thread(self._save, pool.holdings.records())
            pool.store.close()
        if isinstance(failure, Changed | NoRangesAfterAll):
            raise UnfinishedError(f"{host_of(self.ask.url)} does not send me that version: {failure}")
        if failure is not None:
            raise failure

    async def _fetch(
        self, group: asyncio.TaskGroup, plan: Plan, writing: Writing, on_begun: Callable[[], None]
    ) -> None:
        url = self.ask.url
        sources = Sources([(url, host_of(url))], time.monotonic(), random.Random())
        origins = self._origins = Origins(group, self._transfers, sources, {url: self._url})
        origins.know(url, facts_asked(self.ask))
        tag = AtOrigin(self._meetings, self.group.name, origin_tag_of(self.group.key, url))
        pooled = self._pooled = Pooled(
            self._pool,
            tag,
            origins,
            most_fetchers=MOST_CONNECTIONS,
            name=b"",
            note=self._note,
            on_lost=_nothing,
            stays=True,
        )
        ranged = self._ranged = Ranged(origins, plan, writing, b"", partial(self._beat, group), pooled)
        pooled.attach(ranged, group)
        await self._meetings.open_pool(self.group.name, self._pool, self._pool.wanted_bits)
        on_begun()
        try:
            await ranged.run(group, None, next(iter(sources)))
        finally:
            self.is_ending = True
            pooled.end()

    def on_others_pause(self, tag: bytes, seconds: float) -> None:
        if self._pooled is not None:
            self._pooled.on_others_pause(tag, seconds)

    # ---- while it runs

    def fetch(self) -> None:
        """From now on it is fetched from the origin, too."""
        self._set_fetching(True)
        self._is_retiring = False

    def retire(self) -> None:
        """Who asked does not need it any more: what is here is still taken, and then it is over."""
        self._set_fetching(False)
        self._is_retiring = True
        self._needed_at = time.monotonic()

    def _set_fetching(self, fetches: bool) -> None:
        self.fetches = fetches
        if self._pooled is not None:
            self._pool.board.rests = not fetches
            self._pooled.wake()

    def _beat(self, group: asyncio.TaskGroup) -> None:
        now = time.monotonic()
        received = self._ranged.plan.received
        self._quota.spend(received - self._counted)
        self.fetched += received - self._counted
        self._counted = received
        self._keep_to_quota()
        if (
            self._pool.requester_count and not self._is_retiring
        ):  # or two helpers would keep each other for ever
            self._needed_at = now
        is_done = self._is_retiring and not (self._ranged.plan.running or self._pool.is_needed)
        if is_done or now - self._needed_at > LEAVES_AFTER:
            self._ranged.stop()
        if now - self._saved_at > SAVES_EVERY and self._saving is None:
            self._saved_at = now
            self._saving = group.create_task(self._save_now())

    def _keep_to_quota(self) -> None:
        board, piece_length = self._pool.board, self._ranged.plan.piece_length
        self._quota.hold(self, board.claimed * piece_length)
        left = self._quota.left_for(self)
        if left is None:
            return
        board.allowance = left // piece_length
        if self.fetches and not (board.allowance or board.claimed):
            self.retire()
            self._on_used_up()

    async def _save_now(self) -> None:
        try:
            await asyncio.to_thread(self._save, self._pool.holdings.records())
        except ShoalError as error:
            self._on_trouble(error)
        finally:
            self._saving = None

    def _save(self, records: list[PieceRecord]) -> None:
        self._quota.save()
        if self._cache.keeps and self._is_trusted:
            self._part.remember()
            self._records.save(records)

    async def _compare(self, part: PartFile) -> None:
        """No answer of the origin shows that it is still that version: the digest of the whole does."""
        digest, length = digest_asked(self.ask), self.ask.length
        if digest is None or not self._ranged.plan.is_complete:
            return
        is_over = threading.Event()
        checker = Checker(part.read_into, [digest], part.path)
        try:
            self._is_trusted = await asyncio.to_thread(checker.finish, length, should_stop=is_over.is_set)
        except ChecksumError:
            self._note(
                f"{host_of(self.ask.url)}: what came has another digest than was asked for, and is not kept"
            )
        finally:
            is_over.set()
            checker.close()

    async def _proved(self, part: PartFile) -> list[PieceRecord]:
        """Of what the cache has, the pieces whose bytes are what a record says; the others are forgotten."""
        records = await asyncio.to_thread(self._records.load)
        piece_length = piece_length_for(self.ask.length)
        left = deque(iter_bits(part.have_bits))
        proved = []
        while left:
            for piece, digest in await asyncio.to_thread(
                read_some, part.read_into, left, piece_length, self.ask.length
            ):
                record = records.get(piece)
                if record is not None and record.digest == digest:
                    proved.append(record)
                else:
                    part.forget(*piece_span(piece, piece_length, self.ask.length))
        return proved

    def _take_up(self, part: PartFile, plan: Plan, records: list[PieceRecord]) -> None:
        """What the cache has, as far as somebody answers for it."""
        known = 0
        for record in records:
            if self._pool.holdings.take_up(record):
                known |= 1 << record.piece
        for piece in iter_bits(part.have_bits & ~known):
            begin, end = piece_span(piece, plan.piece_length, plan.length)
            plan.lose(begin, end)
            plan.withhold(begin, end)
            part.forget(begin, end)

    def _on_trouble(self, error: ShoalError) -> None:
        self._ranged.fail(error)


def _nothing() -> None:
    """A helper has nothing to check again."""
