"""Decide how many fetchers are worth having, by trying.

Always true: the target is between 1 and `most`. Told the time and what has come so far; it knows of no fetcher.

It begins small and tries a step up: at first to four times as many, so that a server with a limit for each
connection is used to the full within a second; after the first step that fails, to one more. A lone fetcher that got
something and then nothing for a while is paced: that shows a limit at once, and all that may be are tried. Where
little is left each measurement takes longer, for it has to be right. A step stays if the
rate grew by at least half of what as many average fetchers bring; else what brought nothing goes again. A gain is
believed as soon as it shows, its absence only after two seconds, because many servers send in bursts. Now and then a
step down is tried, by the same measure: connections that begin slowly look like a gain at first. After an outage it is
as at the beginning, with the number that was of use before.
"""

from __future__ import annotations

from typing import NamedTuple

from shoal.fetch.patience import OUTAGE_SHOWS

WORTH = 0.5  # of what as many average fetchers bring; less is mostly taken from the others, or noise
FIRST_STEPS = 4  # times as many: 1, 4, 16; then one at a time
QUICK_WINDOW = (
    0.1  # seconds; enough to see three times as much or not, and sixteen run within half a second ...
)
QUICK_PAYS = 3.0  # ... where so many seconds are left: requests that do not pay are not sent
ROUNDING = 0.01  # seconds; two looks are a tenth of a second apart, or a little less
FIRST_WINDOW = 0.25  # seconds; what is measured where less is left
PACED_PAYS = (
    1.5  # the same where a pause showed a limit: no trial, and each request is sent a second's worth at once
)
PACE_PERIOD = 1.0  # seconds; servers that pace a connection send at once what is for so long at most
FULL_WINDOW = 2.0  # seconds; evens out bursts, and is what it takes to say that a step brought nothing
SHORTEST_SETTLING = 0.1  # seconds; what lay in buffers, or was sent in a burst, says nothing of the rate
ROUND_TRIPS = 4  # waits for a first byte that a window takes: a new connection begins slowly
PAYS_AFTER = 4.0  # windows; a step must be able to bring in more than it takes to find out
FIRST_PAUSE = 4.0  # seconds until a step that brought nothing is tried again ...
LONGEST_PAUSE = 60.0  # ... which doubles up to this
LONG = 30.0  # seconds left; to take a fetcher away saves no time, so only a long download finds out
REFUSED_PAUSE = 30.0  # seconds; who said that it is enough is not asked again at once


class Pace(NamedTuple):
    """A measurement: so many fetchers brought so many bytes a second."""

    fetchers: int
    rate: float


class Refused(NamedTuple):
    """The server would not have another one: when, last, and how many were worth having until then."""

    at: float
    target: int


