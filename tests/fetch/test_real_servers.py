"""Responses in the form that servers of this world give them, and what is made of each."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from shoal.fetch.facts import facts_of, file_name
from shoal.fetch.judging import Answer, Asked, NoRanges, Refused, Retry, Whole, WriteAt, judge
from shoal.protocol.http.head import HeadReader


@dataclass(frozen=True, slots=True)
class Case:
    """A response's head to `Range: bytes=0-`, and what is right."""

    head: str
    verdict: type
    length: int | None = None
    validator: str | None = None
    can_be_split: bool = False
    name: bytes = b"disk.iso"
    digests: tuple[str, ...] = ()
    url: str = "https://origin.example/pub/disk.iso"


DATED = "Date: Tue, 02 Jan 2024 10:00:00 GMT"
MODIFIED = "Last-Modified: Mon, 01 Jan 2024 10:00:00 GMT"  # 0x65928d20

CASES = {
    "nginx": Case(
        f"""HTTP/1.1 206 Partial Content
        Server: nginx/1.24.0
        {DATED}
        Content-Type: application/octet-stream
        Content-Length: 1000
        {MODIFIED}
        Connection: keep-alive
        ETag: "65928d20-3e8"
        Content-Range: bytes 0-999/1000""",
        WriteAt, 1000, 'etag "65928d20-3e8"', True,
    ),
    "nginx, a file written in this second": Case(
        """HTTP/1.1 206 Partial Content
        Server: nginx
        Date: Mon, 01 Jan 2024 10:00:00 GMT
        Last-Modified: Mon, 01 Jan 2024 10:00:00 GMT
        ETag: "65928d20-3e8"
        Content-Range: bytes 0-999/1000""",
        WriteAt, 1000,
    ),
    "nginx, packed as it goes": Case(
        f"""HTTP/1.1 200 OK
        Server: nginx
        {DATED}
        {MODIFIED}
        Content-Type: application/octet-stream
        Transfer-Encoding: chunked
        ETag: W/"65928d20-3e8"
        Content-Encoding: gzip""",
        Refused, None, "modified 1704103200",
    ),
    "Apache": Case(
        f"""HTTP/1.1 206 Partial Content
        {DATED}
        Server: Apache/2.4.57 (Debian)
        {MODIFIED}
        ETag: "3e8-60de0c1a1b2c0"
        Accept-Ranges: bytes
        Content-Length: 1000
        Content-Range: bytes 0-999/1000
        Content-Type: application/x-iso9660-image""",
        WriteAt, 1000, 'etag "3e8-60de0c1a1b2c0"', True,
    ),
    "an old Apache, which takes the range of all for none": Case(
        f"""HTTP/1.1 200 OK
        {DATED}
        Server: Apache/2.2.20
        {MODIFIED}
        Accept-Ranges: bytes
        Content-Length: 1000""",
        Whole, 1000, "modified 1704103200", True,
    ),
    "Apache, a .tar.gz with AddEncoding": Case(
        f"""HTTP/1.1 206 Partial Content
        {DATED}
        Server: Apache
        {MODIFIED}
        ETag: "3e8-60de0c1a1b2c0"
        Content-Range: bytes 0-999/1000
        Content-Length: 1000
        Content-Type: application/x-tar
        Content-Encoding: x-gzip""",
        WriteAt, 1000, 'etag "3e8-60de0c1a1b2c0"', True, b"src.tar.gz", url="https://origin.example/src.tar.gz",
    ),
    "S3": Case(
        """HTTP/1.1 206 Partial Content
        x-amz-id-2: abcdef
        x-amz-request-id: 0123456789ABCDEF
        Date: Tue, 02 Jan 2024 10:00:00 GMT
        Last-Modified: Mon, 01 Jan 2024 10:00:00 GMT
        ETag: "d41d8cd98f00b204e9800998ecf8427e-12"
        x-amz-checksum-sha256: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
        x-amz-server-side-encryption: AES256
        Accept-Ranges: bytes
        Content-Range: bytes 0-999/1000
        Content-Type: binary/octet-stream
        Content-Encoding: aws-chunked
        Server: AmazonS3
        Content-Length: 1000""",
        WriteAt, 1000, 'etag "d41d8cd98f00b204e9800998ecf8427e-12"', True,
    ),
    "S3, slow down": Case(
        """HTTP/1.1 503 Slow Down
        Server: AmazonS3
        Content-Type: application/xml
        Transfer-Encoding: chunked""",
        Retry,
    ),
    "GitHub, a release in a store": Case(
        """HTTP/2 206
        content-type: application/octet-stream
        last-modified: Mon, 01 Jan 2024 10:00:00 GMT
        etag: "0x8DC0AB12CD34EF5"
        server: Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0
        x-ms-blob-content-md5: AAAAAAAAAAAAAAAAAAAAAA==
        content-disposition: attachment; filename=tool-1.2.tar.gz
        date: Tue, 02 Jan 2024 10:00:00 GMT
        content-range: bytes 0-999/1000
        content-length: 1000""",
        WriteAt, 1000, 'etag "0x8DC0AB12CD34EF5"', True, b"tool-1.2.tar.gz", ("md5",),
        url="https://store.example/releases/1/2f9a?sp=r&sig=x",
    ),
    "GitHub, an archive made on demand": Case(
        """HTTP/2 200
        content-type: application/x-gzip
        content-disposition: attachment; filename=project-1.0.tar.gz
        etag: W/"5f1d0c7a9b"
        x-github-request-id: 1234:5678
        date: Tue, 02 Jan 2024 10:00:00 GMT""",
        Whole, None, None, False, b"project-1.0.tar.gz",
    ),
    "GitHub, too many requests": Case(
        """HTTP/2 429
        retry-after: 60
        content-type: text/html""",
        Retry, name=b"disk.iso",
    ),
    "Google, an object unpacked on its way": Case(
        """HTTP/2 200
        x-goog-stored-content-encoding: gzip
        x-goog-stored-content-length: 300
        x-goog-hash: crc32c=n03x6A==, md5=AAAAAAAAAAAAAAAAAAAAAA==
        warning: 214 UploadServer gunzipped
        etag: W/"6d0cd5bd0e6b"
        accept-ranges: none
        transfer-encoding: chunked""",
        Whole,
    ),
    "Google, an object as it is": Case(
        """HTTP/2 206
        x-goog-stored-content-encoding: identity
        x-goog-hash: crc32c=n03x6A==
        x-goog-hash: md5=AAAAAAAAAAAAAAAAAAAAAA==
        etag: "6d0cd5bd0e6b"
        content-range: bytes 0-999/1000
        content-length: 1000""",
        WriteAt, 1000, 'etag "6d0cd5bd0e6b"', True, digests=("md5",),
    ),
    "IIS": Case(
        f"""HTTP/1.1 206 Partial Content
        Content-Type: application/octet-stream
        {MODIFIED}
        Accept-Ranges: bytes
        ETag: "a1b2c3d4e5f6da1:0"
        Server: Microsoft-IIS/10.0
        {DATED}
        Content-Length: 1000
        Content-Range: bytes 0-999/1000""",
        WriteAt, 1000, 'etag "a1b2c3d4e5f6da1:0"', True,
    ),
    "Python's http.server": Case(
        f"""HTTP/1.0 200 OK
        Server: SimpleHTTP/0.6 Python/3.11.7
        {DATED}
        Content-type: application/octet-stream
        Content-Length: 1000
        {MODIFIED}""",
        Whole, 1000, "modified 1704103200",
    ),
    "a mirror brain": Case(
        f"""HTTP/1.1 206 Partial Content
        {DATED}
        {MODIFIED}
        Digest: SHA-256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,MD5=AAAAAAAAAAAAAAAAAAAAAA==
        Content-Range: bytes 0-999/1000
        Link: <http://m.example/disk.iso>; rel=duplicate; pri=1; geo=de""",
        WriteAt, 1000, "modified 1704103200", True, digests=("md5", "sha-256"),
    ),
    "a script that serves a file": Case(
        """HTTP/1.1 200 OK
        X-Powered-By: PHP/8.1
        Content-Disposition: attachment; filename=my disk.iso
        Content-Type: text/html; charset=UTF-8
        Content-Length: 1000""",
        Whole, 1000, name=b"my disk.iso",
    ),
    "a login page": Case(
        """HTTP/1.1 200 OK
        Content-Type: text/html; charset=utf-8
        Cache-Control: no-store
        ETag: W/"1f-abc"
        Content-Length: 31
        Set-Cookie: session=1; HttpOnly""",
        Refused, 31, url="https://login.example/signin?next=%2Fpub%2Fdisk.iso",
    ),
    "a proxy that makes several ranges of one": Case(
        """HTTP/1.1 206 Partial Content
        Content-Type: multipart/byteranges; boundary=3d6b6a416f9b5
        ETag: "v1"
        Content-Length: 1200""",
        NoRanges, None, 'etag "v1"',
    ),
    "an empty file": Case(
        """HTTP/1.1 416 Requested Range Not Satisfiable
        Content-Range: bytes */0
        Content-Length: 0""",
        NoRanges, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_what_is_made_of_a_servers_first_response(case: Case) -> None:
    reader = HeadReader()
    heads = [reader.on_line(line.strip().encode()) for line in (*case.head.splitlines(), "")]
    head = heads[-1]
    assert head is not None
    status, headers = head.status, head.headers
    asked = Asked("https://origin.example/pub/disk.iso", 0)
    assert isinstance(judge(None, asked, Answer(status, headers, case.url), 0.0), case.verdict)
    if case.verdict is Retry:
        return
    facts = facts_of(status, headers, case.url)
    assert facts.length == case.length
    assert (facts.validator and facts.validator.text) == case.validator
    assert facts.can_be_split() == case.can_be_split
    assert tuple(sorted(facts.digests)) == case.digests
    if case.verdict in (WriteAt, Whole):
        assert file_name(facts, asked.url) == case.name
