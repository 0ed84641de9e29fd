"""The fields of a response: lines -> a mapping, and what single values mean (RFC 9110).

`Headers` is a mapping of names in lower case to values, decoded as Latin-1 so that no byte is lost; values of equal
names are joined by a comma, as RFC 9110 5.3 has it, which spoils those that may come only once. Nothing here raises
for what a server says: what cannot be believed is None.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass

Headers = Mapping[str, str]

MAX_LENGTH = 2**63 - 1  # of a file; offsets in files are signed 64 bits everywhere
CODINGS = frozenset(
    {"gzip", "x-gzip", "compress", "x-compress", "deflate", "br", "zstd", "dcb", "dcz", "exi", "pack200-gzip"}
)
"""Content codings that change bytes (IANA's registry). Other values (`utf-8`, `binary`, `aws-chunked`) are mistakes
that are common, and name nothing that anybody has done to the file."""

_MEDIA_TYPE = re.compile(
    r"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+/[!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*(?:[;,].*)?", re.DOTALL
)
_LENGTH = re.compile(r"[0-9]{1,19}")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_RANGE = re.compile(r"\s*bytes\s+([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\s*", re.IGNORECASE)
_UNSATISFIED = re.compile(r"\s*bytes\s+\*/([0-9]{1,19})\s*", re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))', re.DOTALL)
_QUOTED_PAIR = re.compile(r'\\(["\\])')

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = r"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_ZONE = r"(?:gmt|utc|[+-]0000)"
_DATE = re.compile(  # Sun, 06 Nov 1994 08:49:37 GMT, and Sunday, 06-Nov-94 08:49:37 GMT
    rf"(?:[a-z]{{3,9}},)?\s*([0-9]{{1,2}})[ -]([a-z]{{3}})[ -]([0-9]{{4}}|[0-9]{{2}})\s+{_TIME}\s+{_ZONE}",
    re.IGNORECASE,
)
_ASCTIME = re.compile(  # Sun Nov  6 08:49:37 1994
    rf"[a-z]{{3}}\s+([a-z]{{3}})\s+([0-9]{{1,2}})\s+{_TIME}\s+([0-9]{{4}})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Which bytes a 206 brings: `begin <= position < end_exclusive`; `total` is None where it was not said."""

    begin: int
    end_exclusive: int
    total: int | None


def parse_content_range(text: str) -> ContentRange | None:
    """`"bytes 0-99/1000"` -> 0, 100, 1000; `"bytes 0-99/*"` has no total."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    begin, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if not begin <= last < (MAX_LENGTH if total is None else min(total, MAX_LENGTH)):
        return None
    return ContentRange(begin, last + 1, total)


def parse_unsatisfied_range(text: str) -> int | None:
    """What a 416 says: `"bytes */1000"` -> 1000, the file's length."""
    match = _UNSATISFIED.fullmatch(text)
    return int(match[1]) if match and int(match[1]) <= MAX_LENGTH else None


def content_length(headers: Headers) -> int | None:
    """Bytes of the body. With a transfer coding it does not count (RFC 9112 6.3); `5, 5` is 5, `5, 6` nothing."""
    if headers.get("transfer-encoding", "identity").strip().lower() != "identity":
        return None
    values = {value.strip() for value in headers.get("content-length", "").split(",")}
    text = values.pop()
    if values or not _LENGTH.fullmatch(text) or int(text) > MAX_LENGTH:
        return None
    return int(text)


def content_codings(headers: Headers) -> tuple[str, ...]:
    """What was done to the file's bytes, in that order: `("gzip",)`; `x-gzip` is gzip (RFC 9110 8.4.1)."""
    named = (coding.strip().lower() for coding in headers.get("content-encoding", "").split(","))
    return tuple(coding.removeprefix("x-") for coding in named if coding in CODINGS)


def media_type(headers: Headers) -> str:
    """`"text/html"`, without parameters and in lower case; `""` if none was said."""
    match = _MEDIA_TYPE.fullmatch(headers.get("content-type", ""))
    return match[1].lower() if match else ""


def parse_http_date(text: str) -> int | None:
    """Any of HTTP's three forms -> Unix seconds."""
    text = text.strip()
    if match := _DATE.fullmatch(text):
        day, month, year, *time = match.groups()
    elif match := _ASCTIME.fullmatch(text):
        month, day, *time, year = match.groups()
    else:
        return None
    if len(year) == 2:
        year = f"{20 if int(year) < 70 else 19}{year}"
    hour, minute, second = map(int, time)
    if month.lower() not in _MONTHS or int(year) < 1970 or hour > 23 or minute > 59 or second > 60:
        return None
    month_number = _MONTHS.index(month.lower()) + 1
    if not 1 <= int(day) <= calendar.monthrange(int(year), month_number)[1]:
        return None
    return calendar.timegm((int(year), month_number, int(day), hour, minute, min(second, 59)))


def parse_retry_after(text: str, now_unix: float) -> float | None:
    """Seconds to wait, from now on; a date that has passed is 0."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    at = parse_http_date(text)
    return None if at is None else max(0.0, at - now_unix)


def parse_parameters(text: str) -> dict[str, str]:
    """`; name=value; other="quoted"` -> by name in lower case. Of equal names the first counts, as in browsers.

    Values that should be quoted and are not go on to the next semicolon. A backslash only escapes a quote or
    another backslash, for servers put Windows' paths there as they are.
    """
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(text):
        found.setdefault(name.lower(), _QUOTED_PAIR.sub(r"\1", quoted) if quoted else plain.strip())
    return found
