"""`shoal share` from outside: what it prints works when it is pasted on another machine."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.testing.build import make_payload
from shoal.units import KIB

from ..conftest import Shoal
from .machines import wait_until
from .running import COMMAND, HOST, PATIENCE, Running, environment, start

SHARE = ("share", "--bind", HOST, "--port", "0")


def paste(folder: Path, shared: Running, count: int = 1) -> None:
    """Run what was printed, as a shell does; `shoal` is this checkout's."""

    def commands() -> list[str]:
        return [line.strip() for line in list(shared.out) if line.strip().startswith("shoal get ")]

    wait_until(lambda: len(commands()) >= count, f"{count} commands")
    folder.mkdir(exist_ok=True)
    program = " ".join(COMMAND)
    for command in commands():
        line = command.replace("shoal get ", f"{program} get --bind {HOST} --port 0 ", 1)
        subprocess.run(["/bin/sh", "-c", line], cwd=folder, env=environment(), timeout=PATIENCE, check=True)


NAMES = [
    "plain.bin",
    "with blank & 'quotes\".bin",
    "-dash.bin",
    "ünïcödé ☃.bin",
    "100% #1?.bin",
    "$(touch x);`y`.bin",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_for_a_file_works_whatever_its_name(tmp_path: Path, name: str) -> None:
    data = make_payload(300 * KIB)
    (tmp_path / name).write_bytes(data)
    with start(tmp_path, *SHARE, "--", name) as shared:
        paste(tmp_path / "there", shared)
        assert shared.stop() == 0
    assert [path.name for path in (tmp_path / "there").iterdir()] == [name]
    assert (tmp_path / "there" / name).read_bytes() == data
    assert (tmp_path / name).read_bytes() == data


def test_a_folder_is_one_torrent(tmp_path: Path) -> None:
    files = {"a": make_payload(100_000, 1), "sub/b": make_payload(70_000, 2), "sub/empty": b""}
    for path, data in files.items():
        (tmp_path / "my folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "my folder" / path).write_bytes(data)
    with start(tmp_path, *SHARE, "my folder") as shared:
        paste(tmp_path / "there", shared)
        assert shared.stop() == 0
    got = tmp_path / "there/my folder"
    assert {
        str(path.relative_to(got)): path.read_bytes() for path in got.rglob("*") if path.is_file()
    } == files


def test_several_paths_are_several_torrents_and_equal_names_do_not_meet(tmp_path: Path) -> None:
    for number, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.bin").write_bytes(make_payload(50_000, number))
    with start(tmp_path, *SHARE, "one/same.bin", "two/same.bin") as shared:
        paste(tmp_path / "there", shared, 2)
        assert shared.stop() == 0
    got = [path.read_bytes() for path in (tmp_path / "there").rglob("same.bin")]
    assert sorted(got) == sorted(make_payload(50_000, number) for number in range(2))


def test_each_makes_every_file_its_own_torrent(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "many" / f"sub{number}" / f"file{number}"
        path.parent.mkdir(parents=True)
        path.write_bytes(make_payload(20_000, number))
    (tmp_path / "many/empty").touch()
    (tmp_path / "many/link").symlink_to("/etc/passwd")
    with start(tmp_path, *SHARE, "--each", "many") as shared:
        paste(tmp_path / "there", shared)
        assert shared.stop() == 0
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["file0", "file1", "file2"]


def test_a_link_shares_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/data.bin").write_bytes(make_payload(40_000))
    (tmp_path / "link.bin").symlink_to("real/data.bin")
    with start(tmp_path, *SHARE, "link.bin") as shared:
        paste(tmp_path / "there", shared)
        assert shared.stop() == 0
    assert (tmp_path / "there/data.bin").read_bytes() == make_payload(40_000)


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_a_named_tracker_is_where_they_meet(scheme: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(make_payload(40_000))
    with start(tmp_path, "tracker", "--bind", HOST, "--port", "0") as tracker:
        url = tracker.wait_line(r"http(://[^ ]*:\d+)").group(1)
        with start(tmp_path, *SHARE, "file", "--tracker", scheme + url) as shared:
            paste(tmp_path / "there", shared)
            assert shared.stop() == 0
    assert (tmp_path / "there/file").read_bytes() == make_payload(40_000)


def test_quiet_prints_the_command_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    with start(tmp_path, *SHARE, "file", "--quiet", "--announce-host", "files.example") as shared:
        command = shared.wait_line("get").string
        assert shared.stop() == 0
    assert shared.out == [command]
    assert command.startswith("shoal get http://files.example:")
    assert shared.err == []


def test_a_busy_explicit_port_is_an_error(tmp_path: Path, shoal: Shoal) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    with socket.create_server((HOST, 0)) as busy:
        result = shoal("share", "file", "--bind", HOST, "--port", str(busy.getsockname()[1]))
    assert result.returncode == ExitCode.NETWORK


@pytest.mark.parametrize(
    "make", [lambda path: None, Path.mkdir, Path.touch], ids=["absent", "folder", "file"]
)
def test_nothing_cannot_be_shared(tmp_path: Path, shoal: Shoal, make) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "nothing")
    result = shoal(*SHARE, "nothing")
    assert result.returncode in (ExitCode.NOT_FOUND, ExitCode.USAGE, ExitCode.FILE_IO)
    assert "nothing" in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_a_stop_while_hashing_is_heard(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**40)
    with start(tmp_path, *SHARE, "huge") as shared:
        shared.wait_line("^hashing", on_stderr=True)
        assert shared.stop() == ExitCode.UNFINISHED
    assert "Traceback" not in "\n".join(shared.err)
