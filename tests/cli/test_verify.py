"""`shoal verify`: which pieces and files are good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shoal.cli import app
from shoal.cli.verify import runs
from shoal.errors import ExitCode


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a torrent of three files: `a` is pieces 0 to 2 and a part of 3, `b` the rest of 3."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(bytes(range(250)) * 200)
    (tmp_path / "folder" / "b").write_bytes(b"B" * 5)
    (tmp_path / "folder" / "empty").touch()
    assert app.run(["create", "folder", "-q"]) == 0
    return tmp_path


def verify_json(capsys: pytest.CaptureFixture[str], folder: str = ".") -> tuple[int, dict[str, object]]:
    code = app.run(["verify", "folder.torrent", "--dir", folder, "--json"])
    return code, json.loads(capsys.readouterr().out)


def status_of_files(result: dict[str, object]) -> dict[str, str]:
    files = result["files"]
    assert isinstance(files, list)
    return {file["path"]: file["status"] for file in files}


def test_complete_data_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    code, result = verify_json(capsys)
    assert code == 0
    assert (result["complete"], result["pieces_good"], result["pieces_total"]) == (True, 4, 4)
    assert result["bad_pieces"] == []
    assert set(status_of_files(result).values()) == {"good"}


def test_complete_data_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["verify", "folder.torrent", "--dir", "."]) == 0
    assert capsys.readouterr().out == "folder is complete: 3 files, 48.8 KiB, every piece checked\n"


@pytest.mark.parametrize("position", [0, 16383, 16384, 49_999])
def test_one_wrong_byte_is_found_in_its_piece(
    position: int, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (here / "folder" / "a").open("r+b") as file:
        file.seek(position)
        file.write(b"\xff")
    code, result = verify_json(capsys)
    assert code == ExitCode.CHECKSUM
    assert result["bad_pieces"] == [[position // 16384] * 2]
    assert status_of_files(result)["folder/a"] == "damaged"


def test_a_missing_file_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "folder" / "a").unlink()
    code, result = verify_json(capsys)
    assert code == ExitCode.CHECKSUM
    assert status_of_files(result) == {"folder/a": "missing", "folder/b": "damaged", "folder/empty": "good"}


def test_a_missing_empty_file_is_not_complete(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "folder" / "empty").unlink()
    code, result = verify_json(capsys)
    assert code == ExitCode.CHECKSUM
    assert result["pieces_good"] == 4
    assert status_of_files(result)["folder/empty"] == "missing"


def test_a_file_that_goes_on_is_not_complete(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (here / "folder" / "b").open("ab") as file:
        file.write(b"more")
    code, result = verify_json(capsys)
    assert code == ExitCode.CHECKSUM
    assert status_of_files(result)["folder/b"] == "too long"


def test_what_is_wrong_is_shown_to_people(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "folder" / "a").write_bytes(b"")
    assert app.run(["verify", "folder.torrent", "--dir", "."]) == ExitCode.CHECKSUM
    assert capsys.readouterr().out.splitlines() == [
        "folder is not complete: 0 of 4 pieces good",
        "  damaged   folder/a  (0 of 4 pieces good)",
        "  damaged   folder/b  (0 of 1 piece good)",
        "bad pieces: 0-3",
    ]


def test_the_wrong_folder_gets_a_hint(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["verify", "folder.torrent", "--dir", "folder"]) == ExitCode.CHECKSUM
    assert capsys.readouterr().out.splitlines()[-1] == (
        "nothing of it is there: folder should be the folder that holds 'folder'"
    )


def test_verifying_changes_nothing(here: Path) -> None:
    (here / "folder" / "a").unlink()
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    assert app.run(["verify", "folder.torrent", "--dir", ".", "--quiet"]) == ExitCode.CHECKSUM
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before


def test_a_folder_that_is_not_there_is_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["verify", "folder.torrent", "--dir", "absent"]) == ExitCode.NOT_FOUND
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "shoal: absent: no such folder\n")


def test_quiet_leaves_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["verify", "folder.torrent", "--dir", ".", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("bits", "expected"), [(0, []), (1, [(0, 0)]), (0b1110001, [(0, 0), (4, 6)]), (0b110, [(1, 2)])]
)
def test_runs_of_pieces(bits: int, expected: list[tuple[int, int]]) -> None:
    assert list(runs(bits)) == expected
