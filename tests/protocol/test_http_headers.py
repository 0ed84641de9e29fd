from __future__ import annotations

import string
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.protocol.http.head import HeadReader
from shoal.protocol.http.headers import (
    MAX_LENGTH,
    ContentRange,
    content_codings,
    content_length,
    media_type,
    parse_content_range,
    parse_http_date,
    parse_parameters,
    parse_retry_after,
    parse_unsatisfied_range,
)

NOW = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT
values = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0"), min_size=1
)


def headers_of(*lines: bytes) -> dict[str, str]:
    """Those of the last head among the lines."""
    reader, head = HeadReader(), None
    for line in (b"HTTP/1.1 200 OK", *lines, b""):
        head = reader.on_line(line) or head
    assert head is not None
    return head.headers


# ---- lines


@given(st.dictionaries(st.text(string.ascii_letters + "-_", min_size=1).map(str.lower), values, max_size=5))
def test_headers_are_read_as_they_were_written(headers: dict[str, str]) -> None:
    lines = [f"{name.title()}: {value}\r\n".encode("latin-1") for name, value in headers.items()]
    assert headers_of(b"HTTP/1.1 200 OK\r\n", *lines, b"\r\n") == headers


def test_values_of_equal_names_are_joined() -> None:
    assert headers_of(b"Link: <a>\r\n", b"link:<b>\r\n") == {"link": "<a>, <b>"}


def test_a_redirects_headers_are_forgotten_when_the_next_response_begins() -> None:
    lines = b"HTTP/1.1 302 Found", b'ETag: "a"', b"", b"HTTP/2 200", b"content-length: 5", b""
    assert headers_of(*lines) == {"content-length": "5"}


@pytest.mark.parametrize(
    "line", [b"no colon", b": no name", b" folded: x y", b"na me: x", b"\xff\xfe: x", b""]
)
def test_what_is_no_header_is_passed_over(line: bytes) -> None:
    assert headers_of(line) in ({}, {"folded": "x y"})


def test_no_byte_of_a_value_is_lost() -> None:
    raw = bytes(range(0x80, 0x85)) + "é".encode()
    assert headers_of(b"X: a" + raw + b"b")["x"].encode("latin-1") == b"a" + raw + b"b"


# ---- ranges and lengths


@given(st.integers(0, 2**62), st.integers(1, 2**40), st.none() | st.integers(0, 2**40))
def test_a_range_is_read_as_it_was_written(begin: int, count: int, rest: int | None) -> None:
    end = begin + count
    total = None if rest is None else end + rest
    text = f"bytes {begin}-{end - 1}/{'*' if total is None else total}"
    assert parse_content_range(text) == ContentRange(begin, end, total)
    assert parse_unsatisfied_range(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bytes */1000",
        "bytes 0-99",
        "bytes 0-99/",
        "bytes 99-0/100",
        "bytes 0-100/100",
        "bytes 0-99/99",
        "bytes -1-99/100",
        "bytes 0-/100",
        "bytes 0-0/0",
        "bytes=0-99/100",
        "items 0-99/100",
        "0-99/100",
        "bytes 0-99/100, bytes 0-99/100",
        "bytes 0-99/1e3",
        "bytes 0x0-0x9/16",
        "bytes ٠-٩/١٠",
        f"bytes 0-{2**63}/*",
        f"bytes 0-5/{2**64}",
        "bytes 0-" + "9" * 5000 + "/*",
    ],
)
def test_a_range_that_cannot_be_is_none(text: str) -> None:
    assert parse_content_range(text) is None


def test_a_range_may_end_where_files_do() -> None:
    assert parse_content_range(f"bytes 0-{MAX_LENGTH - 1}/{MAX_LENGTH}") == ContentRange(
        0, MAX_LENGTH, MAX_LENGTH
    )
    assert parse_content_range("Bytes  7-7/8 ") == ContentRange(7, 8, 8)


