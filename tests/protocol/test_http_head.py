"""Heads of responses, line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.protocol.http.head import FtpReplies, Head, HeadReader


def heads(text: str) -> list[Head]:
    reader = HeadReader()
    found = [reader.on_line(line.encode("latin-1")) for line in text.splitlines(keepends=True)]
    return [head for head in found if head is not None]


def test_a_head_is_told_once_at_its_empty_line() -> None:
    text = 'HTTP/1.1 206 Partial\r\nETag:  "a" \r\nX: 1\r\nx: 2\r\n\r\nTrailer: 3\r\n\r\n'
    assert heads(text) == [Head(206, {"etag": '"a"', "x": "1, 2"})]


def test_interim_responses_are_none_and_leave_nothing_behind() -> None:
    text = "HTTP/2 103 Early\r\nLink: x\r\n\r\nHTTP/2 200 \r\nA: b\r\n\r\n"
    assert heads(text) == [Head(200, {"a": "b"})]


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_lines_give_heads_or_nothing(lines: list[bytes]) -> None:
    reader = HeadReader()
    for line in lines:
        reader.on_line(line)


def test_a_head_without_end_is_refused() -> None:
    reader = HeadReader()
    with pytest.raises(FormatError, match="KiB of headers"):
        for _ in range(10_000):
            reader.on_line(b"X-Word: " + b"z" * 100)


@pytest.mark.parametrize(
    ("lines", "head"),
    [
        (["213 20240102030405", "213 1000"], Head(206, {
            "date": "Thu, 01 Jan 1970 00:00:00 GMT", "last-modified": "Tue, 02 Jan 2024 03:04:05 GMT",
            "content-range": "bytes 100-199/1000",
            "content-length": "100",
        })),
        (["213 150"], Head(206, {"content-range": "bytes 100-149/150", "content-length": "50"})),
        (["213 20240102030405"], Head(200, {
            "date": "Thu, 01 Jan 1970 00:00:00 GMT", "last-modified": "Tue, 02 Jan 2024 03:04:05 GMT",
        })),
        (["550 no", "213 0"], Head(200, {"content-length": "0"})),
        (["213 x", "500 y"], Head(200, {})),
    ],
)  # fmt: skip
def test_replies_of_an_ftp_server_make_the_head_of_a_response(lines: list[str], head: Head) -> None:
    replies = FtpReplies()
    for line in ["220 hello", *lines, "150 it comes"]:
        replies.on_line(f"{line}\r\n".encode())
    assert replies.head(100, 200, 0.0) == head
