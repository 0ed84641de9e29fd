"""What a download is told, and what it says of itself: while it runs, for a display, and at its end."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shoal.disk.checksum import Checksum
from shoal.fetch.facts import Facts
from shoal.fetch.options import FetchOptions
from shoal.fetch.plan import DEFAULT_MOST_FETCHERS
from shoal.formats.metalink import MetalinkFile

if TYPE_CHECKING:
    from shoal.fetch.pool.wish import GroupWish


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to download, and to where. The first URL is the one that headers and password are for."""

    urls: tuple[str, ...] = field(repr=False)  # they may hold secrets
    folder: Path
    name: str | None = None  # None: as the server or the URL says
    options: FetchOptions = field(default_factory=FetchOptions)
    checksums: tuple[Checksum, ...] = ()
    described: MetalinkFile | None = None  # what the Metalink says of it that names the URLs
    most_fetchers: int = DEFAULT_MOST_FETCHERS
    first_fetchers: int = 1  # before it is known whether more are worth it
    group: GroupWish | None = None  # with whom to download
    overwrite: bool = False
    keeps_remote_time: bool = False
    on_whole: Callable[[Downloaded], None] = lambda _: (
        None
    )  # it has its name; others may still take parts of it
    is_document: Callable[[Facts, str], bool] | None = None  # (facts, URL): wanted in memory instead?


class Phase(enum.Enum):
    ASKING = "asking"  # nothing has come yet
    OPENING = "opening"  # looking at what is here from the last time
    FETCHING = "fetching"
    WAITING = "waiting"  # every source has failed, and is asked again later
    CHECKING = "checking"  # all is here; its digest is computed
    HASHING = "hashing"  # it has its name; its torrent is made


@dataclass(frozen=True, slots=True)
class Fetching:
    """One connection at work: the bytes `[begin, end)` are still to come over it."""

    number: int
    source: str
    begin: int
    end: int | None
    rate: float  # bytes a second


@dataclass(frozen=True, slots=True)
class MemberProgress:
    """A member of the group at work on the same file. `runs` are `(begin, end)` in bytes, what it fetches just now."""

    name: str
    is_helper: bool
    is_us: bool
    brought: int  # bytes of the file here: what it fetched from the origin in this run, and what it had
    had: int  # of that, what was with it when we met
    rate: float  # bytes a second of what it brings
    runs: tuple[tuple[int, int], ...]
    piece_bits: int  # the pieces here that it brought


class MemberShare(NamedTuple):
    """What one of a group brought of a file in this run; the sum of all is what was not here before."""

    name: str
    brought: int  # bytes
    had: int  # of that, what was with it when we met; the rest it fetched from the origin


@dataclass(frozen=True, slots=True)
class Progress:
    """A few times a second. `have_bits`: the pieces that are here, 0 with only one stream."""

    phase: Phase
    name: str
    length: int | None  # bytes, if it is known
    here: int  # bytes of the file
    rate: float  # bytes a second
    fetching: tuple[Fetching, ...] = ()
    members: tuple[MemberProgress, ...] = ()  # ourselves first; none: nobody else is here
    have_bits: int = 0
    piece_length: int = 0
    seconds: float = 0.0  # since the beginning
    waits_for: float = 0.0  # seconds until a source is asked again
    trouble: str = ""  # the last failure, if it is waiting
    sources: tuple[tuple[str, int], ...] = ()  # who gave this machine how many bytes so far


OnProgress = Callable[[Progress], None]
OnNote = Callable[[str], None]  # something a person should know, said once


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that is whole, under its final name."""

    path: Path
    length: int
    seconds: float
    received: int  # bytes that came now; without those of an earlier try, with those that came twice
    resumed: int  # bytes that were here
    sources: tuple[tuple[str, int], ...]  # who gave how many bytes
    verified: str  # "sha256", "sha256 pieces": by digest; "sample": what members brought, by sample; "none": not at all
    facts: Facts
    urls: tuple[str, ...] = field(default=(), repr=False)  # where it may be had, the one asked for first
    connections: int = 0  # that delivered at once, at most
    members: tuple[MemberShare, ...] = ()  # who of a group brought how much of it, ourselves first

    @property
    def rate(self) -> float:
        """Bytes a second, from wherever they came: a helper on this machine is no other member, but brings some."""
        new = self.length - self.resumed
        count = new if self.members else max(self.received, new)
        return count / max(self.seconds, 1e-9)


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was wanted in memory instead: one that says where others are."""

    body: bytes
    facts: Facts
    name: str