@pytest.mark.parametrize(
    ("text", "length"),
    [("bytes */1000", 1000), (" Bytes */0 ", 0), ("bytes */*", None), ("bytes */-1", None), ("*/5", None)],
)
def test_a_416_may_say_the_length(text: str, length: int | None) -> None:
    assert parse_unsatisfied_range(text) == length


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"content-length": "0"}, 0),
        ({"content-length": " 1234 "}, 1234),
        ({"content-length": "5, 5"}, 5),
        ({"content-length": "5, 6"}, None),
        ({"content-length": "-1"}, None),
        ({"content-length": "+1"}, None),
        ({"content-length": "1_000"}, None),
        ({"content-length": "1.5"}, None),
        ({"content-length": ""}, None),
        ({"content-length": str(2**63)}, None),
        ({"content-length": "5", "transfer-encoding": "chunked"}, None),
        ({"content-length": "5", "transfer-encoding": "gzip, chunked"}, None),
        ({"content-length": "5", "transfer-encoding": "identity"}, 5),
        ({"transfer-encoding": "chunked"}, None),
        ({}, None),
    ],
)
def test_the_length_of_a_body(headers: dict[str, str], length: int | None) -> None:
    assert content_length(headers) == length


# ---- codings and types


@pytest.mark.parametrize(
    ("text", "codings"),
    [
        ("gzip", ("gzip",)),
        ("x-gzip", ("gzip",)),
        ("X-Compress", ("compress",)),
        ("deflate, GZIP", ("deflate", "gzip")),
        ("br", ("br",)),
        ("zstd", ("zstd",)),
        ("", ()),
        ("identity", ()),
        ("none", ()),
        ("utf-8", ()),  # seen where a charset was meant
        ("binary", ()),
        ("aws-chunked", ()),  # stays in S3 after an upload in chunks
        ("aws-chunked,gzip", ("gzip",)),
    ],
)
def test_only_codings_that_change_bytes_count(text: str, codings: tuple[str, ...]) -> None:
    assert content_codings({"content-encoding": text}) == codings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text/html; charset=UTF-8", "text/html"),
        ("Text/HTML", "text/html"),
        (" application/zip ", "application/zip"),
        ("text/html, text/html", "text/html"),
        ("application/metalink4+xml", "application/metalink4+xml"),
        ("html", ""),
        ("/", ""),
        ("", ""),
        ("text/html x", ""),
    ],
)
def test_the_media_type_is_without_parameters(text: str, expected: str) -> None:
    assert media_type({"content-type": text}) == expected


# ---- dates


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "  sun, 6 nov 1994 08:49:37 UTC ",
        "06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Mon, 06 Nov 1994 08:49:37 GMT",  # a wrong weekday is no reason to doubt the rest
    ],
)
def test_a_date_in_any_of_its_forms(text: str) -> None:
    assert parse_http_date(text) == NOW


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "now",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Thu, 01 Jan 1969 00:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_a_date_that_cannot_be_is_none(text: str) -> None:
    assert parse_http_date(text) is None


@given(st.integers(0, 253402300799))
def test_a_date_is_read_as_it_was_written(at: int) -> None:
    assert parse_http_date(formatdate(at, usegmt=True)) == at


def test_a_leap_second_is_the_one_before_it() -> None:
    before = parse_http_date("Sat, 31 Dec 2016 23:59:59 GMT")
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == before


def test_two_digits_of_a_year_are_of_this_century_or_the_last() -> None:
    assert parse_http_date("Friday, 01-Jan-99 00:00:00 GMT") == 915148800
    assert parse_http_date("Friday, 01-Jan-21 00:00:00 GMT") == 1609459200


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),  # against the RFC, and yet said
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 08:40:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
        ("120, 120", None),
        ("1e9", None),
        ("nan", None),
    ],
)
def test_when_to_ask_again(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


# ---- parameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (";a=b", {"a": "b"}),
        ("; A = b ; c=d", {"a": "b", "c": "d"}),
        (';a="b;c=d"; e=f', {"a": "b;c=d", "e": "f"}),
        (r';a="say \"hi\""', {"a": 'say "hi"'}),
        (r';a="C:\dir\x"', {"a": r"C:\dir\x"}),
        (";a=b c d; e=f", {"a": "b c d", "e": "f"}),
        (";a=1; a=2", {"a": "1"}),
        (';a="', {"a": ""}),
        (';a="open', {"a": "open"}),
        (";a=", {"a": ""}),
        (";;;", {}),
        ("a=b", {}),
    ],
)
def test_parameters_by_name(text: str, expected: dict[str, str]) -> None:
    assert parse_parameters(text) == expected
