"""`shoal create`: the torrent of a file or a folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import pytest

from shoal.cli import app
from shoal.cli.create import parse_date, parse_piece_length
from shoal.errors import ExitCode, UsageError
from shoal.formats.metainfo import Metainfo, parse_metainfo

Shoal = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder to share in it."""
    monkeypatch.chdir(tmp_path)
    for name, data in {"a": b"A" * 40_000, "sub/b": b"B" * 5, "empty": b"", "sub/c.tmp": b"C"}.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def create(*arguments: str) -> int:
    return app.run(["create", *arguments])


def made(path: str) -> Metainfo:
    return parse_metainfo(Path(path).read_bytes())


def test_a_file_becomes_a_torrent_of_its_name(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "payload").write_bytes(b"hello")
    assert create("sub/payload") == 0
    metainfo = made("payload.torrent")
    assert (metainfo.name, metainfo.is_single_file, metainfo.payload_size) == ("payload", True, 5)
    assert metainfo.piece_hashes == sha1(b"hello").digest()
    assert metainfo.info_hash_v2 is None


def test_a_folder_becomes_one_torrent_of_all_its_files() -> None:
    assert create("folder") == 0
    metainfo = made("folder.torrent")
    assert [(file.path, file.size) for file in metainfo.files] == [
        (("a",), 40_000), (("empty",), 0), (("sub", "b"), 5), (("sub", "c.tmp"), 1),
    ]  # fmt: skip


def test_every_wish_is_in_the_torrent() -> None:
    words = (
        "folder -o x --tracker http://a.lan:1 --tracker udp://b.lan:2 --web-seed http://c.lan/x "
        "--piece-length 32KiB --private --comment hi --name other --exclude *.tmp --date 2026-01-31"
    )
    assert create(*words.split()) == 0
    metainfo = made("x")
    assert metainfo.trackers == (("http://a.lan:1/announce",), ("udp://b.lan:2",))
    assert metainfo.web_seeds == ("http://c.lan/x",)
    assert metainfo.piece_length == 32768
    assert metainfo.is_private
    assert (metainfo.comment, metainfo.name, metainfo.creation_date) == ("hi", "other", 1769817600)
    assert [file.path[-1] for file in metainfo.files] == ["a", "empty", "b"]


def test_a_file_may_get_another_name() -> None:
    assert create("folder/a", "--name", "b", "--format", "hybrid") == 0
    metainfo = made("b.torrent")
    assert (metainfo.name, metainfo.is_single_file, metainfo.disk_path(0)) == ("b", True, ("b",))


@pytest.mark.parametrize(
    ("format_", "v1", "v2"), [("v1", True, False), ("v2", False, True), ("hybrid", True, True)]
)
def test_each_format_has_its_hashes(format_: str, v1: bool, v2: bool) -> None:
    assert create("folder", "--format", format_) == 0
    metainfo = made("folder.torrent")
    assert (metainfo.info_hash_v1 is not None, metainfo.info_hash_v2 is not None) == (v1, v2)
    assert app.run(["verify", "folder.torrent", "--dir", "."]) == 0


@pytest.mark.parametrize("format_", ["v1", "v2", "hybrid"])
def test_the_same_input_gives_the_same_bytes(format_: str, here: Path) -> None:
    assert create("folder", "--format", format_) == 0
    first = (here / "folder.torrent").read_bytes()
    for path in (here / "folder").rglob("*"):
        os.utime(path, (1, 1))
    assert create("folder", "--format", format_, "-o", "again") == 0
    assert (here / "again").read_bytes() == first


def test_nothing_is_overwritten_unasked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "folder.torrent").write_text("precious")
    assert create("folder") == ExitCode.EXISTS
    assert capsys.readouterr().err == (
        "shoal: folder.torrent is there already\nhint: --overwrite replaces it, -o names another file\n"
    )
    assert (here / "folder.torrent").read_text() == "precious"
    assert create("folder", "--overwrite") == 0
    assert made("folder.torrent").name == "folder"


