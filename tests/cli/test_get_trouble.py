"""What `shoal get URL` says when the way to the file is barred, and what it finds out before it begins."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect
from shoal.units import KIB

from ..conftest import Shoal
from ..fetch.nginx import nginx
from .part_records import remembered
from .running import COMMAND, PATIENCE, environment, start
from .test_get_urls import BODY, metalink, names, wait_until

PIECES = -(-len(BODY) // (256 * KIB))
SECRET = "correct-horse-battery"


@pytest.fixture
def origin() -> Iterator[HostileOrigin]:
    with HostileOrigin() as running:
        running.pages["/data.iso"] = Page(BODY)
        yield running


def nobody() -> str:
    """A host and port that refuse connections."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"127.0.0.1:{closed.getsockname()[1]}"


# ---- before it begins


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--torrent", "nodir/t.torrent"], "nodir/t.torrent: there is no folder nodir", ExitCode.NOT_FOUND),
        (["--torrent", "folder"], "folder is a folder", ExitCode.EXISTS),
        (["--torrent", "same", "-o", "same"], "same is the file itself", ExitCode.USAGE),
        (["--torrent", "x.part", "-o", "x"], "x.part is the file itself", ExitCode.USAGE),
        (["--torrent", "./data.iso"], "data.iso is the file itself", ExitCode.USAGE),
    ],
)
def test_a_torrent_that_cannot_be_written_is_known_before_the_download(
    arguments: list[str], message: str, code: int, tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    (tmp_path / "folder").mkdir()
    result = shoal("get", origin.url("/data.iso"), *arguments)
    assert (result.returncode, result.stderr.splitlines()[0]) == (code, f"shoal: {message}")
    assert result.stderr.splitlines()[1].startswith("hint: ")
    assert names(tmp_path) == ["folder"]


def test_a_torrent_may_lie_in_the_folder_that_is_made_for_the_file(
    tmp_path: Path, shoal: Shoal, origin: HostileOrigin
) -> None:
    result = shoal("get", origin.url("/data.iso"), "--dir", "new", "--torrent", "new/t.torrent")
    assert result.returncode == 0, result.stderr
    assert names(tmp_path / "new") == ["data.iso", "t.torrent"]


@pytest.mark.parametrize("url", ["http://a b/x", "http:///x", "http://h:99999/x", "http://a^b/x"])
def test_what_is_no_url_is_a_wrong_command_line(url: str, shoal: Shoal) -> None:
    result = shoal("get", url)
    assert result.returncode == ExitCode.USAGE
    assert len(result.stderr.splitlines()) <= 2


def test_a_blank_in_a_path_is_no_fault(tmp_path: Path, shoal: Shoal, origin: HostileOrigin) -> None:
    origin.pages["/a%20b"] = Page(BODY)
    assert shoal("get", origin.url("/a b")).returncode == 0
    assert names(tmp_path) == ["a b"]


@pytest.mark.parametrize("source", ["gopher://x/y", "host.example/file", "localhost:8000/file"])
def test_what_looks_like_a_url_without_its_beginning_gets_a_hint(source: str, shoal: Shoal) -> None:
    result = shoal("get", source)
    assert result.returncode == ExitCode.NOT_FOUND
    assert result.stderr.splitlines()[1] == "hint: a URL begins with http://, https:// or ftp://"


# ---- names


def test_a_metalink_names_nothing_that_is_hidden(tmp_path: Path, shoal: Shoal, origin: HostileOrigin) -> None:
    page = metalink(origin.url("/data.iso"))
    origin.pages["/m"] = replace(page, body=page.body.replace(b"sub/m.iso", b".ssh/.keys"))
    assert shoal("get", origin.url("/m")).returncode == 0
    assert (tmp_path / "ssh" / "keys").read_bytes() == BODY
    assert names(tmp_path) == ["ssh"]


# ---- the way there


@pytest.mark.parametrize("is_named", [True, False])
def test_a_proxy_that_is_down_is_named_and_not_the_server(is_named: bool, tmp_path: Path) -> None:
    place = nobody()
    proxy = f"http://me:{SECRET}@{place}"
    arguments = ["--proxy", proxy] if is_named else []
    env = {} if is_named else {"http_proxy": proxy}
    with start(tmp_path, "get", "http://origin.example/x", *arguments, env=env) as get:
        assert get.wait() == ExitCode.NETWORK
    assert get.err[-2].startswith(f"shoal: origin.example: cannot connect to the proxy {place}")
    assert get.err[-1].startswith("hint: look whether the proxy runs")
    assert SECRET not in "".join(get.err)


def test_a_ca_of_ones_own_is_trusted_by_an_option_and_without_it_there_is_a_hint(tmp_path: Path) -> None:
    with nginx(tmp_path) as server:
        (server.files / "f.bin").write_bytes(BODY)
        with start(tmp_path, "get", f"{server.tls_url}/f.bin") as refused:
            assert refused.wait() == ExitCode.NETWORK
        with start(
            tmp_path, "get", f"{server.tls_url}/f.bin", "--cacert", server.ca, "--connections", "1"
        ) as get:
            assert get.wait() == 0, get.err
        with start(tmp_path, "get", f"{server.tls_url}/f.bin", "--cacert", "absent.pem") as absent:
            assert absent.wait() == ExitCode.NOT_FOUND
        with start(tmp_path, "get", f"{server.tls_url}/f.bin", "--cacert", server.files / "f.bin") as wrong:
            assert wrong.wait() == ExitCode.NETWORK
        asked = server.asked()
    assert (tmp_path / "f.bin").read_bytes() == BODY
    assert "its certificate is not trusted: " in refused.err[0] and "tries" not in refused.err[0]
    assert refused.err[1].startswith("hint: --cacert FILE trusts a CA of your own")
    assert absent.err == ["shoal: no file of certificates at absent.pem"]
    assert "the certificates to trust cannot be read" in wrong.err[0]
    assert wrong.err[1].startswith("hint: look at the file that --cacert, ")
    assert len(asked) == 1


def test_where_there_is_no_such_option_the_hint_names_the_variables_and_these_are_honoured(
    tmp_path: Path,
) -> None:
    with nginx(tmp_path) as server:
        (server.files / "t.torrent").write_bytes(BODY)
        with start(tmp_path, "seed", f"{server.tls_url}/t.torrent", "--dir", tmp_path) as refused:
            assert refused.wait() == ExitCode.NETWORK
        trusting = {"CURL_CA_BUNDLE": str(server.ca)}
        with start(tmp_path, "seed", f"{server.tls_url}/t.torrent", "--dir", tmp_path, env=trusting) as seed:
            assert seed.wait() == ExitCode.BAD_DATA
    assert refused.err[1].startswith("hint: CURL_CA_BUNDLE=FILE trusts a CA of your own")
    assert "not a torrent file" in seed.err[0]


@pytest.mark.parametrize(("bind", "host"), [("::1", "127.0.0.1"), ("127.0.0.1", "[::1]")])
def test_an_address_of_the_other_kind_is_told_as_that(bind: str, host: str, shoal: Shoal) -> None:
    result = shoal("get", f"http://{host}:1/x", "--bind", bind)
    assert result.returncode == ExitCode.NETWORK
    assert f"{host}:1: cannot be reached from {bind}: one is IPv4, the other IPv6" in result.stderr
    assert "hint: give --bind an address of the same kind" in result.stderr


def test_who_does_not_speak_http_is_named_once(shoal: Shoal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        process = subprocess.Popen(
            [*COMMAND, "get", f"http://{host}/x"], env=environment(), stderr=subprocess.PIPE, text=True
        )
        server.settimeout(PATIENCE)
        client, _ = server.accept()
        with client:
            client.recv(64 * KIB)
            client.sendall(b"garbage\r\n\r\n")
        _, said = process.communicate(timeout=PATIENCE)
    assert said == f"shoal: {host} does not answer in HTTP\n"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Page(status=400), "the server answers 400 Bad Request"),
        (Page(status=416, takes_ranges=False), "the server answers 416 Requested Range Not Satisfiable"),
        (redirect("/x"), "redirects too often"),
    ],
    ids=["400", "416", "a circle"],
)
def test_a_server_that_does_not_give_the_file_is_no_broken_line(
    page: Page, words: str, shoal: Shoal, origin: HostileOrigin
) -> None:
    origin.pages["/x"] = page
    result = shoal("get", origin.url("/x"))
    assert result.returncode == ExitCode.DENIED
    assert words in result.stderr.splitlines()[0]
    assert result.stderr.splitlines()[1].startswith("hint: ")


