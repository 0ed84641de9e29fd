"""The sums of what people moved, against a model, and with several who add to them."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.disk.accounts import MAX_TOTAL, Accounts, PeerReport, Traffic, growth, read_totals
from shoal.errors import FileError, NotFoundError

ROOT = Path(__file__).resolve().parents[2]
HASH, PEER = b"h" * 20, b"p" * 20


def report(up: int, down: int, at: float, **changes: object) -> PeerReport:
    fields = {"owner": "alice", "info_hash": HASH, "peer_id": PEER, **changes}
    return PeerReport(told=Traffic(up, down), reported_at=at, **fields)  # type: ignore[arg-type]


def summed(folder: Path, *bundles: list[PeerReport]) -> dict[str, Traffic]:
    with closing(Accounts(folder / "accounts")) as accounts:
        for bundle in bundles:
            accounts.add(bundle)
        return accounts.totals()


# Each client lives several lives; in each it starts at 0, moves bytes between announces, and stops or just vanishes.
lives = st.tuples(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), max_size=5), st.booleans())
histories = st.dictionaries(
    st.tuples(st.sampled_from(["alice", "bob"]), st.sampled_from([b"1" * 20, b"2" * 20])),
    st.lists(lives, min_size=1, max_size=4),
    min_size=1,
)


@settings(max_examples=60)
@given(histories, st.integers(1, 7), st.randoms(use_true_random=False))
def test_sums_are_what_was_moved_however_clients_start_and_stop(
    tmp_path_factory: pytest.TempPathFactory,
    history: dict,
    size: int,
    rng,  # type: ignore[type-arg,no-untyped-def]
) -> None:
    moved: dict[str, Traffic] = {}
    streams: list[list[PeerReport]] = []
    for (owner, peer_id), lived in history.items():
        stream: list[PeerReport] = []
        for steps, has_stopped in lived:
            total = Traffic()
            who = {"owner": owner, "peer_id": peer_id}
            stream.append(report(0, 0, 0, is_start=True, **who))
            for step in steps:
                total += Traffic(*step)
                stream.append(report(total.uploaded, total.downloaded, 0, **who))
            if has_stopped:
                stream.append(report(total.uploaded, total.downloaded, 0, is_stop=True, **who))
            moved[owner] = moved.get(owner, Traffic()) + total
        streams.append(stream)
    reports: list[PeerReport] = []
    while streams:  # peers announce in any order among each other
        stream = rng.choice(streams)
        reports.append(stream.pop(0))
        streams = [stream for stream in streams if stream]
    timed = [
        PeerReport(r.owner, r.info_hash, r.peer_id, r.told, float(number), r.is_start, r.is_stop)
        for number, r in enumerate(reports)
    ]
    bundles = [timed[at : at + size] for at in range(0, len(timed), size)]
    sums = summed(tmp_path_factory.mktemp("accounts"), *bundles)
    assert sums == {owner: traffic for owner, traffic in moved.items() if traffic != Traffic()}


@given(
    st.none() | st.builds(Traffic, st.integers(0, MAX_TOTAL), st.integers(0, MAX_TOTAL)),
    st.builds(Traffic, st.integers(0, MAX_TOTAL), st.integers(0, MAX_TOTAL)),
    st.booleans(),
)
def test_nothing_shrinks_the_sums(last: Traffic | None, told: Traffic, is_start: bool) -> None:
    more = growth(last, told, is_start=is_start)
    assert 0 <= more.uploaded <= told.uploaded
    assert 0 <= more.downloaded <= told.downloaded


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([report(0, 0, 1, is_start=True), report(10, 1, 2), report(30, 2, 3)], Traffic(30, 2)),
        (
            [report(0, 0, 1, is_start=True), report(9, 9, 2), report(4, 9, 3)],
            Traffic(13, 18),
        ),  # it began again
        ([report(5, 5, 1)], Traffic()),  # never seen: it may have been counted before
        ([report(5, 5, 1), report(7, 6, 2)], Traffic(2, 1)),
        ([report(0, 0, 1, is_start=True), report(8, 0, 2, is_stop=True)] * 1, Traffic(8, 0)),
        (
            [
                report(0, 0, 1, is_start=True),
                report(8, 0, 2, is_stop=True),
                report(8, 0, 3, is_stop=True),  # UDP says goodbye twice
            ],
            Traffic(8, 0),
        ),
        ([report(0, 0, 1, is_start=True), report(0, 0, 2, is_start=True), report(3, 0, 3)], Traffic(3, 0)),
        ([report(0, 0, 1, is_start=True), report(7, 0, 5), report(4, 0, 3)], Traffic(7, 0)),  # a late one
        ([report(0, 0, 1, is_start=True), report(2**70, 0, 2)], Traffic(MAX_TOTAL, 0)),
        (
            [report(0, 0, 1, is_start=True), report(MAX_TOTAL, 0, 2), report(0, 0, 3), report(9, 0, 4)],
            Traffic(MAX_TOTAL, 0),
        ),
    ],
)
def test_stories_of_one_peer(tmp_path: Path, reports: list[PeerReport], expected: Traffic) -> None:
    by_one = summed(tmp_path, reports).get("alice", Traffic())
    (tmp_path / "each").mkdir()
    by_each = summed(tmp_path / "each", *[[one] for one in reports]).get("alice", Traffic())
    assert by_one == by_each == expected


def test_torrents_and_owners_are_counted_apart(tmp_path: Path) -> None:
    starts = [
        report(0, 0, 1, is_start=True, owner=owner, info_hash=info_hash)
        for owner in ("alice", "bob")
        for info_hash in (b"1" * 20, b"2" * 20)
    ]
    later = [report(5, 6, 2, owner=one.owner, info_hash=one.info_hash) for one in starts[:3]]
    assert summed(tmp_path, starts + later) == {"alice": Traffic(10, 12), "bob": Traffic(5, 6)}


def test_who_is_silent_for_long_is_forgotten_and_counts_on_from_what_it_says_next(tmp_path: Path) -> None:
    with closing(Accounts(tmp_path / "accounts")) as accounts:
        accounts.add([report(0, 0, 1, is_start=True), report(10, 0, 2)])
        accounts.add([], forget_before=3)
        accounts.add([report(50, 0, 100)])
        accounts.add([report(60, 0, 101)])
        assert accounts.totals() == {"alice": Traffic(20, 0)}


def test_a_restart_counts_nothing_twice(tmp_path: Path) -> None:
    assert summed(tmp_path, [report(0, 0, 1, is_start=True), report(10, 5, 2)])
    assert summed(tmp_path, [report(15, 5, 3)]) == {"alice": Traffic(15, 5)}
    assert read_totals(tmp_path / "accounts") == {"alice": Traffic(15, 5)}


def test_several_processes_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    code = """
import sys
from pathlib import Path
from shoal.disk.accounts import Accounts, PeerReport, Traffic
accounts, peer_id = Accounts(Path(sys.argv[1])), sys.argv[2].encode() * 20
for step in range(51):
    accounts.add([PeerReport("alice", b"h" * 20, peer_id, Traffic(step, 2 * step), float(step), step == 0)])