def test_a_torrent_that_cannot_be_written_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "full").mkdir()
    assert create("folder", "-o", "absent/x.torrent") == ExitCode.FILE_IO
    assert "absent" in capsys.readouterr().err
    assert create("folder", "-o", "full", "--overwrite") == ExitCode.FILE_IO
    assert {path.name for path in here.iterdir()} == {"folder", "full"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["folder/empty"], ExitCode.USAGE, "there is no byte to share"),
        (["absent"], ExitCode.NOT_FOUND, "absent: no such file or folder"),
        (["folder", "--piece-length", "20000"], ExitCode.USAGE, "'20000' is not a piece length"),
        (["folder", "--piece-length", "x"], ExitCode.USAGE, "'x' is not a size"),
        (["folder", "--tracker", "a.lan"], ExitCode.USAGE, "'a.lan' is not a URL"),
        (
            ["folder", "--tracker", "udp://a.lan/x"],
            ExitCode.USAGE,
            "tracker URL 'udp://a.lan/x' lacks a port",
        ),
        (
            ["folder", "--tracker", "udp://a.lan:99999"],
            ExitCode.USAGE,
            "tracker URL 'udp://a.lan:99999': its port is no number up to 65535",
        ),
        (["folder", "--web-seed", "udp://a"], ExitCode.USAGE, "'udp://a' is not a URL of ftp, http, https"),
        (["folder", "--date", "soon"], ExitCode.USAGE, "'soon' is not a date"),
        (["folder", "--format", "v3"], ExitCode.USAGE, "'v3'"),
        (["folder", "--name", "a/b"], ExitCode.USAGE, "--name 'a/b' is a path"),
        (["folder", "--name", "../x"], ExitCode.USAGE, "--name '../x' is a path"),
        (["folder", "--name", ".."], ExitCode.USAGE, "--name '..' is a path"),
        ([], ExitCode.USAGE, "Missing argument 'PATH'"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_line(
    arguments: list[str], code: int, told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert create(*arguments) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert told in output.err.splitlines()[0]
    assert {path.name for path in here.iterdir()} == {"folder"}


def test_more_pieces_than_a_torrent_can_have_are_refused_before_hashing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (here / "huge").open("wb") as file:
        file.truncate(2**40)  # no byte of it is ever read
    assert create("huge", "--piece-length", "16KiB") == ExitCode.USAGE
    assert "67,108,864 pieces, where 4,194,304 is the limit" in capsys.readouterr().err


def test_what_is_left_out_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "folder" / "link").symlink_to("/etc/passwd")
    assert create("folder") == 0
    output = capsys.readouterr()
    assert "link: left out" in output.err
    assert "4 files" in output.out


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert create("folder", "--quiet") == 0
    output = capsys.readouterr()
    assert output.out + output.err == ""


def test_sigterm_ends_it_as_unfinished(here: Path) -> None:
    import signal
    import sys

    with (here / "huge").open("wb") as file:
        file.truncate(2**40)
    process = subprocess.Popen(
        [sys.executable, "-m", "shoal", "create", "huge"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.readline().startswith("hashing")  # it is under way
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == ExitCode.UNFINISHED
        assert errors.read().strip() == ""
    assert not (here / "huge.torrent").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1700000000", 1700000000),
        ("2026-01-31", 1769817600),
        ("2026-01-31T01:00:00+01:00", 1769817600),
    ],
)
def test_a_date_is_read(text: str, expected: int) -> None:
    assert parse_date(text) == expected


def test_now_is_a_date() -> None:
    assert parse_date("now") > 1_700_000_000


@pytest.mark.parametrize("text", ["", "-1", "soon", "2026-13-01", "99999999999999", "1e9"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a date"):
        parse_date(text)


def test_a_piece_length_is_a_power_of_two_in_bounds() -> None:
    assert parse_piece_length("16KiB") == 16384
    assert parse_piece_length("512MiB") == 512 * 2**20
    for text in ("8KiB", "1GiB", "1MB", "0"):
        with pytest.raises(UsageError, match="is not a piece length"):
            parse_piece_length(text)
