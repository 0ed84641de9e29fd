"""Decide which bytes of a file are fetched by whom.

Always true: each byte is here, in a gap, in one claim, or withheld: others bring it. A claim has one fetcher, or two at
its very end. A fetcher has at most one claim, and never more of them run than `most_fetchers`. Pure: told the time, it
sends nothing.

The first fetcher claims all there is to its right. One that comes later, or is done with its run, takes the lowest
gap; without a gap the back of the claim that would end last, as much as lets both end together; where several come,
as many equal parts of it. So there are few requests, each long and hardly one cut short, and the last byte comes when
all fetchers are about to end, whatever their rates. What is left of a claim at the very end is fetched by a second one
too, and whoever is first ends the other: at most `DOUBLED_MOST` bytes of a claim come twice. A run begins and ends at
the border of a piece where there is one near.
"""

from __future__ import annotations

from collections.abc import Iterator

from shoal.fetch.claims import (
    BLOCK,
    LONE_STALL,
    Claim,
    Demand,
    Fetcher,
    Run,
    Stop,
    StopReason,
    borders_between,
    near_border,
    stalled,
)
from shoal.fetch.flow_rate import FlowRate
from shoal.fetch.gaps import Gaps, gaps_between
from shoal.fetch.growth import Growth
from shoal.fetch.pieces import piece_length_for, piece_span
from shoal.formats.bitfield import run_mask
from shoal.units import KIB

DEFAULT_MOST_FETCHERS = 16  # what servers stand, and other downloaders use
SHORTEST_TAIL = 0.2  # seconds; what ends sooner is left to whoever fetches it ...
WAITS_A_TAIL = 4.0  # ... and what ends within so many waits for a first byte: a request has to pay
DOUBLED_MOST = 256 * KIB  # of one claim's end, fetched by two
USUAL_LATENCY = 0.1  # seconds until a first byte, before one was seen
AHEAD = 0.3  # seconds; who ends sooner is to find its next run waiting: a few looks, and what rates err by


