"""Text on its way to a terminal.

Torrents, trackers and peers come from strangers, and so do the names in them: nothing that steers a terminal
passes through here.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TextIO

DUMB = frozenset({"dumb", "unknown"})  # values of TERM: terminals that only write on, as rich knows them
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, direction and joiners, lone surrogates, line ends


def printable(text: str) -> str:
    """`text` on one line, each character that steers a terminal as its escape: `"a\\x1b[2Jb"`."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _STEERING
        else character
        for character in text
    )


def can_be_redrawn(stream: TextIO) -> bool:
    """Whether it is a terminal that takes back what it shows."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in DUMB


def aligned(rows: Iterable[tuple[str, str]], *, indent: str = "") -> list[str]:
    """Label and value in two columns, one line a row."""
    rows = list(rows)
    width = max((len(label) for label, _ in rows), default=0)
    return [f"{indent}{label:<{width}}  {value}".rstrip() for label, value in rows]


def first_of_many(lines: Sequence[str], limit: int, noun: str) -> list[str]:
    """The first `limit` lines, and a last one that counts what is left out."""
    if len(lines) <= limit + 1:  # the line that says "1 more" may as well be that one
        return list(lines)
    return [*lines[:limit], f"... and {len(lines) - limit:,} more {noun}"]


def counted(count: int, noun: str) -> str:
    """`"1 file"`, `"1,024 files"`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
