"""A message of the group as a bencoded dict: opened within limits, and its values asked for by length and range.

Everything that is wrong is a `FormatError` that names the message and the field.
"""

from __future__ import annotations

from shoal.errors import FormatError
from shoal.formats import bencode
from shoal.formats.fields import Fields
from shoal.units import KIB

MAX_MESSAGE_LENGTH = 32 * KIB  # a presence of 256 pools and 256 origins has 14
MAX_ITEMS = 1_024  # values and keys; that presence has 780
MAX_DEPTH = 4  # the runs of a claim are three deep


def open_dict(payload: bytes | memoryview, name: str) -> Fields:
    """The fields of a bencoded dict; `name` is what errors call it."""
    if len(payload) > MAX_MESSAGE_LENGTH:
        raise FormatError(f"{name}: {len(payload)} bytes, more than {MAX_MESSAGE_LENGTH}")
    try:
        values = bencode.decode(payload, max_depth=MAX_DEPTH, max_items=MAX_ITEMS)
    except bencode.BencodeError as error:
        raise FormatError(f"{name}: {error}") from None
    if not isinstance(values, dict):
        raise FormatError(f"{name}: not a dictionary")
    return Fields(values, (name,))


def bytes_of(fields: Fields, key: str, length: int) -> bytes:
    """A string of exactly this length."""
    value = fields.bytes_of(key)
    if len(value) != length:
        raise fields.refused(key, f"{len(value)} bytes, not {length}")
    return value


def text_of(fields: Fields, key: str, most: int) -> str:
    """UTF-8 of one byte at least and `most` at most, without control characters."""
    value = fields.bytes_of(key)
    if not 0 < len(value) <= most:
        raise fields.refused(key, f"{len(value)} bytes, not 1 to {most}")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise fields.refused(key, f"not UTF-8 at byte {error.start}") from None
    control = next((place for place, byte in enumerate(value) if byte < 0x20 or byte == 0x7F), None)
    if control is not None:
        raise fields.refused(key, f"a control character at byte {control}")
    return text
