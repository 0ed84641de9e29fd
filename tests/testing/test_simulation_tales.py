"""What a simulated network tells, that it tells the same every time, and what it says when a story fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.testing.simulation import (
    LivelockError,
    Manners,
    Network,
)
from shoal.testing.simulation.timeline import MOST_EVENTS_AT_ONCE, Timeline
from shoal.units import KIB

from .links import ALL, LAYOUT, SIZE, pair
from .trace import Digest, Notes


def test_a_recorder_hears_of_every_byte_once() -> None:
    net = Network(1, LAYOUT)
    net.recorder = notes = Notes()
    net.add("seed", have=ALL)
    leechers = [net.add(f"leecher {n}") for n in range(5)]
    net.connect_all()
    net.finish(leechers)
    for leecher in leechers:
        blocks = [block for block in notes.blocks if block[2] == leecher.name]
        assert sum(block[3] for block in blocks) == leecher.received_bytes
        assert sum(block[3] for block in blocks if block[4]) == SIZE
        assert (leecher.completed_at, leecher.name) in notes.completed
    assert len(notes.pieces) == 5 * LAYOUT.piece_count
    assert ("leecher 3", "joined") in notes.events
    assert any(text == "unchokes leecher 1" for name, text in notes.events if name == "seed")


def test_a_recorder_hears_who_was_banned_who_left_and_who_froze() -> None:
    net = Network(1, LAYOUT)
    net.recorder = notes = Notes()
    liar = net.add("liar", have=ALL, manners=Manners(corrupt_share=1.0))
    net.add("seed", have=ALL, up=256 * KIB)
    leecher = net.add("leecher")
    net.connect_all()
    net.run(lambda: liar.key in leecher.banned)
    leecher.freeze()
    leecher.thaw()
    liar.leave()
    told = [text for _, text in notes.events]
    assert [text for text in told if text in ("banned liar", "froze", "thawed", "left")] == [
        "banned liar", "froze", "thawed", "left",
    ]  # fmt: skip
    assert any(not is_good for _, _, is_good in notes.pieces)


# The same every time


def test_two_processes_tell_the_same_story_whatever_their_hashes() -> None:
    digests = {_digest_elsewhere(seed=7, hash_seed=hash_seed) for hash_seed in ("0", "1", "4242")}
    assert len(digests) == 1
    assert digests != {_digest_elsewhere(seed=8, hash_seed="0")}


def _digest_elsewhere(*, seed: int, hash_seed: str) -> str:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{root / 'src'}:{root}"}
    script = f"from tests.testing.trace import troubled_story; print(troubled_story({seed}))"
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, env=environment, cwd=root, check=True, capture_output=True, text=True
    ).stdout


def test_to_listen_does_not_change_the_story() -> None:
    times = []
    for recorder in (None, Digest()):
        net = Network(5, LAYOUT)
        net.recorder = recorder
        net.add("seed", have=ALL)
        leechers = [net.add(f"leecher {n}", jitter=0.05) for n in range(4)]
        net.connect_all()
        net.finish(leechers)
        times.append([leecher.completed_at for leecher in leechers])
    assert times[0] == times[1]


# When it goes wrong


def test_a_story_that_takes_too_long_names_its_seed() -> None:
    net = Network(1234, LAYOUT)
    pair(net, up=1 * KIB)
    with pytest.raises(TimeoutError, match=r"seed 1234: not over at 11\.000 s"):
        net.run(lambda: False, limit=10)


def test_an_endless_exchange_names_its_seed() -> None:
    net = Network(99, LAYOUT)

    def again() -> None:
        net.clock.call_soon(again)

    again()
    with pytest.raises(LivelockError, match="seed 99: no end of events at"):
        net.run(lambda: False)


def test_any_failure_on_the_way_names_its_seed() -> None:
    net = Network(77, LAYOUT)
    net.clock.call_later(2, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError) as caught:
        net.run(lambda: False)
    assert caught.value.__notes__ == ["seed 77, at 3.000 s of virtual time"]


# The timeline


def test_what_is_to_happen_soon_comes_before_what_is_due_now() -> None:
    timeline, story = Timeline(), list[str]()
    timeline.call_at(2.0, lambda: (story.append("first"), timeline.call_soon(story.append, "soon")))
    timeline.call_at(2.0, story.append, "second")
    timeline.call_at(0.0, story.append, "overdue")
    timeline.run(lambda: False, limit=5)
    assert story == ["overdue", "first", "soon", "second"]
    assert timeline.now == 2.0


def test_many_events_at_one_moment_are_no_livelock() -> None:
    timeline, count = Timeline(), 0

    def one() -> None:
        nonlocal count
        count += 1

    for _ in range(MOST_EVENTS_AT_ONCE):
        timeline.call_at(2.0, one)
    timeline.run(lambda: False, limit=5)
    assert count == MOST_EVENTS_AT_ONCE
