"""`shoal get` from outside: what it fetches, keeps, refuses, and what it leaves when it is stopped."""

from __future__ import annotations

import hashlib
import os
import pty
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.formats import bencode
from shoal.testing.build import build_torrent, make_payload, write_payload
from shoal.testing.scripted_peer import ScriptedPeer
from shoal.units import KIB

from ..conftest import Shoal
from .running import COMMAND, HOST, LOCAL, PATIENCE, Offer, environment, peer, remarks, start
from .web import web

STOPS = [signal.SIGINT, signal.SIGTERM]


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
    assert remarks(get.err) == []


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
            get.wait_line("^got get/payload: 128 KiB in ")  # two pieces, not the whole torrent
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
                seen = b""
                while b"seeding" not in seen:  # its picture, so that it has read the answer
                    seen += os.read(master, 4096)
                assert process.poll() is None
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