accounts.close()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    adding = [
        subprocess.Popen([sys.executable, "-P", "-c", code, path, str(number)], env=environment)
        for number in range(3)
    ]
    assert [process.wait(60) for process in adding] == [0, 0, 0]
    assert read_totals(path) == {"alice": Traffic(150, 300)}


def test_a_bundle_that_fails_counts_nothing_of_it(tmp_path: Path) -> None:
    with closing(Accounts(tmp_path / "accounts")) as accounts:
        accounts.add([report(0, 0, 1, is_start=True)])

        def broken():  # type: ignore[no-untyped-def]
            yield report(10, 0, 2)
            raise KeyError

        with pytest.raises(KeyError):
            accounts.add(broken())
        assert accounts.totals() == {}
        accounts.add([report(10, 0, 2)])
        assert accounts.totals() == {"alice": Traffic(10, 0)}


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "accounts").write_bytes(b"what" * 1000)
    with pytest.raises(FileError, match="accounts: opening the accounts failed: file is not a database"):
        Accounts(tmp_path / "accounts")
    with pytest.raises(NotFoundError, match="absent: no such file"):
        read_totals(tmp_path / "absent")


def test_many_processes_may_open_it_for_the_first_time_at_once(tmp_path: Path) -> None:
    fork, count = multiprocessing.get_context("fork"), 6
    for attempt in range(30):
        together = fork.Barrier(count)

        def open_and_close(path: Path, together: Barrier = together) -> None:
            together.wait()
            Accounts(path).close()

        processes = [
            fork.Process(target=open_and_close, args=(tmp_path / str(attempt),)) for _ in range(count)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * count