class Growth:
    """The number of fetchers to have. Call `look` a few times a second."""

    def __init__(self, most: int, first: int = 1) -> None:
        if not 1 <= first <= most:
            raise ValueError(f"{first} fetchers to begin with, of at most {most}")
        self.most = most
        self.least = 1
        self.target = first
        self._before: Pace | None = None  # the pace before the step that is being tried
        self._fruitless: Pace | None = None  # the pace of the last step that was taken back
        self._refused: Refused | None = None
        self._is_fixed = first == most  # as many as there may be from the start: nothing is tried
        self._is_starting = True
        self._goes_down = True  # the next step, once it is no longer starting
        self._pause = FIRST_PAUSE
        self._try_at = 0.0
        self._heard = (0.0, 0)  # when something came last, and the bytes until then
        self._began_with: int | None = 0  # bytes that came until it began, or was away; None: as many as now
        self._settled_at: float | None = None  # when this measurement begins
        self._mark: tuple[float, int] | None = None  # its beginning: the time, and the bytes until then

    def look(self, now: float, *, delivering: int, received: int, latency: float, bytes_left: int) -> None:
        """`delivering` fetchers brought something, `received` bytes in all; `latency`: the wait for a first byte."""
        if self._began_with is None:
            self._began_with = received
        if delivering < self.target or self._is_fixed:
            self._settled_at = self._mark = None
            return
        if self._is_starting and self._before is None and self._is_paused(now, received, latency):
            self._step_if_paced(received, bytes_left)
            return
        if self._settled_at is None:
            self._settled_at = now + max(SHORTEST_SETTLING, latency)
        if self._mark is None:
            if now >= self._settled_at:
                self._mark = (now, received)
            return
        elapsed = now - self._mark[0]
        if elapsed < self._window(QUICK_WINDOW, latency):
            return
        pace = Pace(self.target, (received - self._mark[1]) / elapsed)
        seconds_left = bytes_left / pace.rate if pace.rate else 0.0
        window = self._window(FIRST_WINDOW, latency)
        if elapsed < window and seconds_left < QUICK_PAYS:
            return
        if self._before is None:
            self._consider(pace, now, seconds_left)
        elif self._before.fetchers > pace.fetchers:
            self._judge_down(self._before, pace, now)
        else:
            self._judge_up(self._before, pace, now, elapsed)
        if self.target > pace.fetchers and seconds_left < PAYS_AFTER * window:
            self._change(pace.fetchers)

    def excuse(self) -> None:
        """All were held by ourselves: what is being measured says nothing."""
        self._heard = (0.0, 0)
        self._settled_at = self._mark = None

    def on_refused(self, running: int, now: float) -> None:
        """The server would not have another one; so many were left."""
        is_another = self._refused is not None and now - self._refused.at <= OUTAGE_SHOWS
        self._refused = Refused(now, self._refused.target if self._refused and is_another else self.target)
        self._fruitless = None
        self._rest(now, max(self._pause, REFUSED_PAUSE))
        self._change(max(1, min(self.target, running)))

    def on_outage(self, now: float) -> None:
        """Nobody gets anything any more: the server or the line is away, and refusals just before were by that."""
        target = self.target if self._before is None else min(self._before.fetchers, self.most)
        if self._refused is not None and now - self._refused.at <= OUTAGE_SHOWS:
            target, self._refused = min(self._refused.target, self.most), None
        if self._refused is None or now - self._refused.at > REFUSED_PAUSE:
            self._is_starting = self._goes_down = True
            self._pause, self._try_at = FIRST_PAUSE, now
        self._fruitless = self._began_with = None
        self._change(target)

    def limit(self, most: int, least: int = 1) -> None:
        """From now on at most so many; at least so many, unless the server refuses. With more, steps up are tried."""
        if not 1 <= least <= most:
            raise ValueError(f"at least {least} and at most {most} fetchers")
        is_news = least != self.least
        self._is_fixed = self._is_fixed and most <= self.target
        self.most, self.least = most, least
        if self.target > most:
            self._change(most)
        elif is_news and self.target < least:
            self._change(least)

    def _window(self, shortest: float, latency: float) -> float:
        if not self._is_starting:
            return FULL_WINDOW
        return min(max(shortest, ROUND_TRIPS * latency), FULL_WINDOW)

    def _is_paused(self, now: float, received: int, latency: float) -> bool:
        """Something came, and then nothing for a while."""
        if received != self._heard[1]:
            self._heard = (now, received)
        has_begun = received > (self._began_with or 0)
        return has_begun and now - self._heard[0] >= self._window(QUICK_WINDOW, latency) - ROUNDING

    def _step_if_paced(self, received: int, bytes_left: int) -> None:
        self._settled_at = self._mark = None  # measure anew, from here
        pace = Pace(self.target, (received - (self._began_with or 0)) / PACE_PERIOD)
        if self.target < self.most and bytes_left > PACED_PAYS * pace.rate > 0:
            self._step(pace, self.most)

    def _consider(self, pace: Pace, now: float, seconds_left: float) -> None:
        """Without a step under way: is it time for one?"""
        fruitless, self._fruitless = self._fruitless, None
        if fruitless is not None and fruitless.fetchers > pace.fetchers and is_worth(pace, fruitless):
            self._try_at, self._goes_down = now, False  # slower without: what was before was a burst
        if now < self._try_at or pace.rate == 0:
            self._mark = None  # measure anew, from here
        elif not self._is_starting and self._goes_down and self.target > self.least and seconds_left > LONG:
            self._step(pace, self.target - 1)
        elif self.target < self.most:
            self._step_up(pace)
        else:
            self._rest(now, self._pause)

    def _judge_up(self, before: Pace, after: Pace, now: float, elapsed: float) -> None:
        if is_worth(before, after):
            self._pause = FIRST_PAUSE
            if self.target < self.most:
                self._step_up(after)
            else:
                self._rest(now, self._pause)
                self._change(self.target)
        elif elapsed >= FULL_WINDOW:
            self._fruitless = after
            self._rest(now, self._pause)
            own = before.rate / before.fetchers
            useful = round((after.rate - before.rate) / own) if own else 0
            self._change(before.fetchers + max(0, useful))

    def _judge_down(self, before: Pace, after: Pace, now: float) -> None:
        if is_worth(after, before):
            self._rest(now, self._pause)
            self._change(before.fetchers)
        else:
            self._try_at, self._goes_down = now, True  # and perhaps one fewer still
            self._change(self.target)

    def _step_up(self, pace: Pace) -> None:
        target = self.target * FIRST_STEPS if self._is_starting else self.target + 1
        self._step(pace, min(target, self.most))

    def _step(self, pace: Pace, target: int) -> None:
        self._change(target)
        self._before = pace

    def _rest(self, now: float, pause: float) -> None:
        """No step for a while, and then one the other way."""
        if not self._is_starting:
            self._goes_down = not self._goes_down
        self._is_starting = False
        self._try_at = now + pause
        self._pause = min(pause * 2, LONGEST_PAUSE)

    def _change(self, target: int) -> None:
        """The step is over, and the next measurement begins when everybody is there."""
        self.target = target
        self._before = None
        self._settled_at = self._mark = None


def is_worth(fewer: Pace, more: Pace) -> bool:
    """Whether the fetchers that `more` has above `fewer` bring their share."""
    added = more.fetchers - fewer.fetchers
    return more.rate > 0 and more.rate - fewer.rate >= WORTH * fewer.rate * added / fewer.fetchers
