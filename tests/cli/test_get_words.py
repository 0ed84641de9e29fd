"""What `shoal get` says: on stdout, in JSON, in the log, of URLs that lead nowhere; and what it must not say."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from shoal.cli import sources
from shoal.cli.url_options import parse_source_url
from shoal.errors import ExitCode, FormatError, UsageError
from shoal.testing.build import make_payload
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.testing.scripted_peer import Script
from shoal.units import KIB

from ..conftest import Shoal
from .running import COMMAND, HOST, LOCAL, PATIENCE, Offer, environment, peer, remarks, start
from .web import web

METALINK = (
    '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="data.bin"><url>{}</url>'
    '<hash type="sha-256">{}</hash></file></metalink>'
)
STOPS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    return Offer(tmp_path, make_payload(2048 * KIB))


# What it says


def test_json_is_events_and_a_last_line_that_tells_how_it_ended(tmp_path: Path, offer: Offer) -> None:
    with offer.scripted() as source:
        address = source.listen()
        with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(address), "--json") as get:
            assert get.wait() == 0
    first, *_, last = get.json()
    assert first["event"] == "listening"
    seconds = last.pop("seconds")
    assert 0 < seconds < PATIENCE
    assert last == {
        "status": "complete",
        "path": "get/payload",
        "bytes": 2048 * KIB,
        "sources": [{"kind": "peer", "address": f"{address[0]}:{address[1]}", "bytes": 2048 * KIB}],
        "verified": "pieces",
    }


def test_the_last_line_of_json_is_there_when_it_is_unfinished(tmp_path: Path, offer: Offer) -> None:
    with (
        offer.scripted(Script(stall_after_blocks=8)) as source,
        start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen()), "--json") as get,
    ):
        source.wait_until(lambda: source.blocks_sent == 8)
        assert get.stop() == ExitCode.UNFINISHED
    last = get.json()[-1]
    assert last["status"] == "unfinished"
    assert set(last) == {"status", "path", "bytes", "seconds", "sources", "verified"}


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("absent.torrent", ExitCode.NOT_FOUND),
        ("magnet:?xt=urn:btih:" + 40 * "a", ExitCode.USAGE),
        ("seed", ExitCode.FILE_IO),
    ],
)
def test_the_last_line_of_json_is_there_when_it_failed(
    offer: Offer, shoal: Shoal, source: str, code: int
) -> None:
    result = shoal("get", source, "--json")
    assert result.returncode == code
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["status"], last["exit_code"], last["verified"]) == ("failed", code, "none")
    assert last["error"] in result.stderr


def test_quiet_says_nothing_with_or_without_a_stdout(tmp_path: Path, offer: Offer) -> None:
    with offer.scripted() as source:
        address = source.listen()
        with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(address), "--quiet") as get:
            assert get.wait() == 0
        assert (get.out, get.err) == ([], [])
        command = " ".join(
            [*COMMAND, "get", "t.torrent", "--dir", "again", *LOCAL, *peer(address), "--quiet"]
        )
        result = subprocess.run(
            ["/bin/sh", "-c", f"{command} >&- 2>err"],
            cwd=tmp_path,
            env=environment(),
            timeout=PATIENCE,
            check=False,
        )
    assert (result.returncode, (tmp_path / "err").read_text()) == (0, "")
    assert offer.got("again") == offer.data


def test_a_reader_of_json_that_goes_away_ends_it_without_a_word(tmp_path: Path, offer: Offer) -> None:
    with offer.scripted(Script(block_delay=0.01)) as source:
        command = " ".join(
            [*COMMAND, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen()), "--json"]
        )
        result = subprocess.run(
            ["/bin/sh", "-c", f"{command} | head -1 > /dev/null"],
            cwd=tmp_path,
            env=environment(),
            timeout=PATIENCE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.stderr == ""


def test_a_result_that_nobody_reads_is_no_failure(tmp_path: Path, offer: Offer) -> None:
    readable, writable = os.pipe()
    os.close(readable)
    with HostileOrigin() as origin, os.fdopen(writable, "wb") as unread:
        for name in ("one", "two"):
            origin.pages[f"/{name}"] = Page(name.encode())
        urls = [origin.url("/one"), origin.url("/two")]
        with start(tmp_path, "get", *urls, "--dir", "get", stdout=unread) as get:
            assert (get.wait(), remarks(get.err)) == (0, [])
        with (
            offer.scripted() as source,
            start(
                tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen()), stdout=unread
            ) as get,
        ):
            assert get.wait() == 0
    assert [(tmp_path / "get" / name).read_text() for name in ("one", "two")] == ["one", "two"]
    assert offer.got() == offer.data


def test_the_log_tells_which_piece_came_from_whom(tmp_path: Path, offer: Offer) -> None:
    with offer.scripted() as source:
        address = source.listen()
        command = [
            "get",
            "t.torrent",
            "--dir",
            "get",
            *LOCAL,
            *peer(address),
            "--log",
            "log",
            "--name",
            "anna",
        ]
        with start(tmp_path, *command) as get:
            assert get.wait() == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {line["name"] for line in lines} == {"anna"}
    pieces = {line["piece"]: line["sources"] for line in lines if line["event"] == "piece"}
    assert pieces == {piece: {f"{HOST}:{address[1]}": 64 * KIB} for piece in range(32)}


def test_a_log_that_cannot_be_written_ends_it_with_one_line(tmp_path: Path, offer: Offer) -> None:
    with offer.scripted(Script(block_delay=0.005)) as source:
        command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen()), "--log", "/dev/full"]
        with start(tmp_path, *command) as get:
            assert get.wait() == ExitCode.FILE_IO
    assert [line for line in get.err if "Traceback" in line or "Exception" in line] == []
    assert "/dev/full" in get.err[-1]


def test_what_a_tracker_says_to_a_closed_pipe_is_no_bug_of_ours(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as tracker:
        tracker.settimeout(PATIENCE)
        Offer(tmp_path, make_payload(100), trackers=(f"http://{HOST}:{tracker.getsockname()[1]}/announce",))
        readable, writable = os.pipe()
        with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, "--json", stdout=writable) as get:
            os.close(writable)
            with os.fdopen(readable, "rb") as reader:
                assert b"listening" in reader.readline()
            tracker.accept()[0].close()  # its answer
            assert get.wait() == ExitCode.FAILED
    assert not any("internal error" in line for line in get.err)


# URLs that lead nowhere


def test_a_url_with_nothing_behind_it_is_told_by_kind(shoal: Shoal) -> None:
    with web({}) as (base, _):
        result = shoal("get", f"{base}/absent.torrent")
        assert (result.returncode, "404" in result.stderr) == (ExitCode.NOT_FOUND, True), result.stderr
        assert len(result.stderr.splitlines()) <= 2
    result = shoal("get", f"{base}/x.torrent")
    assert result.returncode == ExitCode.NETWORK
    assert "cannot connect" in result.stderr


def test_a_torrent_that_is_in_the_way_is_told_with_the_option_that_names_it(
    tmp_path: Path, shoal: Shoal
) -> None:
    (tmp_path / "x.torrent").touch()
    result = shoal("get", "http://127.0.0.1:1/x", "--torrent", "x.torrent")
    assert (result.returncode, result.stderr) == (
        ExitCode.EXISTS,
        "shoal: x.torrent is there already\nhint: --overwrite replaces it, --torrent names another file\n",
    )


@pytest.mark.parametrize("name", ["file.meta4", "file.metalink"])
def test_a_metalink_on_this_machine_is_followed(name: str, tmp_path: Path, shoal: Shoal) -> None:
    with HostileOrigin() as origin:
        origin.pages["/x"] = Page(b"payload")
        (tmp_path / name).write_text(
            METALINK.format(origin.url("/x"), hashlib.sha256(b"payload").hexdigest())
        )
        got = shoal("get", name, "--dir", "get")
        assert got.returncode == 0, got
        assert (tmp_path / "get" / "data.bin").read_bytes() == b"payload"
        assert got.stdout.endswith("sha-256 right\n") or got.stdout.endswith("sha256 right\n")
        refused = shoal("get", name, "--header", f"Key: {SECRET}")
    assert (refused.returncode, refused.stderr) == (
        ExitCode.USAGE,
        f"shoal: headers, user and password are for the host of a URL, and {name} is a file\n",
    )


def test_a_metalink_on_this_machine_that_is_none_is_named_and_so_is_one_that_is_not_there(
    tmp_path: Path, shoal: Shoal
) -> None:
    (tmp_path / "x.meta4").write_text("<html>")
    got = shoal("get", "x.meta4")
    assert (got.returncode, got.stderr[:16]) == (ExitCode.BAD_DATA, "shoal: x.meta4: ")
    got = shoal("get", "y.meta4")
    assert (got.returncode, got.stderr) == (ExitCode.NOT_FOUND, "shoal: y.meta4: no such file\n")


def test_a_file_that_is_no_source_is_refused_in_words(tmp_path: Path, shoal: Shoal) -> None:
    (tmp_path / "mid.bin").write_bytes(b"\x00\x01")
    got = shoal("get", "mid.bin")
    assert (got.returncode, got.stderr) == (
        ExitCode.BAD_DATA,
        f"shoal: mid.bin: neither a torrent nor a URL\nhint: {sources.SOURCE_HINT}\n",
    )


def test_a_body_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_METAINFO_LENGTH", 100_000)
    with (
        web({"/huge": (200, bytes(100_001))}) as (base, _),
        pytest.raises(FormatError, match="sends more than"),
    ):
        asyncio.run(sources.load_source(f"{base}/huge", None))


def test_a_magnet_is_refused_with_a_hint(shoal: Shoal) -> None:
    result = shoal("get", "magnet:?xt=urn:btih:" + 40 * "a")
    assert result.returncode == ExitCode.USAGE
    assert "hint:" in result.stderr


SECRET = "0123456789abcdef0123456789abcdef"


def test_no_secret_of_a_url_is_shown_or_logged(tmp_path: Path) -> None:
    with web({}) as (base, _):
        host = base.removeprefix("http://")
        trackers = (
            f"http://me:{SECRET}@{host}/{SECRET}/announce?passkey={SECRET}",
            f"udp://me:{SECRET}@{host}/{SECRET}",
        )
        Offer(tmp_path, make_payload(1000), trackers=trackers)
        with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, "--log", "log") as get:
            get.wait_line("404", on_stderr=True)
            get.wait_line(f"tracker {host}: cannot connect", on_stderr=True)
            get.stop()
        with start(
            tmp_path, "get", f"http://me:{SECRET}@{host}/{SECRET}/x.torrent?passkey={SECRET}", "--json"
        ) as asked:
            assert asked.wait() == ExitCode.NOT_FOUND
    said = "\n".join([*get.out, *get.err, *asked.out, *asked.err, (tmp_path / "log").read_text()])
    assert SECRET not in said
    assert host in said


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("sftp://user:secret@h.example/x", "sftp://h.example/x"),
        ("sftp://user:sec/secret@h.example/x", "sftp://…"),
        ("host.example/x?token=secret", "host.example/x?…"),
        ("host.example/x?token=secret" + "t" * 300, "host.example/x?…"),
        ("user:secret@host.example/x", "host.example/x"),
    ],
)
def test_what_looks_like_a_url_of_another_kind_is_told_without_its_secrets(
    source: str, shown: str, shoal: Shoal
) -> None:
    got = shoal("get", source)
    assert (got.returncode, got.stdout) == (ExitCode.NOT_FOUND, "")
    assert got.stderr == f"shoal: {shown}: no such file\nhint: {sources.URL_HINT}\n"
    with_option = shoal("get", source, "--no-group")
    assert with_option.stderr == f"shoal: --no-group is for URLs, and {shown} is none\n"


@pytest.mark.parametrize("char", [" ", '"', "|"])
def test_a_character_that_no_host_has_is_named(char: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_source_url(f"http://me:secret@h{char}h/x")
    assert refused.value.hint == f"a host has no {char!r} in it"
    assert "secret" not in refused.value.message


def test_no_group_gets_a_torrent_of_a_url_too(tmp_path: Path, offer: Offer, shoal: Shoal) -> None:
    (tmp_path / "payload").write_bytes(offer.data)
    with HostileOrigin() as server:
        server.pages["/t.torrent"] = Page(offer.torrent.read_bytes())
        got = shoal("get", server.url("/t.torrent"), "--no-group", "--no-seed", *LOCAL)
    assert got.returncode == 0, got
