"""Bencode (BEP 3): bytes <-> integers, byte strings, lists and dicts.

Always true: decoding is iterative and a limit stands before every loop, so that no input, however hostile,
costs more than time and memory in proportion to its length. Only the canonical form is accepted (no leading
zeros, no `-0`, keys sorted and unique); `allow_unsorted` lifts the order of keys alone, for the old
torrents that need it. Every refusal is a `BencodeError` that names the byte.

Knows nothing of what the values mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from shoal.errors import FormatError

Value: TypeAlias = int | bytes | list["Value"] | dict[bytes, "Value"]
Buffer: TypeAlias = bytes | bytearray | memoryview
Span: TypeAlias = tuple[int, int]

MAX_DEPTH = 128  # the deepest folders we accept in a v2 file tree, and some air
MAX_ITEMS = 2_000_000  # a torrent of 200,000 files has about 1.6 million values and keys
MAX_INTEGER_DIGITS = 40  # 128 bits; int() of longer ones takes quadratic time
MAX_LENGTH_DIGITS = 12  # a string of a terabyte; none is longer than the data anyway

_LIST, _DICT, _INTEGER, _END = b"ldie"
_ZERO, _NINE = b"09"
_SHOWN_BYTES = 24  # as much of an offending value as one line can carry


class BencodeError(FormatError):
    """Bytes that are not canonical bencode. `position` is where, `reason` what."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"byte {position}: {reason}")
        self.position = position
        self.reason = reason


# ---- decoding


def decode(
    data: Buffer,
    *,
    allow_trailing: bool = False,
    allow_unsorted: bool = False,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
) -> Value:
    """The one value that `data` holds. Bytes after it are refused unless `allow_trailing`."""
    value, end = decode_prefix(data, allow_unsorted=allow_unsorted, max_depth=max_depth, max_items=max_items)
    if end != len(data) and not allow_trailing:
        raise BencodeError(end, f"the value ends here, the data does not (bytes left: {len(data) - end})")
    return value


def decode_prefix(
    data: Buffer,
    *,
    start: int = 0,
    allow_unsorted: bool = False,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
) -> tuple[Value, int]:
    """The value that begins at `start`, and the position after it."""
    return _Reader(data, allow_unsorted, max_depth, max_items).read_value(start)


def decode_dict_spans(
    data: Buffer,
    *,
    allow_unsorted: bool = False,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
) -> tuple[dict[bytes, Value], dict[bytes, Span]]:
    """A dict that `data` begins with, and for each key where its value's bytes lie: `data[start:end]`.

    Bytes after the dict are ignored. The spans are what info hashes are made of.
    """
    reader = _Reader(data, allow_unsorted, max_depth, max_items)
    if reader.peek(0) != _DICT:
        raise BencodeError(0, "not a dictionary")
    values: dict[bytes, Value] = {}
    spans: dict[bytes, Span] = {}
    position = 1
    last_key: bytes | None = None
    while reader.peek(position) != _END:
        key, start = reader.read_key(position, last_key, values)
        values[key], position = reader.read_value(start)
        spans[key] = (start, position)
        last_key = key
    return values, spans


