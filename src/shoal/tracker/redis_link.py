"""Ask one script of a Redis (or Valkey) many things at a time, and live without it while it is away.

A question is a few bytes, and so is its answer; what they mean is the script's business (`redis_store.py`). Those of
one turn of the loop go out in one call, and so do those that come up while others are under way.

Always true: every question is answered within `ANSWER_SECONDS`, with `Trouble.AWAY` at the worst, and at once while
Redis is known to be away; no more than `MAX_WAITING` questions wait; no future fails; neither password nor user
name is in any message.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from shoal.errors import UsageError
from shoal.net.addresses import url_host
from shoal.tracker.soon import Soon
from shoal.tracker.store import Trouble

if TYPE_CHECKING:
    from redis.asyncio import Redis

ANSWER_SECONDS = 2.0  # an announce is of no use to a client that has given up; BEP 15's asks again after 15
RETRY_SECONDS = 0.25  # between the beginnings of two attempts to reach a Redis that is away
ATTEMPT_SECONDS = 1.0  # of one attempt: one that needs longer to let us in is no shared memory
MAX_UNDER_WAY = 4  # calls, a connection each: Redis works at one of them while the others travel
MAX_BATCH = 250  # questions in a call, so that nobody else waits for it for longer than some 5 ms
MAX_WAITING = 5_000  # questions that no call has taken yet: a tenth of a second's work for a Redis

Answer = TypeVar("Answer")
Answers = list[bytes]


class RedisLink:
    """The way to one Redis. `head` gives what stands before the questions in each call of `script`."""

    def __init__(
        self,
        url: str,
        script: str,
        head: Callable[[], list[bytes]],
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        """`on_change` is told, in one line, that Redis is away and why, and that it is back. Raises `UsageError`."""
        self._url = url
        self._script = script
        self._script_id = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._head = head
        self._on_change = on_change
        self._client = _make_client(url)
        self.place = _place_of(self._client)
        self.is_away = False
        self._is_closed = False
        self._waiting: list[_Asked] = []
        self._waiting_count = 0  # of their questions
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, questions: Sequence[bytes], read: Callable[[Answers], Answer]) -> Soon[Answer | Trouble]:
        """What `read` makes of the answers, or AWAY."""
        if self.is_away or self._is_closed or self._waiting_count >= MAX_WAITING:
            return Trouble.AWAY
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer | Trouble] = loop.create_future()
        if not self._waiting and self._under_way < MAX_UNDER_WAY:
            loop.call_soon(self._flush)
        self._waiting.append(_Asked(questions, read, future, loop.time() + ANSWER_SECONDS))
        self._waiting_count += len(questions)
        return future

    async def close(self) -> None:
        self._is_closed = True
        self._give_up_waiting()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _let_go(self._client)

    # -- calls ---------------------------------------------------------------------------------------

    def _flush(self) -> None:
        while self._waiting and self._under_way < MAX_UNDER_WAY:
            batch: list[_Asked] = []
            size = 0
            for asked in self._waiting:
                size += len(asked.questions)
                if size > MAX_BATCH and batch:
                    break
                batch.append(asked)
            del self._waiting[: len(batch)]
            self._waiting_count -= sum(len(asked.questions) for asked in batch)
            self._under_way += 1
            task = self._start(self._deliver(self._client, batch))
            task.add_done_callback(partial(self._on_call_over, batch))

    async def _deliver(self, client: Redis, batch: list[_Asked]) -> None:
        """Put one call through."""
        try:
            async with asyncio.timeout_at(batch[0].deadline):
                answers = await self._call(client, [one for asked in batch for one in asked.questions])
        except Exception as error:  # noqa: BLE001 (whatever a library raises: nobody may wait for ever)
            self._turn_away(client, error)
        else:
            at = 0
            for asked in batch:
                end = at + len(asked.questions)
                asked.settle(asked.read(answers[at:end]))
                at = end

    def _on_call_over(self, batch: list[_Asked], task: asyncio.Task[None]) -> None:
        """Whatever became of a call, even if it was cancelled before it began: everybody has an answer now."""
        self._under_way -= 1
        for asked in batch:
            asked.settle(Trouble.AWAY)
        self._flush()

    async def _call(self, client: Redis, questions: list[bytes]) -> Answers:
        from redis.exceptions import InvalidResponse, NoScriptError

        arguments: list[Any] = [*self._head(), *questions]
        try:
            answers = await client.evalsha(self._script_id, 0, *arguments)
        except NoScriptError:  # a Redis that has just started, or was told to forget
            answers = await client.eval(self._script, 0, *arguments)
        if not isinstance(answers, list) or len(answers) != len(questions):
            raise InvalidResponse("this is no Redis")
        return answers

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- away and back -------------------------------------------------------------------------------

    def _turn_away(self, client: Redis, error: Exception) -> None:
        """A call has failed. Others of the same client may be under way; they answer for themselves."""
        if client is not self._client or self.is_away or self._is_closed:
            return
        self.is_away = True
        self._give_up_waiting()
        self._tell(f"redis at {self.place} is away: {_reason(error)}")
        self._start(self._come_back())

    async def _come_back(self) -> None:
        """Try until it answers again, each time with connections that nobody has used."""
        loop = asyncio.get_running_loop()
        while True:
            await _let_go(self._client)
            next_at = loop.time() + RETRY_SECONDS
            self._client = _make_client(self._url)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    await self._call(self._client, [])
                break
            await asyncio.sleep(next_at - loop.time())
        self.is_away = False
        self._tell(f"redis at {self.place} is back")

    def _give_up_waiting(self) -> None:
        waiting, self._waiting, self._waiting_count = self._waiting, [], 0
        for asked in waiting:
            asked.settle(Trouble.AWAY)

    def _tell(self, line: str) -> None:
        if self._on_change is not None:
            self._on_change(line)


class _Asked(Struct, frozen=True):
    """Questions that belong together, and who waits for the answers."""

    questions: Sequence[bytes]
    read: Callable[[Answers], Any]
    future: asyncio.Future[Any]
    deadline: float

    def settle(self, answer: object) -> None:
        if not self.future.done():
            self.future.set_result(answer)


# -- the library -------------------------------------------------------------------------------------


def _make_client(url: str) -> Redis:
    """A client that has no connection yet, tries nothing twice and takes no time of its own to give up."""
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise UsageError(
            "a store on Redis needs the package 'redis'", hint="pip install shoal[redis]"
        ) from None
    try:
        client = Redis.from_url(
            url, protocol=2, retry=Retry(NoBackoff(), 0), max_connections=MAX_UNDER_WAY + 1
        )
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # finds fault, opens nothing
        return client
    except (ValueError, TypeError):  # its words may have the URL in them, and that a password
        raise UsageError(
            "the URL of the store is none that leads to a Redis",
            hint="redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]",
        ) from None


async def _let_go(client: Redis) -> None:
    """Close its connections; one to a Redis that hangs may still have something to send, which nobody waits for."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(RETRY_SECONDS):
            await client.aclose()


def _place_of(client: Redis) -> str:
    """Where it is, for people: host and port, or the path of a socket."""
    arguments = client.connection_pool.connection_kwargs
    if "path" in arguments:
        return str(arguments["path"])
    return f"{url_host(arguments.get('host', 'localhost'))}:{arguments.get('port', 6379)}"


def _reason(error: Exception) -> str:
    """What went wrong, in words of ours: those of a server may repeat what it was sent, even a password."""
    from redis import exceptions

    reasons: list[tuple[type[Exception] | tuple[type[Exception], ...], str]] = [
        (exceptions.AuthenticationError, "it refuses the user name or the password"),
        (exceptions.NoPermissionError, "its user may not do what a store has to"),
        (exceptions.BusyLoadingError, "it is loading its data"),
        (exceptions.ReadOnlyError, "it is a replica, which takes no changes"),
        ((exceptions.TimeoutError, TimeoutError), "it does not answer"),
        ((exceptions.ConnectionError, OSError), "it cannot be reached"),
    ]
    for kind, reason in reasons:
        if isinstance(error, kind):
            return reason
    return f"it answers with an error ({type(error).__name__})"
