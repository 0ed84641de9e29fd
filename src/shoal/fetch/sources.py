"""Hand fetchers to the sources of a file: the URL asked for and its mirrors.

Always true: a fetcher has one source at a time; no source has more fetchers than it stood; one that was given up
gets none. Pure: time and chance are arguments. What a source says of the file is not looked at here.

A source that was never tried goes first, in the order of preference, while less than `TRIED_AT_ONCE` are in use; then
a fetcher goes where the average fetcher gets most. Between two runs it changes its source if another is twice as good.

Who refuses a fetcher while others of it deliver has enough of them. Where nobody delivers any more it is an outage,
which says nothing of how many it stands: one fetcher asks again, and each time all deliver there may be twice as many.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from shoal.errors import ChecksumError, DeniedError, NetworkError, NotFoundError, ShoalError
from shoal.fetch.patience import DEFAULT_MOST_TRIES, OUTAGE_SHOWS, Patience
from shoal.swarm.rate import RateMeter

TRIED_AT_ONCE = 5  # a list of mirrors may be long; these show whether a near one is among them
BETTER = 2.0  # times; a new connection costs something, and rates differ from second to second
LIMIT_LASTS = 60.0  # seconds; a server that was busy is tried with one fetcher more after this
SHOWN_AT_MOST = 5  # sources that a message names


class Source:
    """One place the file can be had from."""

    __slots__ = (
        "_before_limit",
        "_limit_until",
        "_limited_at",
        "_most_after_outage",
        "_most_fetchers",
        "_recent",
        "fetchers",
        "heard",
        "meter",
        "name",
        "no_answer",
        "patience",
        "received_before",
        "share",
        "url",
    )

    def __init__(self, url: str, name: str, patience: Patience, now: float) -> None:
        self.url = url  # may hold a secret: never shown
        self.name = name  # what people are told
        self.patience = patience
        self.no_answer: ShoalError | None = None  # why, if its last request had none
        self.fetchers: dict[int, float] = {}  # number -> when its request was sent
        self.heard: set[int] = set()  # of these, who got something since
        self.meter = RateMeter(now)
        self.received_before = 0  # bytes until its last failure
        self._recent = 0.0  # bytes a second of its average fetcher, when it last had any
        self._most_fetchers: int | None = None
        self._limit_until = 0.0
        self._limited_at = -math.inf
        self._before_limit: int | None = None
        self._most_after_outage: int | None = None
        self.share: int | None = None  # of what a group may have there; None: all that is of use

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @property
    def was_tried(self) -> bool:
        return bool(self.fetchers) or self.meter.total > 0 or self.patience.failures > 0

    def has_room(self, now: float) -> bool:
        """Whether it would have one fetcher more, as far as is known."""
        if self._most_fetchers is not None and now >= self._limit_until:
            self._most_fetchers += 1
            self._limit_until = now + LIMIT_LASTS
        limits = (self._most_fetchers, self._most_after_outage, self.share)
        return len(self.fetchers) < min((most for most in limits if most is not None), default=math.inf)

    def rate_each(self, now: float) -> float:
        """Bytes a second of its average fetcher, or of what that was."""
        if self.fetchers:
            self._recent = self.meter.rate(now) / len(self.fetchers)
        return self._recent

    def wait(self, now: float, seconds: float) -> float:
        """Another member was asked to. -> How much longer the wait is by that."""
        before = max(now, self.patience.ready_at)
        self.patience.wait(now, seconds)
        return self.patience.ready_at - before

    def limit(self, count: int, now: float) -> None:
        """It has enough with so many."""
        if now - self._limited_at > OUTAGE_SHOWS:
            self._before_limit = self._most_fetchers
        self._limited_at = now
        self._most_fetchers = count
        self._limit_until = now + LIMIT_LASTS

    def on_bytes(self, number: int, count: int, now: float) -> None:
        self.meter.add(count, now)
        self.heard.add(number)
        if self._most_after_outage is not None and len(self.heard) >= self._most_after_outage:
            self._most_after_outage *= 2

    def on_outage(self, now: float) -> None:
        """Nobody gets anything of it any more."""
        self._most_after_outage = 1
        if now - self._limited_at <= OUTAGE_SHOWS:
            self._most_fetchers = self._before_limit


class Sources:
    """The sources of one file, the preferred first. `named` has (URL, what people are told of it)."""

    def __init__(
        self,
        named: Sequence[tuple[str, str]],
        now: float,
        rng: random.Random,
        *,
        most_tries: int = DEFAULT_MOST_TRIES,
    ) -> None:
        self._rng = rng
        self._most_tries = most_tries
        self._all: list[Source] = []
        self._aside: list[Source] | None = None  # they are not asked for now; None: all are
        self._of: dict[int, Source] = {}
        self.most_delivering = 0  # fetchers at once, of all sources
        self._told: set[str] = set()  # URLs of which people know that they were given up
        for url, name in named:
            self.add(url, name, now)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._all)

    def add(self, url: str, name: str, now: float) -> None:
        """One more, found on the way; one that is known already is not added."""
        if all(source.url != url for source in (*self._all, *(self._aside or ()))):
            patience = Patience(self._rng, most_tries=self._most_tries)
            asked = self._all if self._aside is None else self._aside
            asked.append(Source(url, name, patience, now))

    def keep_only(self, source: Source) -> None:
        """The others, of which no fetcher has begun, are not asked until `admit`; nor is who is added."""
        self._aside = [other for other in self._all if other is not source]
        self._all = [source]

    def admit(self) -> bool:
        """From now on all are asked. -> Whether there are more by that."""
        others, self._aside = self._aside, None
        self._all += others or []
        return bool(others)

    # -- what to do ----------------------------------------------------------------------------------

    def source_for(self, number: int, now: float) -> Source | None:
        """Where this fetcher, between two runs, sends a request now; None if nowhere just now."""
        present = self._of.get(number)
        rates = {source: source.rate_each(now) for source in self._all}  # while this fetcher still counts
        self.leave(number)
        source = self._best(present, rates, now)
        if source is not None:
            self.assign(number, source, now)
        return source

    def other_than(self, urls: set[str], now: float) -> Source | None:
        """The fastest that can be asked now and is none of these, unless only these are left."""
        left = [source for source in self._all if source.patience.gave_up is None]
        others = [source for source in left if source.url not in urls] or left
        usable = [source for source in others if source.patience.is_ready(now) and source.has_room(now)]
        return max(usable, key=lambda source: source.rate_each(now), default=None)

    def assign(self, number: int, source: Source, now: float) -> None:
        """This fetcher, which has none, asks that source now."""
        self._of[number] = source
        source.fetchers[number] = now

    def leave(self, number: int) -> None:
        """The fetcher is gone."""
        source = self._of.pop(number, None)
        if source is not None:
            source.fetchers.pop(number)
            source.heard.discard(number)

    def next_deadline(self) -> float | None:
        """When the next source can be asked again; None if none will be."""
        return min((s.patience.ready_at for s in self._all if s.patience.gave_up is None), default=None)

    def given(self) -> tuple[tuple[str, int], ...]:
        """Who gave how many bytes; those that gave none are left out."""
        return tuple((source.name, source.meter.total) for source in self if source.meter.total)

    @property
    def are_given_up(self) -> bool:
        return all(source.patience.gave_up is not None for source in self._all)

    def error(self) -> ShoalError:
        """What a person is told when all are given up."""
        reasons = [(source.name, source.patience.gave_up) for source in self._all]
        given = [(name, reason) for name, reason in reasons if reason is not None]
        if len(given) == 1:
            name, reason = given[0]
            return type(reason)(_named(name, reason), hint=reason.hint)
        told = "; ".join(_named(name, reason) for name, reason in given[:SHOWN_AT_MOST])
        more = f"; and {len(given) - SHOWN_AT_MOST} more" if len(given) > SHOWN_AT_MOST else ""
        wrong = next((reason for _, reason in given if isinstance(reason, ChecksumError)), None)
        if wrong is not None:  # the others may be missing, but this says what is the matter
            return ChecksumError(wrong.message, hint=wrong.hint)
        is_nowhere = all(isinstance(reason, NotFoundError) for _, reason in given)
        is_refused = len({type(reason) for _, reason in given}) == 1 and isinstance(given[0][1], DeniedError)
        kind = NotFoundError if is_nowhere else DeniedError if is_refused else NetworkError
        hints = Counter(reason.hint for _, reason in given if reason.hint)
        hint = hints.most_common(1)[0][0] if hints else ""
        return kind(f"none of {len(given)} sources could give the file: {told}{more}", hint=hint)

    def take_troubles(self) -> list[str]:
        """Those that are of no use since the last call, while others go on: a line each, and once each."""
        if self.are_given_up:
            return []  # `error` tells it
        is_coming = any(source.meter.total for source in self._all)
        lines = []
        for source in self._all:
            reason = source.patience.gave_up
            if reason is None and is_coming and not source.meter.total:
                reason = source.no_answer  # nobody may ask it again, while another is better
            if reason is not None and source.url not in self._told:
                self._told.add(source.url)
                lines.append(f"{_named(source.name, reason)}; goes on without it")
        return lines

    def good_urls(self, first_url: str) -> tuple[str, ...]:
        """Those that gave something, and the one asked for; without those that were given up."""
        good = [source for source in self._all if source.patience.gave_up is None]
        return tuple(source.url for source in good if source.meter.total or source.url == first_url)

    # -- what happened -------------------------------------------------------------------------------

    def on_bytes(self, number: int, count: int, now: float) -> None:
        source = self._of[number]
        is_first = number not in source.heard
        source.on_bytes(number, count, now)
        if is_first:
            self.most_delivering = max(self.most_delivering, sum(len(one.heard) for one in self._all))

    def on_failure(
        self,
        number: int,
        now: float,
        error: ShoalError,
        *,
        retry_after: float | None = None,
        is_in_vain: bool = False,
    ) -> None:
        """Its transfer failed, in a way that another try may mend; `is_in_vain`: nothing it brought is kept."""
        source = self._of[number]
        received, source.received_before = source.meter.total - source.received_before, source.meter.total
        if is_in_vain:
            received = 0
        source.patience.on_failure(
            now, error, asked_at=source.fetchers[number], received=received, retry_after=retry_after
        )
        source.heard.discard(number)
        if not source.heard:
            source.on_outage(now)

    def on_no_answer(self, number: int, error: ShoalError) -> None:
        """Nobody is there, as it seems; what that comes to is told besides."""
        self._of[number].no_answer = error

    def on_refused(
        self, number: int, now: float, error: ShoalError, *, retry_after: float | None = None
    ) -> bool:
        """It would not have this fetcher (429, 503, a closed connection). -> Whether it has enough: others deliver."""
        source = self._of[number]
        if not source.heard - {number} or source.meter.rate(now) == 0:
            self.on_failure(number, now, error, retry_after=retry_after)
            return False
        source.limit(len(source.fetchers) - 1, now)
        source.patience.wait(now, retry_after)
        return True

    def give_up(self, number: int, error: ShoalError) -> None:
        """What its source said cannot be mended: not there, not allowed, another file."""
        self._of[number].patience.give_up(error)

    # -- choosing ------------------------------------------------------------------------------------

    def _best(self, present: Source | None, rates: dict[Source, float], now: float) -> Source | None:
        """The source for one fetcher more; `present` is where it comes from."""
        usable = [source for source in self._all if source.patience.is_ready(now) and source.has_room(now)]
        in_use = sum(bool(source.fetchers) for source in self._all)
        untried = next((source for source in usable if not source.was_tried), None)
        if present is None and untried is not None and in_use < TRIED_AT_ONCE:
            return untried
        best = max((source for source in usable if source.was_tried), key=rates.__getitem__, default=untried)
        if best is not None and present in usable and rates[best] <= BETTER * rates[present]:
            return present
        return best


def _named(name: str, reason: ShoalError) -> str:
    """Most reasons name their host."""
    is_named = any(f"{name}{mark}" in reason.message for mark in (":", "/", " "))
    return reason.message if is_named else f"{name}: {reason.message}"