def test_a_server_that_says_it_serves_parts_and_does_not_is_told_so(
    shoal: Shoal, origin: HostileOrigin
) -> None:
    origin.pages["/x"] = Page(
        BODY, etag='"a"', takes_ranges=False, rate=512 * KIB, headers=(("Accept-Ranges", "bytes"),)
    )
    result = shoal("get", origin.url("/x"))
    assert result.returncode == 0
    assert "does not serve parts of it" in result.stderr
    assert "which version" not in result.stderr


# ---- the terminal goes


@contextmanager
def read_by_somebody(terminal: int) -> Iterator[None]:
    """Else whoever shows something there waits for a reader."""
    is_over = threading.Event()

    def read() -> None:
        with suppress(OSError):  # nobody shows anything any more
            while not is_over.is_set():
                if select.select([terminal], [], [], 0.05)[0]:
                    os.read(terminal, 64 * KIB)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize("is_terminal_gone", [True, False])
def test_a_hangup_keeps_what_came(is_terminal_gone: bool, tmp_path: Path, origin: HostileOrigin) -> None:
    origin.rate = 100 * KIB
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below nohup it is ignored
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "get", origin.url("/data.iso"), "--connections", "1"],
        cwd=tmp_path, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    signal.signal(signal.SIGHUP, before)
    record = tmp_path / "data.iso.part.shoal"
    try:
        with read_by_somebody(ours):
            wait_until(lambda: bool(remembered(record, PIECES)))
        if is_terminal_gone:
            os.close(ours)
        with nullcontext() if is_terminal_gone else read_by_somebody(ours):
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGHUP)  # shell and system both send one
            assert process.wait(PATIENCE) == ExitCode.UNFINISHED
    finally:
        process.kill()
        process.wait()
        if not is_terminal_gone:
            os.close(ours)
    assert names(tmp_path) == ["data.iso.part", "data.iso.part.shoal"]


def test_below_nohup_a_hangup_changes_nothing(tmp_path: Path, origin: HostileOrigin) -> None:
    origin.rate = 100 * KIB
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with start(tmp_path, "get", origin.url("/data.iso"), "--connections", "1") as get:
            signal.signal(signal.SIGHUP, before)
            wait_until((tmp_path / "data.iso.part").exists)
            get.process.send_signal(signal.SIGHUP)
            origin.rate = None
            assert get.wait() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "data.iso").read_bytes() == BODY
