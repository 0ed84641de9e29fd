"""Move bytes from a URL into a sink, over libcurl. Nothing is decided here.

`Transfers` holds what the transfers of one download share: connections, names looked up, TLS sessions, cookies, the
rate. `Transfers.get` is one of them: it follows redirects itself, hop by hop, so that each host is told only what
`options.Secrets` allows, and asks every host for the bytes as they are (`Accept-Encoding: identity`).

With a guard (`net/guarding.py`) every hop, and every address that is connected to, is one that the guard lets pass; it
is told of a host that was seen at a public address before, or was led to from one.

Always true: the sink hears of one response, that of the last hop, and then its body in order; certificates are
checked; every failure is one line that names the host. A transfer that its sink ends early takes its connection along
over HTTP/1.1, but not over HTTP/2. Each transfer that runs has a connection of its own, over HTTP/2 too.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

import pycurl  # type: ignore[import-untyped]  # its stubs are a package of their own

from shoal.errors import DeniedError, FormatError, NotFoundError, ShoalError
from shoal.fetch.judging import Answer
from shoal.fetch.limit import Limit
from shoal.fetch.options import AskedUrl, FetchOptions, Secrets, Told
from shoal.net.addresses import is_wildcard
from shoal.net.curl_errors import error_of, host_of
from shoal.net.environment_cas import cas_of_environment
from shoal.net.environment_proxies import hosts_without_proxy
from shoal.net.guarding import AddressGuard, Watch
from shoal.net.shared_limit import SharedLimit
from shoal.protocol.http.head import FtpReplies, Head, HeadReader
from shoal.protocol.http.origin import Origin, origin_of, redirect_target
from shoal.units import KIB

BUFFER = 512 * KIB  # bytes libcurl reads at once; with its usual 16 KiB a core reads half as fast
LIMITED_BUFFER = 32 * KIB  # below a rate: what is read and waits is lost if the transfer ends early
MOST_REDIRECT_BODY = 64 * KIB  # bytes; a page that says "moved" is read for the sake of its connection

_PROTOCOLS = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS | pycurl.PROTO_FTP | pycurl.PROTO_FTPS
_QUICK_EXIT = 322  # CURLOPT_QUICK_EXIT, not yet named by pycurl: do not wait for a name server when cancelled
_SUPPRESS_CONNECT_HEADERS = 265  # CURLOPT_..., not named either: what a proxy says first is no response
_NO_MULTIPLEXING = 0  # CURLPIPE_NOTHING
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Flow(enum.Enum):
    """What a sink says to a chunk, which is its own then."""

    MORE = enum.auto()
    HOLD = enum.auto()  # no more until it calls `go_on`
    END = enum.auto()  # no more


class Sink(Protocol):
    """Who takes a response, and its body."""

    def on_response(self, answer: Answer, go_on: Callable[[], None]) -> bool:
        """False: it wants none of it."""

    def on_data(self, data: bytes) -> Flow: ...


class Transfers:
    """Use as an async context manager; at its end nothing of it is left, not even a connection."""

    def __init__(
        self,
        options: FetchOptions,
        first: AskedUrl,
        guard: AddressGuard | None = None,
        limit: SharedLimit | None = None,
        on_request: Callable[[], None] | None = None,
    ) -> None:
        """`limit` is one that others share, and instead of `options.max_rate`.

        `on_request` is called just after a request has gone; not where there is a guard.
        """
        self._on_request = on_request
        self._options = options
        self._guard = guard
        self._public: set[Origin] = set()  # those that were seen at a public address
        self._secrets = Secrets(options, first)
        self._loop = asyncio.get_running_loop()
        self._limit: Limit | SharedLimit | None = limit
        if limit is None and options.max_rate is not None:
            self._limit = Limit(options.max_rate, self._loop)
        self._cookie_file = _readable(options.cookies, "cookies file") or ""  # "": an empty jar
        self._cacert = _readable(options.cacert, "file of certificates")
        self._bind = None if options.bind is None or is_wildcard(options.bind) else options.bind
        self._shared = pycurl.CurlShare()
        self._shared.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_COOKIE)
        self._multi = pycurl.AsyncCurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, _NO_MULTIPLEXING)

    async def __aenter__(self) -> Transfers:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._limit is not None:
            self._limit.close()
        await self._multi.aclose()
        self._shared.close()

    async def get(
        self,
        source: AskedUrl,
        sink: Sink,
        begin: int | None,
        end: int | None = None,
        *,
        at: str | None = None,
    ) -> bool:
        """Ask `source` for its bytes from `begin` to `end` (None: all that follow), and give them to `sink`.

        Without `begin` no range is asked for.
        `at` is where `source` led to before, if it is to be asked there. True: the body came to its end; False:
        `sink` ended it. Raises `NotFoundError`, `DeniedError`, `FormatError`, `GuardError` or
        `NetworkError`.
        """
        hops = [source.url] if at is None or at == source.url else [source.url, at]
        for _ in range(self._options.most_redirects + 1):
            watch = self._watch(hops)
            transfer = _Transfer(hops[-1], begin, end, sink, self._limit)
            came_to_its_end = await self._perform(transfer, self._secrets.told_to(hops, source), watch)
            if transfer.location is None:
                return came_to_its_end
            hops.append(redirect_target(hops[-1], transfer.location))
        raise DeniedError(
            f"{host_of(source.url)}: redirects too often",
            hint="it leads in a circle, or wants a login: --cookies",
        )

    def _watch(self, hops: list[str]) -> Watch | None:
        """The guard over the request to the last of `hops`. Raises `GuardError` if it may not be made."""
        if self._guard is None:
            return None
        came_from_public = any(origin_of(url) in self._public for url in hops)
        hop = len(hops) - 1
        return Watch(
            self._guard, hops[-1], hop=hop, came_from_public=came_from_public, proxy=self._options.proxy
        )

    async def _perform(self, transfer: _Transfer, told: Told, watch: Watch | None) -> bool:
        with contextlib.closing(transfer):
            self._set_up(transfer.curl, transfer, told)
            if watch is not None:
                watch.set_up(transfer.curl)
            try:
                await self._multi.perform(transfer.curl)
            except pycurl.error as error:
                if transfer.bug is not None:
                    raise transfer.bug from None
                if transfer.was_ended or transfer.location is not None:
                    return False
                raise (watch and watch.error()) or error_of(
                    transfer.url, error, proxy=self._options.proxy, bind=self._bind
                ) from None
            finally:
                if watch is not None and watch.is_public:
                    self._public.add(origin_of(transfer.url))
            return transfer.on_end()

    def _set_up(self, curl: pycurl.Curl, transfer: _Transfer, told: Told) -> None:
        options = self._options
        values: dict[int, Any] = {
            pycurl.PROTOCOLS: _PROTOCOLS,
            pycurl.USERAGENT: options.user_agent,
            pycurl.NOSIGNAL: True,
            pycurl.BUFFERSIZE: BUFFER if self._limit is None else LIMITED_BUFFER,
            pycurl.CONNECTTIMEOUT_MS: round(options.connect_timeout * 1000),
            pycurl.LOW_SPEED_LIMIT: 1,
            pycurl.LOW_SPEED_TIME: max(1, round(options.stall_timeout)),
            pycurl.SHARE: self._shared,
            pycurl.COOKIEFILE: self._cookie_file,
            pycurl.HTTPHEADER: _header_lines(told),
            pycurl.OPT_FILETIME: transfer.is_ftp,
            pycurl.WRITEFUNCTION: transfer.on_body,
            pycurl.HEADERFUNCTION: transfer.on_header,
            _QUICK_EXIT: 1,
            _SUPPRESS_CONNECT_HEADERS: 1,
        }
        if self._on_request is not None:
            values[pycurl.PREREQFUNCTION] = self._before_request
        if transfer.range is not None:
            values[pycurl.RANGE] = transfer.range
        if told.user is not None:
            values[pycurl.USERNAME], values[pycurl.PASSWORD] = told.user
        values |= cas_of_environment()
        if self._cacert is not None:
            values[pycurl.CAINFO] = self._cacert
        if options.proxy is None:
            values[pycurl.NOPROXY] = hosts_without_proxy()
        else:
            values[pycurl.PROXY], values[pycurl.NOPROXY] = options.proxy, ""
        if self._bind is not None:
            values[pycurl.INTERFACE] = f"host!{self._bind}"
            values[pycurl.IPRESOLVE] = pycurl.IPRESOLVE_V6 if ":" in self._bind else pycurl.IPRESOLVE_V4
        for option, value in values.items():
            curl.setopt(option, value)
        try:
            curl.setopt(pycurl.URL, transfer.url)
        except (pycurl.error, ValueError):
            raise FormatError(f"{host_of(transfer.url)}: not a URL") from None
        self._cookie_file = ""  # it is in the shared jar now, and what servers set since then stays there

    def _before_request(self, *connection: object) -> int:
        if self._on_request is not None:
            self._loop.call_soon(self._on_request)
        return int(pycurl.PREREQFUNC_OK)


class _Transfer:
    """One hop: what libcurl says, told to the sink unless it is a redirect."""

    def __init__(
        self, url: str, begin: int | None, end: int | None, sink: Sink, limit: Limit | SharedLimit | None
    ) -> None:
        self.url = url
        self.begin = begin
        self.end = end
        self.curl = pycurl.Curl()
        self.is_ftp = origin_of(url).scheme.startswith("ftp")
        self.location: str | None = None  # where this response leads to, instead of to the sink
        self.was_ended = False  # by the sink
        self.bug: BaseException | None = None  # what a sink or we ourselves raised; libcurl would print it
        self._sink = sink
        self._limit = limit
        self._head = HeadReader()
        self._ftp = FtpReplies()
        self._has_told = False
        self._is_held = False
        self._redirect_body = 0

    @property
    def range(self) -> str | None:
        if self.begin is None:
            return None
        return f"{self.begin}-" + ("" if self.end is None else str(self.end - 1))

    def close(self) -> None:
        if self._limit is not None:
            self._limit.forget(self._go_on)
        self.curl.close()

    def on_header(self, line: bytes) -> int | None:
        try:
            if self.is_ftp:
                self._ftp.on_line(line)
                return None
            head = self._head.on_line(line)
            return None if head is None or self._on_head(head) else -1
        except FormatError as error:
            self.bug = FormatError(f"{host_of(self.url)} {error.message}")
        except Exception as error:  # noqa: BLE001 (through libcurl no exception passes; `_perform` raises it)
            self.bug = error
        return -1

    def on_body(self, data: bytes) -> int | None:
        try:
            if not self._has_told and not self._on_body_without_head(data):
                return -1
            if self.location is not None:
                return None
            if self._is_held or (self._limit is not None and not self._limit.passes(len(data), self._go_on)):
                return int(pycurl.WRITEFUNC_PAUSE)
            flow = self._sink.on_data(data)
            if flow is not Flow.END:
                self._is_held = flow is Flow.HOLD
                return None
            self.was_ended = True
        except Exception as error:  # noqa: BLE001 (as above)
            self.bug = error
        return -1

    def on_end(self) -> bool:
        """The body has come; True unless the sink wanted none of it."""
        if self.is_ftp and not self._has_told:
            return self._on_head(self._ftp_head())
        return self.location is None

    def _on_head(self, head: Head) -> bool:
        if head.status in _REDIRECTS and "location" in head.headers:
            self.location = head.headers["location"]
            return True
        self._has_told = True
        self.was_ended = not self._sink.on_response(Answer(head.status, head.headers, self.url), self._go_on)
        return not self.was_ended

    def _on_body_without_head(self, data: bytes) -> bool:
        """The body of an FTP server's file begins, or that of a redirect goes on."""
        if self.is_ftp:
            return self._on_head(self._ftp_head())
        self._redirect_body += len(data)
        return self._redirect_body <= MOST_REDIRECT_BODY

    def _ftp_head(self) -> Head:
        return self._ftp.head(self.begin or 0, self.end, time.time())

    def _go_on(self) -> None:
        self._is_held = False
        with contextlib.suppress(pycurl.error):  # it has just ended
            self.curl.pause(pycurl.PAUSE_CONT)


def _header_lines(told: Told) -> list[bytes]:
    """`Name;` is how libcurl is told to send a header without a value."""
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in told.headers]
    return [line.encode() for line in (*lines, "Accept-Encoding: identity")]


def _readable(path: os.PathLike[str] | None, what: str) -> str | None:
    """The file's name for libcurl, which would not say that it is not there."""
    if path is None:
        return None
    try:
        with open(path, "rb"):  # noqa: PTH123 (only to see whether it may be read)
            return os.fspath(path)
    except FileNotFoundError:
        raise NotFoundError(f"no {what} at {os.fspath(path)}") from None
    except OSError as error:
        raise ShoalError(f"{os.fspath(path)}: {error.strerror}") from None
