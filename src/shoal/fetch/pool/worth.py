"""Decide which helpers add nothing, so that they are sent away and their connections to the origin are others'.

Two things are measured. What one brought against all that came: without it the rest would have come all the same, so
who brought a hundredth saved no more. And what came of late against what came before any helper brought something:
where it is no more, the helpers go by the same line as we do, and take from us what they bring.

Always true: a helper is judged after it had time to begin; all that are missed together brought little, or were sent
away for a trial, of which there is one; where the rate falls afterwards, they may be asked again; nobody is sent away
more than twice, nor near the end. Pure: told the time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple

LOOKS_EVERY = 0.25  # seconds between what is remembered; the line shows within it
WINDOW = (
    5.0  # seconds; what a helper brought is looked at over so many, or more, if a piece is much in them ...
)
LONGEST_WINDOW = 60.0  # ... and this at most; on a slower line a piece more or less says nothing
RECENT = 3.0  # seconds; evens out bursts, and is what it takes to see that the rate fell
BEGINS_WITHIN = 3.0  # seconds from joining; until then it looks for its place
LITTLE = 0.01  # of all that came: as much longer it would have taken without it
MOST_MISSED = 0.05  # of all that came, from all that were sent away for that
GAIN = 1.1  # times what came before; less is the same line, or as good as
SLOWER = 0.85  # times what came when they were sent away: that is slow, and they may be asked again ...
TRIED = 0.93  # the same after a trial: all are missed that added anything
AGAIN_AFTER = 4.0  # ... so many seconds later
LEAST_LEFT = 10.0  # seconds until the end; where less is left it makes no difference
MOST_TIMES = 2  # that one helper is sent away


class _Sample(NamedTuple):
    at: float
    here: int
    brought: Mapping[bytes, int]


class Worth:
    """`look` a few times a second."""

    def __init__(self, piece_length: int) -> None:
        self._piece_length = piece_length
        self._samples: deque[_Sample] = deque()
        self._alone = 0.0  # bytes a second, at best, before any helper brought something
        self._alone_before = 0.0
        self._first_at: float | None = None  # a helper brought something
        self._was_tried = False
        self._since: dict[bytes, float] = {}  # helpers that fetch, and since when
        self._away: set[bytes] = set()
        self._times: Counter[bytes] = Counter()
        self._missed = 0.0  # of all that came: what those had brought
        self._sent_at, self._slow_rate = (
            0.0,
            0.0,
        )  # when the last was sent away, and at what rate all are asked again

    def is_away(self, helper: bytes) -> bool:
        """It was sent away, and is not to be asked."""
        return helper in self._away

    def look(self, here: int, left: int, brought: Mapping[bytes, int], now: float) -> tuple[bytes, ...]:
        """`here` and `left`: bytes of the file; `brought`: by each helper that fetches now. -> those to send away."""
        if self._samples and now - self._samples[-1].at < LOOKS_EVERY:
            return ()
        self._samples.append(_Sample(now, here, dict(brought)))
        while now - self._samples[0].at > LONGEST_WINDOW:
            self._samples.popleft()
        staying = [one for one in brought if one not in self._away and self._times[one] < MOST_TIMES]
        self._since = {helper: self._since.get(helper, now) for helper in staying}
        self._measure_alone(brought, now)
        rate = self._rate(RECENT, now)
        self._call_back(rate, now)
        if rate is None or left < LEAST_LEFT * rate:
            return ()
        if gone := self._useless_together(rate, now):
            self._send_away(gone, rate, now, slow=TRIED)
        elif gone := self._useless(now):
            self._send_away(gone, rate, now, slow=SLOWER)
        return gone

    def _measure_alone(self, brought: Mapping[bytes, int], now: float) -> None:
        if self._first_at is not None:
            return
        if any(brought.values()):
            self._first_at = now
        elif len(self._samples) > 1:
            before, last = self._samples[-2], self._samples[-1]
            rate = (last.here - before.here) / (last.at - before.at)
            self._alone = max(self._alone, min(rate, self._alone_before))  # twice in a row: no burst
            self._alone_before = rate

    def _useless_together(self, rate: float, now: float) -> tuple[bytes, ...]:
        """All of them, if no more comes than before they came."""
        is_shown = self._first_at is not None and now - self._first_at > WINDOW
        if self._was_tried or not self._since or not is_shown:
            return ()
        self._was_tried = True
        return tuple(self._since) if rate < GAIN * self._alone else ()

    def _useless(self, now: float) -> tuple[bytes, ...]:
        """Those who brought next to nothing."""
        last = self._samples[-1]
        first = self._window(last)
        if first is None:
            return ()
        came = last.here - first.here
        parts = sorted(
            ((last.brought[helper] - first.brought.get(helper, 0)) / came, helper)
            for helper, since in self._since.items()
            if first.at - since > BEGINS_WITHIN
        )
        gone = []
        for part, helper in parts:
            missed = self._missed + max(part, self._piece_length / came)
            if part > LITTLE or missed > MOST_MISSED:
                break
            self._missed = missed
            gone.append(helper)
        return tuple(gone)

    def _window(self, last: _Sample) -> _Sample | None:
        """Where it begins: so long ago that one piece, which may be about to come, is little of what came since."""
        for sample in reversed(self._samples):
            came = last.here - sample.here
            if last.at - sample.at >= WINDOW and came * LITTLE >= self._piece_length:
                return sample
        return None

    def _send_away(self, helpers: tuple[bytes, ...], rate: float, now: float, *, slow: float) -> None:
        self._slow_rate = max(slow * rate, self._slow_rate) if self._away else slow * rate
        self._sent_at = now
        self._away.update(helpers)
        self._times.update(helpers)

    def _call_back(self, rate: float | None, now: float) -> None:
        is_slow = rate is not None and rate < self._slow_rate
        if self._away and is_slow and now - self._sent_at > AGAIN_AFTER:
            self._away.clear()
            self._missed = 0.0

    def _rate(self, seconds: float, now: float) -> float | None:
        """Bytes a second of late; None: not known yet."""
        since = next((one for one in reversed(self._samples) if now - one.at >= seconds), None)
        return None if since is None else (self._samples[-1].here - since.here) / (now - since.at)
