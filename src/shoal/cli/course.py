"""How far a `get` has come, of torrents and of files: the last line of `--json` is told from this, however it ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.errors import ExitCode, ShoalError
from shoal.net.sockets import format_address

if TYPE_CHECKING:
    from shoal.engine.torrent import Torrent
    from shoal.fetch.progress import MemberShare

MOST_SOURCES_SHOWN = 8  # in the last lines; --json has them all
UNVERIFIED = "none"

SourceRecord = dict[str, Any]


def result_path(torrent: Torrent, folder: Path) -> Path:
    return folder / torrent.content.name


def source_records(torrents: Sequence[Torrent]) -> list[SourceRecord]:
    """Who gave how much, most first."""
    given: dict[str, int] = {}
    seeds: dict[str, int] = {}
    for torrent in torrents:
        for address, entry in torrent.ledger.entries.items():
            if entry.given:
                text = format_address(address)
                given[text] = given.get(text, 0) + entry.given
        for host, size in torrent.ledger.elsewhere.items():
            seeds[host] = seeds.get(host, 0) + size
    records = [{"kind": "peer", "address": address, "bytes": size} for address, size in given.items()]
    records += [{"kind": "web seed", "address": host, "bytes": size} for host, size in seeds.items()]
    return most_first(records)


def most_first(records: Sequence[SourceRecord]) -> list[SourceRecord]:
    return sorted(records, key=lambda one: -one["bytes"])


@dataclass(frozen=True, slots=True)
class FileCourse:
    """One file from a URL, whole or not."""

    path: Path
    bytes: int  # that are here
    seconds: float = 0.0
    sources: tuple[tuple[str, int], ...] = ()
    verified: str = UNVERIFIED
    members: tuple[MemberShare, ...] = ()  # of a group: who brought how much of it, ourselves first

    def source_records(self) -> list[SourceRecord]:
        """In a group what each brought of the file; alone what came from each server, with what came twice."""
        ranked = sorted(self.sources, key=lambda pair: -pair[1])
        others = list(self.members[1:])
        if others:
            ours = self.members[0]
            ranked = _parts_of(ours.brought - ours.had, ranked)
            others += (
                [ours._replace(brought=ours.had)] if ours.had else []
            )  # of another program of this machine
        records: list[SourceRecord] = [
            {"kind": "origin", "address": address, "bytes": size} for address, size in ranked if size
        ]
        for address, size, had in others:
            records.append({"kind": "member", "address": address, "bytes": size, "had": had})
        return most_first(records)

    def record(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "sources": self.source_records(),
            "verified": self.verified,
        }


def _parts_of(total: int, ranked: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """What each server gave of these bytes; what came twice, or only to be compared, is nobody's."""
    given = sum(size for _, size in ranked)
    parts = [(address, size * total // given) for address, size in ranked]
    rest = total - sum(size for _, size in parts)
    return [(address, size + (rest if not number else 0)) for number, (address, size) in enumerate(parts)]


@dataclass(slots=True)
class Course:
    folder: Path
    torrents: list[Torrent] = field(default_factory=list)
    files: list[FileCourse] = field(default_factory=list)
    failure: ShoalError | None = None  # the first, where the others went on
    is_complete: bool = False
    seconds: float = 0.0  # until everything was here, or until the end
    started_at: float = field(default_factory=time.monotonic)

    def on_fetched(self, *, is_complete: bool) -> None:
        self.is_complete = is_complete
        self.seconds = time.monotonic() - self.started_at

    def on_failure(self, error: ShoalError) -> None:
        self.failure = self.failure or error

    def record(self, error: ShoalError | None = None) -> dict[str, Any]:
        """The last line of `--json`."""
        paths = [result_path(torrent, self.folder) for torrent in self.torrents]
        paths += [file.path for file in self.files]
        record = {
            "status": self._status(error),
            "path": str(paths[0] if len(paths) == 1 else self.folder),
            "bytes": sum(torrent.have_bytes for torrent in self.torrents)
            + sum(file.bytes for file in self.files),
            "seconds": round(self.seconds or time.monotonic() - self.started_at, 3),
            "sources": most_first(
                source_records(self.torrents) + [s for f in self.files for s in f.source_records()]
            ),
            "verified": self._verified(),
        }
        if error is not None:
            record |= {"error": error.message, "exit_code": int(error.exit_code)}
        return record

    def _verified(self) -> str:
        ways = {file.verified for file in self.files} | ({"pieces"} if self.torrents else set())
        return UNVERIFIED if not ways or UNVERIFIED in ways else ", ".join(sorted(ways))

    def _status(self, error: ShoalError | None) -> str:
        if error is None:
            return "complete" if self.is_complete else "unfinished"
        return "unfinished" if error.exit_code == ExitCode.UNFINISHED else "failed"
