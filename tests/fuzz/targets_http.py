"""What can be fuzzed of a download from a URL: the headers of a response, and a Metalink."""

from __future__ import annotations

from collections.abc import Callable

from shoal.errors import FormatError
from shoal.fetch.facts import Facts, facts_of, file_name, looks_like
from shoal.fetch.judging import Answer, Asked, Refused, Retry, Whole, WriteAt, judge
from shoal.formats.digests import DIGEST_LENGTHS
from shoal.formats.metalink import parse_metalink
from shoal.protocol.http.head import HeadReader
from shoal.protocol.http.validators import Validator

URL = "https://origin.example/pub/disk.iso"
LENGTH = 1000
KNOWN = Facts(length=LENGTH, validator=Validator('"v1"'), takes_ranges=True, content_type="application/zip")
URL_STARTS = ("http://", "https://", "ftp://")


def fuzz_http_response(data: bytes) -> None:
    """The first two bytes choose the status, the next one the range asked for; the rest is lines of headers."""
    status, begin, lines = int.from_bytes(data[:2], "big") % 700, data[2:3], data[3:].split(b"\n")
    reader = HeadReader()
    heads = [reader.on_line(line) for line in (b"HTTP/1.1 %03d" % status, *lines, b"")]
    head = next((head for head in heads if head is not None), None)
    if head is None:
        return
    status, headers = head.status, head.headers
    check_facts(facts_of(status, headers, URL))
    asked = Asked(URL, begin[0] if begin else None)
    for known in (None, KNOWN):
        verdict = judge(known, asked, Answer(status, headers, URL), 1e9)
        if isinstance(verdict, WriteAt):
            assert status == 206 and verdict.offset == asked.begin and verdict.end > verdict.offset
            assert known is None or (verdict.end <= LENGTH and '"v1' in headers["etag"])
        elif isinstance(verdict, Whole):
            assert not asked.begin and status in (200, 206)
        elif isinstance(verdict, Refused | Retry):
            assert verdict.error.message.isprintable()


def check_facts(facts: Facts) -> None:
    name = file_name(facts, URL)
    assert name not in (b"", b".", b"..") and not set(name) & set(b"/\\")
    assert looks_like(facts, URL) in ("torrent", "metalink", "")
    assert facts.length is None or 0 <= facts.length < 2**63
    assert all(len(digest) == DIGEST_LENGTHS[kind] for kind, digest in facts.digests.items())
    assert all(mirror.url.lower().startswith(URL_STARTS) for mirror in facts.mirrors)
    if facts.validator is not None:
        assert facts.validator.text.isascii() or facts.validator.etag


def fuzz_metalink(data: bytes) -> None:
    try:
        metalink = parse_metalink(data)
    except FormatError as error:
        assert "\n" not in error.message
        return
    assert metalink.files
    for file in metalink.files:
        assert all(element not in ("", ".", "..") and "/" not in element for element in file.path)
        assert all(len(digest) == DIGEST_LENGTHS[kind] for kind, digest in file.digests.items())
        if file.piece_length and file.size is not None:
            last = file.size - (len(file.piece_digests) - 1) * file.piece_length
            assert file.size == 0 or 0 < last <= file.piece_length
        for mirror in (*file.urls, *file.torrents):
            assert mirror.url.lower().startswith(URL_STARTS) and mirror.priority >= 1


TARGETS: dict[str, Callable[[bytes], None]] = {
    "http_response": fuzz_http_response,
    "metalink": fuzz_metalink,
}
