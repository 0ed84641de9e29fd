"""A tracker that runs: doors, store and decision joined, with what it counts and when it forgets.

`Tracker.serve()` is an async context, so that a tracker can live inside another program. Its `routes` are
fixed things served beside it, such as a torrent at `/NAME.torrent`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from shoal.net.addresses import is_wildcard, primary_address, url_host
from shoal.net.listening import listen
from shoal.protocol.tracker.answers import encode_announce_response, encode_failure, encode_scrape_response
from shoal.protocol.tracker.messages import AnnounceRequest, TrackerFailure
from shoal.protocol.tracker.query import QueryError, parse_announce_query, parse_scrape_query
from shoal.tracker.decision import Policy, answer_announce, answer_scrape
from shoal.tracker.door_http import HttpDoor, Question, Reply
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.store import PeerStore

DEFAULT_PORT = 6969
HOUSEKEEPING_SECONDS = 1.0  # how often dawdlers are closed and silent peers forgotten

Route = tuple[str, bytes]  # content type, body


@dataclass(slots=True)
class Counters:
    """What happened since the start."""

    announces: int = 0
    scrapes: int = 0
    refusals: int = 0  # questions that got a failure reason


class Tracker:
    """One tracker, whatever the number of torrents."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        routes: Mapping[str, Route] | None = None,
        store: PeerStore | None = None,
        on_announce: Callable[[AnnounceRequest, bytes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """`on_announce` is told every announce that was understood, and the packed address it came from."""
        self.policy = policy or Policy()
        self.routes = dict(routes or {})  # path -> what is there; may be added to while serving
        self.counters = Counters()
        self._clock = clock
        self._rng = rng or random.Random()
        self.store: PeerStore = store or MemoryStore(self.policy.peer_lifetime, self._rng)
        self._on_announce = on_announce
        self._door = HttpDoor(self.answer, clock)

    @contextlib.asynccontextmanager
    async def serve(self, bind: str | None = None, port: int = DEFAULT_PORT) -> AsyncIterator[str]:
        """Listen while the context lasts; gives the base URL, such as `http://192.0.2.7:6969`.

        `bind` None means all interfaces; the URL then has the address at which others most likely reach this
        machine. Raises `NetworkError` when the port is busy, `UsageError` when `bind` is no address.
        """
        loop = asyncio.get_running_loop()
        sockets = listen(bind, port)
        real_port = sockets[0].getsockname()[1]
        host = primary_address() if is_wildcard(bind) else str(bind)
        servers = [await loop.create_server(self._door, sock=listener) for listener in sockets]
        housekeeping = _Repeating(loop, HOUSEKEEPING_SECONDS, self.keep_house)
        try:
            yield f"http://{url_host(host)}:{real_port}"
        finally:
            housekeeping.cancel()
            for server in servers:
                server.close()
            self._door.close_all()
            for server in servers:
                await server.wait_closed()

    def keep_house(self) -> None:
        """Close who dawdles, forget who is silent."""
        now = self._clock()
        self._door.close_overdue(now)
        self.store.expire(now)

    # -- answering -----------------------------------------------------------------------------------

    def answer(self, question: Question) -> Reply | None:
        """What the door replies; None where there is nothing."""
        if question.path == b"/announce":
            return Reply(self._announce(question))
        if question.path == b"/scrape":
            return Reply(self._scrape(question.query))
        route = self.routes.get(unquote_to_bytes(question.path).decode("utf-8", "replace"))
        return None if route is None else Reply(route[1], content_type=route[0])

    def _announce(self, question: Question) -> bytes:
        self.counters.announces += 1
        try:
            request = parse_announce_query(question.query)
        except QueryError as error:
            return self._refuse(TrackerFailure(error.message))
        if self._on_announce is not None:
            self._on_announce(request, question.host)
        answer = answer_announce(request, question.host, self.store, self.policy, self._clock(), self._rng)
        if isinstance(answer, TrackerFailure):
            return self._refuse(answer)
        return encode_announce_response(answer, is_compact=request.is_compact)

    def _scrape(self, query: bytes) -> bytes:
        self.counters.scrapes += 1
        try:
            answer = answer_scrape(parse_scrape_query(query), self.store, self.policy)
        except QueryError as error:
            return self._refuse(TrackerFailure(error.message))
        return self._refuse(answer) if isinstance(answer, TrackerFailure) else encode_scrape_response(answer)

    def _refuse(self, failure: TrackerFailure) -> bytes:
        self.counters.refusals += 1
        return encode_failure(failure)


class _Repeating:
    """Calls something plain every so many seconds until it is cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], None]) -> None:
        self._loop, self._seconds, self._call = loop, seconds, call
        self._handle = loop.call_later(seconds, self._run)

    def _run(self) -> None:
        self._handle = self._loop.call_later(self._seconds, self._run)
        self._call()

    def cancel(self) -> None:
        self._handle.cancel()
