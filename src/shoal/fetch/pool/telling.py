"""What people are told of members: who is out and why, who is gone or slow. Of each, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from shoal.engine.admission import TWICE
from shoal.fetch.pool.company import Company
from shoal.protocol.group.messages import KEY_LENGTH


class Telling:
    def __init__(self, company: Company, note: Callable[[str], None]) -> None:
        self._company = company
        self._note = note
        self._out: set[bytes] = set()
        self._slow: set[bytes] = set()  # programs of members

    def out(self, member: bytes, reason: str) -> None:
        if member not in self._out:
            self._out.add(member)
            self._note(f"{self._company.culprit(member)} is out: {reason}")

    def slow(self, programs: Iterable[bytes]) -> None:
        for program in programs:
            if program not in self._slow:
                self._slow.add(program)
                name = self._company.name_of(program[:KEY_LENGTH])
                self._note(f"{name} is slow: what it was waited for is fetched without it")

    def gone(self, member: bytes, reason: str) -> None:
        """It was counted on. Who is out was told of already; who was connected twice is here still."""
        if member not in self._out and reason != TWICE:
            self._note(f"{self._company.name_of(member)} is gone: {reason}")

    def on_report(self, event: str, **fields: Any) -> None:
        """What happens in the torrent."""
        if event == "banned" and fields["member"]:
            self.out(bytes.fromhex(fields["member"]), f"it {fields['reason']}")
