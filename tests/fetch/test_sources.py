from __future__ import annotations

import random

from shoal.errors import ExitCode, NetworkError, NotFoundError
from shoal.fetch.sources import LIMIT_LASTS, TRIED_AT_ONCE, Sources
from shoal.units import KIB

CLOSED = NetworkError("the connection was closed", hint="try later")
BUSY = NetworkError("answered 503 Service Unavailable")
GONE = NotFoundError("answered 404 Not Found")


def sources_of(*names: str) -> Sources:
    return Sources([(f"https://{name}/file?key=secret", name) for name in names], 1.0, random.Random(1))


def name_for(sources: Sources, number: int, now: float) -> str | None:
    source = sources.source_for(number, now)
    return source.name if source is not None else None


def bring(sources: Sources, rates: dict[int, int], since: float, until: float) -> None:
    """Each fetcher brings so many bytes a second, in ten lots."""
    for step in range(1, 11):
        for number, rate in rates.items():
            sources.on_bytes(number, int(rate * (until - since) / 10), since + (until - since) * step / 10)


def test_each_source_is_tried_before_one_gets_a_second_fetcher() -> None:
    sources = sources_of("a", "b", "c")
    assert [name_for(sources, number, 1.0) for number in range(3)] == ["a", "b", "c"]


def test_of_a_long_list_only_the_preferred_are_in_use() -> None:
    sources = sources_of(*"abcdefghij")
    names = {name_for(sources, number, 1.0) for number in range(20)}
    assert names == set("abcdefghij"[:TRIED_AT_ONCE])


def test_fetchers_go_where_the_average_one_gets_most() -> None:
    sources = sources_of("slow", "fast")
    for number in range(2):
        sources.source_for(number, 1.0)
    bring(sources, {0: 100 * KIB, 1: 1000 * KIB}, 1.0, 4.0)
    assert name_for(sources, 2, 4.0) == "fast"


def test_a_fetcher_of_a_slow_source_moves_between_two_runs() -> None:
    sources = sources_of("slow", "fast")
    for number in range(2):
        sources.source_for(number, 1.0)
    bring(sources, {0: 100 * KIB, 1: 1000 * KIB}, 1.0, 4.0)
    assert name_for(sources, 0, 4.0) == "fast"


def test_a_fetcher_stays_where_it_is_nearly_as_good() -> None:
    sources = sources_of("a", "b")
    for number in range(2):
        sources.source_for(number, 1.0)
    bring(sources, {0: 700 * KIB, 1: 1000 * KIB}, 1.0, 4.0)
    assert name_for(sources, 0, 4.0) == "a"


def test_a_source_that_failed_rests_while_another_gets_its_fetchers() -> None:
    sources = sources_of("a", "b")
    assert name_for(sources, 0, 1.0) == "a"
    sources.on_failure(0, 1.1, CLOSED)
    assert name_for(sources, 0, 1.1) == "b"
    sources.on_failure(0, 1.2, CLOSED)
    assert name_for(sources, 0, 1.2) is None
    ready_at = sources.next_deadline()
    assert ready_at is not None
    assert 1.2 < ready_at < 2.0
    assert name_for(sources, 0, 2.0) is not None


def test_a_server_that_refuses_one_of_several_gets_no_more_than_it_stood() -> None:
    sources = sources_of("a")
    for number in range(4):
        sources.source_for(number, 1.0)
    bring(sources, dict.fromkeys(range(3), 100 * KIB), 1.0, 2.0)
    assert sources.on_refused(3, 2.0, BUSY)
    sources.leave(3)
    assert name_for(sources, 4, 2.1) is None
    assert name_for(sources, 0, 2.1) == "a", "who is there may go on"
    assert name_for(sources, 4, 2.1 + LIMIT_LASTS) == "a", "and later one more is tried"
    assert name_for(sources, 5, 2.1 + LIMIT_LASTS) is None


def test_a_server_that_refuses_its_only_fetcher_has_failed() -> None:
    sources = sources_of("a")
    sources.source_for(0, 1.0)
    assert not sources.on_refused(0, 1.1, BUSY, retry_after=20.0)
    assert name_for(sources, 0, 21.0) is None
    assert name_for(sources, 0, 21.2) == "a"


