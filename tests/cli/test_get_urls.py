"""`shoal get URL` from outside: files of URLs, their options, and what is left when it ends early."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.formats.metainfo import parse_metainfo
from shoal.testing.build import make_payload
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect
from shoal.units import KIB, MIB

from ..conftest import Shoal
from ..fetch.ftp import ftp_origin
from ..fetch.nginx import PASSWORD, USER, nginx
from .part_records import remembered
from .running import LOCAL, PATIENCE, Offer, peer, remarks, start

BODY = random.Random(1).randbytes(2 * MIB + 12345)
SHA256 = hashlib.sha256(BODY).hexdigest()
SECRET = "correct-horse-battery"


@pytest.fixture
def origin() -> Iterator[HostileOrigin]:
    with HostileOrigin() as running:
        running.pages["/dir/data.iso"] = Page(BODY)
        running.pages["/slow.iso"] = Page(BODY, rate=100 * KIB)
        yield running


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        time.sleep(0.01)


# What it fetches


def test_a_file_is_got_and_the_last_word_is_one_line(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    result = shoal("get", origin.url("/dir/data.iso"), "--checksum", f"sha256:{SHA256}", "--connections", "1")
    assert (result.returncode, remarks(result.stderr.splitlines())) == (0, [])
    assert (tmp_path / "data.iso").read_bytes() == BODY
    assert names(tmp_path) == ["data.iso"]
    line = result.stdout.removesuffix("\n")
    assert line.startswith("got data.iso: 2.01 MiB in ")
    assert f"/s) from {origin.host}:{origin.port}, 1 connection, sha256 right" in line
    assert "\n" not in line


def test_without_a_digest_it_says_that_nothing_was_checked(shoal: Shoal, origin: HostileOrigin) -> None:
    result = shoal("get", origin.url("/dir/data.iso"))
    assert result.stdout.endswith(", not checked: no digest is known\n")


def test_several_urls_are_several_files_and_one_that_fails_does_not_stop_the_others(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    origin.pages["/b.bin"] = Page(b"b" * 1000)
    result = shoal(
        "get", origin.url("/absent"), origin.url("/dir/data.iso"), origin.url("/b.bin"), "--dir", "got"
    )
    assert result.returncode == ExitCode.NOT_FOUND
    assert names(tmp_path / "got") == ["b.bin", "data.iso"]
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        "got got/data.iso",
        "got got/b.bin",
    ]
    assert f"shoal: {origin.url('/absent')}: the server answers 404 Not Found" in result.stderr


def test_a_name_may_be_given_with_folders(tmp_path: Path, shoal: Shoal, origin: HostileOrigin) -> None:
    result = shoal("get", origin.url("/dir/data.iso"), "--dir", "got", "-o", "sub/mine.iso")
    assert result.stdout.startswith("got got/sub/mine.iso: ")
    assert (tmp_path / "got/sub/mine.iso").read_bytes() == BODY


def test_a_name_of_the_servers_stays_in_the_folder(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    disposition = ("Content-Disposition", 'attachment; filename="../../evil\x1b[2J.bin"')
    origin.pages["/x"] = Page(b"x" * 100, headers=(disposition,))
    result = shoal("get", origin.url("/x"), "--dir", "deep/got")
    assert result.returncode == 0
    (found,) = (tmp_path / "deep/got").iterdir()
    assert found.name.isprintable()
    assert names(tmp_path) == ["deep"]
    assert "\x1b" not in result.stdout


def test_the_servers_time_is_kept_if_asked_for(tmp_path: Path, shoal: Shoal, origin: HostileOrigin) -> None:
    origin.pages["/old"] = Page(b"old", modified="Wed, 21 Oct 2015 07:28:00 GMT")
    assert shoal("get", origin.url("/old"), "--remote-time").returncode == 0
    assert (tmp_path / "old").stat().st_mtime == 1445412480


def test_a_torrent_of_the_file_is_made_on_the_way(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    result = shoal("get", origin.url("/dir/data.iso"), "--torrent", "data.torrent")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[1] == "created data.torrent"
    assert parse_metainfo((tmp_path / "data.torrent").read_bytes()).web_seeds == (
        origin.url("/dir/data.iso"),
    )


def test_one_torrent_is_not_for_several_urls(shoal: Shoal, origin: HostileOrigin) -> None:
    result = shoal("get", origin.url("/dir/data.iso"), origin.url("/slow.iso"), "--torrent", "data.torrent")
    assert result.returncode == ExitCode.USAGE
    assert result.stderr.startswith("shoal: --torrent is for one URL")
    assert origin.asked == []


def test_a_mirror_stands_in_for_a_server_that_is_gone(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    result = shoal("get", origin.url("/absent.iso"), "--mirror", origin.url("/dir/data.iso"), "-o", "m.iso")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "m.iso").read_bytes() == BODY


def test_a_file_of_an_ftp_server_is_got(tmp_path: Path, shoal: Shoal) -> None:
    with ftp_origin(BODY) as server:
        result = shoal("get", server.url)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "file.bin").read_bytes() == BODY


def test_from_nginx_over_several_connections_with_a_password(tmp_path: Path) -> None:
    with nginx(tmp_path) as server:
        (server.files / "f.bin").write_bytes(BODY)
        slow_file = server.files / "slow.bin"
        slow_file.write_bytes(4 * BODY)
        os.utime(slow_file, (1e9, 1e9))  # one that was just written may change within its validator's second
        how = {"env": {"SHOAL_PASSWORD": PASSWORD}}
        with start(tmp_path, "get", f"{server.url}/closed/f.bin", "--user", USER, **how) as get:
            assert get.wait() == 0, get.err
        with start(tmp_path, "get", f"{server.url}/slow/slow.bin") as slow:
            assert slow.wait() == 0
        asked = server.asked()
    assert (tmp_path / "f.bin").read_bytes() == BODY
    assert (tmp_path / "slow.bin").read_bytes() == 4 * BODY
    assert len({line.split()[0] for line in asked if "/slow/" in line}) > 1
    assert PASSWORD not in "".join(get.out + get.err)


def test_the_rate_is_kept(shoal: Shoal, origin: HostileOrigin) -> None:
    result = shoal("get", origin.url("/dir/data.iso"), "--max-download-rate", "1MiB/s", "--json")
    assert json.loads(result.stdout.splitlines()[-1])["seconds"] > 1.5


# What it refuses, and what it leaves


def test_an_existing_file_is_left_unless_told_to(tmp_path: Path, shoal: Shoal, origin: HostileOrigin) -> None:
    (tmp_path / "data.iso").write_text("mine")
    result = shoal("get", origin.url("/dir/data.iso"))
    assert result.returncode == ExitCode.EXISTS
    assert "data.iso is there already\nhint: --overwrite replaces it, -o names another file" in result.stderr
    assert (tmp_path / "data.iso").read_text() == "mine"
    assert shoal("get", origin.url("/dir/data.iso"), "--overwrite").returncode == 0
    assert (tmp_path / "data.iso").read_bytes() == BODY


def test_a_wrong_digest_leaves_no_file_under_that_name(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    result = shoal("get", origin.url("/dir/data.iso"), "--checksum", "md5:" + 32 * "0", "--json")
    assert result.returncode == ExitCode.CHECKSUM
    assert names(tmp_path) == ["data.iso.part", "data.iso.part.shoal"]
    assert "hint: it is kept in data.iso.part: " in result.stderr
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["status"], last["exit_code"], last["verified"]) == ("failed", 32, "none")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_stops_it_the_same_command_goes_on(
    tmp_path: Path, origin: HostileOrigin, number: signal.Signals
) -> None:
    body = random.Random(2).randbytes(20 * MIB)
    origin.pages["/f.iso"] = Page(body)
    origin.rate = 512 * KIB
    command = ["get", origin.url("/f.iso"), "--connections", "1", "--json"]
    with start(tmp_path, *command) as get:
        wait_until(lambda: bool(remembered(tmp_path / "f.iso.part.shoal", 80)))
        code = get.stop(number)
    origin.rate = None
    if number is signal.SIGINT:
        assert code == ExitCode.UNFINISHED
        assert "f.iso: stopped with " in get.err[-1]
        assert "still to come; the same command goes on from here" in get.err[-1]
        assert get.json()[-1]["status"] == "unfinished"
        assert get.json()[-1]["bytes"] >= 256 * KIB
    assert not (tmp_path / "f.iso").exists()
    origin.pages["/f.iso"] = Page(body)
    with start(tmp_path, *command) as again:
        assert again.wait() == 0
    assert (tmp_path / "f.iso").read_bytes() == body
    assert names(tmp_path) == ["f.iso"]
    assert any("goes on: " in line for line in again.err)
    assert again.json()[-1]["sources"][0]["bytes"] < 20 * MIB


def test_one_stream_is_said_once_and_what_a_stop_then_costs(tmp_path: Path, origin: HostileOrigin) -> None:
    origin.pages["/s"] = Page(BODY, rate=50 * KIB, takes_ranges=False)
    with start(tmp_path, "get", origin.url("/s"), "--json") as get:
        get.wait_line('"phase": "fetching", "bytes": [1-9]')
        assert get.stop(signal.SIGINT) == ExitCode.UNFINISHED
    host = f"{origin.host}:{origin.port}"
    assert get.err == [
        f"shoal: one connection, and no going on after a stop: {host} does not serve parts of it",
        "shoal: s: stopped; nothing of it could be kept, and the same command begins anew",
    ]
    assert names(tmp_path) == []


def test_progress_is_a_plain_line_where_there_is_no_terminal(tmp_path: Path, origin: HostileOrigin) -> None:
    with start(tmp_path, "get", origin.url("/slow.iso"), "--connections", "1") as get:
        get.wait_line(r"^slow\.iso  \d+ %  \d.* of 2.01 MiB  .*/s  1 connection", on_stderr=True)
    with start(tmp_path, "get", origin.url("/dir/data.iso"), "--quiet") as quiet:
        assert quiet.wait() == 0
    assert (quiet.out, quiet.err) == ([], [])


def test_json_is_events_and_a_last_line_that_tells_how_it_ended(shoal: Shoal, origin: HostileOrigin) -> None:
    lines = shoal("get", origin.url("/dir/data.iso"), "--json").stdout.splitlines()
    *events, last = map(json.loads, lines)
    assert [event["event"] for event in events if event["event"] != "progress"] == ["got"]
    assert last.pop("seconds") > 0
    source = {"kind": "origin", "address": f"{origin.host}:{origin.port}", "bytes": len(BODY)}
    assert last == {
        "status": "complete",
        "path": "data.iso",
        "bytes": len(BODY),
        "sources": [source],
        "verified": "none",
    }


# What a URL turns out to be


def test_a_url_of_a_torrent_is_a_torrent_unless_it_is_wanted_raw(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    offer = Offer(tmp_path, make_payload(200 * KIB))
    torrent = offer.torrent.read_bytes()
    origin.pages["/x"] = Page(torrent, headers=(("Content-Type", "application/x-bittorrent"),))
    with (
        offer.scripted() as source,
        start(tmp_path, "get", origin.url("/x"), "--dir", "get", *LOCAL, *peer(source.listen())) as get,
    ):
        assert get.wait() == 0, get.err
    assert offer.got() == offer.data
    assert shoal("get", origin.url("/x"), "--raw", "-o", "raw.torrent").returncode == 0
    assert (tmp_path / "raw.torrent").read_bytes() == torrent


def test_what_only_looks_like_a_torrent_is_kept_as_a_file(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    origin.pages["/x.torrent"] = Page(b"no torrent at all")
    result = shoal("get", origin.url("/x.torrent"))
    assert result.returncode == 0
    assert "kept as the file that it is" in result.stderr
    assert (tmp_path / "x.torrent").read_bytes() == b"no torrent at all"


def metalink(*urls: str, digest: str = SHA256) -> Page:
    places = "".join(f'<url priority="{number}">{url}</url>' for number, url in enumerate(urls, 1))
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">'
        f'<file name="sub/m.iso"><size>{len(BODY)}</size><hash type="sha-256">{digest}</hash>{places}</file>'
        "</metalink>"
    )
    return Page(text.encode(), headers=(("Content-Type", "application/metalink4+xml"),))


def test_a_metalink_is_followed_past_a_mirror_that_is_dead(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    origin.pages["/m"] = metalink("http://127.0.0.1:1/gone", origin.url("/dir/data.iso"))
    result = shoal("get", origin.url("/m"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("sha256 right\n")
    assert (tmp_path / "sub/m.iso").read_bytes() == BODY
    origin.pages["/bad"] = metalink(origin.url("/dir/data.iso"), digest=64 * "0")
    assert shoal("get", origin.url("/bad"), "-o", "bad.iso").returncode == ExitCode.CHECKSUM
    assert not (tmp_path / "bad.iso").exists()


def test_secrets_stay_with_the_host_they_were_given_for(tmp_path: Path, origin: HostileOrigin) -> None:
    with HostileOrigin("127.0.0.2") as stranger:
        stranger.pages["/data.iso"] = Page(BODY)
        origin.pages["/m"] = metalink(stranger.url("/data.iso"))
        origin.pages["/away"] = redirect(stranger.url("/data.iso"))
        how = {"env": {"SHOAL_PASSWORD": SECRET}}
        header = f"X-Key: {SECRET}"
        for path in ("/m", "/away"):
            url = f"{origin.url(path)}?key={SECRET}"
            command = [
                "get",
                url,
                "--user",
                "me",
                "--header",
                header,
                "--overwrite",
                "--json",
                "--log",
                "log",
            ]
            with start(tmp_path, *command, **how) as get:
                assert get.wait() == 0, get.err
            assert SECRET not in "".join(get.out + get.err)
        assert all(SECRET.encode() not in asked.raw for asked in stranger.asked)
        assert {asked.headers["Authorization"] for asked in stranger.asked} == {None}
    assert {asked.headers["X-Key"] for asked in origin.asked} == {SECRET}
    assert SECRET not in (tmp_path / "log").read_text()


# Usage

URL = "http://127.0.0.1:1/x"
WRONG = {
    "-o is for one URL": [URL, URL + "y", "-o", "z"],
    "--checksum is for one URL": [URL, URL + "y", "--checksum", f"sha256:{SHA256}"],
    "-o .. names no file": [URL, "-o", ".."],
    "-o - names no file": [URL, "-o", "-"],
    "--raw is for URLs, and x.torrent is none": ["x.torrent", "--raw"],
    "--user needs a password": [URL, "--user", "me"],
    "--user takes a name alone": [URL, "--user", f"me:{SECRET}"],
    "--password-prompt goes with --user": [URL, "--password-prompt"],
    "--user and --netrc are two answers to one question: give one of them": [URL, "--user", "m", "--netrc"],
    "--proxy: that is not the URL of a proxy": [URL, "--proxy", f"gopher://me:{SECRET}@host"],
    "that is not a header": [URL, "--header", SECRET],
    "'http:///x' names no host": ["http:///x"],
    "'sha256:12': 2 hexadecimal digits, where sha256 has 64": [URL, "--checksum", "sha256:12"],
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_command_line_is_refused_in_one_line(shoal: Shoal, words: str) -> None:
    result = shoal("get", *WRONG[words])
    assert (result.returncode, result.stderr.splitlines()[0]) == (ExitCode.USAGE, f"shoal: {words}")
    assert SECRET not in result.stderr
    assert result.stdout == ""


def test_options_of_torrents_are_refused_for_files_and_the_other_way_round(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    url = origin.url("/dir/data.iso")
    result = shoal("get", url, "--seed-time", "5")
    assert result.returncode == ExitCode.USAGE
    assert result.stderr == f"shoal: --seed-time is for torrents, and {url} is none\n"
    assert names(tmp_path) == []
    result = shoal("get", url, "--peer", "127.0.0.1:1")
    assert (result.returncode, result.stderr) == (
        ExitCode.USAGE,
        f"shoal: --peer is for torrents and groups, and {url} is no torrent\nhint: --group NAME says in which group\n",
    )
    offer = Offer(tmp_path, make_payload(1000))
    origin.pages["/t.torrent"] = Page(offer.torrent.read_bytes())
    result = shoal("get", origin.url("/t.torrent"), "-o", "name")
    assert result.returncode == ExitCode.USAGE
    assert result.stderr == (
        f"shoal: -o is for files of URLs, and {origin.url('/t.torrent')} is a torrent\n"
        "hint: --raw gets the torrent file itself\n"
    )