class _Reader:
    """One pass over `data`. Every value and every key counts against `max_items`."""

    __slots__ = ("_allow_unsorted", "_data", "_items_left", "_max_depth", "_max_items")

    def __init__(self, data: Buffer, allow_unsorted: bool, max_depth: int, max_items: int) -> None:
        self._data = bytes(data)
        self._allow_unsorted = allow_unsorted
        self._max_depth = max_depth
        self._max_items = self._items_left = max_items

    def peek(self, position: int) -> int:
        if position >= len(self._data):
            raise BencodeError(position, "the data ends where a value, a key or an 'e' should be")
        return self._data[position]

    def read_value(self, position: int) -> tuple[Value, int]:
        """A value of any depth, and the position after it."""
        parents: list[tuple[list[Value] | dict[bytes, Value] | None, bytes | None]] = []
        holder: list[Value] | dict[bytes, Value] | None = None  # the innermost open container
        key: bytes | None = None  # the last key read in it
        value: Value
        while True:
            if holder is not None and self.peek(position) == _END:
                value, position = holder, position + 1
                holder, key = parents.pop()
            else:
                if isinstance(holder, dict):
                    key, position = self.read_key(position, key, holder)
                self._count_item(position)
                token = self.peek(position)
                if token in (_LIST, _DICT):
                    if len(parents) == self._max_depth:
                        raise BencodeError(position, f"nested deeper than {self._max_depth}")
                    parents.append((holder, key))
                    holder, key = ([] if token == _LIST else {}), None
                    position += 1
                    continue
                read = self._read_integer if token == _INTEGER else self._read_string
                value, position = read(position)
            if holder is None:
                return value, position
            if isinstance(holder, list):
                holder.append(value)
            elif key is not None:
                holder[key] = value

    def read_key(self, position: int, last: bytes | None, seen: Mapping[bytes, Value]) -> tuple[bytes, int]:
        """A key that has its place after `last` in a dict that holds `seen`, and the position after it."""
        self._count_item(position)
        key, end = self._read_string(position)
        if key in seen:
            raise BencodeError(position, f"key {_shown(key)} comes twice")
        if last is not None and key < last and not self._allow_unsorted:
            raise BencodeError(position, f"key {_shown(key)} comes after {_shown(last)}, but keys are sorted")
        return key, end

    def _count_item(self, position: int) -> None:
        if not self._items_left:
            raise BencodeError(position, f"more than {self._max_items} values and keys")
        self._items_left -= 1

    def _read_string(self, position: int) -> tuple[bytes, int]:
        data = self._data
        first = self.peek(position)
        if not _ZERO <= first <= _NINE:
            raise BencodeError(position, f"{_shown(data[position : position + 1])} begins no string or value")
        colon = data.find(b":", position, position + MAX_LENGTH_DIGITS + 1)
        digits = data[position : colon if colon != -1 else position + MAX_LENGTH_DIGITS + 1]
        if colon == -1 or not digits.isdigit():
            raise BencodeError(position, f"{_shown(digits)} is not a string's length and ':'")
        if first == _ZERO and len(digits) > 1:
            raise BencodeError(position, f"string length {_shown(digits)} is not canonical")
        start, end = colon + 1, colon + 1 + int(digits)
        if end > len(data):
            raise BencodeError(position, f"a string of {int(digits)} bytes, but {len(data) - start} are left")
        return data[start:end], end

    def _read_integer(self, position: int) -> tuple[int, int]:
        start = position + 1
        end = self._data.find(b"e", start, start + MAX_INTEGER_DIGITS + 2)  # with the sign and the end
        text = self._data[start : end if end != -1 else start + MAX_INTEGER_DIGITS + 2]
        digits = text[1:] if text.startswith(b"-") else text
        if end == -1 or len(digits) > MAX_INTEGER_DIGITS:
            limit = MAX_INTEGER_DIGITS
            raise BencodeError(position, f"integer {_shown(text)} has no end within {limit} digits")
        if not digits.isdigit():
            raise BencodeError(position, f"integer {_shown(text)} is not a number")
        if digits.startswith(b"0") and text != b"0":
            raise BencodeError(position, f"integer {_shown(text)} is not canonical")
        return int(text), end + 1


def _shown(value: bytes) -> str:
    """`value` as an error message quotes it: printable ASCII, short, on one line."""
    cut = value[:_SHOWN_BYTES].decode("ascii", "backslashreplace")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in cut)
    return f"'{text}'" if len(value) <= _SHOWN_BYTES else f"'{text}...'"


# ---- encoding

_END_MARK = object()  # stands on the encoder's stack where a container closes


def encode(value: object) -> bytes:
    """`value` (int, bytes, str as UTF-8, list or tuple, mapping) in canonical form.

    Raises `TypeError` for anything else, bool and None included: that is a bug of ours, not bad data.
    """
    parts: list[bytes] = []
    pending: list[object] = [value]
    while pending:
        item = pending.pop()
        if item is _END_MARK:
            parts.append(b"e")
        elif isinstance(item, (bytes, bytearray, memoryview, str)):
            text = _raw(item)
            parts += (b"%d:" % len(text), text)
        elif isinstance(item, int) and not isinstance(item, bool):
            parts.append(b"i%de" % item)
        elif isinstance(item, (list, tuple)):
            parts.append(b"l")
            pending.append(_END_MARK)
            pending.extend(reversed(item))
        elif isinstance(item, Mapping):
            parts.append(b"d")
            pending.append(_END_MARK)
            for key, held in sorted(((_raw(k), v) for k, v in item.items()), key=_by_key, reverse=True):
                pending += (held, key)
        else:
            raise TypeError(f"bencode has no {type(item).__name__}")
    return b"".join(parts)


def _raw(text: object) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text)
    raise TypeError(f"bencode has no key of type {type(text).__name__}")


def _by_key(entry: tuple[bytes, object]) -> bytes:
    return entry[0]
