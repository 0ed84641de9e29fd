"""Follow the machines of a demo while something is awaited: read their logs, see that they live, draw them.

A live picture on stderr where that is a terminal, a plain line now and then elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from shoal.cli.demo.stage import Actor, Stage
from shoal.cli.text import can_be_redrawn
from shoal.errors import ShoalError, UnfinishedError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

FRAME = 0.1  # seconds between pictures
PLAIN_EVERY = 2.0  # seconds between lines where there is no terminal


class Told(Protocol):
    """What logs tell."""

    def tell(self, teller: int, record: dict[str, Any]) -> None:
        """A line of the log of the machine with this number."""


Story = TypeVar("Story", bound=Told)


class Show(AbstractContextManager["Show[Story]"], Generic[Story]):
    """`headline` says what goes on; `story` and its `machines` are there once the machines start.

    `live(story, headline, now)` draws, `plain_line(story, now)` says the same in few words.
    """

    def __init__(
        self,
        stage: Stage,
        stop: asyncio.Event,
        live: Callable[[Story | None, str, float], RenderableType],
        plain_line: Callable[[Story, float], str],
        *,
        give_up_at: float,
    ) -> None:
        self.stage = stage
        self.stop = stop
        self.headline = ""
        self.story: Story | None = None
        self._picture = live
        self._plain_line = plain_line
        self.machines: dict[int, Actor] = {}  # by their index in the story
        self._give_up_at = give_up_at
        self._live: Live | None = None
        self._next_line_at = time.monotonic() + PLAIN_EVERY

    def __enter__(self) -> Show[Story]:
        if can_be_redrawn(sys.stderr):
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    async def until(self, is_over: Callable[[], bool]) -> None:
        """Raises `UnfinishedError` when stopped, `ShoalError` for a machine that failed or takes too long."""
        while True:
            self._follow()
            if is_over():
                return
            if time.monotonic() > self._give_up_at:
                raise ShoalError(f"the demo hangs: {self.headline}", hint="this is a bug: please report it")
            with suppress(TimeoutError):
                async with asyncio.timeout(FRAME):
                    await self.stop.wait()
            if self.stop.is_set():
                raise UnfinishedError("the demo was stopped; nothing of it is left")

    def _follow(self) -> None:
        for actor in self.stage.actors:
            actor.check()
        if self.story is not None:
            for index, actor in self.machines.items():
                for record in actor.log.read_json():
                    self.story.tell(index, record)
        self._draw()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self._picture(self.story, self.headline, time.time()), refresh=True)
        elif self.story is not None and time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + PLAIN_EVERY
            print(self._plain_line(self.story, time.time()), file=sys.stderr, flush=True)
