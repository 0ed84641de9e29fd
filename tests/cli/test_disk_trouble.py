"""`get` on disks that fill up, refuse, or lie elsewhere: one line, the right code, nothing lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.testing.build import make_payload
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

from ..conftest import Shoal
from .running import LOCAL, Offer, peer, remarks, start

pytestmark = pytest.mark.system

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        yield folder
    finally:
        subprocess.run(
            ["umount", "--lazy", folder], check=True
        )  # a test that failed may have processes in it yet


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
@pytest.mark.parametrize("piece_length", [64 * KIB, 32 * MIB])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path: Path, piece_length: int) -> None:
    size = 4 * MIB if piece_length < MIB else 34 * MIB
    offer = Offer(tmp_path, make_payload(size), piece_length=piece_length)
    room = size * 3 // 4 if piece_length < MIB else 33 * MIB
    with small_disk(tmp_path / "get", f"size={room}") as disk, offer.scripted() as source:
        command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen()), "--json"]
        with start(tmp_path, *command) as get:
            assert get.wait() == ExitCode.DISK_FULL
        error, hint = remarks(get.err)
        assert error == f"shoal: disk full: {disk}/payload: No space left on device"
        assert hint.startswith("hint: make room")
        last = get.json()[-1]
        assert (last["status"], last["exit_code"]) == ("failed", ExitCode.DISK_FULL)
        subprocess.run(["mount", "-o", f"remount,size={2 * size}", disk], check=True)
        with start(tmp_path, *command) as get:
            assert get.wait() == 0
        assert offer.got() == offer.data
        if piece_length < MIB:
            fetched = sum(given["bytes"] for given in get.json()[-1]["sources"])
            assert fetched <= size - last["bytes"] < size * 3 // 4


@NEEDS_ROOT
@pytest.mark.parametrize("says_length", [True, False])
def test_a_full_disk_of_which_nothing_can_be_kept_is_not_said_to_be_gone_on_with(
    tmp_path: Path, says_length: bool
) -> None:
    with HostileOrigin() as origin, small_disk(tmp_path / "get", f"size={MIB}") as disk:
        origin.pages["/x"] = Page(bytes(2 * MIB), takes_ranges=False, says_length=says_length)
        with start(tmp_path, "get", origin.url("/x"), "--dir", "get") as get:
            assert get.wait() == ExitCode.DISK_FULL
        assert list(disk.iterdir()) == []
    assert get.err[-2].startswith(f"shoal: disk full: {disk}/x.part")
    again = "hint: make room, then run the same command again"
    assert get.err[-1].startswith(again if says_length else f"{again}: it begins anew")
    assert "goes on" not in get.err[-1]


@NEEDS_ROOT
def test_a_disk_that_may_only_be_read_is_one_line(tmp_path: Path) -> None:
    offer = Offer(tmp_path, make_payload(200_000))
    with small_disk(tmp_path / "get", "ro"), offer.scripted() as source:
        with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())) as get:
            assert get.wait() == ExitCode.FILE_IO
        error, hint = remarks(get.err)
        assert "Read-only file system" in error
        assert hint.startswith("hint: ")


@NEEDS_ROOT
def test_the_files_may_lie_on_another_file_system(tmp_path: Path) -> None:
    offer = Offer(tmp_path, {"a/one": make_payload(100_000), "b/two": make_payload(50_000, 1)})
    with small_disk(tmp_path / "get", "size=4m") as disk, offer.scripted() as source:
        with start(tmp_path, "get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())) as get:
            assert get.wait() == 0
        assert (disk / "payload/a/one").read_bytes() == make_payload(100_000)


@pytest.mark.parametrize("folder", ["in-the-way", "in-the-way/below"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, shoal: Shoal, folder: str) -> None:
    Offer(tmp_path, make_payload(1000))
    (tmp_path / "in-the-way").write_text("a file")
    result = shoal("get", "t.torrent", "--dir", folder, *LOCAL)
    assert result.returncode == ExitCode.FILE_IO
    assert "in-the-way" in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_a_state_that_cannot_be_kept_is_one_line(
    tmp_path: Path, shoal: Shoal, monkeypatch: pytest.MonkeyPatch
) -> None:
    Offer(tmp_path, make_payload(1000))
    (tmp_path / "in-the-way").write_text("a file")
    monkeypatch.setenv("SHOAL_STATE_DIR", str(tmp_path / "in-the-way"))
    result = shoal("get", "t.torrent", "--dir", "get", *LOCAL)
    assert result.returncode == ExitCode.FILE_IO
    assert "in-the-way" in result.stderr
    assert len(result.stderr.splitlines()) <= 2


@NEEDS_ROOT
def test_a_full_disk_under_the_state_is_one_line_and_nothing_wrong_is_believed(tmp_path: Path) -> None:
    offer = Offer(tmp_path, make_payload(2 * MIB))
    with small_disk(tmp_path / "state", "size=256k") as disk, offer.scripted() as source:
        (disk / "filler").write_bytes(bytes(160 * KIB))
        env = {"SHOAL_STATE_DIR": str(disk)}
        command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())]
        with start(tmp_path, *command, env=env) as get:
            code = get.wait()
        assert code in (0, ExitCode.DISK_FULL)
        assert "Traceback" not in "\n".join(get.err)
        (disk / "filler").unlink()
        with start(tmp_path, *command, env=env) as get:
            assert get.wait() == 0
    assert offer.got() == offer.data


def test_a_link_in_the_folder_leads_nobody_out(tmp_path: Path) -> None:
    offer = Offer(tmp_path, {"sub/one": make_payload(50_000)})
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "get/payload").mkdir(parents=True)
    (tmp_path / "get/payload/sub").symlink_to(outside)
    with offer.scripted() as source:
        command = ["get", "t.torrent", "--dir", "get", *LOCAL, *peer(source.listen())]
        with start(tmp_path, *command) as get:
            assert get.wait() == ExitCode.FILE_IO
    assert list(outside.iterdir()) == []
    assert "symbolic link" in remarks(get.err)[0]
