"""Whether a response may be written, and where.

Pure. Always true: bytes are written at an offset only if the range begins there, its length and total fit, and the
validator, if one is known, is in the response and the same. What is doubtful is never written; which verdict it gets
then depends on what helps: `NoRanges` where the whole file may still come right, `Refused` where nothing would.

Content-Encoding: identity was asked for and nothing is unpacked here, so a response with a coding is refused. But many
servers mark what is stored as `x.tar.gz` with `Content-Encoding: gzip`, and mean the file itself. So it is kept, as
it comes, if both are true: the file's name or type says that it is packed so, and the length is known (what a
server packs as it goes, it sends without one).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus

from shoal.errors import ShoalError
from shoal.fetch.facts import PAGE_TYPES, Facts, facts_of
from shoal.fetch.refusals import coding_error, error_of, is_passing, page_error, part_error
from shoal.protocol.http.headers import (
    Headers,
    content_length,
    parse_content_range,
    parse_retry_after,
    parse_unsatisfied_range,
)
from shoal.protocol.http.names import name_of_url, suffix_of
from shoal.protocol.http.validators import is_same_version

_PACKED_SUFFIXES = {
    "gzip": frozenset({".gz", ".tgz", ".taz", ".svgz", ".emz", ".vgz"}),
    "compress": frozenset({".z", ".taz"}),
    "br": frozenset({".br"}),
    "zstd": frozenset({".zst", ".tzst"}),
}
_PACKED_TYPES = {
    "gzip": frozenset(
        {"application/gzip", "application/x-gzip", "application/x-tgz", "application/x-tar-gz"}
    ),
    "compress": frozenset({"application/x-compress"}),
    "zstd": frozenset({"application/zstd", "application/x-zstd"}),
}
_NEVER_A_PAGE = re.compile(  # suffixes
    r"\.(7z|aac|apk|avi|bin|bz2|crate|deb|dmg|exe|flac|gem|gguf|gz|img|ipa|iso|jar|jpe?g|lz4|m4a|meta4|metalink|mkv|mov"
    r"|mp[34]|msi|nupkg|ova|parquet|pdf|pkg|png|qcow2|rar|rpm|safetensors|squashfs|tar|tgz|torrent|vmdk|war|webm|whl|xz"
    r"|zip|zst)"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the URL before redirects, and the range; `begin` None: no range, `end` None: to the file's end."""

    url: str = field(repr=False)  # may hold a secret, as that of an answer
    begin: int | None = None
    end: int | None = None  # exclusive
    name: bytes = b""  # what the person calls the file, if they do


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's head, and the URL it came from, after redirects."""

    status: int
    headers: Headers = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WriteAt:
    """The body is the file's bytes from `offset` to `end`, which may be less than was asked for, or more."""

    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Whole:
    """The body is the file, from byte 0."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """It is another version: nothing that is here fits it."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoRanges:
    """This body is no use. Where others of this source were, it is one fetcher too many; else ask without a range."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask again in `after` seconds, None if the server left that to us; `error` is what to say when patience ends."""

    after: float | None
    error: ShoalError


@dataclass(frozen=True, slots=True)
class Refused:
    """This source does not give the file."""

    error: ShoalError


Verdict = WriteAt | Whole | Replaced | NoRanges | Retry | Refused


def judge(known: Facts | None, asked: Asked, answer: Answer, now: float) -> Verdict:
    """What to do with the response, at `now` (Unix seconds).

    `known` is what this source said before, or what another did (`Facts.for_mirror`); None at first.
    """
    status = answer.status
    if status == HTTPStatus.OK:
        return _judge_whole(known, asked, answer)
    if status == HTTPStatus.PARTIAL_CONTENT:
        return _judge_part(known, asked, answer)
    if status == HTTPStatus.PRECONDITION_FAILED:
        return Replaced("the server says that it is another version now")
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and asked.begin is not None:
        return _judge_unsatisfied(known, answer)
    was_served = known is not None and bool(known.final_url)
    error = error_of(status, answer.headers, answer.url, was_served=was_served)
    if is_passing(status, answer.headers):
        return Retry(parse_retry_after(answer.headers.get("retry-after", ""), now), error)
    return Refused(error)


