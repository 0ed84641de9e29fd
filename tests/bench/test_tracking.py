"""The generators of `./dev bench tracker` and its prober, for a moment each: a benchmark that rots tells nothing."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="recvmmsg and /proc are Linux's")
if sys.platform == "linux":
    from bench.tracking import prober as prober_module
    from bench.tracking import udp_load
    from bench.tracking.figures import CLOSED, KEPT, UDP, Case, Taken, figures_of, table, verdicts
    from bench.tracking.http_load import load_closed, load_kept
    from bench.tracking.memory import peers_held
    from bench.tracking.population import SEED_EVERY, Population, datagrams
    from bench.tracking.prober import Asked, HttpQuestions, Prober, Told, UdpQuestions
    from bench.tracking.servers import Server, running_shoal, running_sink
    from bench.tracking.udp_load import HOST, Load, fill_from, fill_udp, load_udp

MOMENTS = (0.4, 4.0, 40.0)  # seconds; a busy machine may take longer than the first for any answer at all
PATIENCE = 60.0
STEPS = 150  # of a prober: peers have come, finished and gone by then


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost on loopback; on a busy machine it may be late."""
    monkeypatch.setattr(udp_load, "LOST_AFTER", PATIENCE)
    monkeypatch.setattr(prober_module, "ANSWER_SECONDS", PATIENCE)


def seen_by(load: Callable[[int, Population, float], Load], port: int, population: Population) -> Load:
    """What a generator sees in the first moment in which anything is answered."""
    for moment in MOMENTS:
        seen = load(port, population, moment)
        if seen.answered:
            break
    return seen


@pytest.fixture(scope="module")
def tracker() -> Iterator[Server]:
    with running_shoal() as server:
        yield server


def test_every_peer_of_a_population_is_another() -> None:
    population = Population(3, 3 * 50)
    tails = {(datagram[16:36], datagram[96:98]) for datagram in datagrams(population)}
    assert len(tails) == population.peers
    seeds = sum(population.left(peer) == 0 for peer in range(population.peers))
    assert abs(seeds - population.peers / SEED_EVERY) <= SEED_EVERY


def test_a_tracker_is_filled_and_asked_through_every_door(tracker: Server) -> None:
    population = Population(20, 200)
    filled = fill_udp(tracker.port, population)
    assert (filled.answered, filled.refused, filled.lost) == (200, 0, 0)
    assert peers_held(tracker.port, population.swarms) == population.peers
    for load in (load_udp, load_kept, load_closed):
        seen = seen_by(load, tracker.port, population)
        assert seen.answered > 0
        assert (seen.refused, seen.lost) == (0, 0)
        assert seen.answer_bytes >= 20 * seen.answered
    assert peers_held(tracker.port, population.swarms) == population.peers


def test_peers_come_from_several_addresses(tracker: Server) -> None:
    population = Population(5, 100)
    before = peers_held(tracker.port, 5)
    loads = fill_from(["127.1.1.1", "127.2.2.2"], tracker.port, population)
    assert [load.answered for load in loads] == [50, 50]
    assert peers_held(tracker.port, 5) == before + 100


def test_an_error_is_no_answer_to_the_generator() -> None:
    with running_shoal(most=1) as server:
        seen = fill_udp(server.port, Population(2, 20))
    assert (seen.answered, seen.refused) == (1, 19)


@pytest.mark.parametrize("door", ["udp", "http"])
def test_a_sink_answers_whatever_is_asked(door: str) -> None:
    population = Population(2, 20)
    with running_sink(door, 320) as sink:
        for load in (load_udp,) if door == "udp" else (load_kept, load_closed):
            seen = seen_by(load, sink.port, population)
            assert seen.answered > 0
            assert (seen.refused, seen.lost) == (0, 0)


# ---- the prober


@pytest.mark.parametrize("door", ["udp", "http"])
def test_our_tracker_tells_the_prober_the_truth(door: str) -> None:
    prober = Prober(tells_only_others=True)
    with running_shoal() as server:
        questions = UdpQuestions(server.port) if door == "udp" else HttpQuestions(server.port)
        with contextlib.closing(questions) as ask:
            for _ in range(STEPS):
                prober.step(ask)
    assert (prober.checked, prober.wrong, prober.failures) == (STEPS, 0, [])


@pytest.mark.parametrize("lie", ["counts", "missing", "twice", "stranger", "himself"])
def test_the_prober_notices(lie: str) -> None:
    prober = Prober(tells_only_others=True)
    with running_shoal() as server, contextlib.closing(UdpQuestions(server.port)) as questions:

        def lied(asked: Asked) -> Told | None:
            told = questions(asked)
            if told is None:
                return None
            himself = socket.inet_aton(HOST) + asked.port.to_bytes(2, "big")
            wrong = {
                "counts": replace(told, seeds=told.seeds + 1),
                "missing": replace(told, records=told.records[1:]),
                "twice": replace(told, records=told.records * 2),
                "stranger": replace(told, records=[*told.records, bytes(6)]),
                "himself": replace(told, records=[*told.records, himself]),
            }
            return wrong[lie]

        for _ in range(STEPS):
            prober.step(lied)
    assert prober.wrong > STEPS / 4  # goodbyes are not looked at, nor can nobody be missing or told twice
    assert prober.failures


def test_silence_is_a_wrong_answer() -> None:
    prober = Prober(tells_only_others=False)
    prober.step(lambda asked: None)
    assert prober.wrong == 1


# ---- figures


def taken(server: Server, door: str, rates: list[int], cpu_seconds: float = 0.95) -> Case:
    case = Case(door, server, load_udp)
    case.taken = [Taken(Load(1.0, rate), cpu_seconds) for rate in rates]
    return case


def test_a_door_is_compared_with_what_opentracker_can_do() -> None:
    ours, other = Server("shoal", 1, 1), Server("opentracker", 2, 2)
    population = Population(10, 100)
    figures = [
        figures_of(case, population)
        for case in (
            taken(ours, UDP, [80, 70, 1000]),
            taken(other, UDP, [100, 100, 100]),
            taken(ours, KEPT, [39]),
            taken(ours, CLOSED, [12]),
            taken(other, CLOSED, [20], cpu_seconds=0.5),
        )
    ]
    assert verdicts(figures) == [
        "yes  UDP, 10 swarms, 100 peers: 0.80 x opentracker; at least 0.75, the goal is 1",
        "NO   HTTP keep-alive, 10 swarms, 100 peers: 1.95 x opentracker; at least 2; opentracker used 0.50 of its core",
        "yes  HTTP close, 10 swarms, 100 peers: 0.60 x opentracker; at least 0.6; opentracker used 0.50 of its core",
    ]
    assert len(table(figures).splitlines()) == 1 + len(figures)


def test_without_opentracker_nothing_is_judged() -> None:
    ours = Server("shoal", 1, 1)
    assert verdicts([figures_of(taken(ours, UDP, [80]), Population(10, 100))]) == []
