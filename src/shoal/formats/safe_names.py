"""Names from strangers -> names that are safe to make on this machine.

Always true of a path from here: at least one element; no element is empty, `.`, `..`, longer than a file
system allows, or holds a separator, a control character or one that reorders text. No two files are the
same where case does not count, and no file has a folder's name.

A name that can be kept is kept to the letter, for data that is there already must be found again. On
Windows more names are impossible, hence `windows`.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from shoal.errors import FormatError

Path = tuple[str, ...]

MAX_NAME_LENGTH = 240  # of the 255 bytes that file systems allow; the rest is for a number or a suffix
MAX_DEPTH = 100  # elements; what libtorrent allows, and more than anybody makes by hand
MAX_FOLDERS = 200_000  # a few bytes in a torrent can make a hundred of them, each kept as its whole path
MAX_SAME_NAME = 100  # files that differ only by our number; more are an attack or a mistake

IS_WINDOWS = sys.platform == "win32"

# Dropped: separators (a name is one element, whatever it holds), and marks that turn text around.
_DROPPED = re.compile("[/\\\\\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# Replaced by one sign: a run of broken UTF-8 (which surrogateescape decodes so), a control, a line end.
_REPLACED = re.compile("[\udc80-\udcff]+|[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_WINDOWS_REPLACED = re.compile('[<>:"|?*]')
_WINDOWS_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)\s*(\..*)?")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _+()\[\]-]*(\.[A-Za-z0-9]+)*")  # most names; safe as they are


def safe_name(raw: bytes, *, windows: bool = IS_WINDOWS) -> str:
    """One element of a path. What nothing safe is left of becomes `_`."""
    text = raw.decode("utf-8", "surrogateescape")
    if not windows and len(text) <= MAX_NAME_LENGTH and _PLAIN.fullmatch(text):
        return text
    name = _cut(_REPLACED.sub("_", _DROPPED.sub("", text)))
    if windows:
        name = _WINDOWS_REPLACED.sub("_", name).rstrip(". ")
        if _WINDOWS_DEVICE.fullmatch(name):
            name = f"_{name}"
    return "_" if name in ("", ".", "..") else name


def seen_name(raw: bytes, *, windows: bool = IS_WINDOWS) -> str:
    """The same without dots in front: a server names no file that a shell reads and a listing hides."""
    return safe_name(safe_name(raw, windows=windows).lstrip(".").encode(), windows=windows)


def safe_path(elements: Sequence[bytes], *, windows: bool = IS_WINDOWS) -> Path:
    """A path below a torrent's folder, without `.` and empty elements; refused if all are empty."""
    if len(elements) > MAX_DEPTH:
        raise FormatError(f"{len(elements)} folders deep, where {MAX_DEPTH} is the limit")
    if not any(elements):
        raise FormatError("there is no name in it")
    kept = [element for element in elements if element not in (b"", b".")]
    return tuple(safe_name(element, windows=windows) for element in kept) or ("_",)


def unique_paths(paths: Iterable[Path], *, ignore_case: bool = True) -> list[Path]:
    """The paths, later ones renamed (`a.txt` -> `a.1.txt`) where they would meet a file or a folder."""
    paths = list(paths)
    fold = without_case if ignore_case else "/".join
    taken = _folders(paths, fold)
    next_number: dict[str, int] = {}
    for place, path in enumerate(paths):
        key = fold(path)
        if key in taken:
            number = next_number.get(key, 1)
            while number < MAX_SAME_NAME and fold(_numbered(path, number)) in taken:
                number += 1
            if number == MAX_SAME_NAME:
                raise FormatError(f"more than {MAX_SAME_NAME} files are named '{'/'.join(path)}'")
            next_number[key] = number + 1
            paths[place] = _numbered(path, number)
            key = fold(paths[place])
        taken.add(key)
    return paths


def _numbered(path: Path, number: int) -> Path:
    stem, dot, extension = path[-1].rpartition(".")
    name = f"{stem}.{number}{dot}{extension}" if stem else f"{path[-1]}.{number}"
    return (*path[:-1], name)


def _folders(paths: Iterable[Path], fold: Callable[[Path], str]) -> set[str]:
    """All folders that the files lie in, directly or not."""
    found: set[str] = set()
    for folder in {path[:-1] for path in paths}:
        for depth in range(len(folder), 0, -1):
            key = fold(folder[:depth])
            if key in found:
                break  # and so are those above it
            found.add(key)
        if len(found) > MAX_FOLDERS:
            raise FormatError(f"more than {MAX_FOLDERS} folders")
    return found


def without_case(path: Path) -> str:
    """Equal for paths that are one file where case, or how accents are composed, does not count."""
    text = "/".join(path)
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def _cut(name: str) -> str:
    """`name` in at most `MAX_NAME_LENGTH` bytes of UTF-8; a short extension stays, no character is split."""
    raw = name.encode()
    if len(raw) <= MAX_NAME_LENGTH:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = (dot + extension).encode() if stem and len(extension) <= 10 else b""
    return (raw[: MAX_NAME_LENGTH - len(tail)] + tail).decode("utf-8", "ignore")