def test_retry_after_of_one_refused_holds_for_every_new_request() -> None:
    sources = sources_of("a")
    for number in range(2):
        sources.source_for(number, 1.0)
    bring(sources, {0: 100 * KIB}, 1.0, 2.0)
    assert sources.on_refused(1, 2.0, BUSY, retry_after=30.0)
    sources.leave(1)
    assert name_for(sources, 0, 31.0) is None
    assert name_for(sources, 0, 32.0) == "a"


def test_a_source_that_is_given_up_gets_nothing_more() -> None:
    sources = sources_of("a", "b")
    sources.source_for(0, 1.0)
    sources.give_up(0, GONE)
    assert {name_for(sources, number, 100.0) for number in range(5)} == {"b"}


def test_what_is_added_twice_is_one_source() -> None:
    sources = sources_of("a")
    sources.add("https://a/file?key=secret", "a", 2.0)
    sources.add("https://b/file", "b", 2.0)
    assert [source.name for source in sources] == ["a", "b"]


def test_those_that_are_kept_away_are_asked_only_when_they_are_admitted() -> None:
    sources = sources_of("a", "b")
    sources.keep_only(next(iter(sources)))
    sources.add("https://c/file", "c", 2.0)
    sources.add("https://c/file", "c", 2.0)
    sources.source_for(0, 2.0)
    sources.give_up(0, GONE)
    assert (name_for(sources, 1, 2.0), sources.are_given_up) == (None, True)
    assert sources.admit()
    assert ([name_for(sources, number, 2.0) for number in (1, 2)], sources.are_given_up) == (
        ["b", "c"],
        False,
    )
    assert not sources.admit()
    sources.add("https://d/file", "d", 2.0)
    assert name_for(sources, 3, 2.0) == "d"


def test_none_gets_more_than_its_share() -> None:
    sources = sources_of("a", "b")
    next(iter(sources)).share = 1
    assert [name_for(sources, number, 1.0) for number in range(4)] == ["a", "b", "b", "b"]


def test_a_wait_is_told_as_far_as_it_is_longer_than_before() -> None:
    source = next(iter(sources_of("a")))
    assert source.wait(10.0, 5.0) == 5.0
    assert source.wait(12.0, 4.0) == 1.0
    assert source.wait(12.0, 2.0) == 0.0


def test_at_the_end_of_one_source_its_reason_is_told() -> None:
    sources = sources_of("dl.example.org")
    sources.source_for(0, 1.0)
    sources.give_up(0, GONE)
    assert sources.are_given_up
    assert sources.next_deadline() is None
    error = sources.error()
    assert error.message == "dl.example.org: answered 404 Not Found"
    assert error.exit_code == ExitCode.NOT_FOUND


def test_at_the_end_of_several_each_has_its_reason() -> None:
    sources = sources_of("a.example.org", "b.example.org")
    now = 1.0
    sources.source_for(0, now)
    sources.give_up(0, GONE)
    while not sources.are_given_up:
        sources.source_for(0, now)
        sources.on_failure(0, now, CLOSED)
        now = sources.next_deadline() or now
    error = sources.error()
    assert error.message == (
        "none of 2 sources could give the file: "
        "a.example.org: answered 404 Not Found; b.example.org: the connection was closed (8 tries)"
    )
    assert error.hint == "try later"
    assert error.exit_code == ExitCode.NETWORK


def test_a_long_list_of_reasons_is_cut() -> None:
    sources = sources_of(*"abcdefg")
    for number in range(7):
        sources.source_for(number, 1.0)
        sources.give_up(number, GONE)
    assert sources.error().message.endswith("e: answered 404 Not Found; and 2 more")


def test_nothing_that_is_shown_has_the_url() -> None:
    sources = sources_of("a")
    source = sources.source_for(0, 1.0)
    sources.give_up(0, GONE)
    assert "secret" not in f"{source!r} {sources.error()}"


def test_those_that_deliver_at_once_are_counted_and_not_those_that_ask() -> None:
    sources = sources_of("a", "b")
    for number in range(6):
        sources.source_for(number, 1.0)
    for number in (0, 1, 2):
        sources.on_bytes(number, KIB, 2.0)
    sources.leave(0)
    sources.on_bytes(3, KIB, 3.0)
    assert sources.most_delivering == 3
