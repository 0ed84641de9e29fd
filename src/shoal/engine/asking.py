"""Ask one tracker once: over HTTP, or in datagrams, as its URL says.

Whatever goes wrong is one line that names the tracker's host and port, and nothing of a passkey in its path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from msgspec.structs import replace

from shoal.engine.resolving import resolve
from shoal.errors import FormatError, NotFoundError
from shoal.net import udp_trackers
from shoal.net.guarding import AddressGuard, allowed_addresses
from shoal.net.http import HttpResponse, get
from shoal.protocol.tracker.answers import MAX_ANSWER_LENGTH, parse_announce_response
from shoal.protocol.tracker.messages import AnnounceRequest, AnnounceResponse, TrackerFailure
from shoal.protocol.tracker.query import encode_announce_query
from shoal.protocol.tracker.udp_exchange import ONE_TRY, WHOLE_LADDER, Connections
from shoal.protocol.tracker.urls import announce_url, is_http, is_udp, parse_udp_url, url_scheme, with_query


class HttpGet(Protocol):
    """`net.http.get`, or what a test puts in its place."""

    async def __call__(
        self,
        url: str,
        *,
        bind: str | None,
        timeout: float,  # noqa: ASYNC109
        max_bytes: int,
        guard: AddressGuard | None,
    ) -> HttpResponse: ...


def why_not_asked(url: str) -> str:
    """Why a tracker is set aside; "" for one that is not."""
    try:
        if is_udp(url):
            parse_udp_url(url)
        else:
            announce_url(url)
    except FormatError as error:
        return error.message
    return "" if is_http(url) or is_udp(url) else f"{url_scheme(url)} trackers are not supported"


def name_of(url: str) -> str:
    """Host and port: enough for a person."""
    return urlsplit(url).netloc.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Asker:
    """How the trackers of one torrent are asked: from `bind`, and patiently if there is only one of them.

    An HTTP tracker has as many seconds as the caller gives it. A UDP tracker that is the only one gets the whole
    ladder of retransmissions, more than two hours of it, and `on_silence` says meanwhile that it is silent; where
    others wait it gets one try, and the schedule's backoff brings it another (see `udp_exchange`). With a `guard` none
    is asked at an address that it refuses.
    """

    bind: str | None = None
    is_only_one: bool = False
    connections: Connections = field(default_factory=Connections)
    http_get: HttpGet = get
    guard: AddressGuard | None = None

    async def ask(
        self,
        url: str,
        request: AnnounceRequest,
        *,
        timeout: float,  # noqa: ASYNC109
        on_silence: Callable[[str], None],
    ) -> AnnounceResponse | TrackerFailure:
        """Make one announce. A tracker's own word names it, like every `ShoalError` that is raised."""
        if is_udp(url):
            answer = await self._ask_in_datagrams(url, request, on_silence)
        else:
            answer = await self._ask_over_http(url, request, timeout)
        if isinstance(answer, TrackerFailure):
            return TrackerFailure(f"{name_of(url)} says: {answer.reason}", answer.retry_in)
        return answer

    async def _ask_over_http(
        self,
        url: str,
        request: AnnounceRequest,
        timeout: float,  # noqa: ASYNC109
    ) -> AnnounceResponse | TrackerFailure:
        query = encode_announce_query(replace(request, key=request.key.hex().encode()))
        response = await self.http_get(
            with_query(announce_url(url), query),
            bind=self.bind,
            timeout=timeout,
            max_bytes=MAX_ANSWER_LENGTH,
            guard=self.guard,
        )
        try:
            answer = parse_announce_response(response.body)
        except FormatError as error:
            response.raise_for_status()  # of a page that says 404, that is what matters
            raise FormatError(f"{name_of(url)} sent a bad answer: {error.message}") from None
        if isinstance(answer, AnnounceResponse):
            response.raise_for_status()
        return answer

    async def _ask_in_datagrams(
        self, url: str, request: AnnounceRequest, on_silence: Callable[[str], None]
    ) -> AnnounceResponse | TrackerFailure:
        name, where = name_of(url), parse_udp_url(url)
        addresses = await resolve(where.host, where.port, self.bind)
        if not addresses:
            raise NotFoundError(f"{name}: no such host")
        if self.guard is not None:
            addresses = allowed_addresses(self.guard, name, addresses)
        return await udp_trackers.announce(
            name,
            addresses,
            request,
            url_data=where.url_data,
            bind=self.bind,
            tries=WHOLE_LADDER if self.is_only_one else ONE_TRY,
            connections=self.connections,
            on_silence=lambda: on_silence(f"{name}: no answer in time"),
        )
