"""The parts of the labs of URLs that need no network: bounds, the origin's log, tables, and verdicts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import crowd, pool
from lab.parts.nginx_origin import Answer, parse_log, sent_bytes, sent_to, sent_twice
from lab.parts.pool_scenes import (
    SPREAD,
    bound_of,
    crowd_scenes,
    drawn_rates,
    pool_scenes,
    steps_without,
)
from lab.parts.pool_table import crowd_verdicts, pool_verdicts, round_line, table
from lab.parts.pooling import Outcome
from lab.parts.repeats import repeat_lines, repeats
from lab.parts.swarm_table import FRAME, FRAME_PAYLOAD
from lab.parts.url_lab import parse_options

SIZE = 10_000_000  # at 8 Mbit/s the bound is 10 seconds

# -- scenes and bounds


def test_equal_links_have_the_bound_of_their_sum() -> None:
    assert bound_of(SIZE, [(0.0, 8e6)]) == 10.0
    assert bound_of(SIZE, [(0.0, 64e6)]) == 1.25


def test_rates_that_change_are_integrated() -> None:
    assert bound_of(SIZE, [(0.0, 8e6), (5.0, 4e6), (10.0, 40e6)]) == 10.5
    assert bound_of(SIZE, [(0.0, 8e6), (20.0, 1.0)]) == 10.0


@given(st.lists(st.tuples(st.floats(0.1, 5), st.floats(1e5, 1e9)), min_size=1, max_size=6))
def test_the_links_have_carried_the_file_at_the_bound(spans: list[tuple[float, float]]) -> None:
    begins = [sum(seconds for seconds, _ in spans[:number]) for number in range(len(spans))]
    steps = [(begin, rate) for begin, (_, rate) in zip(begins, spans, strict=True)]
    bound = bound_of(SIZE, steps)
    ends = [*begins[1:], max(bound, begins[-1])]
    carried = sum(
        rate * max(0.0, min(end, bound) - begin) for (begin, rate), end in zip(steps, ends, strict=True)
    )
    assert carried == pytest.approx(SIZE * 8)


def test_the_link_of_a_struck_host_counts_until_then() -> None:
    assert bound_of(SIZE, steps_without([4_000_000, 4_000_000], [1], 5.0)) == 15.0


def test_rates_are_drawn_between_the_fastest_and_a_tenth_of_it_and_again_from_the_same_seed() -> None:
    drawn = drawn_rates(random.Random(5), 1000, 20_000_000)
    assert 20_000_000 // SPREAD <= min(drawn) < 2_100_000 and 19_000_000 < max(drawn) <= 20_000_000
    assert drawn == drawn_rates(random.Random(5), 1000, 20_000_000)


def test_every_second_link_of_the_uneven_scene_is_ten_times_slower_the_requesters_too() -> None:
    uneven = next(scene for scene in pool_scenes(4, 20_000_000) if scene.name == "uneven")
    assert uneven.rates == (2_000_000, 20_000_000, 2_000_000, 20_000_000)


@pytest.mark.parametrize(("members", "killed"), [(2, 1), (8, 1), (20, 2)])
def test_one_in_ten_of_a_crowd_is_killed_and_at_least_one(members: int, killed: int) -> None:
    scene = crowd_scenes(members, 1)[1]
    assert len(scene.struck) == killed
    assert len(scene.survivors) == members - killed


# -- the origin's log

LOG = """\
{"client": "10.77.0.2", "status": 206, "body": 600, "at": 17.5, "seconds": 0.25, "content_range": "bytes 0-999/1000"}
{"client": "10.77.0.3", "status": 206, "body": 500, "at": 17.5, "seconds": 0.25, "content_range": "bytes 500-999/1000"}
{"client": "10.77.0.3", "status": 416, "body": 300, "at": 17.5, "seconds": 0.25, "content_range": "bytes */1000"}
{"client": "10.77.0.2", "status": 200, "body": 50, "at": 17.5, "seconds": 0.25, "content_range": ""}
"""


def test_the_log_tells_which_bytes_went_to_whom() -> None:
    answers = parse_log(LOG)
    assert answers[0] == Answer("10.77.0.2", 206, 0, 600, 17.5, 0.25)
    assert answers[1] == Answer("10.77.0.3", 206, 500, 500, 17.5, 0.25)
    assert (sent_to(answers, "10.77.0.2"), sent_to(answers, "10.77.0.3")) == (650, 500)


def test_the_page_of_an_error_is_no_part_of_the_file() -> None:
    assert parse_log(LOG)[2] == Answer("10.77.0.3", 416, 0, 0, 17.5, 0.25)


def test_what_was_sent_before_is_counted_as_sent_twice() -> None:
    answers = parse_log(LOG)
    assert sent_bytes(answers) == 1150
    assert sent_twice(answers) == 150  # 100 of the second's, and all of the last's


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8))
def test_what_is_not_twice_is_each_byte_once(spans: list[tuple[int, int]]) -> None:
    answers = [Answer("", 206, begin, length) for begin, length in spans]
    covered = {byte for begin, length in spans for byte in range(begin, begin + length)}
    assert sent_bytes(answers) - sent_twice(answers) == len(covered)


def test_a_repeat_tells_who_asked_first_and_who_again() -> None:
    late = Answer("b", 206, 0, 100, ended_at=14.0, seconds=1.0)
    early = Answer("a", 206, 50, 100, ended_at=20.0, seconds=10.0)
    (repeat,) = repeats([late, early])
    assert (repeat.size, repeat.first, repeat.again) == (50, early, late)
    assert repeat_lines([late, early], 5) == ["  0.00 MiB at 0.00: a in 0.0-10.0 s, again b in 3.0-4.0 s"]
    assert repeat_lines([late, early], 0) == repeat_lines([], 5) == []


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 9)), max_size=8))
def test_repeats_add_up_to_what_was_sent_twice(spans: list[tuple[int, int, int]]) -> None:
    answers = [Answer("", 206, begin, length, float(at)) for begin, length, at in spans]
    assert sum(repeat.size for repeat in repeats(answers)) == sent_twice(answers)


# -- tables and verdicts


def outcome(
    scene: str,
    seconds: float,
    *,
    bound: float = 10.0,
    sent: float = 1.0,
    told: tuple[dict[str, int], ...] = (),
) -> Outcome:
    frames = round(sent * SIZE * FRAME / FRAME_PAYLOAD)
    answers = (Answer("10.77.0.2", 206, 0, SIZE * 3 // 4), Answer("10.77.0.3", 206, SIZE // 2, SIZE // 2))
    addresses = ("10.77.0.2", "10.77.0.3")
    return Outcome(scene, seconds, bound, SIZE, frames, SIZE // 2, answers, addresses, told, (seconds,))


def cells(text: str, name: str) -> list[str]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return next(row for row in rows if row[0] == name)


def test_a_row_has_the_median_the_least_and_the_most_of_its_scene() -> None:
    rounds = [outcome("equal", seconds) for seconds in (11.0, 10.5, 13.0)] + [outcome("alone", 99.0)]
    assert cells(table(rounds), "equal") == [
        "equal", "1.100 (1.050-1.300)", "11.00 (10.50-13.00)", "10.00", "1.000 (1.000-1.000)",
        "1.250 (1.250-1.250)", "2.4 (2.4-2.4)", "2 (2-2)", "0.50",
    ]  # fmt: skip


def test_a_line_of_a_round_tells_who_fetched_how_much() -> None:
    line = round_line(outcome("equal", 11.0), 2)
    assert line.startswith("equal, round 2: 11.00 s, 1.100 x 10.00 s; origin 1.000 x (log 1.250)")
    assert line.endswith("fetched by each: 75.0 50.0 %")


@pytest.mark.parametrize(
    ("scene", "seconds", "answer"),
    [("equal", 11.0, "yes"), ("equal", 11.1, "NO"), ("uneven", 11.5, "yes"), ("changing", 11.6, "NO")],
)
def test_a_scene_is_judged_by_its_time_over_the_bound(scene: str, seconds: float, answer: str) -> None:
    (line,) = pool_verdicts([outcome(scene, seconds)])
    assert line.split()[0] == answer


@pytest.mark.parametrize(("seconds", "answer"), [(13.0, "yes"), (13.1, "NO")])
def test_a_blow_may_cost_two_seconds_against_the_same_scene_without_it(seconds: float, answer: str) -> None:
    lines = pool_verdicts([outcome("equal", 11.0), outcome("frozen", seconds, bound=10.7)])
    assert lines[1].split()[0] == answer
    assert "of which the lost link alone is 0.70 s" in lines[1]


def test_a_blow_without_the_scene_to_compare_it_with_is_not_judged() -> None:
    assert pool_verdicts([outcome("killed", 11.0)]) == []


def test_alone_is_compared_with_aria2() -> None:
    assert pool_verdicts([outcome("alone", 11.1), outcome("aria2", 10.0)])[0].startswith("NO ")
    assert pool_verdicts([outcome("alone", 10.9), outcome("aria2", 10.0)])[0].startswith("yes")


@pytest.mark.parametrize(
    ("scene", "sent", "answer"),
    [("together", 1.02, "yes"), ("together", 1.03, "NO"), ("killed", 1.09, "yes"), ("killed", 1.11, "NO")],
)
def test_a_crowd_is_judged_by_what_its_origin_sent(scene: str, sent: float, answer: str) -> None:
    (line,) = crowd_verdicts([outcome(scene, 11.0, sent=sent)])
    assert line.split()[0] == answer


# -- options


@pytest.mark.parametrize("lab", [pool, crowd])
def test_where_it_cannot_run_it_exits_with_77(
    lab: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert lab.main([]) == 77  # type: ignore[attr-defined]
    assert "needs root" in capsys.readouterr().err


def test_the_lan_may_be_without_limit() -> None:
    def lan_rate(*words: str) -> int:
        return int(parse_options("pool", "doc", pool_scenes, words).lan_rate)

    assert lan_rate() == 10**9
    assert lan_rate("--lan-rate", "none") == 0
    assert lan_rate("--lan-rate", "100mbit") == 10**8


def test_one_member_is_no_group(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parse_options("pool", "doc", pool_scenes, ["--members", "1"])
