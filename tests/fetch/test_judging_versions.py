"""Which version a response is of, where no ETag says it from the first response on."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

from shoal.fetch.judging import Answer, NoRanges, Replaced, Whole, WriteAt

from .scene import KNOWN, LENGTH, known_from, part, verdict, whole, without

# ---- times instead of ETags

WRITTEN = 1_600_000_000


def by_time(response: Answer, modified_at: int = WRITTEN, age: int = 60) -> Answer:
    dates = {"last-modified": modified_at, "date": modified_at + age}
    headers = {name: formatdate(at, usegmt=True) for name, at in dates.items()}
    return Answer(response.status, {**without(response, "etag").headers, **headers}, response.url)


def with_headers(response: Answer, headers: dict[str, str]) -> Answer:
    return replace(response, headers={**response.headers, **headers})


def test_by_time_a_part_is_written_if_it_is_the_same() -> None:
    known = known_from(by_time(part(0, LENGTH)))
    assert verdict(by_time(part(500, 600)), 500, 600, known=known) == WriteAt(500, 600)
    assert isinstance(verdict(by_time(part(500, 600), WRITTEN + 1), 500, 600, known=known), Replaced)
    assert isinstance(verdict(without(part(500, 600), "etag"), 500, 600, known=known), NoRanges)


def test_a_file_replaced_in_this_very_second_is_another_version() -> None:
    etags = {at: {"etag": f'"{at:x}-3e8"'} for at in (WRITTEN, WRITTEN + 100)}
    known = known_from(with_headers(by_time(part(0, LENGTH)), etags[WRITTEN]))
    fresh = with_headers(by_time(part(500, 600), WRITTEN + 100, age=0), etags[WRITTEN + 100])
    assert verdict(fresh, 500, 600, known=known) == Replaced("its time of change is another")
    assert isinstance(verdict(by_time(part(500, 600), age=0), 500, 600, known=known), NoRanges)


def test_a_page_made_anew_each_time_is_not_replaced_each_time() -> None:
    known = known_from(by_time(whole(), age=0))
    assert verdict(by_time(whole(), WRITTEN + 5, age=0), known=known) == Whole()


def test_a_file_written_in_this_very_second_cannot_be_split() -> None:
    known = known_from(by_time(part(0, LENGTH), age=0))
    assert known.takes_ranges and not known.can_be_split()
    assert known.can_be_split(is_digest_known=True)


# ---- a version that shows up late


def test_a_validator_that_showed_up_later_tells_another_version_but_is_not_asked_for() -> None:
    known = replace(KNOWN, validator=None, shown_later=KNOWN.validator)
    assert verdict(part(0, 10), 0, 10, known=known) == WriteAt(0, 10)
    assert verdict(without(part(0, 10), "etag"), 0, 10, known=known) == WriteAt(0, 10)
    assert verdict(part(0, 10, etag='"v2"'), 0, 10, known=known) == Replaced("its ETag is another")
