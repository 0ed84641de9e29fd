"""A requester's side of a group: it meets the others, asks helpers for help, and opens the pool of its URL.

It begins beside the download and never holds it up: what fails here is said once, and the download goes on alone.

Always true: nothing of a URL leaves this machine unless `poolable` said that it may, and then only to members of the
group; a helper is asked for what it kept of a file as soon as that is known, and for help when that is worth it
(`asking.py`): once each for a pool and connection, unless it was sent away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from shoal.errors import ShoalError
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.pool.audits import SHARE, SHARE_WITH_DIGEST
from shoal.fetch.pool.keeping import Keeping
from shoal.fetch.pool.making import make_pool
from shoal.fetch.pool.meeting import Attendant
from shoal.fetch.pool.meetings import AtOrigin, Events, Meetings
from shoal.fetch.pool.poolable import reason_not_to_pool_file
from shoal.fetch.pool.pooled import Pooled
from shoal.fetch.pool.question import question_of
from shoal.fetch.pool.records_file import RecordsFile
from shoal.fetch.pool.tags import origin_tag_of
from shoal.fetch.pool.wish import GroupWish
from shoal.fetch.pooling import PROBE_END
from shoal.formats.bitfield import all_bits
from shoal.net.sockets import format_address
from shoal.protocol.group.messages import AskHelp, Dismiss, Helping, Kept, Pause, Refused

if TYPE_CHECKING:
    from shoal.disk.part_file import PartFile
    from shoal.fetch.facts import Facts
    from shoal.fetch.origins import Origins
    from shoal.fetch.plan import Plan
    from shoal.fetch.sources import Source
    from shoal.net.shared_limit import SharedLimit

LONGEST_LINGER = 15.0  # seconds that a finished requester stays for those who still take pieces from it ...
LINGER_WITHOUT = 2.0  # ... and without anybody taking any
ASKED_WITHIN = 1.0  # seconds; whoever took what came before asks for the last piece by then
LOOK_EVERY = 0.1  # seconds


class Requesting:
    """Use as an async context manager around the whole download."""

    def __init__(
        self, wish: GroupWish, note: Callable[[str], None], max_download_rate: int | None = None
    ) -> None:
        """`max_download_rate` is that of members and of the origin together: see `make_limit`."""
        self._wish = wish
        self._note = note
        self._group = wish.group.name
        events = Events(self._on_change, self._on_message, self._on_gone, note)
        self.meetings = Meetings(
            [wish.group],
            {self._group: wish.contacts},
            events,
            bind=wish.bind,
            port=wish.port,
            max_upload_rate=wish.max_upload_rate,
            max_download_rate=max_download_rate,
        )
        self._is_meeting = False
        self._is_over = asyncio.Event()
        self._pooled: Pooled | None = None
        self._question: AskHelp | None = None
        self._asked: set[Attendant] = set()  # for help ...
        self._asked_for_kept: set[Attendant] = set()  # ... and for what they have
        self._refusals: set[str] = set()

    async def __aenter__(self) -> Self:
        self._meeting = asyncio.get_running_loop().create_task(self._meet())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        if not self._is_meeting:
            self._meeting.cancel()  # a name server may keep it waiting for long
        await asyncio.wait({self._meeting})
        if not self._meeting.cancelled():
            self._meeting.result()  # a bug of ours does not go unseen

    async def _meet(self) -> None:
        try:
            async with self.meetings:
                self._is_meeting = True
                try:
                    await self._open()
                    await self._is_over.wait()
                finally:
                    self._is_meeting = False
        except ShoalError as error:
            self._note(f"downloads alone: group {self._group}: {error.message}")

    def make_limit(self) -> SharedLimit | None:
        """For what comes from the origin."""
        return self.meetings.engine.make_limit()

    # ---- the pool

    def pooled(
        self,
        source: Source,
        asked_url: str,
        facts: Facts,
        part: PartFile,
        plan: Plan,
        origins: Origins,
        *,
        name: bytes,
        most: int,
        has_digest: bool,
        sha256: bytes | None,
        on_lost: Callable[[], None],
    ) -> Pooled | None:
        """The pool of this file, of which nobody knows before `begin`. None: it stays on this machine, as was noted.

        Only `asked_url` may be told to others. It alone is asked then, for what is signed and compared is its file.
        `sha256`: of the whole file, if it is known.
        """
        reason = reason_not_to_pool_file(facts, is_digest_known=sha256 is not None)
        if has_digest and part.is_whole and not RecordsFile(part).load():
            reason = "all of it is here, and the digest says whether it is right"
        elif source.url != asked_url:
            reason = f"it comes from {source.name}, and others are told of nothing but the URL itself"
        if reason is not None:
            self._note(f"downloads without the group: {reason}")
            return None
        origins.sources.keep_only(source)
        url = source.url
        group = self._wish.group
        question = self._question = question_of(group.key, url, facts, sha256)
        plan.withhold(PROBE_END if not plan.have_bits else 0, plan.length)
        keeping = Keeping(part, plan, self._note)
        pool = make_pool(
            group, question, part, plan, self.meetings,
            is_helper=False, wanted_bits=all_bits(plan.piece_count),
            audit_share=SHARE_WITH_DIGEST if has_digest else SHARE,
        )  # fmt: skip
        keeping.attach(pool)
        at_origin = AtOrigin(self.meetings, self._group, origin_tag_of(group.key, url))
        pooled = Pooled(
            pool, at_origin, origins, most_fetchers=most, name=name, note=self._note, on_lost=on_lost,
            on_slow=self._ask_all,
            is_meeting=partial(self.meetings.is_meeting, self._group), on_useless=self._send_away,
            max_rate=self.meetings.engine.max_download_rate, keeping=keeping,
        )  # fmt: skip
        for attendant in self._helpers():
            pooled.awaiting.on_asked(attendant.program, time.monotonic())  # as soon as the pool is open
        return pooled

    async def begin(self, pooled: Pooled) -> None:
        """Download together from now on, or as soon as anybody is met."""
        self._pooled = pooled
        if self._is_meeting:
            await self._open()

    async def end(self, *, lingers: bool) -> None:
        """Leave the pool; with `lingers` first let others have what only we can give."""
        pooled, self._pooled = self._pooled, None
        self._question = None
        self._asked.clear()
        self._asked_for_kept.clear()
        if pooled is None:
            return
        pool = pooled.pool
        pooled.end()
        try:
            if pooled.keeping is not None:
                await pooled.keeping.save()
            if lingers:
                await self._linger(pooled)
            if self._is_meeting:
                await self.meetings.close_pool(self._group, pool)
        finally:
            pool.store.close()

    async def _open(self) -> None:
        pool = None if self._pooled is None else self._pooled.pool
        if pool is None or pool.is_opened:
            return
        pool.is_opened = True
        await self.meetings.open_pool(self._group, pool, pool.wanted_bits)
        self._ask_all()

    async def _linger(self, pooled: Pooled) -> None:
        """Whoever is fetching from us gets what it asks for, for a while."""
        pool, keeping = pooled.pool, pooled.keeping
        began = time.monotonic()
        while keeping is not None and keeping.holds_back and not self._is_over.is_set():
            await keeping.look()
            if time.monotonic() - began > LONGEST_LINGER:
                return
        shown_at = moved_at = now = time.monotonic()
        sent = pool.sent_bytes
        is_noted = False
        while pool.is_needed(is_soon=now - shown_at < ASKED_WITHIN) and not self._is_over.is_set():
            if pool.is_needed() and not is_noted:
                is_noted = True
                self._note("it is here; others still take parts of it that only this machine has")
            await asyncio.sleep(LOOK_EVERY)
            now = time.monotonic()
            if pool.sent_bytes != sent:
                sent, moved_at = pool.sent_bytes, now
            if now - began > LONGEST_LINGER or now - moved_at > LINGER_WITHOUT:
                return

    # ---- members

    def _helpers(self) -> list[Attendant]:
        return [one for one in self.meetings.attendants(self._group) if one.presence.is_helper]

    def _ask_all(self) -> None:
        for attendant in self._helpers():
            self._ask(attendant)

    def _ask(self, attendant: Attendant) -> None:
        pooled = self._pooled
        if self._question is None or pooled is None or pooled.pool.torrent is None:
            return
        if not attendant.presence.is_helper:
            return
        if attendant not in self._asked_for_kept:
            self._asked_for_kept.add(attendant)
            attendant.say(replace(self._question, only_kept=True))
            pooled.awaiting.on_asked(attendant.program, time.monotonic())
        is_away = pooled.worth.is_away(attendant.member)
        if pooled.is_slow and attendant not in self._asked and not is_away:
            self._asked.add(attendant)
            attendant.say(self._question)
            pooled.on_asked()

    def _on_change(self, group: JoinedGroup, attendant: Attendant) -> None:
        self._ask(attendant)

    def _on_message(self, group: JoinedGroup, attendant: Attendant, message: Any) -> None:
        match message:
            case Kept(info_hash, is_any) if self._is_of_pool(info_hash):
                self._on_answer(attendant, is_any)
            case Helping(info_hash) if self._is_of_pool(info_hash) and attendant in self._asked_for_kept:
                self.meetings.introduce(info_hash, attendant)
            case Refused(_, reason) if attendant in self._asked and reason not in self._refusals:
                self._refusals.add(reason)
                self._note(f"helper {format_address(attendant.address)} does not help: {reason}")
            case Pause(tag, seconds) if self._pooled is not None:
                self._pooled.on_others_pause(tag, float(seconds))

    def _send_away(self, members: Collection[bytes]) -> None:
        """They add nothing; they may be asked again."""
        for attendant in self._helpers():
            if attendant.member in members and attendant in self._asked and self._question is not None:
                self._asked.discard(attendant)
                attendant.say(Dismiss(self._question.info_hash))
                self._note(f"{format_address(attendant.address)} adds nothing to the rate, and is let go")

    def _is_of_pool(self, info_hash: bytes) -> bool:
        return self._question is not None and self._question.info_hash == info_hash

    def _on_answer(self, attendant: Attendant, is_any: bool) -> None:
        if self._pooled is not None:
            self._pooled.awaiting.on_answer(attendant.program, time.monotonic(), is_any=is_any)
            self._pooled.wake()

    def _on_gone(self, group: JoinedGroup, attendant: Attendant) -> None:
        self._asked.discard(attendant)
        self._asked_for_kept.discard(attendant)
        if self._pooled is not None:
            self._pooled.awaiting.on_gone(attendant.program)
