"""A stranger's text cannot act on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.peer.printable import MAX_SHOWN_LENGTH, printable_text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"qBittorrent/4.6.5", "qBittorrent/4.6.5"),
        ("µTorrent 3.5".encode(), "µTorrent 3.5"),
        (b"evil\x1b[2J", "evil\\x1b[2J"),
        (b"two\r\nlines\t", "two\\r\\nlines\\t"),
        (b"\xb5Torrent", "\\xb5Torrent"),
        ("back\u202ewards", "back\\u202ewards"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("lone \ud800", "lone \\ud800"),
        (b"", ""),
    ],
)
def test_what_is_not_printable_is_spelled_out(raw: bytes | str, shown: str) -> None:
    assert printable_text(raw) == shown


def test_long_text_ends_with_an_ellipsis() -> None:
    assert printable_text("x" * MAX_SHOWN_LENGTH) == "x" * MAX_SHOWN_LENGTH
    assert printable_text("x" * 1000) == "x" * (MAX_SHOWN_LENGTH - 1) + "…"
    assert printable_text("µ".encode() * 1000) == "µ" * (MAX_SHOWN_LENGTH - 1) + "…"


@given(st.binary(max_size=400) | st.text(max_size=400), st.integers(1, 100))
def test_any_bytes_come_out_printable_and_short(raw: bytes | str, max_length: int) -> None:
    shown = printable_text(raw, max_length=max_length)
    assert shown.isprintable()
    assert len(shown) <= max_length