def _judge_whole(known: Facts | None, asked: Asked, answer: Answer) -> Verdict:
    facts = facts_of(answer.status, answer.headers, answer.url)
    if _is_page_instead(known, facts, asked):
        return Refused(page_error(answer.url))
    if facts.codings and not _is_file_itself(facts, asked):
        return Refused(coding_error(answer.url, facts.codings))
    if known is not None and (change := _change(known, facts)):
        return Replaced(change)
    if asked.begin:
        return NoRanges("the server answers a range with the whole file")
    return Whole()


def _judge_part(known: Facts | None, asked: Asked, answer: Answer) -> Verdict:
    facts = facts_of(answer.status, answer.headers, answer.url)
    part = parse_content_range(answer.headers.get("content-range", ""))
    if part is None or facts.content_type == "multipart/byteranges":
        return NoRanges("the server does not say which range it sends")
    if facts.codings and not _is_file_itself(facts, asked):
        return Refused(coding_error(answer.url, facts.codings))
    if known is not None and (change := _change(known, facts)):
        return Replaced(change)
    if content_length(answer.headers) not in (None, part.end_exclusive - part.begin):
        return NoRanges("the server sends a range and another length")
    if asked.begin is None:
        is_all = part.begin == 0 and part.end_exclusive == part.total
        return Whole() if is_all else Refused(part_error(answer.url))
    if part.begin != asked.begin:
        return NoRanges(f"the server sends from byte {part.begin} on, where {asked.begin} was asked for")
    if doubt := _doubt(known, facts, part.end_exclusive):
        return NoRanges(f"the server does not say {doubt}")
    return WriteAt(part.begin, part.end_exclusive)


def _judge_unsatisfied(known: Facts | None, answer: Answer) -> Verdict:
    """416. An empty file has no range at all, so that even `bytes=0-` is outside of it: asked without, it comes."""
    length = parse_unsatisfied_range(answer.headers.get("content-range", ""))
    if known is not None and (change := _change(known, Facts(length=length))):
        return Replaced(change)
    return NoRanges("the server says that the range is outside of the file")


def _change(known: Facts, facts: Facts) -> str:
    """How this is another version than what is known; `""` if nothing shows that."""
    if known.length is not None and facts.length is not None and known.length != facts.length:
        return f"it has {facts.length} bytes, where {known.length} were expected"
    version = known.validator or known.shown_later
    is_same = is_same_version(version, facts.validator)
    has_tags = None not in (version and version.etag, facts.validator and facts.validator.etag)
    if is_same is None and known.validator is not None and None not in (known.modified_at, facts.modified_at):
        # too fresh a time cannot show that it is the same, but that it is not
        is_same = known.modified_at == facts.modified_at
    if is_same is not False:
        return ""
    return "its ETag is another" if has_tags else "its time of change is another"


def _doubt(known: Facts | None, facts: Facts, end: int) -> str:
    """What a part does not say and would have to; `""` if all is there. What it says has been compared."""
    if known is None:
        return "" if facts.length is not None else "how long the file is"
    is_length_shown = facts.length is not None
    if known.validator is not None:
        if is_same_version(known.validator, facts.validator) is None:
            return "of which version this part is"
        if known.codings != facts.codings:
            return "whether this part is packed as the others are"
        is_length_shown |= known.length is not None and end <= known.length  # it is that version's
    return "" if is_length_shown else "how long the file is"


def _is_page_instead(known: Facts | None, facts: Facts, asked: Asked) -> bool:
    """A login page, mostly. A first response may well be a page, unless the URL's suffix is never that of one."""
    if facts.content_type not in PAGE_TYPES:
        return False
    if known is not None and known.content_type:
        return known.content_type not in PAGE_TYPES
    is_made_up = facts.validator is None and facts.name is None
    return is_made_up and bool(_NEVER_A_PAGE.fullmatch(suffix_of(name_of_url(asked.url))))


def _is_file_itself(facts: Facts, asked: Asked) -> bool:
    """Whether a content coding is no more than what the file is anyway."""
    if facts.length is None or len(facts.codings) != 1:
        return False
    coding = facts.codings[0]
    names = (asked.name, facts.name, name_of_url(facts.final_url), name_of_url(asked.url))
    suffixes = _PACKED_SUFFIXES.get(coding, frozenset())
    return facts.content_type in _PACKED_TYPES.get(coding, ()) or any(suffix_of(n) in suffixes for n in names)
