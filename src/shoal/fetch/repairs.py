"""The pieces of a Metalink while they come: each is checked as soon as it is whole, and a wrong one comes again.

It comes from another source than those that gave it, all of it from one; so who gives a second wrong piece is known,
named, and given up. Always true: a piece under repair is not remembered as here; the work is done when each piece's
digest is right.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from shoal.disk.piece_digests import PieceChecker, PieceDigests
from shoal.errors import ChecksumError
from shoal.fetch.judging import Asked
from shoal.fetch.origins import Origins
from shoal.fetch.pieces import piece_length_for
from shoal.fetch.provenance import Provenance
from shoal.fetch.receiver import Receiver, trimmed
from shoal.fetch.sources import Source
from shoal.fetch.transfer import Flow
from shoal.fetch.writing import Writing
from shoal.formats.bitfield import all_bits, without

MOST_WRONG = 2  # pieces of one source; one may have been damaged on its way, two are its habit
MOST_AT_ONCE = 4  # pieces that come again; more at a time would be a download of its own

OnTrouble = Callable[[int, Source, Receiver, float], object]


class Repairs:
    """`wake`: something was judged (called in another thread). `on_wrong`: a line for people. `on_lost`: these bytes
    are to come again from whoever is left. `on_trouble`: as `Ranged` has it for its fetchers."""

    def __init__(
        self,
        origins: Origins,
        writing: Writing,
        provenance: Provenance,
        expected: PieceDigests,
        name: bytes,
        *,
        wake: Callable[[], object],
        on_wrong: Callable[[str], object],
        on_lost: Callable[[int, int], object],
        on_given_up: Callable[[Source], object],
        on_trouble: OnTrouble,
    ) -> None:
        self._origins = origins
        self._sources = origins.sources
        self._writing = writing
        self._provenance = provenance
        self._expected = expected
        self._name = name
        self._on_wrong_piece = on_wrong
        self._on_lost = on_lost
        self._on_given_up = on_given_up
        self._on_trouble = on_trouble
        self._piece_count = expected.layout.piece_count
        self._checker = PieceChecker(writing.part.read_into, expected, wake)
        self._unjudged = all_bits(self._piece_count)
        self._broken: dict[int, set[str]] = {}  # piece that comes again -> the URLs that gave it
        self._arrived: set[int] = set()  # of those, the ones that came, and are yet to be judged
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._wrong_of: Counter[str] = Counter()
        self.on_written(0, expected.layout.total_size)

    # ---- from outside

    @property
    def is_done(self) -> bool:
        return self._checker.good_bits == all_bits(self._piece_count) and not self._broken

    @property
    def good_prefix(self) -> int:
        """So many bytes from the first on are right."""
        good = self._checker.good_bits
        first = (good ^ (good + 1)).bit_length() - 1
        return (
            self._expected.span(first)[0] if first < self._piece_count else self._expected.layout.total_size
        )

    @property
    def bytes_left(self) -> int:
        """Of the pieces that come again."""
        return sum(end - begin for begin, end in map(self._expected.span, self._broken))

    def on_written(self, begin: int, end: int) -> None:
        """The pieces that are whole by this are judged."""
        length = self._expected.layout.piece_length
        for piece in range(begin // length, -(-end // length)):
            if self._unjudged >> piece & 1 and not self._provenance.missing.overlap(
                *self._expected.span(piece)
            ):
                self._unjudged = without(self._unjudged, 1 << piece)
                self._checker.judge(piece)

    def beat(self, group: asyncio.TaskGroup, now: float) -> None:
        """Raises what reading raised."""
        for piece in self._checker.take_wrong():
            self._on_wrong(piece)
        good = self._checker.good_bits
        for piece in [piece for piece in self._broken if good >> piece & 1]:
            del self._broken[piece]
            self._arrived.discard(piece)
            self._keep_pieces_of(piece)
        for piece in self._broken:
            is_to_come = piece not in self._tasks and piece not in self._arrived
            if is_to_come and len(self._tasks) < MOST_AT_ONCE:
                self._start(group, piece, now)

    def close(self) -> None:
        self._checker.close()

    # ---- a wrong piece

    def _on_wrong(self, piece: int) -> None:
        begin, end = self._expected.span(piece)
        urls = self._provenance.givers(begin, end)
        givers = [source for source in self._sources if source.url in urls]
        self._unjudged |= 1 << piece
        self._arrived.discard(piece)
        self._provenance.on_lost(begin, end)
        self._writing.part.forget(begin, end)
        if not all(source.patience.gave_up for source in givers) or not givers:
            named = " and ".join(source.name for source in givers) or "an earlier try"
            what = f"piece {piece + 1} of {self._piece_count} is wrong ({self._expected.name})"
            self._on_wrong_piece(f"{named}: {what}, and is fetched again")
        if len(givers) == 1:
            self._blame(givers[0])
        if all(source.patience.gave_up for source in givers):
            self._broken.pop(piece, None)
            self._on_lost(begin, end)
        else:
            self._broken[piece] = urls

    def _blame(self, source: Source) -> None:
        self._wrong_of[source.url] += 1
        if self._wrong_of[source.url] == MOST_WRONG:
            error = wrong_source(source)
            source.patience.give_up(error)
            self._on_given_up(source)

    def _keep_pieces_of(self, piece: int) -> None:
        """It is right now: what was forgotten with it is here again."""
        part, total = self._writing.part, self._expected.layout.total_size
        length = piece_length_for(total)
        begin, end = self._expected.span(piece)
        for one in range(begin // length, -(-end // length)):
            if not self._provenance.missing.overlap(one * length, min((one + 1) * length, total)):
                part.on_piece(one)

    # ---- its way here

    def _start(self, group: asyncio.TaskGroup, piece: int, now: float) -> None:
        source = self._sources.other_than(self._broken[piece], now)
        if source is None:
            return
        number = -1 - piece  # the fetchers' are from 1 on
        self._sources.assign(number, source, now)
        task = group.create_task(self._fetch(number, piece, source))
        self._tasks[piece] = task

        def on_over(_: object) -> None:
            del self._tasks[piece]
            self._sources.leave(number)

        task.add_done_callback(on_over)

    async def _fetch(self, number: int, piece: int, source: Source) -> None:
        begin, end = self._expected.span(piece)
        arrival = _Arrival(begin, end)
        receiver = self._origins.receiver(
            source, Asked(source.url, begin, end, self._name), partial(self._keep, number, source, arrival)
        )
        await self._origins.transfer(source, receiver, begin, end)
        if receiver.is_accepted:
            receiver.flush()
        if arrival.position == end:
            self._arrived.add(piece)
        else:
            self._on_trouble(number, source, receiver, time.monotonic())

    def _keep(self, number: int, source: Source, arrival: _Arrival, receiver: Receiver) -> Flow:
        chunks, count = receiver.take()
        if arrival.position + count > arrival.end:
            count = arrival.end - arrival.position
            chunks = trimmed(chunks, count)
        if count > 0:
            begin, arrival.position = arrival.position, arrival.position + count
            self._sources.on_bytes(number, count, time.monotonic())
            self._provenance.on_given(begin, arrival.position, source.url)
            self._writing.put(begin, chunks)
        if arrival.position == arrival.end:
            return Flow.END
        if self._writing.is_full:
            self._writing.when_room(receiver.go_on)
            return Flow.HOLD
        return Flow.MORE

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()


def wrong_source(source: Source) -> ChecksumError:
    """It gave `MOST_WRONG` of them."""
    return ChecksumError(
        f"{source.name}: gave {MOST_WRONG} pieces that are wrong",
        hint="it has another file than the one that the Metalink was made of",
    )


class _Arrival:
    """How far a piece has come."""

    __slots__ = ("end", "position")

    def __init__(self, position: int, end: int) -> None:
        self.position = position
        self.end = end
