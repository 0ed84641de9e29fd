"""How much a helper may still fetch for others today; remembered across restarts.

Always true: what one work holds is no other's; who fetches no more than was left for it exceeds nothing. A day is one
of UTC, so that a change of the clock's zone is no new day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from shoal.disk.faults import file_fault
from shoal.disk.new_file import write_whole


class Quota:
    """`limit` bytes a day; None is without limit."""

    def __init__(self, limit: int | None, path: Path, today: Callable[[], str] | None = None) -> None:
        self._limit = limit
        self._path = path
        self._today = today or _today
        self._day, self._used = self._load()
        self._saved = self._used
        self._held: dict[Hashable, int] = {}

    @property
    def left(self) -> int | None:
        """Bytes; None without a limit."""
        if self._limit is None:
            return None
        self._turn()
        return max(0, self._limit - self._used)

    @property
    def is_used_up(self) -> bool:
        return self.left == 0

    def hold(self, who: Hashable, count: int) -> None:
        """It is about to fetch so many bytes."""
        self._held[who] = count

    def let_go(self, who: Hashable) -> None:
        self._held.pop(who, None)

    def left_for(self, who: Hashable) -> int | None:
        """Bytes, with what it holds; None without a limit."""
        left = self.left
        others = sum(count for other, count in self._held.items() if other is not who)
        return None if left is None else max(0, left - others)

    def spend(self, count: int) -> None:
        self._turn()
        self._used += count

    def save(self) -> None:
        """Blocks. Raises `FileError` or `DiskFullError`."""
        if self._limit is None or self._used == self._saved:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_fault(error, self._path, "writing") from error
        kept = json.dumps({"day": self._day, "bytes": self._used})
        write_whole(self._path, kept.encode(), overwrite=True)
        self._saved = self._used

    def _turn(self) -> None:
        today = self._today()
        if today != self._day:
            self._day, self._used = today, 0

    def _load(self) -> tuple[str, int]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path.read_text())
            return str(kept["day"]), int(kept["bytes"])
        return self._today(), 0


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
