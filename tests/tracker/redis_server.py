"""A Redis (or Valkey) of our own on loopback, which a test may end, start again and stop in its tracks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from ..peers.processes import Pen, Running, free_port
from ..peers.programs import HOST, require


class RedisServer:
    """One server, started; on the same port, with the same data, whenever it is started again."""

    def __init__(self, pen: Pen, *options: str, program: str = "redis-server") -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}"
        self._pen = pen
        folder = pen.make_folder("redis")
        self._command: list[str | Path] = [
            require(program), "--port", str(self.port), "--bind", HOST, "--dir", folder, "--save", "",
            "--daemonize", "no", *options,
        ]  # fmt: skip
        self.running = self.start()

    def start(self) -> Running:
        self.running = self._pen.start("redis", self._command)
        self.running.wait_until(lambda: "eady to accept connections" in self.running.said, "readiness")
        return self.running

    def kill(self) -> None:
        """As `kill -9`."""
        self.running.process.kill()
        self.running.process.wait()

    @contextlib.contextmanager
    def console(self, **options: Any) -> Iterator[redis.Redis]:
        """A plain client of it."""
        with redis.Redis(HOST, self.port, **options) as client:
            yield client

    def flush(self) -> None:
        with self.console() as console:
            console.flushall()
