"""The catalogue from outside: `share --publish`, `list`, `get shoal://`, `unpublish`, `accounts`."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal.cli.catalogues import Catalogue, asking, near_names, parse_catalogue
from shoal.cli.publishing import SECRET_NAME, owner_secret, owner_token
from shoal.disk.accounts import Accounts, PeerReport, Traffic
from shoal.errors import ExitCode, FileError, UsageError
from shoal.formats.metainfo import parse_metainfo
from shoal.testing.build import build_torrent, make_payload
from shoal.tracker.accounting import accounts_path
from shoal.units import KIB

from ..conftest import Shoal
from .running import HOST, LOCAL, Running, start

TOKEN = "publish-token-0123"
KEY = "alice-key-0123456789"
WITH_TOKEN = {"SHOAL_PUBLISH_TOKEN": TOKEN}


@contextmanager
def tracker(folder: Path, *more: str) -> Iterator[tuple[Running, str]]:
    """A tracker with a catalogue; its host and port."""
    arguments = ("--catalogue", "catalogue", "--publish-token", TOKEN, *more)
    with start(folder, "tracker", "--bind", HOST, "--port", "0", *arguments) as running:
        yield running, running.wait_line(r"http://([^/]+)/announce").group(1)


@contextmanager
def published(folder: Path, host: str, name: str = "file.bin", size: int = 300 * KIB) -> Iterator[Running]:
    (folder / name).write_bytes(make_payload(size))
    with start(folder, "share", *LOCAL, name, "--publish", f"http://{host}", env=WITH_TOKEN) as sharing:
        yield sharing


def test_what_is_published_is_listed_and_got_by_its_name(tmp_path: Path, shoal: Shoal) -> None:
    with tracker(tmp_path) as (_, host):
        empty = shoal("list", host)
        assert empty.returncode == 0
        assert empty.stdout.startswith(f"nothing is published at {host} yet\npublish with: shoal share ")
        with published(tmp_path, host, "a file.bin") as sharing:
            line = sharing.wait_line("shoal get ").string.strip()
            assert line == f"shoal get shoal://{host}/a%20file.bin"
            table = shoal("list", f"shoal://{host}").stdout.splitlines()
            assert table[0].split() == ["NAME", "SIZE", "SEEDS", "LEECHERS"]
            assert table[1].startswith("a file.bin") and "300 KiB" in table[1]
            assert table[-1] == f"get one with: {line}"
            (entry,) = json.loads(shoal("list", host, "--json").stdout)
            assert (entry["name"], entry["size"], entry["file_count"]) == ("a file.bin", 300 * KIB, 1)
            got = shoal("get", *LOCAL, "--dir", "there", line.removeprefix("shoal get "))
            assert got.returncode == 0, got.stderr
            assert sharing.stop() == 0
        assert (tmp_path / "there" / "a file.bin").read_bytes() == make_payload(300 * KIB)
        assert len(shoal("list", host).stdout.splitlines()) == 4  # it stays when its publisher leaves


def test_sharing_again_replaces_and_unpublishing_removes(
    tmp_path: Path, shoal: Shoal, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_PUBLISH_TOKEN", TOKEN)
    with tracker(tmp_path) as (_, host):
        for size in (1000, 2000):
            with published(tmp_path, host, size=size) as sharing:
                sharing.wait_line("shoal get ")
        (entry,) = json.loads(shoal("list", host, "--json").stdout)
        assert entry["size"] == 2000
        source = f"shoal://{host}/file.bin"
        monkeypatch.setenv("SHOAL_STATE_DIR", str(tmp_path / "another machine"))
        for refused in (
            shoal("share", *LOCAL, "file.bin", "--publish", host),
            shoal("unpublish", source),
        ):
            assert refused.returncode == ExitCode.EXISTS
            assert "'file.bin' is published by somebody else" in refused.stderr
            assert "hint: only the machine that published" in refused.stderr
        monkeypatch.setenv("SHOAL_STATE_DIR", str(state_dir))
        assert shoal("unpublish", source).stdout == f"removed file.bin from {host}\n"
        gone = shoal("unpublish", source)
        assert gone.returncode == ExitCode.NOT_FOUND
        assert json.loads(shoal("list", host, "--json").stdout) == []


def test_a_name_that_is_not_there_is_answered_with_near_ones(tmp_path: Path, shoal: Shoal) -> None:
    with tracker(tmp_path) as (_, host), published(tmp_path, host) as sharing:
        sharing.wait_line("shoal get ")
        near = shoal("get", f"shoal://{host}/File.bni")
        assert near.returncode == ExitCode.NOT_FOUND
        assert near.stderr == (
            f"shoal: {host} has nothing published as 'File.bni'\n"
            f"hint: did you mean: shoal://{host}/file.bin\n"
        )
        far = shoal("get", f"shoal://{host}/zzz")
        assert far.returncode == ExitCode.NOT_FOUND
        assert f"hint: shoal list {host} shows what there is" in far.stderr


@pytest.mark.parametrize("token", [None, "wrong-token-0123"])
def test_without_the_right_token_nothing_is_published_and_it_is_said_how(
    tmp_path: Path, shoal: Shoal, token: str | None
) -> None:
    (tmp_path / "file.bin").write_bytes(b"x" * 1000)
    with tracker(tmp_path) as (_, host):
        more = () if token is None else ("--publish-token", token)
        refused = shoal("share", *LOCAL, "file.bin", "--publish", host, *more)
        assert refused.returncode in (ExitCode.USAGE, ExitCode.FAILED)
        assert "hint: give the tracker's token with --publish-token or SHOAL_PUBLISH_TOKEN" in refused.stderr
        assert len(refused.stderr.splitlines()) == 2  # and nothing of hashing or listening
        assert "wrong-token" not in refused.stderr
        assert json.loads(shoal("list", host, "--json").stdout) == []


def test_a_name_that_is_somebody_elses_is_refused_before_anything_is_hashed(
    tmp_path: Path, shoal: Shoal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_PUBLISH_TOKEN", TOKEN)
    with tracker(tmp_path) as (_, host), published(tmp_path, host) as sharing:
        sharing.wait_line("shoal get")
        monkeypatch.setenv("SHOAL_STATE_DIR", str(tmp_path / "another machine"))
        refused = shoal("share", *LOCAL, "file.bin", "--publish", host)
        assert refused.returncode == ExitCode.EXISTS
        assert "published by somebody else" in refused.stderr
        assert "listening" not in refused.stderr


def test_a_name_is_not_given_where_a_tracker_is_wanted(shoal: Shoal) -> None:
    refused = shoal("share", "file.bin", "--publish", "shoal://host/name")
    assert refused.returncode == ExitCode.USAGE
    assert "hint: what is published has the name of its file or folder" in refused.stderr


def test_a_tracker_without_a_catalogue_says_so(
    tmp_path: Path, shoal: Shoal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_PUBLISH_TOKEN", TOKEN)
    (tmp_path / "file.bin").write_bytes(b"x" * 1000)
    with start(tmp_path, "tracker", "--bind", HOST, "--port", "0") as running:
        host = running.wait_line(r"http://([^/]+)/announce").group(1)
        for result in (
            shoal("list", host),
            shoal("get", f"shoal://{host}/a"),
            shoal("share", *LOCAL, "file.bin", "--publish", host),
        ):
            assert result.returncode == ExitCode.NOT_FOUND
            assert f"shoal: {host} has no catalogue\nhint: " in result.stderr


def test_members_of_a_private_tracker_publish_no_key_and_get_with_their_own(
    tmp_path: Path, shoal: Shoal
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"alice {KEY}\nbob bob-key-0123456789\n")
    (tmp_path / "file.bin").write_bytes(make_payload(300 * KIB))
    with tracker(tmp_path, "--passkeys", str(keys)) as (running, host):
        url = f"http://{host}/{KEY}/announce"
        with start(tmp_path, "share", *LOCAL, "file.bin", "--publish", url, env=WITH_TOKEN) as sharing:
            assert KEY not in sharing.wait_line("shoal get ").string
            stored = (tmp_path / "catalogue" / "file.bin.torrent").read_bytes()
            assert KEY.encode() not in stored
            source = f"shoal://bob-key-0123456789@{host}/file.bin"
            got = shoal("get", *LOCAL, "--dir", "there", source)
            assert got.returncode == 0, got.stderr
            assert sharing.stop() == 0
        assert running.stop() == 0
        assert KEY not in "".join(running.out + running.err + sharing.out + sharing.err)
    assert (tmp_path / "there" / "file.bin").read_bytes() == make_payload(300 * KIB)
    rows = {row["owner"]: row for row in json.loads(shoal("accounts", keys, "--json").stdout)}
    assert rows["bob"]["downloaded"] == 300 * KIB
    assert rows["alice"]["uploaded"] == 300 * KIB


def test_two_of_one_name_are_not_published(tmp_path: Path, shoal: Shoal) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same").write_bytes(folder.encode())
    with tracker(tmp_path) as (_, host):
        result = shoal("share", *LOCAL, "one/same", "two/same", "--publish", host, "--publish-token", TOKEN)
    assert result.returncode == ExitCode.USAGE
    assert "two of them are named 'same'" in result.stderr


def test_the_sums_are_a_table(tmp_path: Path, shoal: Shoal) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"alice {KEY}\nidle idle-key-0123456789\n")
    assert shoal("accounts", keys).returncode == ExitCode.NOT_FOUND
    accounts = Accounts(accounts_path(keys))
    told = Traffic(5 * 1024, 3 * 1024 * 1024)
    accounts.add([PeerReport("alice", bytes(20), bytes(20), told, 1.0, is_start=True)])
    accounts.close()
    for path in (keys, accounts_path(keys)):
        lines = shoal("accounts", path).stdout.splitlines()
        assert lines[0].split() == ["NAME", "UPLOADED", "DOWNLOADED"]
        assert lines[1].split() == ["alice", "5.00", "KiB", "3.00", "MiB"]
    assert shoal("accounts", keys).stdout.splitlines()[2].split() == ["idle", "0", "B", "0", "B"]
    assert KEY not in shoal("accounts", keys).stdout


# ---- addresses and tokens


@pytest.mark.parametrize(
    ("text", "catalogue", "name"),
    [
        ("host", Catalogue("http", "host:6969"), ""),
        ("host:80", Catalogue("http", "host:80"), ""),
        ("[::1]", Catalogue("http", "[::1]:6969"), ""),
        ("shoal://host", Catalogue("http", "host:6969"), ""),
        ("SHOAL://Host:7/a%20b%2Fc", Catalogue("http", "host:7"), "a b/c"),
        ("shoal://host/a.torrent", Catalogue("http", "host:6969"), "a"),
        ("shoal://key@host/a", Catalogue("http", "host:6969", "key"), "a"),
        ("http://host:6969/announce", Catalogue("http", "host:6969"), ""),
        ("http://host/", Catalogue("http", "host"), ""),
        ("https://host/key/announce", Catalogue("https", "host", "key"), ""),
    ],
)
def test_addresses_are_written_in_many_ways(text: str, catalogue: Catalogue, name: str) -> None:
    assert parse_catalogue(text) == (catalogue, name)


@pytest.mark.parametrize(
    "text", ["", "shoal://", "udp://host:1", "host:port", "shoal://h/a/b", "http://h/a/b/announce", "http://h?q",
             "shoal://user:secret@h/a", "http://h/file.torrent", "[::1", "shoal://secret@h:99999/a", "secret@h:x",
             "http://h/not-a_secret_for-all/announce?a", "http://h/secret0secret0secret/a/announce"]
)  # fmt: skip
def test_what_is_no_address_is_refused_without_its_secrets(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_catalogue(text)
    assert "secret" not in caught.value.message + caught.value.hint


def test_a_catalogues_own_tracker_is_asked_first() -> None:
    def trackers(url: str, *tiers: list[str], private: bool = False) -> tuple[tuple[str, ...], ...]:
        data = build_torrent(b"x", trackers=tiers, private=private)
        return asking(parse_metainfo(data), parse_catalogue(url)[0]).trackers

    other = "http://other/announce"
    assert trackers("shoal://h", [other]) == (("http://h:6969/announce",), (other,))
    assert trackers("shoal://h", ["http://h:6969/announce", other]) == (("http://h:6969/announce",), (other,))
    assert trackers("shoal://k@h", ["http://h:6969/announce"]) == (("http://h:6969/k/announce",),)
    assert trackers("shoal://h", [other], private=True) == ((other,),)


def test_an_owners_token_is_lasting_secret_and_another_at_each_tracker(state_dir: Path) -> None:
    here, there = Catalogue("http", "here:6969"), Catalogue("http", "there:6969")
    assert owner_token(here) == owner_token(here) != owner_token(there)
    path = state_dir / SECRET_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in state_dir.iterdir()] == [SECRET_NAME]
    assert owner_secret().hex() not in owner_token(here)
    path.write_bytes(b"short")
    with pytest.raises(FileError, match="owner-secret: damaged"):
        owner_token(here)


def test_near_names_are_found_without_case() -> None:
    assert near_names("readme", ["README", "other"]) == ["README"]
    assert near_names("x", ["README"]) == []
