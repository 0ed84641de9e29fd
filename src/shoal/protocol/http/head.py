"""The head of a response, line by line: a status and its headers. An FTP server's replies are made one, too.

Pure. Always true: a head is told once, when its empty line has come; interim responses (1xx) and trailers are
none. What has no proper name is passed over; names are in lower case, and equal ones are joined by commas, as
RFC 9110 has it (5.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate
from http import HTTPStatus

from shoal.errors import FormatError
from shoal.units import KIB

MOST_HEAD_BYTES = 128 * KIB  # thousands of Link headers fit; a head without end does not
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SIZE_OR_TIME = "213"  # what FTP answers to SIZE and to MDTM
_TIME_FORMAT = "%Y%m%d%H%M%S"


@dataclass(frozen=True, slots=True)
class Head:
    status: int
    headers: dict[str, str] = field(default_factory=dict)


class HeadReader:
    def __init__(self) -> None:
        self._status = 0  # of the head that is being read; 0: none is
        self._headers: dict[str, str] = {}
        self._length = 0

    def on_line(self, line: bytes) -> Head | None:
        """The head that this line has ended, if it has. Raises `FormatError` for a head that is too long."""
        self._length += len(line)
        if self._length > MOST_HEAD_BYTES:
            raise FormatError(f"sends more than {MOST_HEAD_BYTES // KIB} KiB of headers")
        text = line.decode("latin-1").rstrip("\r\n")
        if text.startswith("HTTP/"):
            self._begin(text)
        elif not text:
            return self._end()
        elif self._status:
            self._add(text)
        return None

    def _begin(self, text: str) -> None:
        status = text.partition(" ")[2][:3]
        self._status = int(status) if status.isdecimal() and status.isascii() else 0
        self._headers = {}

    def _add(self, text: str) -> None:
        name, colon, value = text.partition(":")
        name, value = name.strip().lower(), value.strip()
        if colon and _TOKEN.fullmatch(name):
            known = self._headers.get(name)
            self._headers[name] = value if known is None else f"{known}, {value}"

    def _end(self) -> Head | None:
        status, self._status = self._status, 0
        return Head(status, self._headers) if status >= 200 else None


class FtpReplies:
    """What an FTP server says of a file before its bytes come, as the head of an HTTP response."""

    def __init__(self) -> None:
        self._numbers: list[str] = []

    def on_line(self, line: bytes) -> None:
        code, _, number = line.decode("latin-1").strip().partition(" ")
        if code == _SIZE_OR_TIME and number.isdecimal() and number.isascii():
            self._numbers.append(number)

    def head(self, begin: int, end: int | None, now: float) -> Head:
        """The head for bytes `begin` to `end` (None: all that follow). The server was asked MDTM, then SIZE."""
        headers, numbers = {}, self._numbers
        modified_at = _moment(numbers[0]) if numbers else None
        if modified_at is not None:
            headers["date"] = formatdate(now, usegmt=True)
            headers["last-modified"] = format_datetime(modified_at, usegmt=True)
            numbers = numbers[1:]
        if not numbers:
            return Head(HTTPStatus.OK, headers)
        length = int(numbers[-1])
        if not length:
            return Head(HTTPStatus.OK, {**headers, "content-length": "0"})
        last = min(length if end is None else end, length) - 1
        headers["content-range"] = f"bytes {begin}-{last}/{length}"
        headers["content-length"] = str(last + 1 - begin)
        return Head(HTTPStatus.PARTIAL_CONTENT, headers)


def _moment(number: str) -> datetime | None:
    """`20240102030405`; no file is so long that its length reads like one of our days."""
    if len(number) != 14:
        return None
    try:
        return datetime.strptime(number, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