class Plan:
    """The download of `length` bytes, of which the pieces `have_bits` are here; those of a torrent are its own."""

    def __init__(
        self,
        length: int,
        have_bits: int = 0,
        *,
        piece_length: int | None = None,
        most_fetchers: int = DEFAULT_MOST_FETCHERS,
        first_fetchers: int = 1,
        lone_stall: float = LONE_STALL,
    ) -> None:
        """`lone_stall`: seconds of silence after which one that delivers alone loses its run."""
        self.length = length
        self.piece_length = piece_length or piece_length_for(length)
        self.piece_count = -(-length // self.piece_length)
        if have_bits >> self.piece_count:
            raise ValueError(f"pieces beyond the {self.piece_count} of the file")
        self.have_bits = have_bits
        self.received = 0  # bytes that fetchers brought, those that came twice counted twice
        self._gaps = gaps_between(have_bits, self.piece_length, length)
        self.splits_offers = False  # else what was offered is one request while anything is withheld
        self._withheld = Gaps()
        self._borders: list[int] = []  # where offers end: no run goes on from one into the next
        self.bytes_left = self._gaps.total()
        self._claims: list[Claim] = []
        self._fetchers: dict[int, Fetcher] = {}
        self._growth = Growth(most_fetchers, first_fetchers)
        self._flow = FlowRate()
        self._lone_stall = lone_stall
        self._latency = USUAL_LATENCY
        self._has_latency = False

    # -- what there is -------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        return self.bytes_left == 0

    @property
    def running(self) -> int:
        """How many fetchers have a run, or have not yet said that theirs is over."""
        return sum(fetcher.is_asking for fetcher in self._fetchers.values())

    @property
    def target(self) -> int:
        """How many fetchers are worth having, as far as is known."""
        return self._growth.target

    def rate(self, now: float) -> float:
        """Bytes a second of all fetchers; while all rest, what it was."""
        return self._flow.rate(now)

    def rate_of(self, number: int, now: float) -> float:
        return self._fetchers[number].meter.rate(now) if number in self._fetchers else 0.0

    def position_of(self, number: int) -> int:
        """Where the next byte of this fetcher belongs."""
        return self._fetchers[number].position

    def end_of(self, number: int) -> int:
        """Where its run ends now; its position if it is over. Never beyond what it asked for."""
        fetcher = self._fetchers[number]
        return fetcher.claim.end if fetcher.claim is not None else fetcher.position

    def done_of(self, number: int) -> int:
        """Where the bytes begin that nobody else has brought of its run yet."""
        fetcher = self._fetchers[number]
        return fetcher.claim.done if fetcher.claim is not None else fetcher.position

    def claimed(self) -> Iterator[tuple[int, Run]]:
        """Who fetches what just now, for a picture of it."""
        for fetcher in self._running():
            assert fetcher.claim is not None
            yield fetcher.number, Run(fetcher.position, fetcher.claim.end)

    def demand(self, now: float) -> Demand:
        """What could be offered now."""
        busy = begun_bits = asked_bits = 0
        for fetcher in self._running():
            claim = fetcher.claim
            assert claim is not None
            busy += claim.left > fetcher.meter.rate(now) * AHEAD
            first, behind = claim.done // self.piece_length, -(-claim.end // self.piece_length)
            begun_bits |= 1 << first
            asked_bits |= run_mask(first, behind - first)
        target = self._growth.target
        idle, waiting = max(0, target - busy), self._gaps.total()
        return Demand(self.rate(now), self._latency, target, idle, waiting, begun_bits, asked_bits)

    # -- what to do ----------------------------------------------------------------------------------

    def wants_another_fetcher(self, now: float) -> bool:
        """Whether a fetcher more would find something to do, and is worth trying. Ask until it is not."""
        if self.running >= self._growth.target or self.is_complete:
            return False
        return bool(self._gaps) or self._tail(now, self._average(now)) is not None

    def next_run(self, number: int, now: float) -> Run | None:
        """What this fetcher asks for next; None if it can go. `now` is when its request is sent.

        Its last run must have been ended. A number that is not known is a fetcher more.
        """
        fetcher = self._fetchers.get(number) or Fetcher(number, now)
        if fetcher.claim is not None or fetcher.stop is not None:
            raise ValueError(f"fetcher {number} has a run")
        has_place = self.running - fetcher.is_asking < self._growth.target
        claim = self._next_claim(fetcher, now) if has_place else None
        if claim is None:
            self._fetchers.pop(number, None)
            return None
        self._fetchers[number] = fetcher
        self._flow.work(now)
        fetcher.begin(claim, now)
        return Run(claim.done, claim.end)

    def tick(self, now: float) -> list[Stop]:
        """Look at the rates, some times a second. -> The fetchers to stop, until `on_ended` is told of them."""
        for fetcher in stalled(list(self._running()), now, self._latency, self._lone_stall):
            self._end(fetcher, StopReason.STALLED)
        self._growth.look(
            now, delivering=sum(fetcher.has_delivered for fetcher in self._running()),
            received=self.received, latency=self._latency, bytes_left=self.bytes_left,
        )  # fmt: skip
        if self._may_cut:  # else it goes at the end of its run, which is near
            fastest_first = sorted(self._running(), key=lambda fetcher: -fetcher.meter.rate(now))
            for fetcher in fastest_first[self._growth.target :]:
                self._end(fetcher, StopReason.SURPLUS)
        return [Stop(f.number, f.stop) for f in self._fetchers.values() if f.stop is not None]

    # -- what happened -------------------------------------------------------------------------------

    def on_bytes(self, number: int, count: int, now: float) -> list[int]:
        """So many bytes came at its position, none beyond its end. -> The pieces that became whole by it."""
        fetcher = self._fetchers[number]
        claim = fetcher.claim
        if claim is None or fetcher.position + count > claim.end:
            raise ValueError(
                f"{count} bytes at {fetcher.position}, where the run ends at {self.end_of(number)}"
            )
        if not fetcher.delivers:
            self._on_first_byte(fetcher, now)
        elif now - fetcher.heard_at > fetcher.longest_silence:
            fetcher.longest_silence = now - fetcher.heard_at
        fetcher.heard_at = now
        fetcher.meter.add(count, now)
        self._flow.add(count, now)
        fetcher.position += count
        self.received += count
        if fetcher.position <= claim.done:
            return []
        done, claim.done = claim.done, fetcher.position
        self.bytes_left -= claim.done - done
        if len(claim.fetchers) == 2:
            first, second = claim.fetchers
            if fetcher is second:
                self._end(first, StopReason.TAKEN)  # it was overtaken
            elif not claim.left:
                self._end(second, StopReason.TAKEN)
        if not claim.left:
            self._claims.remove(claim)
            fetcher.claim = None
        return self._whole_pieces(done, claim)

    def on_ended(self, number: int, now: float, ok: bool) -> None:
        """Its transfer is over; `ok`: it did not fail, and can have another run. What is in hand is kept."""
        fetcher = self._fetchers[number]
        if fetcher.claim is not None:
            self._end(fetcher, None)
        fetcher.stop = None
        fetcher.is_asking = False
        if not ok:
            del self._fetchers[number]
            if not any(other.delivers for other in self._running()):
                self._growth.on_outage(now)
        if not any(self._running()):
            self._flow.rest(now)

    def on_refused(self, now: float) -> None:
        """The server would not have another fetcher; the one it refused has ended."""
        self._growth.on_refused(self.running, now)

    def excuse(self, now: float) -> None:
        """Until now all were held by ourselves: none was silent."""
        self._growth.excuse()
        for fetcher in self._running():
            if fetcher.delivers:
                fetcher.heard_at = now

    def on_piece(self, piece: int) -> None:
        """This piece came some other way; nobody has to fetch it."""
        begin, end = piece_span(piece, self.piece_length, self.length)
        self._take_away(begin, end)
        self._withheld.remove(begin, end)
        self.have_bits |= 1 << piece
        self._count_left()

    def withhold(self, begin: int, end: int) -> None:
        """Others bring these bytes: what of them is not here is nobody's to fetch. What came already stays."""
        for low, high in self._take_away(begin, end):
            self._withheld.add(low, high)

    def offer(self, begin: int, end: int) -> None:
        """Others do not bring these bytes after all: what of them was withheld is to be fetched.

        A fetcher that asked for more than it was left goes on into what begins where its run ends.
        """
        for low, high in self._withheld.within(begin, end):
            self._withheld.remove(low, high)
            for claim in self._claims:
                if claim.end == low:
                    claim.end = low = min(high, claim.asked)
            self._borders += [at for at in (low, high) if self._gaps.touches(at)]
            self._gaps.add(low, high)

    def limit(self, most_fetchers: int, least_fetchers: int = 1) -> None:
        """From now on so many may run, and so many are worth it without a trial."""
        self._growth.limit(most_fetchers, least_fetchers)

    def lose(self, begin: int, end: int) -> None:
        """These bytes came and are wrong: they are fetched again."""
        self._gaps.add(begin, end)
        self._withheld.remove(begin, end)
        for claim in self._claims:
            self._gaps.remove(claim.done, claim.end)
        for piece in range(begin // self.piece_length, -(-end // self.piece_length)):
            self.have_bits &= ~(1 << piece)
        self._count_left()

    # -- sharing out ---------------------------------------------------------------------------------

    def _next_claim(self, fetcher: Fetcher, now: float) -> Claim | None:
        if not self._gaps:
            found = self._tail(now, fetcher.meter.rate(now) or self._average(now))
            if found is None:
                return None
            last, cut = found
            if cut == last.done:
                return last
            self._gaps.add(cut, last.end)
            self._borders += borders_between(cut, last.end, self._parts(), self.piece_length)
            last.end = cut
        begin, end = self._gaps.take_first()
        border = min((border for border in self._borders if begin < border < end), default=end)
        self._gaps.add(border, end)
        self._borders = [other for other in self._borders if other != border]
        claim = Claim(begin, border)
        self._claims.append(claim)
        return claim

    def _parts(self) -> int:
        """For so many a claim is cut at once: all that are about to begin find something of the same size."""
        beginning = self._growth.target - len(list(self._running()))
        return max(1, -(-beginning // max(1, len(self._claims))))

    def _tail(self, now: float, rate: float) -> tuple[Claim, int] | None:
        """The claim that ends last of those with something for a fetcher of `rate`, and where that begins."""
        ends = [(self._seconds_left(claim, now), claim) for claim in self._claims if len(claim.fetchers) == 1]
        for seconds, claim in sorted(ends, key=lambda end: -end[0]):
            cut = None if claim.fetchers[0].is_young(now) else self._cut(claim, seconds, rate)
            if cut is not None:
                return claim, cut
        return None

    def _cut(self, claim: Claim, seconds: float, rate: float) -> int | None:
        """Where a fetcher of `rate` takes over, so that both end together; `done` if it fetches all of it too."""
        ours = rate or 1.0  # nothing is known of anybody: halves
        theirs = claim.left / seconds if seconds else ours
        may_split = self._may_cut and claim.left >= 2 * BLOCK
        if may_split and seconds >= max(SHORTEST_TAIL, WAITS_A_TAIL * self._latency):
            parts = self._parts() * ours
            share = int((claim.left - theirs * self._latency) * parts / (parts + theirs))
            if share >= BLOCK:
                cut = claim.end - min(share, claim.left - BLOCK)
                return near_border(claim.done, cut, claim.end, self.piece_length)
        if claim.left <= DOUBLED_MOST and self._latency + claim.left / ours < seconds / 2:
            return claim.done
        return None

    def _seconds_left(self, claim: Claim, now: float) -> float:
        """Until the claim is done, by its fetcher's rate; who is silent is thought to stay so as long again."""
        fetcher = claim.fetchers[0]
        rate = fetcher.meter.rate(now) if fetcher.has_delivered else self._average(now)
        silent_for = now - fetcher.heard_at
        if not fetcher.delivers:
            silent_for = abs(silent_for - self._latency)  # the wait that is left, or what it is overdue
        return claim.left / (rate or 1.0) + silent_for

    def _average(self, now: float) -> float:
        """Bytes a second of a fetcher that has delivered; 0 as long as none has."""
        rates = [fetcher.meter.rate(now) for fetcher in self._running() if fetcher.has_delivered]
        return sum(rates) / len(rates) if rates else 0.0

    @property
    def _may_cut(self) -> bool:
        """Whether runs are ours to shorten; each cut costs what is on its way."""
        return self.splits_offers or not self._withheld

    # -- bookkeeping ---------------------------------------------------------------------------------

    def _running(self) -> Iterator[Fetcher]:
        return (fetcher for fetcher in self._fetchers.values() if fetcher.claim is not None)

    def _on_first_byte(self, fetcher: Fetcher, now: float) -> None:
        waited = now - fetcher.asked_at
        self._latency += (waited - self._latency) * (0.25 if self._has_latency else 1.0)
        self._has_latency = True
        fetcher.opened_at = now
        fetcher.delivers = fetcher.has_delivered = True

    def _end(self, fetcher: Fetcher, reason: StopReason | None) -> None:
        """Its run is over; what nobody else fetches of it is a gap again."""
        claim = fetcher.claim
        assert claim is not None
        claim.fetchers.remove(fetcher)
        fetcher.claim = None
        fetcher.stop = reason
        if not claim.fetchers and claim in self._claims:
            self._claims.remove(claim)
            self._gaps.add(claim.done, claim.end)

    def _take_away(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Nobody has to fetch these bytes. -> Those of them that somebody had."""
        taken = self._gaps.within(begin, end)
        for claim in [claim for claim in self._claims if claim.done < end and begin < claim.end]:
            self._gaps.add(end, claim.end)
            taken.append((max(begin, claim.done), min(end, claim.end)))
            claim.end = max(begin, claim.done)
            if claim.done == claim.end:
                for fetcher in list(claim.fetchers):
                    self._end(fetcher, StopReason.TAKEN)
        self._gaps.remove(begin, end)
        return taken

    def _whole_pieces(self, done: int, claim: Claim) -> list[int]:
        """The pieces that became whole when the claim went on from `done`."""
        pieces = []
        for piece in range(done // self.piece_length, -(-claim.done // self.piece_length)):
            begin, end = piece_span(piece, self.piece_length, self.length)
            if claim.done < end and claim.left:
                continue
            if self._gaps.overlap(begin, end) or self._withheld.overlap(begin, end):
                continue
            if any(claim.done < end and begin < claim.end for claim in self._claims):
                continue
            self.have_bits |= 1 << piece
            pieces.append(piece)
        return pieces

    def _count_left(self) -> None:
        fetched = sum(claim.left for claim in self._claims)
        self.bytes_left = self._gaps.total() + self._withheld.total() + fetched
