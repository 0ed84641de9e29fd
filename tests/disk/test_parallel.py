"""Work on all cores: everything once, errors raised, stops obeyed, no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from shoal.disk.parallel import core_count, work_through

NEVER_DONE = 10**12  # pieces; whoever ends in time was told to


@pytest.fixture(autouse=True)
def no_thread_is_left() -> object:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [None, 1, 2, 7])
def test_every_piece_is_worked_on_once(threads: int | None) -> None:
    done: list[int] = []

    def work(piece: int) -> int:
        done.append(piece)
        return 10

    told: list[int] = []
    assert work_through(range(100), lambda: work, threads=threads, on_progress=told.append)
    assert sorted(done) == list(range(100))
    assert told[-1] == 1000


def test_each_thread_gets_a_worker_of_its_own() -> None:
    threads_of_workers: list[set[int]] = []
    both_began = threading.Barrier(2)

    def make_worker() -> Callable[[int], int]:
        seen: set[int] = set()
        threads_of_workers.append(seen)
        both_began.wait()

        def work(piece: int) -> int:
            seen.add(threading.get_ident())
            return 0

        return work

    work_through(range(100), make_worker, threads=2)
    assert len(threads_of_workers) == 2
    assert all(len(seen) <= 1 for seen in threads_of_workers)


def test_nothing_to_do_is_done_at_once() -> None:
    assert work_through([], lambda: lambda _: 0)


def test_the_error_of_a_worker_is_raised_and_ends_the_others() -> None:
    done: list[int] = []

    def work(piece: int) -> int:
        done.append(piece)
        time.sleep(0.001)  # or they would be many before the others hear of it
        if piece == 3:
            raise ZeroDivisionError
        return 1

    with pytest.raises(ZeroDivisionError):
        work_through(range(NEVER_DONE), lambda: work, threads=2)
    assert len(done) < NEVER_DONE


def test_a_stop_ends_the_work_after_the_present_pieces() -> None:
    is_asked = threading.Event()
    is_begun = threading.Event()

    def work(piece: int) -> int:
        is_begun.set()
        assert is_asked.wait(60)
        return 1

    def should_stop() -> bool:
        if is_begun.is_set():
            is_asked.set()
            return True
        return False

    assert not work_through(range(NEVER_DONE), lambda: work, threads=2, should_stop=should_stop)


def test_an_interrupt_in_a_callback_ends_all_threads() -> None:
    is_interrupted = threading.Event()

    def work(piece: int) -> int:
        assert is_interrupted.wait(60)
        return 1

    def interrupt(_: int) -> None:
        is_interrupted.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work_through(range(NEVER_DONE), lambda: work, threads=2, on_progress=interrupt)


def test_callbacks_come_in_the_callers_thread() -> None:
    callers: set[int] = set()
    work_through(range(10), lambda: lambda _: 1, on_progress=lambda _: callers.add(threading.get_ident()))
    assert callers == {threading.get_ident()}


def test_there_is_at_least_one_core() -> None:
    assert core_count() >= 1
