"""The configuration file: found, read, and its lines known, so that a complaint can name one.

It is TOML: a section a command, a key a setting. What keys mean is the tables' business.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.disk.faults import file_fault
from shoal.errors import NotFoundError, UsageError

FILE_VARIABLE = "SHOAL_CONFIG"
FILE_NAME = "config.toml"
SECTIONS = ("tracker", "get", "helper", "group")  # all there may be in the file, whoever reads it
MAX_LENGTH = 1 << 20  # bytes; nobody writes more by hand, and a wrong name may lead to anything


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that was read. `content` is what TOML made of `text`."""

    path: Path
    text: str
    content: Mapping[str, Any]

    def section(self, *path: str) -> Mapping[str, Any]:
        """The keys of one section, `("tracker")` or `("group", "lab")`; none where it is absent."""
        section: Mapping[str, Any] = self.content
        for depth, name in enumerate(path, 1):
            section = section.get(name, {})
            if not isinstance(section, dict):
                header = ".".join(path[:depth])
                raise self.fault(
                    f"'{header}' is a section", *path[:depth], hint=f"write [{header}], and its keys below it"
                )
        return section

    def unknown_keys(self, path: Sequence[str], known: Iterable[str]) -> list[UsageError]:
        """What to say of each key of a section that nobody knows."""
        known = list(known)
        return [
            self.fault(f"there is no setting {'.'.join((*path, key))}", *path, key, hint=near(key, known))
            for key in self.section(*path)
            if key not in known
        ]

    def unknown_sections(self) -> list[UsageError]:
        return [
            self.fault(f"there is no section [{name}]", name, hint=near(name, SECTIONS))
            for name in self.content
            if name not in SECTIONS
        ]

    def origin(self, *keys: str) -> str:
        """`"/path/config.toml:12: tracker.port"`"""
        return f"{self._place(*keys)}: {'.'.join(keys)}"

    def fault(self, what: str, *keys: str, hint: str = "") -> UsageError:
        return UsageError(f"{self._place(*keys)}: {what}", hint=hint)

    def _place(self, *keys: str) -> str:
        line = line_of(self.text, keys)
        return str(self.path) if line is None else f"{self.path}:{line}"


def read_config(named: str | None, environ: Mapping[str, str]) -> ConfigFile | None:
    """The file that an option or SHOAL_CONFIG names, or else the one in its usual place, if there is one.

    Raises `NotFoundError` for an absent file that is named, `FileError`, and `UsageError` for what is not TOML, and
    for sections that nobody knows.
    """
    config = parse_config(*chosen_path(named, environ))
    if config is not None:
        for fault in config.unknown_sections():
            raise fault
    return config


def parse_config(path: Path, source: str) -> ConfigFile | None:
    """The file, whatever sections it has; None if it is absent and nobody named it."""
    data = read_bytes(path, source)
    if data is None:
        return None
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        return ConfigFile(path, text, tomllib.loads(text))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(describe_syntax_error(path, text, str(error))) from None


def chosen_path(named: str | None, environ: Mapping[str, str]) -> tuple[Path, str]:
    """Where the file is, and who says so ("" if nobody does)."""
    if named:
        return Path(named), "--config"
    if environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE]), FILE_VARIABLE
    import platformdirs  # here, since most commands never need it

    return platformdirs.user_config_path("shoal") / FILE_NAME, ""


def read_bytes(path: Path, source: str) -> bytes | None:
    """None for a file that is absent and that nobody named."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LENGTH + 1)
    except (FileNotFoundError, NotADirectoryError):
        if not source:
            return None
        raise NotFoundError(f"{source}: {path}: no such file") from None
    except OSError as error:
        raise file_fault(error, path, "reading") from error
    if len(data) > MAX_LENGTH:
        raise UsageError(f"{path}: longer than {MAX_LENGTH} bytes: not a configuration file")
    return data


def describe_syntax_error(path: Path, text: str, message: str) -> str:
    """tomllib's `"Invalid value (at line 3, column 8)"` -> `"PATH:3: invalid value (column 8)"`."""
    what, _, where = message.rpartition(" (at ")
    place = re.fullmatch(r"line (\d+), (column \d+)\)", where)
    line, column = place.groups() if place else (text.rstrip("\n").count("\n") + 1, where.rstrip(")"))
    return f"{path}:{line}: {what[:1].lower()}{what[1:]} ({column})"


def line_of(text: str, keys: Sequence[str]) -> int | None:
    """The line on which a key's statement begins, from 1; None if it cannot be told.

    TOML has many ways to write a key. Whichever it is, all lines before it can be parsed and do not have it.
    """
    lines = text.split("\n")
    found = None
    for number, line in enumerate(lines, 1):
        if keys[-1] not in line:
            continue
        try:
            before: Any = tomllib.loads("\n".join(lines[: number - 1]))
        except tomllib.TOMLDecodeError:
            continue  # inside of a value
        if has_key(before, keys):
            break
        found = number
    return found


def has_key(content: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def near(name: str, known: Iterable[str]) -> str:
    """A hint at what was perhaps meant."""
    known = list(known)
    close = difflib.get_close_matches(name.replace("-", "_"), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
