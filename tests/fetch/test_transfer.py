"""Transfers over libcurl: what is asked of whom, what reaches the sink, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from shoal.errors import DeniedError, FormatError, NetworkError, NotFoundError, ShoalError
from shoal.fetch.judging import Answer
from shoal.fetch.options import FetchOptions, asked_url
from shoal.fetch.transfer import Flow, Transfers
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect
from shoal.units import KIB, MIB

from .ftp import ftp_origin
from .nginx import PASSWORD, USER, nginx
from .proxies import proxy

BODY = bytes(range(256)) * 4096  # 1 MiB
Runner = Callable[[Awaitable[None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


class Kept:
    """A sink that keeps everything, up to `most` bytes."""

    def __init__(self, most: int | None = None, takes_response: bool = True) -> None:
        self.responses: list[Answer] = []
        self.body = bytearray()
        self.on_more: Callable[[], None] | None = None
        self._most = most
        self._takes_response = takes_response

    def on_response(self, response: Answer, go_on: Callable[[], None]) -> bool:
        self.responses.append(response)
        return self._takes_response

    def on_data(self, data: bytes) -> Flow:
        self.body += data
        if self.on_more is not None:
            self.on_more()
        is_enough = self._most is not None and len(self.body) >= self._most
        return Flow.END if is_enough else Flow.MORE


async def fetched(
    url: str, begin: int = 0, end: int | None = None, *, options: FetchOptions | None = None
) -> Kept:
    kept = Kept()
    source = asked_url(url)
    async with Transfers(options or FetchOptions(), source) as transfers:
        assert await transfers.get(source, kept, begin, end)
    assert len(kept.responses) == 1
    return kept


def test_bytes_are_asked_for_as_they_are_and_come_with_status_and_headers(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = Page(BODY, headers=(("X-Word", "one"), ("x-word", "two")))
            kept = await fetched(origin.url("/a"), 100, 200_000)
            assert kept.body == BODY[100:200_000]
            (response,) = kept.responses
            assert (response.status, response.url) == (206, origin.url("/a"))
            assert response.headers["content-range"] == f"bytes 100-199999/{len(BODY)}"
            assert response.headers["x-word"] == "one, two"
            (asked,) = origin.asked
            assert asked.range == (100, 200_000)
            assert asked.headers["Accept-Encoding"] == "identity"
            assert asked.headers["User-Agent"].startswith("shoal/")

    run(story())


def test_the_first_request_asks_for_all_of_it(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = Page(BODY)
            assert (await fetched(origin.url("/a"))).body == BODY
            assert origin.asked[0].headers["Range"] == "bytes=0-"

    run(story())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_only_the_last_response_is_told(run: Runner, status: int) -> None:
    async def story() -> None:
        with HostileOrigin() as origin, HostileOrigin("127.0.0.2") as other:
            origin.pages["/a"] = redirect("b?x=1", status)
            origin.pages["/b"] = redirect(other.url("/c d"), status)
            other.pages["/c%20d"] = Page(BODY)
            kept = await fetched(origin.url("/a"), 5)
            assert kept.body == BODY[5:]
            assert kept.responses[0].url == other.url("/c%20d")
            assert [asked.path for asked in origin.asked] == ["/a", "/b?x=1"]

    run(story())


def test_a_redirect_with_a_long_page_is_followed_all_the_same(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = Page(BODY, status=302, headers=(("Location", "/b"),))
            origin.pages["/b"] = Page(b"here")
            assert (await fetched(origin.url("/a"))).body == b"here"

    run(story())


def test_redirects_in_a_circle_end(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = redirect("/a")
            with pytest.raises(DeniedError, match="redirects too often"):
                await fetched(origin.url("/a"), options=FetchOptions(most_redirects=3))
            assert len(origin.asked) == 4

    run(story())


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "http://[::1/"]
)
def test_a_redirect_to_anything_but_http_is_refused(run: Runner, target: str) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = redirect(target)
            with pytest.raises(FormatError):
                await fetched(origin.url("/a"))

    run(story())


def test_where_a_source_led_before_can_be_asked_directly(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin, HostileOrigin("127.0.0.2") as other:
            other.pages["/b"] = Page(BODY)
            source = asked_url(origin.url("/a"))
            kept = Kept()
            async with Transfers(FetchOptions(headers=(("X-Key", "secret"),)), source) as transfers:
                assert await transfers.get(source, kept, 7, 9, at=other.url("/b"))
            assert (kept.body, origin.asked) == (BODY[7:9], [])
            assert "X-Key" not in other.asked[0].headers

    run(story())


def test_a_sink_can_refuse_a_response_and_end_a_body(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = Page(BODY)
            source = asked_url(origin.url("/a"))
            async with Transfers(FetchOptions(), source) as transfers:
                unwanted = Kept(takes_response=False)
                assert not await transfers.get(source, unwanted, 0)
                assert unwanted.body == b""
                enough = Kept(most=100_000)
                assert not await transfers.get(source, enough, 0)
                assert 100_000 <= len(enough.body) < 200_000

    run(story())


def test_what_a_sink_raises_reaches_its_caller(run: Runner) -> None:
    class Broken(Kept):
        def on_data(self, data: bytes) -> Flow:
            raise ZeroDivisionError

    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = Page(BODY)
            source = asked_url(origin.url("/a"))
            async with Transfers(FetchOptions(), source) as transfers:
                with pytest.raises(ZeroDivisionError):
                    await transfers.get(source, Broken(), 0)

    run(story())


def test_a_transfer_that_is_cancelled_ends_at_once_and_the_others_go_on(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/never"] = Page(BODY, stalls_after=8192)
            origin.pages["/a"] = Page(BODY)
            source = asked_url(origin.url("/never"))
            stuck, came = Kept(), asyncio.Event()
            stuck.on_more = came.set
            async with Transfers(FetchOptions(), source) as transfers:
                task = asyncio.ensure_future(transfers.get(source, stuck, 0))
                await came.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                other = asked_url(origin.url("/a"))
                assert await transfers.get(other, Kept(), 0)

    run(story())


@pytest.mark.parametrize(
    ("page", "error", "reason"),
    [
        (Page(BODY, closes_after=50_000), NetworkError, "in the middle of its answer"),
        (
            Page(BODY, is_chunked=True, closes_after=50_000),
            NetworkError,
            "in the middle|connection lost|closed",
        ),
        (Page(BODY, resets_after=50_000), NetworkError, "connection lost|in the middle"),
        (Page(BODY, headers=(("X-Y", "z" * 1000),) * 200), FormatError, "KiB of headers"),
    ],
)
def test_a_bad_ending_is_one_line_with_the_host(
    run: Runner, page: Page, error: type[ShoalError], reason: str
) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = page
            with pytest.raises(error, match=rf"^127\.0\.0\.1:{origin.port}:? .*({reason})"):
                await fetched(origin.url("/a"))

    run(story())


def test_silence_ends_after_the_time_that_was_given_for_it() -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = Page(BODY, stalls_after=49_152)
            with pytest.raises(NetworkError, match="no answer in time"):
                await fetched(origin.url("/a"), options=FetchOptions(stall_timeout=1))

    asyncio.run(story())


def test_a_closed_port_and_an_unknown_host_are_told_apart_and_no_secret_is(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            closed = origin.url("/a?key=secret").replace("//", "//me:secret@")
        with pytest.raises(NetworkError, match="cannot connect") as caught:
            await fetched(closed)
        assert "secret" not in str(caught.value)
        with pytest.raises(NotFoundError, match=r"nothing\.invalid: no such host"):
            await fetched("http://me:secret@nothing.invalid/?key=secret")

    run(story())


def test_all_transfers_together_keep_the_rate(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin:
            origin.pages["/a"] = Page(BODY)
            source = asked_url(origin.url("/a"))
            sinks = [Kept() for _ in range(4)]
            started_at = time.monotonic()
            async with Transfers(FetchOptions(max_rate=500_000), source) as transfers:
                await asyncio.gather(*(transfers.get(source, sink, 0, 125_000) for sink in sinks))
            seconds = time.monotonic() - started_at
            assert 0.8 < seconds < 20
            assert all(sink.body == BODY[:125_000] for sink in sinks)

    run(story())


def test_a_file_comes_over_ftp_from_the_middle_and_its_facts_with_it(run: Runner) -> None:
    async def story() -> None:
        with ftp_origin(BODY, password="pw") as origin:
            url = origin.url.replace("//", "//me:pw@")
            kept = await fetched(url, 1000, 500_000)
            assert kept.body == BODY[1000:500_000]
            (response,) = kept.responses
            assert response.status == 206
            assert response.headers["content-range"] == f"bytes 1000-499999/{len(BODY)}"
            assert response.headers["last-modified"] == "Tue, 02 Jan 2024 03:04:05 GMT"
            assert "PASS pw" in origin.said
            whole = await fetched(url)
            assert whole.body == BODY
            assert whole.responses[0].headers["content-range"] == f"bytes 0-{len(BODY) - 1}/{len(BODY)}"
            with pytest.raises(DeniedError, match="user or password refused"):
                await fetched(origin.url)

    run(story())


@pytest.mark.parametrize(("body", "says_size"), [(BODY, False), (b"", True), (b"", False)])
def test_an_ftp_server_without_sizes_and_an_empty_file_are_one_stream(
    run: Runner, body: bytes, says_size: bool
) -> None:
    async def story() -> None:
        with ftp_origin(body, says_size=says_size) as origin:
            kept = await fetched(origin.url)
            assert (kept.body, kept.responses[0].status) == (body, 200)

    run(story())


def test_a_proxy_is_used_for_loopback_too_if_it_was_asked_for(run: Runner) -> None:
    async def story() -> None:
        with HostileOrigin() as origin, proxy() as http, proxy(is_socks=True) as socks:
            origin.pages["/a"] = Page(BODY)
            by_http = FetchOptions(proxy=f"http://me:secret@{http.address}")
            assert (await fetched(origin.url("/a"), options=by_http)).body == BODY
            assert b"Proxy-Authorization: Basic" in http.heard
            by_socks = FetchOptions(proxy=f"socks5h://me:secret@{socks.address}")
            assert (await fetched(origin.url("/a"), options=by_socks)).body == BODY
            assert f"[127.0.0.1:{origin.port}]".encode() in socks.heard
            assert not any(b"secret" in asked.raw or b"Proxy-" in asked.raw for asked in origin.asked)

    run(story())


# ---- nginx


def test_nginx_serves_ranges_over_tls_and_http_2_only_if_its_ca_is_known(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        with nginx(tmp_path) as server:
            (server.files / "a").write_bytes(BODY)
            with pytest.raises(NetworkError, match="certificate is not trusted"):
                await fetched(f"{server.tls_url}/a")
            for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE"):
                monkeypatch.setenv(name, str(server.ca))
                assert (await fetched(f"{server.tls_url}/a", 10, 20)).body == BODY[10:20]
                monkeypatch.delenv(name)
            assert any("206 HTTP/2.0" in line for line in server.asked())

    run(story())


def test_a_transfer_ended_early_keeps_its_connection_over_http_2(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        with nginx(tmp_path) as server:
            monkeypatch.setenv("CURL_CA_BUNDLE", str(server.ca))
            (server.files / "a").write_bytes(BODY * 8)
            source = asked_url(f"{server.tls_url}/a")
            async with Transfers(FetchOptions(), source) as transfers:
                for _ in range(3):
                    assert not await transfers.get(source, Kept(most=100 * KIB), 0)
                assert await transfers.get(source, Kept(), 5 * MIB)
            connections = {line.split()[0] for line in server.asked()}
            assert len(connections) == 1

    run(story())


def test_nginx_asks_for_a_password_which_option_url_and_netrc_can_give(run: Runner, tmp_path: Path) -> None:
    async def story() -> None:
        with nginx(tmp_path) as server:
            (server.files / "a").write_bytes(BODY)
            url = f"{server.url}/closed/a"
            netrc = tmp_path / "netrc"
            netrc.write_text(f'machine 127.0.0.1 login {USER} password "{PASSWORD}"\n')
            assert (await fetched(url)).responses[0].status == 401
            assert (await fetched(url, options=FetchOptions(user=USER, password=PASSWORD))).body == BODY
            assert (await fetched(url, options=FetchOptions(netrc=netrc))).body == BODY
            named = url.replace("//", f"//{USER}:pass%20word@")
            assert (await fetched(named)).body == BODY

    run(story())
