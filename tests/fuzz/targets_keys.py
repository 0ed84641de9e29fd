"""What can be fuzzed of membership: a key as somebody typed it, and what a stranger says to the port first."""

from __future__ import annotations

from collections.abc import Callable

from shoal.errors import FormatError
from shoal.fetch.group.key import GroupKey, parse_key
from shoal.protocol.tls_hello import server_name


def fuzz_group_key(data: bytes) -> None:
    """As a text; and as the secret of a key that somebody types with one wrong character."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        assert parse_key(text).text == text.strip()
    except FormatError as error:
        assert error.message.startswith("this ") and error.message.isascii()
    key = GroupKey("fuzz", data[:32].ljust(32, b"\0"))
    assert parse_key(key.text) == key
    at = len(data) % len(key.text)
    mistyped = f"{key.text[:at]}{'b' if key.text[at] == 'a' else 'a'}{key.text[at + 1 :]}"
    try:
        parse_key(mistyped)
    except FormatError:
        return
    raise AssertionError("a wrong character was not noticed")


def fuzz_tls_hello(data: bytes) -> None:
    """As a record, and as what is in one."""
    for record in (data, b"\x16\x03\x01" + (len(data) & 0xFFFF).to_bytes(2, "big") + data):
        try:
            assert server_name(record).isascii()
        except FormatError as error:
            assert error.message.isprintable()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "group_key": fuzz_group_key,
    "tls_hello": fuzz_tls_hello,
}
