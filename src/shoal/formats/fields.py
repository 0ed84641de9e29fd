"""Ask a decoded dict for its values by key and type.

A refusal names the way to the value and what was there: `info.files[3].length: -5 is not between 0 and
...`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from shoal.errors import FormatError
from shoal.formats.bencode import Value

_T = TypeVar("_T", int, bytes, list[Value], dict[bytes, Value])
_TYPE_NAMES = {int: "an integer", bytes: "a string", list: "a list", dict: "a dictionary"}


class Fields:
    """A dict, and the way to it from the top (keys, and indices into lists)."""

    __slots__ = ("_values", "_way")

    def __init__(self, values: Mapping[bytes, Value], way: tuple[str | int, ...] = ()) -> None:
        self._values = values
        self._way = way

    def __contains__(self, key: str) -> bool:
        return key.encode() in self._values

    def bytes_of(self, key: str) -> bytes:
        return self._get(key, bytes)

    def list_of(self, key: str) -> list[Value]:
        return self._get(key, list)

    def fields_of(self, key: str) -> Fields:
        return Fields(self._get(key, dict), (*self._way, key))

    def dict_of(self, key: str) -> dict[bytes, Value]:
        return self._get(key, dict)

    def each_of(self, key: str) -> Iterator[Fields]:
        """The dicts in a list."""
        for index, value in enumerate(self._get(key, list)):
            if not isinstance(value, dict):
                raise FormatError(f"{_spelled((*self._way, key, index))}: {_kind(value)}, not a dictionary")
            yield Fields(value, (*self._way, key, index))

    def integer(self, key: str, low: int, high: int) -> int:
        value = self._get(key, int)
        if not low <= value <= high:
            raise self.refused(key, f"{value} is not between {low} and {high}")
        return value

    def optional(self, key: str, kind: type[_T]) -> _T | None:
        """The value, or None where there is none of that type: for what a torrent can do without."""
        value = self._values.get(key.encode())
        return value if isinstance(value, kind) else None

    def refused(self, key: str, reason: str) -> FormatError:
        """The error that says so of the value at `key`."""
        return FormatError(f"{_spelled((*self._way, key))}: {reason}")

    def _get(self, key: str, kind: type[_T]) -> _T:
        value = self._values.get(key.encode())
        if value is None:
            raise self.refused(key, "missing")
        if not isinstance(value, kind):
            raise self.refused(key, f"{_kind(value)}, not {_TYPE_NAMES[kind]}")
        return value


def _kind(value: Value) -> str:
    return _TYPE_NAMES[type(value)]


def _spelled(way: tuple[str | int, ...]) -> str:
    """`("info", "files", 3, "path")` -> `info.files[3].path`"""
    text = ""
    for step in way:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")
