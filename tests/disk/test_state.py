"""What is remembered, by whom, and what becomes of a damaged memory."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk.check import check_pieces, trusted_bits
from shoal.disk.state import Remembered, TorrentState, state_dir
from shoal.disk.storage import Stamp, Storage
from shoal.errors import ExistsError, FileError
from shoal.testing.torrents import make_torrent

INFO_HASH = bytes(range(20))
INT64 = st.integers(0, 2**63 - 1)
STAMPS = st.lists(st.none() | st.builds(Stamp, INT64, INT64, st.booleans()), max_size=20).map(tuple)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def state(folder: Path, tmp_path: Path) -> Iterator[TorrentState]:
    state = TorrentState.open(folder, INFO_HASH, tmp_path / "root")
    yield state
    state.close()


@given(have=st.integers(0, 2**200), stamps=STAMPS, uploaded=INT64, downloaded=INT64)
def test_what_was_recorded_is_loaded_by_the_next_process(
    tmp_path_factory: pytest.TempPathFactory,
    have: int,
    stamps: tuple[Stamp | None, ...],
    uploaded: int,
    downloaded: int,
) -> None:
    folder = tmp_path_factory.mktemp("state")
    state = TorrentState.open(folder, INFO_HASH, folder)
    state.record(have, stamps, uploaded=uploaded, downloaded=downloaded)
    state.close()
    again = TorrentState.open(folder, INFO_HASH, folder)
    assert again.load() == Remembered(have, stamps, uploaded, downloaded)
    again.close()


def test_nothing_is_remembered_at_first_and_only_the_last_record_later(state: TorrentState) -> None:
    assert state.load() is None
    state.record(1, [None])
    state.record(3, [Stamp(5, 6)])
    assert state.load() == Remembered(3, (Stamp(5, 6),), 0, 0)


def test_a_record_is_durable_by_settings_that_survive_a_power_cut(state: TorrentState) -> None:
    database = state._database
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_other_torrents_and_other_folders_are_other_states(
    state: TorrentState, folder: Path, tmp_path: Path
) -> None:
    state.record(1, [])
    for info_hash, root in ((INFO_HASH, tmp_path / "other"), (bytes(32), tmp_path / "root")):
        other = TorrentState.open(folder, info_hash, root)
        assert other.load() is None
        other.close()


def test_a_folder_is_the_same_by_whatever_path(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "alias").symlink_to("root")
    state = TorrentState.open(folder, INFO_HASH, tmp_path / "root")
    with pytest.raises(ExistsError):
        TorrentState.open(folder, INFO_HASH, tmp_path / "alias" / ".." / "alias")
    state.close()


_HOLDER = """
import sys
from pathlib import Path
from shoal.disk.state import TorrentState
state = TorrentState.open(Path(sys.argv[1]), bytes(range(20)), Path(sys.argv[2]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the state open until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, folder, tmp_path / "root"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process


def test_another_process_is_named_by_its_pid(
    holder: subprocess.Popen[str], folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExistsError, match=rf"another shoal process \(pid {holder.pid}\)") as caught:
        TorrentState.open(folder, INFO_HASH, tmp_path / "root")
    assert f"kill {holder.pid}" in caught.value.hint


def test_a_killed_process_leaves_no_lock(holder: subprocess.Popen[str], folder: Path, tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    TorrentState.open(folder, INFO_HASH, tmp_path / "root").close()


def test_closing_lets_the_next_in_and_may_be_repeated(
    state: TorrentState, folder: Path, tmp_path: Path
) -> None:
    state.close()
    state.close()
    TorrentState.open(folder, INFO_HASH, tmp_path / "root").close()


def _not_a_database(path: Path) -> None:
    path.write_bytes(b"x" * 5000)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _other_table(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE torrent (id INTEGER PRIMARY KEY, something TEXT)")
    database.close()


def _other_version(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=99")
    database.close()


def _broken_stamps(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE torrent SET stamps = x'010203'")
    database.close()


def _text_for_bits(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE torrent SET have = 'abc'")
    database.close()


@pytest.mark.parametrize(
    "damage", [_not_a_database, _cut_short, _other_table, _other_version, _broken_stamps, _text_for_bits]
)
def test_a_damaged_state_is_set_aside_and_forgotten(
    damage: object, state: TorrentState, folder: Path, tmp_path: Path
) -> None:
    state.record(7, [Stamp(1, 2)])
    state.close()
    assert callable(damage)
    damage(state.path)
    again = TorrentState.open(folder, INFO_HASH, tmp_path / "root")
    assert again.load() is None
    assert state.path.with_suffix(".damaged").exists()
    again.record(1, [])
    assert again.load() == Remembered(1, (), 0, 0)
    again.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="file"):
        TorrentState.open(tmp_path / "file", INFO_HASH, tmp_path)


def test_the_folder_of_states_may_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOAL_STATE_DIR", str(tmp_path))
    assert state_dir() == tmp_path
    monkeypatch.delenv("SHOAL_STATE_DIR")
    assert state_dir().name == "shoal"


_KILLED_BEFORE_RECORDING = """
import os, signal, sys
from pathlib import Path
from shoal.disk.state import TorrentState
from shoal.disk.storage import Storage
from shoal.testing.torrents import make_torrent
root = Path(sys.argv[2])
metainfo = make_torrent({"file": b"a" * 16384 + b"b" * 16384 + b"c" * 16384}, 16384)
state = TorrentState.open(Path(sys.argv[1]), metainfo.wire_hash, root)
storage = Storage(metainfo, root)
storage.write(0, b"a" * 16384)
storage.sync()
state.record(1, storage.stamps())
storage.write(16384, b"b" * 16384)
storage.write(32768, b"?" * 16384)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_between_write_and_record_everything_in_doubt_is_checked(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED_BEFORE_RECORDING, str(folder), str(tmp_path)]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
    metainfo = make_torrent({"file": b"a" * 16384 + b"b" * 16384 + b"c" * 16384}, 16384)
    state = TorrentState.open(folder, metainfo.wire_hash, tmp_path)
    storage = Storage(metainfo, tmp_path)
    remembered = state.load()
    assert remembered is not None
    assert remembered.have_bits == 0b001
    os.utime(tmp_path / "t" / "file")  # the clock of some file systems is coarser than two writes
    trusted, doubtful = trusted_bits(metainfo, storage, remembered)
    assert (trusted, doubtful) == (0, 0b111)
    assert check_pieces(metainfo, storage, doubtful) == 0b011
    storage.close()
    state.close()
