"""What a server may answer, built from what matters to a test; and facts that are known from it."""

from __future__ import annotations

from shoal.fetch.facts import Facts, facts_of
from shoal.fetch.judging import Answer, Asked, Verdict, judge

URL = "https://origin.example/pub/disk.iso"
NOW = 1_700_000_000.0
LENGTH = 1000
ETAG = '"v1"'
IMAGE = "application/x-iso9660-image"


def answer(status: int, url: str = URL, **headers: str) -> Answer:
    """`content_range="bytes 0-99/1000"` is a header `content-range`."""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, url)


def part(begin: int, end: int, total: int | str = LENGTH, **headers: str) -> Answer:
    """A 206 as it should be, but for what is said otherwise."""
    return answer(
        206,
        **{
            "content_range": f"bytes {begin}-{end - 1}/{total}",
            "content_length": str(end - begin),
            "content_type": IMAGE,
            "etag": ETAG,
            **headers,
        },
    )


def whole(**headers: str) -> Answer:
    """A 200 as it should be, but for what is said otherwise."""
    return answer(200, **{"content_length": str(LENGTH), "content_type": IMAGE, "etag": ETAG, **headers})


def without(given: Answer, *names: str) -> Answer:
    return Answer(given.status, {k: v for k, v in given.headers.items() if k not in names}, given.url)


def known_from(given: Answer) -> Facts:
    return facts_of(given.status, given.headers, given.url)


KNOWN = known_from(part(0, LENGTH))


def verdict(
    given: Answer,
    begin: int | None = None,
    end: int | None = None,
    *,
    known: Facts | None = None,
    name: bytes = b"",
) -> Verdict:
    return judge(known, Asked(URL, begin, end, name), given, NOW)
