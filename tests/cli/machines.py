"""Machines of one group on loopback: each has a folder of its own, with its keys, its files and its settings.

What they run are real processes. `Room` is who belongs together; nothing in it outlives its block.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .running import COMMAND, HOST, LOCAL, PATIENCE, Running, environment, start

ALLOWED = ("--allow-private", "127.0.0.0/8")
LOGGED = ("--log", "log.jsonl")  # what a machine gets: `bringers` reads it
POLL_EVERY = 0.02  # seconds


def wait_until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"no {what} in {PATIENCE:g} s"
        time.sleep(POLL_EVERY)


def logged(path: Path) -> list[dict[str, Any]]:
    """What a log tells so far; its last line may not be whole yet."""
    whole_lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in whole_lines]


@dataclass(slots=True)
class Machine:
    folder: Path
    variables: dict[str, str]

    def run(self, *arguments: str | os.PathLike[str], said: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `said` is what it reads on stdin."""
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder, env=environment(**self.variables), input=said, capture_output=True, text=True,
            timeout=PATIENCE,
        )  # fmt: skip

    def start(self, *arguments: str | os.PathLike[str], **how: Any) -> Any:
        return start(self.folder, *arguments, env=self.variables, **how)

    def get(self, url: str, *options: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
        return self.run("get", url, *LOCAL, *options)

    def write_config(self, text: str) -> None:
        path = self.folder / "config.toml"
        path.write_text(text)
        self.variables["SHOAL_CONFIG"] = str(path)

    def got(self, name: str = "file.bin") -> bytes:
        return (self.folder / name).read_bytes()

    @property
    def left(self) -> set[str]:
        """What is in its folder, but for its state."""
        return {path.name for path in self.folder.iterdir()} - {"state", "config.toml", LOGGED[1]}

    @property
    def log(self) -> Path:
        return self.folder / LOGGED[1]

    @property
    def bringers(self) -> set[str]:
        """Which other members brought something so far of what it gets, by their addresses."""
        events = [one for one in logged(self.log) if one["event"] == "brought"]
        return {one["member"] for one in events if not one["is_us"]}

    def wait_brought(self, *helpers: RunningHelper) -> None:
        """Until each of them has brought something of what it gets with `LOGGED`."""
        addresses = {helper.address for helper in helpers}
        wait_until(lambda: self.bringers >= addresses, f"pieces of {', '.join(addresses)}")


@dataclass(slots=True)
class RunningHelper:
    running: Running
    port: int
    host: str = HOST

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def wait_line(self, pattern: str) -> None:
        self.running.wait_line(pattern)


@dataclass
class Room:
    folder: Path
    stack: ExitStack
    key: str = ""
    machines: list[Machine] = field(default_factory=list)

    def machine(self, *, joins: bool = True) -> Machine:
        """A new one. The first makes the group, the others join it with the key on stdin."""
        folder = self.folder / f"machine{len(self.machines)}"
        (folder / "state").mkdir(parents=True)
        machine = Machine(folder, {"SHOAL_STATE_DIR": str(folder / "state"), "SHOAL_CONFIG": os.devnull})
        self.machines.append(machine)
        if joins and not self.key:
            self.key = machine.run("group", "new", "lab").stdout.splitlines()[0]
        elif joins:
            joined = machine.run("group", "join", "-", said=f"{self.key}\n")
            assert joined.returncode == 0 and joined.stdout.startswith("joined group lab\n"), joined
        return machine

    def helper(
        self,
        *options: str | os.PathLike[str],
        on: Machine | None = None,
        local: tuple[str, ...] = (*LOCAL, *ALLOWED),
    ) -> RunningHelper:
        """It listens when this returns."""
        machine = on or self.machine()
        running = self.stack.enter_context(machine.start("helper", *local, *options))
        port = running.wait_line(r"port\W+(\d+)")[1]  # in words, or in JSON
        bound = [str(after) for option, after in itertools.pairwise((*local, *options)) if option == "--bind"]
        return RunningHelper(running, int(port), bound[-1] if bound else HOST)

    def start(self, machine: Machine, *arguments: str | os.PathLike[str], **how: Any) -> Running:
        running: Running = self.stack.enter_context(machine.start(*arguments, **how))
        return running


@contextmanager
def room(folder: Path) -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(folder, stack)
