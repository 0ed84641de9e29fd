"""Names in the way, locks, links: what a part file never does to anybody else's files."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.disk import linux_calls
from shoal.disk.part_place import part_names
from shoal.errors import ExistsError, FileError

from .parts import IDENTITY, LENGTH, PIECE, PIECES, WHOLE, names_in, open_part, put

ROOT = Path(__file__).resolve().parent.parent.parent


# The final name


def test_a_file_of_that_name_is_left_alone_and_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ExistsError, match="file is there already") as caught:
        open_part(tmp_path)
    assert "--overwrite" in caught.value.hint
    assert names_in(tmp_path) == {"file"}


def test_a_file_that_appears_meanwhile_is_left_alone_and_the_download_stays(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, range(PIECES))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ExistsError, match="appeared meanwhile"):
        part.finish(mtime=1.0)
    part.close()
    assert (tmp_path / "file").read_text() == "precious"
    (tmp_path / "file").unlink()
    part = open_part(tmp_path, on_progress=lambda _: pytest.fail("it was read again"))
    assert part.finish().read_bytes() == WHOLE


def test_when_asked_a_file_is_replaced_at_the_end_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    part = open_part(tmp_path, overwrite=True)
    put(part, range(PIECES))
    assert (tmp_path / "file").read_text() == "old"
    assert part.finish().read_bytes() == WHOLE
    assert names_in(tmp_path) == {"file"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_that_name_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(ExistsError, match="file is a folder"):
        open_part(tmp_path, overwrite=overwrite)
    assert names_in(tmp_path) == {"file"}


def test_a_link_of_that_name_counts_as_a_file_even_if_it_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to("nowhere")
    with pytest.raises(ExistsError):
        open_part(tmp_path)
    assert names_in(tmp_path) == {"file"}


def test_a_link_is_replaced_itself_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "file").symlink_to("elsewhere")
    part = open_part(tmp_path, overwrite=True, length=0)
    part.finish()
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_where_the_system_cannot_rename_in_one_step_nothing_is_replaced_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux_calls, "_library_call", lambda _: None)
    part = open_part(tmp_path)
    put(part, range(PIECES))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ExistsError, match="appeared meanwhile"):
        part.finish()
    (tmp_path / "file").unlink()
    assert part.finish().read_bytes() == WHOLE
    assert names_in(tmp_path) == {"file"}


def test_a_name_taken_in_two_steps_is_given_back_when_the_second_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux_calls, "_library_call", lambda _: None)
    with pytest.raises(FileNotFoundError):
        linux_calls.rename_to_new(tmp_path / "gone", tmp_path / "new")
    assert names_in(tmp_path) == set()


# The names beside it


def test_a_part_file_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_text("another program's")
    with pytest.raises(ExistsError, match="nothing beside it says that it is a download of ours"):
        open_part(tmp_path)
    assert (tmp_path / "file.part").read_text() == "another program's"
    assert names_in(tmp_path) == {"file.part"}


def test_an_empty_part_file_of_somebody_else_holds_nothing_and_is_used(tmp_path: Path) -> None:
    (tmp_path / "file.part").touch()
    part = open_part(tmp_path)
    put(part, range(PIECES))
    assert part.finish().read_bytes() == WHOLE
    assert names_in(tmp_path) == {"file"}


def test_a_record_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "file.part.shoal").write_text("a file about shoals")
    with pytest.raises(ExistsError, match="no record of a download"):
        open_part(tmp_path)
    assert (tmp_path / "file.part.shoal").read_text() == "a file about shoals"
    assert names_in(tmp_path) == {"file.part.shoal"}


@pytest.mark.parametrize("name", ["file.part", "file.part.shoal"])
def test_no_link_is_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "inside" / name).symlink_to("../precious")
    with pytest.raises(FileError, match="a symbolic link or a file stands on the way"):
        open_part(tmp_path / "inside")
    assert (tmp_path / "precious").read_text() == "precious"
    assert names_in(tmp_path / "inside") == {name}


@pytest.mark.parametrize("name", ["file.part", "file.part.shoal"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, make: object) -> None:
    assert callable(make)
    make(tmp_path / name)
    with pytest.raises(FileError, match=r"Is a directory|not a regular file"):
        open_part(tmp_path)
    assert names_in(tmp_path) == {name}


def test_a_finished_file_is_not_taken_for_the_part_of_another(tmp_path: Path) -> None:
    part = open_part(tmp_path, "file.part")
    put(part, range(PIECES))
    part.finish()
    with pytest.raises(ExistsError):
        open_part(tmp_path, "file")
    assert (tmp_path / "file.part").read_bytes() == WHOLE


def test_somebody_who_moves_the_part_file_away_is_noticed(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    put(part, range(PIECES))
    part.part_path.rename(tmp_path / "moved")
    (tmp_path / "file.part").write_text("another one")
    with pytest.raises(FileError, match="somebody moved or removed it"):
        part.finish()
    part.close()
    assert (tmp_path / "moved").read_bytes() == WHOLE
    assert (tmp_path / "file.part").read_text() == "another one"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="no name of a file"):
        open_part(tmp_path, name)


@pytest.mark.parametrize("name", ["x" * 240, "x" * 245, "x" * 255, "é" * 127, "日" * 85, "x" * 251 + ".iso"])
def test_a_long_name_is_kept_whole_at_the_end(tmp_path: Path, name: str) -> None:
    part = open_part(tmp_path, name)
    put(part, range(PIECES))
    part.remember()
    part.close()
    part = open_part(tmp_path, name)
    assert part.have_bits.bit_count() == PIECES
    part.finish()
    assert names_in(tmp_path) == {name}


def test_a_name_too_long_for_the_file_system_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="File name too long") as caught:
        open_part(tmp_path, "x" * 256)
    assert "shorter name" in caught.value.hint
    assert names_in(tmp_path) == set()


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=255))
def test_names_beside_it_fit_and_two_long_names_never_share_them(name: str) -> None:
    part, record, rows = part_names(name)
    assert len(os.fsencode(record)) <= 255
    assert (record, rows) == (part + ".shoal", part + ".group")
    assert part_names(name + "x" * 255) != part_names(name + "x" * 256)


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    assert open_part(tmp_path / "a" / "b", length=0).finish() == tmp_path / "a" / "b" / "file"


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(FileError, match="folder"):
        open_part(tmp_path / "folder")


# One process at a time

_HOLDER = """
import sys
from pathlib import Path
from shoal.disk.part_file import PartFile
part = PartFile.open(Path(sys.argv[1]), "file", sys.argv[2].encode(), int(sys.argv[3]), piece_length=int(sys.argv[4]))
part.write(0, b"x")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the part file open until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, tmp_path, IDENTITY.decode(), str(LENGTH), str(PIECE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process


def test_another_process_at_it_is_named_by_its_pid(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(
        ExistsError, match=rf"another shoal process \(pid {holder.pid}\) is downloading"
    ) as caught:
        open_part(tmp_path)
    assert f"kill {holder.pid}" in caught.value.hint


def test_a_killed_process_leaves_no_lock(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    part = open_part(tmp_path)
    assert part.have_bits == 0
    part.close()


def test_within_a_process_too_there_is_one_at_a_time(tmp_path: Path) -> None:
    part = open_part(tmp_path)
    with pytest.raises(ExistsError, match=str(os.getpid())):
        open_part(tmp_path)
    part.close()
    open_part(tmp_path).close()


def when_locking(monkeypatch: pytest.MonkeyPatch, happen: Callable[[], object]) -> None:
    """Let something happen between the opening of the next part file and its locking."""
    real = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        happen()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)


def test_a_file_that_is_finished_before_it_can_be_locked_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_part(tmp_path)
    put(first, range(PIECES))
    when_locking(monkeypatch, first.finish)
    with pytest.raises(ExistsError, match="is there already"):
        open_part(tmp_path)
    assert (tmp_path / "file").read_bytes() == WHOLE
    assert names_in(tmp_path) == {"file"}


def test_a_file_that_is_removed_before_it_can_be_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_part(tmp_path)
    when_locking(monkeypatch, first.discard)
    part = open_part(tmp_path)
    put(part, range(PIECES))
    assert part.finish().read_bytes() == WHOLE
