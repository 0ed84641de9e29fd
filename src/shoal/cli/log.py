"""The record that `--log FILE` keeps: a JSON object a line, out of our hands as soon as it happened.

Every line has `time` (Unix seconds), `name` (of this machine) and `event`; the rest is the event's own. Lines
of several processes may go to one file: each is one `write` to a file opened for appending.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from shoal.errors import FileError

Field = str | int | float | bool | None


class EventLog:
    """An append-only file of events. Raises `FileError` if the file cannot be opened or written."""

    def __init__(self, path: Path, *, name: str = "", clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.name = name
        self.clock = clock
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise FileError(f"cannot open the log {path}: {error.strerror}") from error

    def record(self, event: str, **fields: Field) -> None:
        """Write one event; it has left the process when this returns."""
        entry = {"time": round(self.clock(), 3), "name": self.name, "event": event, **fields}
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"
        try:
            os.write(self._descriptor, line.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise FileError(f"cannot write the log {self.path}: {error.strerror}") from error

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
