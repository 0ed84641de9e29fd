"""`shoal inspect`: its JSON is a contract, its text is for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shoal.cli import app
from shoal.errors import ExitCode
from shoal.formats.metainfo import parse_metainfo

KEYS = [
    "name", "info_hash_v1", "info_hash_v2", "total_size", "piece_length", "piece_count", "files", "trackers",
    "web_seeds", "private", "comment", "created_by", "creation_date", "magnet",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a hybrid torrent in it that has padding."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "a").write_bytes(b"A" * 20_000)
    (tmp_path / "folder" / "sub" / "b").write_bytes(b"B" * 5)
    words = "create folder -q --format hybrid --tracker http://a.lan --tracker http://b.lan --date 1700000000"
    assert app.run([*words.split(), "--comment", "two\nlines"]) == 0
    return tmp_path


def inspect_json(capsys: pytest.CaptureFixture[str], source: str) -> dict[str, object]:
    assert app.run(["inspect", source, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


def test_the_json_has_the_keys_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    metainfo = parse_metainfo(Path("folder.torrent").read_bytes())
    assert metainfo.info_hash_v1
    assert metainfo.info_hash_v2
    result = inspect_json(capsys, "folder.torrent")
    assert list(result) == KEYS
    magnet = result.pop("magnet")
    assert isinstance(magnet, str)
    assert magnet.startswith("magnet:?xt=urn:btih:")
    assert result == {
        "name": "folder",
        "info_hash_v1": metainfo.info_hash_v1.hex(),
        "info_hash_v2": metainfo.info_hash_v2.hex(),
        "total_size": 20_005,
        "piece_length": 16384,
        "piece_count": 3,
        "files": [{"path": "a", "size": 20_000}, {"path": "sub/b", "size": 5}],
        "trackers": [["http://a.lan/announce"], ["http://b.lan/announce"]],
        "web_seeds": [],
        "private": False,
        "comment": "two\nlines",
        "created_by": "Shoal",
        "creation_date": 1700000000,
    }


def test_the_magnet_of_a_torrent_says_the_same_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    torrent = inspect_json(capsys, "folder.torrent")
    magnet = inspect_json(capsys, str(torrent["magnet"]))
    assert list(magnet) == KEYS
    for key in ("name", "info_hash_v1", "info_hash_v2", "trackers", "magnet"):
        assert magnet[key] == torrent[key]
    for key in ("total_size", "piece_length", "piece_count", "creation_date"):
        assert magnet[key] is None
    assert magnet["files"] == []


def test_the_text_is_aligned_and_shows_each_thing_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["inspect", "folder.torrent"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name             folder"
    assert lines[1] == "size             19.5 KiB (20,005 bytes) in 2 files"
    assert "tracker, tier 2  http://b.lan/announce" in lines
    assert "comment          two\\nlines" in lines
    assert "created          2023-11-14 22:13:20 UTC" in lines
    assert lines[-3:] == ["files", "  19.5 KiB  a", "       5 B  sub/b"]


def test_of_many_files_the_first_are_shown_and_the_rest_counted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "many").mkdir()
    for number in range(30):
        (here / "many" / f"{number:02}").write_text("x")
    assert app.run(["create", "many", "-q"]) == 0
    assert app.run(["inspect", "many.torrent"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["  1 B  19", "... and 10 more files"]


@pytest.mark.parametrize(
    ("source", "code", "told"),
    [
        ("absent.torrent", ExitCode.NOT_FOUND, "absent.torrent: no such file"),
        ("folder", ExitCode.FILE_IO, "folder: a folder, not a torrent file"),
        ("folder/a", ExitCode.BAD_DATA, "folder/a: byte 0: "),
        ("magnet:?dn=x", ExitCode.BAD_DATA, "magnet link"),
        ("magnet:?xt=urn:btih:abc", ExitCode.BAD_DATA, "'abc'"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_bad_source_is_one_line_and_nothing_on_stdout(
    source: str, code: int, told: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["inspect", source, *options]) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert told in output.err.splitlines()[0]


@pytest.mark.corpora
def test_each_torrent_of_the_corpora_is_told_of_or_refused(
    corpora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torrents = sorted((corpora / "torrents").iterdir())
    assert torrents
    for path in torrents:
        code = app.run(["inspect", str(path), "--json"])
        output = capsys.readouterr()
        if code == 0:
            assert list(json.loads(output.out)) == KEYS
        else:
            assert (code, output.out) == (ExitCode.BAD_DATA, "")
            assert output.err.startswith(f"shoal: {path}: ")
            assert output.err.count("\n") == 1
