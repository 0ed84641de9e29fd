"""`shoal get URL`: how it asks (password, netrc, cookies, headers, proxy), a terminal's picture, and a full disk."""

from __future__ import annotations

import base64
import os
import pty
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

from ..conftest import Shoal
from ..fetch.proxies import proxy
from .running import COMMAND, PATIENCE, environment, start
from .test_disk_trouble import NEEDS_ROOT, small_disk

BODY = random.Random(1).randbytes(2 * MIB + 12345)
SECRET = "correct-horse-battery"
BASIC = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.fixture
def origin() -> Iterator[HostileOrigin]:
    with HostileOrigin() as running:
        running.pages["/f.bin"] = Page(BODY)
        running.pages["/slow.bin"] = Page(BODY, rate=300 * KIB)
        yield running


class Terminal:
    """A command that has one for its own: `shoal` and arguments, what it shows, and its end."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.shown = b""
        self._pid, self._master = pty.fork()
        if not self._pid:
            os.chdir(folder)
            os.execve(COMMAND[0], [*COMMAND, *arguments], environment(TERM="xterm", COLUMNS="100"))

    def wait_for(self, text: bytes) -> None:
        while text not in self.shown:
            self.shown += os.read(self._master, 4096)

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    def end(self) -> int:
        try:
            while more := os.read(self._master, 4096):
                self.shown += more
        except OSError:  # that is how the end looks on Linux
            pass
        os.close(self._master)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def test_the_password_is_asked_for_on_the_terminal_and_not_shown(
    tmp_path: Path, origin: HostileOrigin
) -> None:
    terminal = Terminal(tmp_path, "get", origin.url("/f.bin"), "--user", "me", "--password-prompt")
    terminal.wait_for(b"Password of me: ")
    terminal.type(SECRET.encode() + b"\n")
    assert terminal.end() == 0
    assert SECRET.encode() not in terminal.shown
    assert origin.asked[0].headers["Authorization"] == BASIC


def test_a_terminal_has_a_picture_after_a_second(tmp_path: Path, origin: HostileOrigin) -> None:
    terminal = Terminal(tmp_path, "get", origin.url("/slow.bin"), "--connections", "1")
    terminal.wait_for("━".encode())
    assert terminal.end() == 0
    assert b"slow.bin" in terminal.shown
    assert b"got slow.bin: 2.01 MiB in " in terminal.shown


def test_without_a_terminal_nobody_is_asked(tmp_path: Path, origin: HostileOrigin) -> None:
    result = subprocess.run(
        [*COMMAND, "get", origin.url("/f.bin"), "--user", "me", "--password-prompt"],
        cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        start_new_session=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert result.returncode == ExitCode.USAGE
    assert result.stderr == (
        "shoal: --password-prompt needs a terminal\nhint: scripts put the password in SHOAL_PASSWORD\n"
    )


def test_user_and_password_may_stand_in_a_netrc_file(tmp_path: Path, origin: HostileOrigin) -> None:
    (tmp_path / "netrc").write_text(f"machine {origin.host} login me password {SECRET}\n")
    with start(tmp_path, "get", origin.url("/f.bin"), "--netrc", env={"NETRC": "netrc"}) as get:
        assert get.wait() == 0, get.err
    assert origin.asked[0].headers["Authorization"] == BASIC
    with start(
        tmp_path, "get", origin.url("/f.bin"), "--netrc", "--overwrite", env={"NETRC": "absent"}
    ) as get:
        assert get.wait() == ExitCode.NOT_FOUND
    assert get.err == ["shoal: no netrc file at absent"]


def test_headers_and_cookies_are_sent(tmp_path: Path, shoal: Shoal, origin: HostileOrigin) -> None:
    (tmp_path / "jar").write_text(
        f"# Netscape HTTP Cookie File\n{origin.host}\tFALSE\t/\tFALSE\t0\tsid\t{SECRET}\n"
    )
    result = shoal(
        "get", origin.url("/f.bin"), "--cookies", "jar", "--header", "X-A: 1", "--header", "X-B: 2"
    )
    assert result.returncode == 0, result.stderr
    headers = origin.asked[0].headers
    assert (headers["Cookie"], headers["X-A"], headers["X-B"]) == (f"sid={SECRET}", "1", "2")
    assert shoal("get", origin.url("/f.bin"), "--cookies", "absent", "--overwrite").stderr == (
        "shoal: no cookies file at absent\n"
    )


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_may_be_named(tmp_path: Path, shoal: Shoal, origin: HostileOrigin, scheme: str) -> None:
    with proxy(is_socks=scheme == "socks5h", to=(origin.host, origin.port)) as way:
        result = shoal("get", "http://inside.example/f.bin", "--proxy", f"{scheme}://{way.address}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "f.bin").read_bytes() == BODY
    assert b"inside.example" in way.heard


@NEEDS_ROOT
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path: Path, origin: HostileOrigin) -> None:
    with small_disk(tmp_path / "got", "size=1M") as disk:
        command = ["get", origin.url("/f.bin"), "--dir", "got", "--json"]
        with start(tmp_path, *command) as get:
            assert get.wait() == ExitCode.DISK_FULL
        assert get.err[-2].startswith(f"shoal: disk full: {disk}/f.bin.part: ")
        assert get.err[-1].startswith("hint: make room")
        assert (get.json()[-1]["status"], get.json()[-1]["exit_code"]) == ("failed", ExitCode.DISK_FULL)
        assert not (disk / "f.bin").exists()
        subprocess.run(["mount", "-o", "remount,size=8M", disk], check=True)
        with start(tmp_path, *command) as get:
            assert get.wait() == 0
        assert (disk / "f.bin").read_bytes() == BODY
