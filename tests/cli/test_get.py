"""`shoal get` from outside: what it fetches, keeps, refuses, says, and what it leaves when it is stopped."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from shoal.cli import sources
from shoal.errors import ExitCode, FormatError
from shoal.formats import bencode
from shoal.testing.build import build_torrent, make_payload, write_payload
from shoal.testing.scripted_peer import Script, ScriptedPeer
from shoal.units import KIB

from ..conftest import Shoal
from .running import COMMAND, HOST, LOCAL, PATIENCE, Offer, environment, peer, start

STOPS = [signal.SIGINT, signal.SIGTERM]


@contextmanager
def web(answers: dict[str, tuple[int, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that says for each path what it is told to say; its base URL, and the targets asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body = answers.get(urlsplit(self.path).path, (404, b"<html>not here</html>"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    return Offer(tmp_path, make_payload(2048 * KIB))


# What it fetches


def test_a_file_is_fetched_and_the_last_word_is_one_line(tmp_path: Path, offer: Offer) -> None:
    with (
        offer.scripted() as source,
        start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())) as get,
    ):
        assert get.wait() == 0
    assert offer.got() == offer.data
    assert get.out[0].startswith("listening on 127.0.0.1:")
    assert get.out[1].startswith("got get/payload: 2.00 MiB in ")
    assert get.err == []


def test_the_source_may_be_a_url(tmp_path: Path, offer: Offer) -> None:
    with (
        web(
            {
                "/a b.torrent": (200, offer.torrent.read_bytes()),
                "/a%20b.torrent": (200, offer.torrent.read_bytes()),
            }
        ) as (base, _),
        offer.scripted() as source,
        start(
            tmp_path, "get", f"{base}/a%20b.torrent", "--dir", "get", *LOCAL, *peer(source.listen())
        ) as get,
    ):
        assert get.wait() == 0
    assert offer.got() == offer.data


def test_several_sources_are_fetched_together_and_each_once(tmp_path: Path) -> None:
    payloads = {f"file{number}": make_payload(100_000, number) for number in range(3)}
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    torrents = []
    for name, data in payloads.items():
        write_payload(seeds, data, name=name)
        torrents.append(tmp_path / f"{name}.torrent")
        torrents[-1].write_bytes(build_torrent(data, name=name))
    with start(tmp_path, "seed", *torrents, "--dir", "seeds", *LOCAL) as seed:
        address = seed.address()
        with start(
            tmp_path, "get", *torrents, torrents[0], "--dir", "get", *LOCAL, *peer(address), "--json"
        ) as get:
            assert get.wait() == 0
        assert seed.stop() == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "get").iterdir()} == payloads
    assert get.json()[-1]["bytes"] == 300_000
    assert get.json()[-1]["path"] == "get"


def test_two_torrents_that_would_write_one_file_are_refused(tmp_path: Path, shoal: Shoal) -> None:
    for number in range(2):
        (tmp_path / f"{number}.torrent").write_bytes(build_torrent(make_payload(1000, number), name="same"))
    result = shoal("get", "0.torrent", "1.torrent", *LOCAL)
    assert result.returncode == ExitCode.USAGE
    assert "two of the torrents have a file same" in result.stderr
    assert not (tmp_path / "same").exists()


def test_only_the_files_that_are_asked_for_are_made_and_the_rest_can_follow(tmp_path: Path) -> None:
    files = {
        "a.bin": make_payload(100_000, 1),
        "b.txt": make_payload(90_000, 2),
        "sub/c.txt": make_payload(70_000, 3),
    }
    offer = Offer(tmp_path, files)
    got = tmp_path / "get/payload"
    with offer.scripted() as source:
        address = source.listen()
        with start(
            tmp_path, "get", "t.torrent", "--dir", "get", "--file", "b.*", *LOCAL, *peer(address)
        ) as get:
            assert get.wait() == 0
        assert [path.name for path in got.rglob("*")] == ["b.txt"]
        assert (got / "b.txt").read_bytes() == files["b.txt"]
        with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(address)) as get:
            assert get.wait() == 0
    assert {path: (got / path).read_bytes() for path in files} == files


def test_of_several_torrents_only_those_with_a_wanted_file_are_touched(tmp_path: Path) -> None:
    offer = Offer(tmp_path, {"a.bin": make_payload(50_000, 1), "b.txt": make_payload(50_000, 2)})
    (tmp_path / "other.torrent").write_bytes(build_torrent({"c.jpg": b"c" * 1000}, name="other"))
    with offer.scripted() as source:
        command = [
            "get",
            "t.torrent",
            "other.torrent",
            "--dir",
            "get",
            "--file",
            "*.txt",
            *LOCAL,
            *peer(source.listen()),
        ]
        with start(tmp_path, *command) as get:
            assert get.wait() == 0
    assert sorted(path.name for path in (tmp_path / "get").rglob("*")) == ["b.txt", "payload"]


def test_a_glob_that_matches_nothing_is_an_error(offer: Offer, shoal: Shoal) -> None:
    result = shoal("get", "t.torrent", "--file", "*.mp3", *LOCAL)
    assert result.returncode == ExitCode.NOT_FOUND
    assert "no file matches *.mp3" in result.stderr


def test_names_that_lead_out_of_the_folder_do_not(tmp_path: Path) -> None:
    data = make_payload(40_000)
    info = {
        b"name": b"../evil",
        b"piece length": 65536,
        b"files": [
            {b"length": 20_000, b"path": [b"..", b"..", b"out"]},
            {b"length": 20_000, b"path": [b"/etc/shoal-was-here"]},
        ],
    }
    info[b"pieces"] = hashlib.sha1(data).digest()
    (tmp_path / "evil.torrent").write_bytes(bencode.encode({b"info": info}))  # type: ignore[dict-item]
    info_hash = hashlib.sha1(bencode.encode(info)).digest()  # type: ignore[arg-type]
    before = set(tmp_path.rglob("*"))
    with (
        ScriptedPeer(info_hash, data, 65536) as source,
        start(tmp_path, "get", "evil.torrent", "--dir", "deep/get", *LOCAL, *peer(source.listen())) as get,
    ):
        code = get.wait()
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "deep")} - before
    assert outside == set()
    assert not Path("/etc/shoal-was-here").exists()
    if code == 0:
        inside = [path for path in (tmp_path / "deep/get").rglob("*") if path.is_file()]
        assert (
            b"".join(
                path.read_bytes() for path in sorted(inside, key=lambda path: data.index(path.read_bytes()))
            )
            == data
        )
    else:
        assert code == ExitCode.BAD_DATA


# What is there already


def test_existing_data_is_kept_and_only_the_rest_fetched(tmp_path: Path, offer: Offer) -> None:
    (tmp_path / "get").mkdir()
    (tmp_path / "get/payload").write_bytes(offer.data[: 1024 * KIB] + bytes(1024 * KIB))
    with (
        offer.scripted() as source,
        start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen()), "--json") as get,
    ):
        assert get.wait() == 0
    assert offer.got() == offer.data
    assert sum(given["bytes"] for given in get.json()[-1]["sources"]) == 1024 * KIB


def test_what_is_complete_already_is_said_and_needs_no_peer(
    tmp_path: Path, offer: Offer, shoal: Shoal
) -> None:
    result = shoal("get", "t.torrent", "--dir", "seed", *LOCAL)
    assert result.returncode == 0
    assert "was complete already" in result.stdout


def test_a_foreign_file_is_not_touched_unless_told_to(tmp_path: Path, offer: Offer, shoal: Shoal) -> None:
    (tmp_path / "get").mkdir()
    foreign = b"my only copy" * 300_000
    (tmp_path / "get/payload").write_bytes(foreign)
    for _ in range(2):
        result = shoal("get", "t.torrent", "--dir", "get", *LOCAL)
        assert result.returncode == ExitCode.EXISTS
        assert "get/payload is there already and is not part of this torrent" in result.stderr
        assert offer.got() == foreign
    with offer.scripted() as source:
        command = ["get", "t.torrent", "--dir", "get", "--overwrite", *LOCAL, *peer(source.listen())]
        with start(tmp_path, *command) as get:
            assert get.wait() == 0
    assert offer.got() == offer.data


def test_seeding_a_foreign_file_does_not_make_it_ours(tmp_path: Path, offer: Offer, shoal: Shoal) -> None:
    (tmp_path / "get").mkdir()
    (tmp_path / "get/payload").write_bytes(b"my only copy" * 1000)
    with start(tmp_path, "seed", "t.torrent", "--dir", "get", *LOCAL) as seed:
        seed.address()
        seed.wait_line("nothing of it is there", on_stderr=True)
        assert seed.stop() == 0
    assert shoal("get", "t.torrent", "--dir", "get", *LOCAL).returncode == ExitCode.EXISTS


def test_a_file_changed_while_it_was_seeded_is_not_believed_afterwards(
    tmp_path: Path, offer: Offer, shoal
) -> None:
    with start(tmp_path, "seed", "t.torrent", "--dir", "seed", *LOCAL) as seed:
        address = seed.address()
        with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(address)) as get:
            assert get.wait() == 0
        with (tmp_path / "seed/payload").open("r+b") as file:
            file.write(b"X" * 100)
        assert seed.stop() == 0
    with offer.scripted() as source:
        command = ["get", "t.torrent", "--dir", "seed", *LOCAL, *peer(source.listen())]
        with start(tmp_path, *command) as get:
            assert get.wait() == 0
    assert offer.got("seed") == offer.data


# Being stopped


@pytest.mark.parametrize("number", STOPS)
def test_a_stopped_get_says_so_and_the_same_command_finishes(tmp_path: Path, number: signal.Signals) -> None:
    announces: dict[str, tuple[int, bytes]] = {
        "/announce": (200, bencode.encode({b"interval": 1800, b"peers": b""}))
    }
    with web(announces) as (base, asked):
        offer = Offer(tmp_path, make_payload(2048 * KIB), trackers=(base,))
        with offer.scripted(Script(stall_after_blocks=70)) as source:
            command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())]
            with start(tmp_path, *command) as get:
                source.wait_until(lambda: source.blocks_sent == 70)
                assert get.stop(number) == ExitCode.UNFINISHED
            assert "the same command goes on from here" in get.err[-1]
            assert "Traceback" not in "\n".join(get.err)
        events = [parse_qs(urlsplit(target).query).get("event", [""])[0] for target in asked]
        assert events == ["started", "stopped"]
        with offer.scripted(Script(seed=1)) as source:
            command[-1] = peer(source.listen())[1]
            with start(tmp_path, *command, "--json") as get:
                assert get.wait() == 0
        events = [parse_qs(urlsplit(target).query).get("event", [""])[0] for target in asked[2:]]
        assert events == ["started", "completed", "stopped"]
    assert offer.got() == offer.data
    fetched_again = sum(given["bytes"] for given in get.json()[-1]["sources"])
    assert fetched_again < 2048 * KIB - 70 * 16 * KIB + 17 * 64 * KIB


def test_a_stop_while_existing_data_is_checked_forgets_and_touches_nothing(
    tmp_path: Path, shoal: Shoal
) -> None:
    size = 3 * 2**30
    torrent = bencode.encode(
        {
            b"info": {
                b"name": b"payload",
                b"piece length": 2**24,
                b"length": size,
                b"pieces": bytes(20 * (size >> 24)),
            }
        }
    )
    (tmp_path / "t.torrent").write_bytes(torrent)
    (tmp_path / "get").mkdir()
    payload = tmp_path / "get/payload"
    with payload.open("wb") as file:
        for offset in range(0, size, 2**24):  # data in each piece, so that each must be read
            os.pwrite(file.fileno(), b"x", offset)
        file.truncate(size)
    before = payload.stat()
    with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL) as get:
        get.wait_line("checking payload", on_stderr=True)
        assert get.stop() == ExitCode.UNFINISHED
    assert "stopped while checking" in get.err[-1]
    assert (payload.stat().st_size, payload.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("number", STOPS)
def test_a_stop_while_the_torrent_is_fetched_is_heard_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with socket.create_server((HOST, 0)) as silent:
        url = f"http://{HOST}:{silent.getsockname()[1]}/x.torrent"
        with start(tmp_path, "get", url, "--json") as get:
            with closing(silent.accept()[0]):
                assert get.stop(number) == ExitCode.UNFINISHED
    assert get.json()[-1]["status"] == "unfinished"


def test_two_at_once_in_one_folder_do_not_mix(tmp_path: Path, offer: Offer, shoal: Shoal) -> None:
    with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL) as first:
        first.address()
        pid = first.process.pid
        second = shoal("get", "t.torrent", "--dir", "get", *LOCAL)
        assert second.returncode == ExitCode.EXISTS
        assert f"another shoal process (pid {pid}) is at work" in second.stderr
        assert first.stop() == ExitCode.UNFINISHED


# Seeding afterwards


def test_a_ratio_ends_the_seeding(tmp_path: Path, offer: Offer) -> None:
    with offer.scripted() as source:
        command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen()), "--seed-ratio", "1"]
        with start(tmp_path, *command) as get:
            address = get.address()
            get.wait_line("^got ")
            assert get.process.poll() is None
            with start(tmp_path, "get", "t.torrent", "--dir", "second", *LOCAL, *peer(address)) as second:
                assert second.wait() == 0
            assert get.wait() == 0
    assert offer.got("second") == offer.data


def test_a_time_ends_the_seeding(tmp_path: Path, offer: Offer) -> None:
    with offer.scripted() as source:
        command = [
            "get",
            "t.torrent",
            "--dir",
            "get",
            *LOCAL,
            *peer(source.listen()),
            "--seed-time",
            "0.3",
            "--json",
        ]
        with start(tmp_path, *command) as get:
            assert get.wait() == 0
    assert [line.get("event", line.get("status")) for line in get.json()][-2:] == ["complete", "complete"]


def test_no_seed_goes_with_no_other_wish_to_seed(offer: Offer, shoal: Shoal) -> None:
    assert shoal("get", "t.torrent", "--no-seed", "--seed-time", "1").returncode == ExitCode.USAGE


@pytest.mark.parametrize(
    ("answer", "seeds"), [(b"y\n", True), (b"\n", False), (b"n\n", False), (b"\x04", False)]
)
def test_on_a_terminal_it_asks_whether_to_seed(
    tmp_path: Path, offer: Offer, answer: bytes, seeds: bool
) -> None:
    master, slave = pty.openpty()
    with offer.scripted() as source:
        process = subprocess.Popen(
            [*COMMAND, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())],
            cwd=tmp_path,
            env=environment(TERM="xterm"),
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.close(slave)
        try:
            seen = b""
            while b"[y/N]" not in seen:
                seen += os.read(master, 4096)
            os.write(master, answer)
            if seeds:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.5)
                process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.communicate()
            os.close(master)


# Ports


def test_an_explicit_busy_port_is_an_error_and_the_default_moves_on(
    tmp_path: Path, offer: Offer, shoal
) -> None:
    with socket.create_server((HOST, 0)) as busy:
        port = busy.getsockname()[1]
        result = shoal("get", "t.torrent", "--dir", "seed", "--bind", HOST, "--port", str(port))
        assert result.returncode == ExitCode.NETWORK
        assert f"port {port} is in use" in result.stderr
    with (
        start(tmp_path, "get", "t.torrent", "--dir", "one", "--bind", HOST) as one,
        start(tmp_path, "get", "t.torrent", "--dir", "two", "--bind", HOST) as two,
    ):
        ports = {one.address()[1], two.address()[1]}
    assert len(ports) == 2 and min(ports) >= 6881


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


# URLs that lead nowhere


def test_a_url_with_nothing_behind_it_is_told_by_kind(tmp_path: Path, shoal: Shoal) -> None:
    with web({"/page": (200, b"<!doctype html><p>hello")}) as (
        base,
        _,
    ):
        for path, code, words in [
            ("/absent.torrent", ExitCode.NOT_FOUND, "404"),
            ("/page", ExitCode.BAD_DATA, "not a torrent file"),
        ]:
            result = shoal("get", base + path)
            assert (result.returncode, words in result.stderr) == (code, True), result.stderr
            assert len(result.stderr.splitlines()) <= 2
    result = shoal("get", f"{base}/x.torrent")
    assert result.returncode == ExitCode.NETWORK
    assert "cannot connect" in result.stderr


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
            get.wait_line("udp trackers", on_stderr=True)
            get.stop()
        with start(
            tmp_path, "get", f"http://me:{SECRET}@{host}/{SECRET}/x.torrent?passkey={SECRET}", "--json"
        ) as asked:
            assert asked.wait() == ExitCode.NOT_FOUND
    said = "\n".join([*get.out, *get.err, *asked.out, *asked.err, (tmp_path / "log").read_text()])
    assert SECRET not in said
    assert host in said
