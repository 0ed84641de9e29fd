"""Get something small over HTTP, or put it there: a tracker's answer, a torrent.

`get`, and `put` and `delete` for whoever has a token, on libcurl: redirects, TLS, proxies of the environment (never
for loopback), IPv4 and IPv6 side by side. Always true: no more than `max_bytes` are kept, the call ends within
`timeout`, only http and https are followed, certificates are checked, and every failure is one line that names the
host. Only `get` follows redirects: what was meant for one host, a token above all, reaches no other. It does so itself,
hop by hop, so that a guard can look at each.
docs/decisions/0002-http-client.md says why libcurl, and how it meets the event loop.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any

import pycurl  # type: ignore[import-untyped]  # its stubs are a package of their own

from shoal import __version__
from shoal.errors import FormatError, NetworkError, NotFoundError, ShoalError
from shoal.net.addresses import is_wildcard
from shoal.net.curl_errors import error_of, host_of, phrase_of
from shoal.net.environment_cas import cas_of_environment
from shoal.net.environment_proxies import hosts_without_proxy
from shoal.net.guarding import AddressGuard, Watch
from shoal.protocol.http.origin import redirect_target
from shoal.protocol.tracker.urls import shown_url
from shoal.units import MIB, format_size

USER_AGENT = f"shoal/{__version__}"
DEFAULT_TIMEOUT = 30.0
DEFAULT_MAX_BYTES = 16 * MIB  # a torrent of a million pieces is 20 MB; whoever expects one says so
DEFAULT_MAX_REDIRECTS = 5
MAX_ANSWER_BYTES = 64 * 1024  # to what was put somewhere: a line or two, or a proxy's page
MAX_HEADER_BYTES = 64 * 1024

_HTTP_ONLY = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_QUICK_EXIT = 322  # CURLOPT_QUICK_EXIT, not yet named by pycurl: do not wait for a name server when cancelled
_NOT_FOUND_STATUSES = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back, whatever the status. Header names are in lower case; of equal ones the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes
    final_url: str

    def raise_for_status(self) -> None:
        """Raise `NotFoundError` (404, 410) or `NetworkError` unless the status is a success."""
        if self.status // 100 == 2:
            return
        message = f"{host_of(self.final_url)} answered {self.status} {phrase_of(self.status)}"
        if self.status in _NOT_FOUND_STATUSES:
            raise NotFoundError(f"{message} for {shown_url(self.final_url)}")
        raise NetworkError(message)


async def get(
    url: str,
    *,
    bind: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - libcurl keeps it, and says what was too slow
    max_bytes: int = DEFAULT_MAX_BYTES,
    max_redirects: int = DEFAULT_MAX_REDIRECTS,
    guard: AddressGuard | None = None,
) -> HttpResponse:
    """Fetch `url` from the local address `bind` (None: any).

    Raises `NotFoundError` (no such host), `GuardError` (the guard refuses), `NetworkError` (everything else on the way)
    or `FormatError` (not a URL of ours, not HTTP, too much of it). A status is no error; see `raise_for_status`.
    """
    options = {pycurl.ACCEPT_ENCODING: "gzip, deflate"}
    ends_at = time.monotonic() + timeout
    came_from_public = False
    async with pycurl.AsyncCurlMulti() as multi:
        for hop in range(max_redirects + 1):
            watch = None
            if guard is not None:
                watch = Watch(guard, url, hop=hop, came_from_public=came_from_public, proxy=None)
            transfer = _Transfer(url, max_bytes, watch)
            response = await _perform(multi, transfer, bind, ends_at - time.monotonic(), options)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None:
                return response
            url = redirect_target(url, location)
            came_from_public |= watch is not None and watch.is_public
    raise NetworkError(f"{host_of(url)}: redirects too often")


async def put(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    bind: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - as for `get`
) -> HttpResponse:
    """Send `body` to be kept at `url`. The headers may hold secrets. Raises as `get` does."""
    options = {
        pycurl.UPLOAD: True,
        pycurl.READFUNCTION: BytesIO(body).read,
        pycurl.INFILESIZE_LARGE: len(body),
        # Who is refused hears why before the body is sent.
        pycurl.HTTPHEADER: [*_header_lines(headers), "Expect: 100-continue"],
    }
    async with pycurl.AsyncCurlMulti() as multi:
        return await _perform(multi, _Transfer(url, MAX_ANSWER_BYTES), bind, timeout, options)


async def delete(
    url: str,
    *,
    headers: Mapping[str, str],
    bind: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - as for `get`
) -> HttpResponse:
    """Have what is at `url` removed. Raises as `get` does."""
    options = {pycurl.CUSTOMREQUEST: "DELETE", pycurl.HTTPHEADER: _header_lines(headers)}
    async with pycurl.AsyncCurlMulti() as multi:
        return await _perform(multi, _Transfer(url, MAX_ANSWER_BYTES), bind, timeout, options)


def _header_lines(headers: Mapping[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


async def _perform(
    multi: Any, transfer: _Transfer, bind: str | None, seconds: float, options: Mapping[int, Any]
) -> HttpResponse:
    with contextlib.closing(pycurl.Curl()) as curl:
        _set_up(curl, transfer, bind, seconds, options)
        try:
            await multi.perform(curl)
        except pycurl.error as error:
            raise transfer.explain(error) from None
        return HttpResponse(
            status=curl.getinfo(pycurl.RESPONSE_CODE),
            headers=transfer.headers,
            body=bytes(transfer.body),
            final_url=curl.getinfo(pycurl.EFFECTIVE_URL),
        )


def _set_up(
    curl: pycurl.Curl, transfer: _Transfer, bind: str | None, seconds: float, more: Mapping[int, Any]
) -> None:
    options: dict[int, Any] = {
        pycurl.PROTOCOLS: _HTTP_ONLY,
        pycurl.USERAGENT: USER_AGENT,
        pycurl.TIMEOUT_MS: max(1, round(seconds * 1000)),
        pycurl.NOSIGNAL: True,
        pycurl.NOPROXY: hosts_without_proxy(),
        pycurl.WRITEFUNCTION: transfer.on_body,
        pycurl.HEADERFUNCTION: transfer.on_header,
        _QUICK_EXIT: 1,
        **cas_of_environment(),
        **more,
    }
    if bind is not None and not is_wildcard(bind):
        options[pycurl.INTERFACE] = f"host!{bind}"
        options[pycurl.IPRESOLVE] = pycurl.IPRESOLVE_V6 if ":" in bind else pycurl.IPRESOLVE_V4
    for option, value in options.items():
        curl.setopt(option, value)
    if transfer.watch is not None:
        transfer.watch.set_up(curl)
    try:
        curl.setopt(pycurl.URL, transfer.url)
    except (pycurl.error, ValueError):
        raise FormatError(f"{shown_url(transfer.url)!r} is not a URL") from None


class _Transfer:
    """What has arrived of one response, and why it was cut off if it was."""

    def __init__(self, url: str, max_bytes: int, watch: Watch | None = None) -> None:
        self.url = url
        self.watch = watch
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self._max_bytes = max_bytes
        self._header_length = 0
        self._refusal: ShoalError | None = None

    def on_header(self, line: bytes) -> int | None:
        self._header_length += len(line)
        if self._header_length > MAX_HEADER_BYTES:
            return self._refuse("sends more than 64 KiB of headers")
        text = line.decode("latin-1").strip()
        if text.startswith("HTTP/"):  # a new response: the one before it was a redirect
            self.headers.clear()
        name, colon, value = text.partition(":")
        if colon:
            self.headers[name.strip().lower()] = value.strip()
        return None

    def on_body(self, data: bytes) -> int | None:
        if len(self.body) + len(data) > self._max_bytes:
            return self._refuse(f"sends more than {format_size(self._max_bytes)}")
        self.body += data
        return None

    def explain(self, error: pycurl.error) -> ShoalError:
        """libcurl's error as one of ours."""
        if self._refusal is not None:
            return self._refusal
        return (self.watch and self.watch.error()) or error_of(self.url, error)

    def _refuse(self, what: str) -> int:
        self._refusal = FormatError(f"{host_of(self.url)} {what}")
        return -1  # libcurl ends the transfer
