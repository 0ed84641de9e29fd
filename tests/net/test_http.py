"""The HTTP client against scripted servers on loopback, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from shoal.errors import FormatError, NetworkError, NotFoundError, ShoalError
from shoal.net.http import USER_AGENT, HttpResponse, delete, get, put

from ..peers.processes import free_port

Runner = Callable[[Awaitable[None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    return asyncio.run if request.param == "asyncio" else uvloop.run


class Script:
    """A server that answers each request with the next of its answers, and keeps what it was asked."""

    def __init__(self, *answers: bytes, host: str = "127.0.0.1") -> None:
        self._answers = list(answers)
        self._host = host
        self.requests: list[bytes] = []
        self.peers: list[str] = []
        self.url = ""

    async def __aenter__(self) -> Script:
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://[{self._host}]:{port}" if ":" in self._host else f"http://{self._host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.peers.append(writer.get_extra_info("peername")[0])
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            answer = self._answers.pop(0).replace(b"{url}", self.url.encode())
            if answer == b"never":
                await reader.read()
            writer.write(answer)
            await writer.drain()
        writer.close()


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), lines, body)


def moved(to: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: %b\r\nX-Old: 1\r\nContent-Length: 4\r\n\r\nmove" % to


def test_an_answer_comes_with_its_status_headers_and_body(run: Runner) -> None:
    async def story() -> None:
        async with Script(ok(b"hello", b"X-Word:  Hi ")) as server:
            response = await get(f"{server.url}/a?b=%00")
            assert (response.status, response.body) == (200, b"hello")
            assert response.headers["x-word"] == "Hi"
            assert response.final_url == f"{server.url}/a?b=%00"
            assert server.requests[0].startswith(b"GET /a?b=%00 HTTP/1.1\r\n")
            assert f"User-Agent: {USER_AGENT}\r\n".encode() in server.requests[0]

    run(story())


def test_redirects_are_followed_and_leave_no_headers_behind(run: Runner) -> None:
    async def story() -> None:
        async with Script(moved(b"/next"), moved(b"{url}/last"), ok(b"there")) as server:
            response = await get(server.url)
            assert (response.body, response.final_url) == (b"there", f"{server.url}/last")
            assert "x-old" not in response.headers

    run(story())


def test_redirects_have_an_end(run: Runner) -> None:
    async def story() -> None:
        async with Script(*[moved(b"/again")] * 10) as server:
            with pytest.raises(NetworkError, match="redirects too often"):
                await get(server.url, max_redirects=2)
            assert len(server.requests) == 3

    run(story())


@pytest.mark.parametrize("target", [b"file:///etc/passwd", b"ftp://127.0.0.1/", b"gopher://127.0.0.1:1/x"])
def test_a_redirect_to_anything_but_http_is_refused(run: Runner, target: bytes) -> None:
    async def story() -> None:
        async with Script(moved(target)) as server:
            with pytest.raises(ShoalError):
                await get(server.url)

    run(story())


def test_the_body_is_bounded_whether_announced_or_not(run: Runner) -> None:
    async def story() -> None:
        endless = b"HTTP/1.1 200 OK\r\n\r\n" + bytes(300_000)
        async with Script(ok(bytes(5000)), endless, ok(bytes(4096))) as server:
            for _ in range(2):
                with pytest.raises(FormatError, match=r"127.0.0.1:\d+ sends more than 4.00 KiB"):
                    await get(server.url, max_bytes=4096)
            assert len((await get(server.url, max_bytes=4096)).body) == 4096

    run(story())


def test_a_packed_body_is_unpacked_and_its_bound_is_that_of_the_unpacked(run: Runner) -> None:
    async def story() -> None:
        packed = ok(gzip.compress(b"a" * 100_000), b"Content-Encoding: gzip")
        async with Script(packed, packed) as server:
            assert (await get(server.url)).body == b"a" * 100_000
            with pytest.raises(FormatError, match="sends more than"):
                await get(server.url, max_bytes=50_000)

    run(story())


def test_headers_are_bounded(run: Runner) -> None:
    async def story() -> None:
        async with Script(b"HTTP/1.1 200 OK\r\n" + b"X-Y: zzzzzzzzzzzz\r\n" * 10_000 + b"\r\n") as server:
            with pytest.raises(FormatError, match="sends more than 64 KiB of headers"):
                await get(server.url)

    run(story())


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (b"", NetworkError, "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", NetworkError, "in the middle of its answer"),
        (b"SSH-2.0-OpenSSH_9\r\n", FormatError, "does not answer in HTTP"),
        (b"never", NetworkError, "no answer in time"),
    ],
)
def test_a_bad_answer_is_one_line_with_the_host(
    run: Runner, answer: bytes, error: type[ShoalError], reason: str
) -> None:
    async def story() -> None:
        async with Script(answer) as server:
            with pytest.raises(error, match=rf"^127\.0\.0\.1:\d+:? .*{reason}$"):
                await get(server.url, timeout=0.5 if answer == b"never" else 60)

    run(story())


def test_a_closed_port_is_a_network_error_and_an_unknown_host_is_not_found(run: Runner) -> None:
    async def story() -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            port = holder.getsockname()[1]
            with pytest.raises(NetworkError, match=f"127.0.0.1:{port}: cannot connect"):
                await get(f"http://user:secret@127.0.0.1:{port}/")
        with pytest.raises(NotFoundError, match=r"nothing\.invalid: no such host"):
            await get("http://nothing.invalid/")

    run(story())


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://", "ftp://127.0.0.1/x", "http://[::1/"])
def test_what_is_not_an_http_url_is_refused(run: Runner, url: str) -> None:
    async def story() -> None:
        with pytest.raises(FormatError):
            await get(url)

    run(story())


def test_a_bound_request_comes_from_that_address(run: Runner) -> None:
    async def story() -> None:
        async with Script(ok(b""), ok(b"")) as server:
            await get(server.url, bind="127.0.0.1")
            await get(server.url, bind="127.0.0.9")
            assert server.peers == ["127.0.0.1", "127.0.0.9"]
            with pytest.raises(NetworkError, match="--bind is not this machine's"):
                await get(server.url, bind="192.0.2.1")

    run(story())


@pytest.mark.system
def test_ipv6_is_spoken(run: Runner) -> None:
    async def story() -> None:
        async with Script(ok(b"six"), host="::1") as server:
            assert (await get(server.url)).body == b"six"

    try:
        run(story())
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


def test_a_proxy_of_the_environment_is_used_but_not_for_loopback(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with Script(ok(b"by proxy")) as proxy, Script(ok(b"direct"), ok(b"direct")) as server:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            port = server.url.rpartition(":")[2]
            assert (await get(f"http://127.0.0.1:{port}/")).body == b"direct"
            assert (await get(f"http://localhost:{port}/")).body == b"direct"
            assert (await get("http://tracker.invalid/")).body == b"by proxy"

    run(story())


def test_a_request_that_is_cancelled_ends_at_once(run: Runner) -> None:
    async def story() -> None:
        async with Script(b"never") as server:
            task = asyncio.ensure_future(get(server.url))
            async with asyncio.timeout(60):
                while not server.requests:  # noqa: ASYNC110 - only the loop can say
                    await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(story())


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (404, NotFoundError, "x:1 answered 404 Not Found for http://x:1/a"),
        (503, NetworkError, "x:1 answered 503 Service Unavailable"),
        (799, NetworkError, "x:1 answered 799 "),
    ],
)
def test_a_status_can_be_made_an_error(status: int, error: type[ShoalError], message: str) -> None:
    with pytest.raises(error) as caught:
        HttpResponse(status, {}, b"", "http://x:1/a").raise_for_status()
    assert caught.value.message == message


def test_a_success_is_no_error() -> None:
    HttpResponse(206, {}, b"", "http://x/").raise_for_status()


# ---- what is put somewhere, with a secret

SECRET = {"Authorization": "Bearer my-secret"}


class Shelf:
    """A server that takes what is put there, and answers with one status."""

    def __init__(self, status: bytes, *headers: bytes, reads_body: bool = True) -> None:
        self._answer = b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"Content-Length: 3\r\n\r\nyes"])
        self._reads_body = reads_body
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __aenter__(self) -> Shelf:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self._reads_body and b"Content-Length: " in head:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            self.bodies.append(await reader.readexactly(length))
        writer.write(self._answer)
        await writer.drain()
        if not self._reads_body:  # nobody may cut the answer off who sends his body after all
            writer.write_eof()
            while await reader.read(65536):
                pass
        writer.close()


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_body_is_put_with_its_headers(run: Runner, size: int) -> None:
    async def story() -> None:
        async with Shelf(b"201 Created") as shelf:
            answer = await put(f"{shelf.url}/a%20b", bytes(size), headers=SECRET)
            assert (answer.status, answer.body) == (201, b"yes")
            assert shelf.heads[0].startswith(b"PUT /a%20b HTTP/1.1\r\n")
            assert b"Authorization: Bearer my-secret\r\n" in shelf.heads[0]
            assert shelf.bodies == [bytes(size)]

    run(story())


def test_who_is_refused_hears_it_and_need_not_send_his_body(run: Runner) -> None:
    async def story() -> None:
        async with Shelf(b"403 Forbidden", b"Connection: close", reads_body=False) as shelf:
            answer = await put(shelf.url, bytes(5_000_000), headers=SECRET)
            assert (answer.status, answer.body) == (403, b"yes")
            assert b"Expect: 100-continue\r\n" in shelf.heads[0]

    run(story())


def test_something_is_deleted(run: Runner) -> None:
    async def story() -> None:
        async with Shelf(b"200 OK") as shelf:
            assert (await delete(f"{shelf.url}/a", headers=SECRET)).status == 200
            assert shelf.heads[0].startswith(b"DELETE /a HTTP/1.1\r\n")
            assert b"Authorization: Bearer my-secret\r\n" in shelf.heads[0]

    run(story())


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary Redirect", b"308 Permanent"])
def test_a_token_follows_no_redirect(run: Runner, status: bytes) -> None:
    async def story() -> None:
        async with (
            Shelf(b"201 Created") as elsewhere,
            Shelf(status, b"Location: " + elsewhere.url.encode()) as shelf,
        ):
            for asked in (put(shelf.url, b"body", headers=SECRET), delete(shelf.url, headers=SECRET)):
                assert (await asked).status == int(status[:3])
            assert elsewhere.heads == []

    run(story())


def test_errors_of_what_is_put_name_the_host_and_no_secret(run: Runner) -> None:
    async def story() -> None:
        port = free_port()
        with pytest.raises(NetworkError, match=f"127.0.0.1:{port}: cannot connect") as caught:
            await put(f"http://127.0.0.1:{port}/a", b"body", headers=SECRET)
        assert "secret" not in caught.value.message + caught.value.hint

    run(story())
