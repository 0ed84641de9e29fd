from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.formats.safe_names import safe_name
from shoal.protocol.http.names import MAX_NAME_LENGTH, name_of_url, parse_content_disposition, suffix_of


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('attachment; filename="foo.html"', "foo.html"),  # the next ones are as RFC 6266 has them
        ('Attachment; filename="foo.html"', "foo.html"),
        ("attachment; FILENAME=foo.html", "foo.html"),
        ("attachment;filename=foo.html;", "foo.html"),
        ('inline; filename="foo.html"', "foo.html"),
        (r'attachment; filename="f\"oo\".html"', 'f"oo".html'),
        (r'attachment; filename="a\\b.html"', "b.html"),
        ('attachment; filename="foo;bar.html"', "foo;bar.html"),
        ('attachment; foo="filename=bar"; filename=x', "x"),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.txt", "€ rates.txt"),
        ("attachment; filename=\"EURO rates\"; filename*=utf-8''%e2%82%ac%20rates", "€ rates"),
        ("attachment; filename*=utf-8''%e2%82%ac; filename=\"EURO\"", "€"),
        ("attachment; filename*=iso-8859-1'en'%A3%20rates", "£ rates"),
        ("attachment; filename*=UTF-8''a%00b", "a\x00b"),  # made safe by safe_names
        ('attachment; filename="na\xefve.txt"', "naïve.txt"),  # Latin-1
        ('attachment; filename="na\xc3\xafve.txt"', "naïve.txt"),  # UTF-8, as most servers send it
        ('attachment; filename="日本.txt"', "日本.txt"),  # decoded by somebody already
        ("attachment; filename=my report.pdf", "my report.pdf"),  # unquoted, as PHP scripts do
        ('filename="only.bin"', "only.bin"),
        ('; filename="only.bin"', "only.bin"),
        ('attachment; filename="cut.bin', "cut.bin"),
        ('attachment; filename="a.zip"; filename="b.zip"', "a.zip"),
        ('attachment; filename="a.zip", attachment; filename="b.zip"', "a.zip"),
        ('attachment; filename="../../../etc/passwd"', "passwd"),
        ('attachment; filename="/etc/passwd"', "passwd"),
        (r'attachment; filename="C:\Users\me\x.zip"', "x.zip"),
        (r'attachment; filename="..\\..\\x.zip"', "x.zip"),
        ("attachment; filename*=UTF-8''..%2f..%2fx.zip", "x.zip"),
        ("attachment; filename*=UTF-8''..%5C..%5Cx.zip", "x.zip"),
        ("attachment; filename*=UTF-8''%ff%fe; filename=ok.zip", "ok.zip"),  # not UTF-8
        ("attachment; filename*=GBK''%d6%d0; filename=ok.zip", "ok.zip"),
        ("attachment; filename*=\"UTF-8''a.zip\"", "a.zip"),
        ("attachment; filename*=a.zip; filename=ok.zip", "ok.zip"),
        ("attachment; filename=foo%20bar.zip", "foo%20bar.zip"),  # only filename* is percent-coded
        ("attachment; filename=\"'quoted'.zip\"", "'quoted'.zip"),
        ('attachment; filename=" blanks.zip "', "blanks.zip"),
    ],
)
def test_the_name_that_a_server_gives(text: str, name: str) -> None:
    assert parse_content_disposition(text) == name.encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "attachment",
        "inline",
        "attachment; filename=",
        'attachment; filename=""',
        'attachment; filename="."',
        'attachment; filename=".."',
        'attachment; filename="x/"',
        'attachment; filename="dir/.."',
        "attachment; filename*=UTF-8''",
        "attachment; filename*=UTF-8''%2e%2e",
        "attachment; name=x.zip",
        "attachment; filename=" + "a" * (MAX_NAME_LENGTH + 1),
    ],
)
def test_what_is_no_name(text: str) -> None:
    assert parse_content_disposition(text) is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\\"), min_size=1, max_size=30))
def test_a_coded_name_is_read_as_it_was_written(name: str) -> None:
    expected = name.encode().strip()
    if expected not in (b"", b".", b".."):
        assert parse_content_disposition(f"attachment; filename*=UTF-8''{quote(name, safe='')}") == expected


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_no_name_leaves_its_folder(text: str) -> None:
    for disposition in (text, f'attachment; filename="{text}"', f"attachment; filename*=UTF-8''{text}"):
        name = parse_content_disposition(disposition)
        if name is not None:
            assert name not in (b"", b".", b"..") and not set(name) & set(b"/\\")
            assert safe_name(name)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h.example/a/b.iso", b"b.iso"),
        ("https://h.example/a/b.iso?x=/y/z.zip#w/v", b"b.iso"),
        ("https://h.example/a%20b.iso", b"a b.iso"),
        ("https://h.example/%e2%82%ac.txt", "€.txt".encode()),
        ("https://h.example/..%2f..%2fpasswd", b"passwd"),
        ("https://h.example/a%5cb", b"b"),
        ("https://h.example/a+b", b"a+b"),
        ("ftp://h.example/pub/x.tar.gz", b"x.tar.gz"),
        ("https://h.example/", None),
        ("https://h.example", None),
        ("https://h.example/a/", None),
        ("https://h.example/a/..", None),
        ("https://h.example/%2e%2e", None),
        ("https://[h.example/x", None),
    ],
)
def test_the_name_in_a_url(url: str, name: bytes | None) -> None:
    assert name_of_url(url) == name


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        (b"a.tar.GZ", ".gz"),
        (b"a", ""),
        (b".bashrc", ""),
        (b"a.", ""),
        (b"", ""),
        (None, ""),
        (b"x.\xff", ".ÿ"),
    ],
)
def test_the_suffix_of_a_name(name: bytes | None, suffix: str) -> None:
    assert suffix_of(name) == suffix
