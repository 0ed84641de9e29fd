"""Where a demo plays: a temporary folder, and the `shoal` processes that work in it.

Always true: every process and every byte of the demo is gone when the stage is left, by whichever way; if the demo
itself is killed, the janitor sees to it. Each process has a folder, and in it its state, log and output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

from shoal.cli.demo import janitor
from shoal.errors import ExitCode, ShoalError

SHOAL = (sys.executable, "-P", "-m", "shoal")


def own_environment(folder: Path) -> dict[str, str]:
    """State and groups of its own, and none of the settings that this person has for other runs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
    return {**inherited, "SHOAL_STATE_DIR": str(folder / "state"), "SHOAL_CONFIG": os.devnull}


class Lines:
    """The lines of a file that somebody is writing; each is given once, when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    @property
    def has_more(self) -> bool:
        return self._path.exists() and self._path.stat().st_size > self._position

    def read(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        return whole.decode("utf-8", "replace").splitlines()

    def read_json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read()]


class Actor:
    """One `shoal` process."""

    def __init__(self, name: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.folder = folder
        self.process = process
        self.end_is_expected = False
        self.output = Lines(folder / "output")
        self.log = Lines(folder / "log")

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> None:
        """Ask it to end in good order."""
        self.end_is_expected = True
        self.process.terminate()

    def check(self) -> None:
        """Raise `ShoalError` with the complaint of a process that has failed, or ended before it should."""
        code = self.process.poll()
        if code is None or (code == ExitCode.OK and self.end_is_expected):
            return
        complaint = (self.folder / "errors").read_text(errors="replace").splitlines()
        said = next((line for line in complaint if line.startswith("shoal: ")), "shoal: no complaint")
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise ShoalError(f"{self.name} {ended}: {said.removeprefix('shoal: ')}")


class Stage(AbstractContextManager["Stage"]):
    def __init__(self) -> None:
        self.actors: list[Actor] = []
        self._group = 0  # of all processes; the first one's id
        self._after = ExitStack()

    def __enter__(self) -> Stage:
        self.folder = Path(tempfile.mkdtemp(prefix="shoal-demo-"))
        self._after.callback(janitor.remove_folder, self.folder)
        self._janitor = subprocess.Popen(
            [sys.executable, "-I", "-S", janitor.__file__, str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # neither Ctrl-C nor a closed terminal is meant for it
        )
        self._after.callback(self._janitor.communicate)  # ends its input, and so, soon, itself
        self._after.callback(self._end_actors)
        return self

    def __exit__(self, *_: object) -> None:
        self._after.close()

    def start(
        self, name: str, *arguments: str | Path, program: Sequence[str] = SHOAL, said: str = ""
    ) -> Actor:
        """Run `shoal ARGUMENTS`, or another program. It hears `said`; what it prints goes to `output` and `errors`.

        Both files are in its own folder, which programs of one name share.
        """
        folder = self.folder_of(name)
        with (folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
            process = subprocess.Popen(
                [*program, *map(str, arguments)],
                stdin=subprocess.PIPE if said else subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=own_environment(folder),
                process_group=self._group,  # not the terminal's: Ctrl-C is for us, we end them in good order
            )
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(said.encode())
        if not self._group:
            self._group = process.pid
            assert self._janitor.stdin is not None
            self._janitor.stdin.write(b"%d\n" % self._group)
            self._janitor.stdin.flush()
        actor = Actor(name, folder, process)
        self.actors.append(actor)
        return actor

    def folder_of(self, name: str) -> Path:
        """A machine's folder; made when first asked for."""
        folder = self.folder / name.replace(" ", "-")
        folder.mkdir(exist_ok=True)
        return folder

    def _end_actors(self) -> None:
        if self._group:
            janitor.kill_group(self._group)
        for actor in self.actors:
            actor.process.wait()
