"""Our own connections to the origin, kept in step with a pool: what both a requester and a helper do.

It carries out what the pool decides: audits, how many connections, when to wait. The plan and the connections are
`fetch/plan.py`'s and `fetch/ranged.py`'s as in any download; `Ranged` knows this as its company.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from shoal.fetch.judging import Asked
from shoal.fetch.pieces import piece_span
from shoal.fetch.pool.asking import Asking
from shoal.fetch.pool.audits import PATIENCE, Audit
from shoal.fetch.pool.awaiting import Awaiting
from shoal.fetch.pool.worth import Worth
from shoal.fetch.progress import MemberProgress, MemberShare
from shoal.fetch.receiver import Receiver
from shoal.fetch.repairs import MOST_WRONG, wrong_source
from shoal.fetch.transfer import Flow
from shoal.fetch.writing import Sharing

if TYPE_CHECKING:
    from shoal.disk.piece_digests import PieceDigests
    from shoal.fetch.origins import Origins
    from shoal.fetch.pool.keeping import Keeping
    from shoal.fetch.pool.meetings import AtOrigin
    from shoal.fetch.pool.pool import Pool
    from shoal.fetch.ranged import Ranged
    from shoal.fetch.sources import Source

AUDITS_AT_ONCE = 2  # small requests, beside the connections of the plan
MOST_CONNECTIONS = 16  # to one origin, all members together, unless who asks allowed itself more
RESTS_AFTER = 2.0  # seconds without anything to fetch, after which its connections are the others'
COMES_WITHIN = 1.0  # seconds; a helper that was asked is there by then, and has its part of the connections
LEAST_CONNECTIONS = 2  # so that one asks while another delivers
MOST_PAUSE = 60.0  # seconds, on the word of other members alone ...
PAUSE_SHARE = 0.1  # ... and then of all time: who wants to hold us up can do so no longer
MET_WITHIN = 3.0  # seconds; whoever is there has joined by then
LONGEST_LULL = (
    30.0  # seconds without a byte, after which the others are thought to wait for us as we for them
)
LONGEST_SETTLING = 3.0  # seconds that the last audits may hold up a file that is here


class Pooled:
    """`on_lost`: pieces that were here are fetched again; `on_slow`: helpers are worth asking, all that are not asked;
    `on_useless`: these helpers are to be sent away."""

    def __init__(
        self,
        pool: Pool,
        at_origin: AtOrigin,
        origins: Origins,
        *,
        most_fetchers: int,
        name: bytes,
        note: Callable[[str], None],
        on_lost: Callable[[], None],
        on_slow: Callable[[], None] | None = None,
        is_meeting: Callable[[], bool] = lambda: False,
        on_useless: Callable[[Collection[bytes]], None] = lambda members: None,
        max_rate: int | None = None,
        stays: bool = False,
        keeping: Keeping | None = None,
    ) -> None:
        """`stays`: a file that is here is not the end, for others want it; `max_rate`: of all that comes.

        `keeping`: of a requester; `is_meeting`: whether a member is there of whom nothing is known yet.
        """
        self.pool = pool
        self._stays = stays
        self.keeping = keeping
        self.note = note
        self.on_lost = on_lost
        self._at_origin = at_origin
        self._origins = origins
        self._origin = next(iter(origins.sources))  # of whose file the pool is
        self._wrong_of: Counter[Source] = Counter()
        self._mixed: set[int] = set()  # pieces that were wrong, and may be of several sources
        self._most_fetchers = most_fetchers
        self._name = name
        self._audits: set[asyncio.Task[None]] = set()
        self._complete_at: float | None = None
        self._left = -1  # bytes of the file, when it was last looked
        self._began_at = self._moved_at = time.monotonic()
        self._fetched_at = 0.0
        self.is_slow = False  # alone
        self._on_slow = on_slow
        self._on_useless = on_useless
        self.worth = Worth(pool.content.layout.piece_length)
        self._asking = Asking(self._began_at, max_rate)
        self.awaiting = Awaiting(self._began_at, is_meeting)
        self._asked_count, self._asked_at = 0, -math.inf
        self._pause_left = MOST_PAUSE
        self._paused_at = time.monotonic()
        pool.owner = self

    def know(self, expected: PieceDigests) -> None:
        """If its pieces are the pool's, nothing has to be believed of anybody any more, and mirrors are asked, too."""
        plan = self._ranged.plan
        if expected.name == "sha-256" and expected.layout.piece_length == plan.piece_length:
            self.pool.know(expected.digests)
            self._origins.sources.admit()

    @property
    def sharing(self) -> Sharing:
        """Of a requester."""
        assert self.keeping is not None
        pool, keeping = self.pool, self.keeping
        return Sharing(pool.store.write_own, pool.on_pieces, keeping.on_unhashed, lambda: keeping.is_wanted)

    def attach(self, ranged: Ranged, group: asyncio.TaskGroup) -> None:
        """Before `ranged` runs, in whose group audits do."""
        self._ranged = ranged
        self._group = group

    # ---- as the company of `Ranged`

    @property
    def has_others(self) -> bool:
        if self.pool.board.forced:
            return False  # what is in doubt is ours alone to fetch
        if self._stays:
            return self.pool.is_needed()
        now = time.monotonic()
        is_anybody_here = bool(self.pool.members) or now - self._began_at < MET_WITHIN
        return is_anybody_here and now - self._moved_at < LONGEST_LULL

    def beat(self, now: float) -> None:
        is_help_coming = now - self._asked_at < COMES_WITHIN
        share = self._share(is_help_coming)
        if self._origin.patience.gave_up is not None and self._origins.sources.admit():
            self.note(f"{self._origin.name} gives nothing more: mirrors do, for this machine alone")
        plan = self._ranged.plan
        if plan.bytes_left != self._left:
            self._left, self._moved_at = plan.bytes_left, now
        if not plan.is_complete:
            self._complete_at = None
        is_alone = not (self.pool.members or is_help_coming)
        least = 1 if is_alone else LEAST_CONNECTIONS  # alone each is tried, as ever
        self._origin.share = share
        has_mirrors = any(source is not self._origin for source in self._origins.sources)
        plan.limit(self._most_fetchers if has_mirrors else share, min(share, least))
        if not self._stays:
            self._look_for_help(now)
        if self.keeping is not None:
            self.keeping.beat(self._group)
        self.pool.beat(now)
        self._at_origin.use(self._uses_origin(now))

    def on_asked(self) -> None:
        """A helper was asked for help: none is tried meanwhile of the connections that will be its."""
        self._asked_count += 1
        self._asked_at = time.monotonic()

    def _share(self, is_help_coming: bool) -> int:
        """How many connections are ours."""
        most = max(MOST_CONNECTIONS, self._most_fetchers)
        soon = most // (1 + self._asked_count) if is_help_coming else most
        return min(self._most_fetchers, self._at_origin.share_of(most), max(1, soon))

    def _uses_origin(self, now: float) -> bool:
        """It fetches; a short rest does not count, unless nobody is here that wants anything."""
        if self._ranged.plan.running or self.pool.board.my_runs:
            self._fetched_at = now
            return True
        is_wanted = not self._stays or self.pool.requester_count > 0
        return is_wanted and now - self._fetched_at < RESTS_AFTER

    def _look_for_help(self, now: float) -> None:
        plan, board = self._ranged.plan, self.pool.board
        board.rests = self.awaiting.is_waiting(plan.bytes_left, board.has_told, now)
        if board.rests:
            self._asking.wait(now, plan.received)
            return
        rate = plan.rate(now) + self.rate
        has_all = plan.target >= MOST_CONNECTIONS
        left = plan.bytes_left
        if not board.is_held_up:
            left = min(left, board.left_to_fetch(now).bit_count() * plan.piece_length)
        self.is_slow = self._asking.is_worth_it(left, plan.received, rate, now, has_all=has_all)
        here = {neighbour.member for neighbour in self.pool.members}
        brought = self.pool.company.fetchers(here & self._at_origin.helpers())
        useless = self.worth.look(plan.length - plan.bytes_left, plan.bytes_left, brought, now)
        if useless:
            self._on_useless(useless)
        if self.is_slow and self._on_slow is not None:
            self._on_slow()

    def is_settled(self, now: float) -> bool:
        """All is here; whether the audits of it are over, too."""
        if self._stays or self.pool.holdings.is_unproved:
            return False
        if self._complete_at is None:
            self._complete_at = now
        is_late = now - self._complete_at > LONGEST_SETTLING
        if self.pool.holdings.missing:
            if is_late:
                self.pool.fetch_missing()
            return False
        return not self.pool.audits.pending or is_late

    def on_pause(self, source: Source, seconds: float) -> None:
        if source is self._origin:
            self._at_origin.pause(seconds)

    def on_others_pause(self, tag: bytes, seconds: float) -> None:
        """An origin asked another member to."""
        if tag != self._at_origin.tag:
            return
        now = time.monotonic()
        self._pause_left = min(MOST_PAUSE, self._pause_left + (now - self._paused_at) * PAUSE_SHARE)
        self._paused_at = now
        added = self._origin.wait(now, min(seconds, self._pause_left))
        self._pause_left -= added

    # ---- for people

    @property
    def rate(self) -> float:
        """Bytes a second that come from members."""
        torrent = self.pool.torrent
        return 0.0 if torrent is None else torrent.rates()[0]

    def members(self, now: float) -> tuple[MemberProgress, ...]:
        """Ourselves first; none if nobody else is or was here."""
        return self.pool.progress(self._ranged.plan.rate(now))

    @property
    def checked_by(self) -> str:
        """`"sample"`: what others brought was compared here and there."""
        return "sample" if self.pool.audits.checked_bytes else ""

    def shares(self) -> tuple[MemberShare, ...]:
        """Who brought how many bytes of the file, ourselves first."""
        return tuple(MemberShare(one.name, one.brought, one.had) for one in self.members(time.monotonic()))

    # ---- as the owner of the pool

    def wake(self) -> None:
        self._ranged.wake()

    def on_failure(self, error: BaseException) -> None:
        self._ranged.fail(error)

    @property
    def is_on_mirrors(self) -> bool:
        return self._origin.patience.gave_up is not None and not self.pool.authors.knows_all

    def is_of_origin(self, piece: int) -> bool:
        return self._givers(piece) <= {self._origin}

    def on_wrong(self, piece: int) -> None:
        givers = self._givers(piece)
        blamed = {source for source in givers if source.patience.gave_up is not None}
        blamed = blamed or givers - {self._origin} or givers
        is_sure = len(givers) == 1 or piece in self._mixed  # who gave a part of it has another chance
        self._mixed.add(piece)
        for source in blamed:
            self._wrong_of[source] += is_sure
            what = f"{source.name}: piece {piece + 1} of {self._ranged.plan.piece_count} is wrong (sha-256)"
            if self._wrong_of[source] < MOST_WRONG:
                self.note(f"{what}, and is fetched again")
            elif source.patience.gave_up is None:
                source.patience.give_up(wrong_source(source))
                self.note(f"{what}, and it is asked for no more")
                self._ranged.drop(source)

    def _givers(self, piece: int) -> set[Source]:
        plan = self._ranged.plan
        urls = self._ranged.provenance.givers(*piece_span(piece, plan.piece_length, plan.length))
        return {source for source in self._origins.sources if source.url in urls}

    def can_audit(self) -> bool:
        return len(self._audits) < AUDITS_AT_ONCE

    def audit(self, audit: Audit) -> None:
        task = self._group.create_task(self._compare(audit))
        self._audits.add(task)
        task.add_done_callback(self._audits.discard)

    async def _compare(self, audit: Audit) -> None:
        source = None if self._origin.patience.gave_up else self._origin
        begin = audit.piece * self._ranged.plan.piece_length + audit.begin
        theirs = None if source is None else await self._bytes_of(source, begin, begin + audit.length)
        self.pool.on_audited(audit, theirs)
        self._ranged.wake()

    async def _bytes_of(self, source: Source, begin: int, end: int) -> bytes | None:
        """What the origin has there; None if it did not say, or not of this version."""
        body = bytearray()

        def keep(receiver: Receiver) -> Flow:
            chunks, _ = receiver.take()
            body.extend(b"".join(chunks))
            return Flow.MORE

        receiver = self._origins.receiver(source, Asked(source.url, begin, end, self._name), keep)
        self._origins.begin(source, receiver, begin, end)  # so that one in silence ends with the download
        await self._origins.wait_for(receiver, PATIENCE)
        self._origins.end(receiver)
        receiver.flush()
        return bytes(body) if receiver.is_accepted and len(body) == end - begin else None

    def end(self) -> None:
        """The download is over, one way or the other."""
        for task in self._audits:
            task.cancel()
        self._at_origin.use(False)
