"""Metalinks: where else a file is, and what its bytes hash to. Version 4 (RFC 5854), and 3 as it is found.

Always true of what comes out: each file has a name, and a path that is safe to make; a digest has its algorithm's
length; a list of piece digests covers the file; URLs are http, https or ftp, each once, the best first.

A wrong digest, size or piece length is refused, for without it less would be checked than the Metalink meant. What
only helps (a URL, a priority) is left out where it cannot be used, and so is everything that we do not know.

The parser is Python's expat, and safe from what XML parsers are attacked by: a document type is refused before a
word of it is read, so that there are no entities, internal or external; the length is limited; and all of it is
parsed in one call, so that no token is read twice. Whatever it declares, it is UTF-8, or UTF-16 if it begins as
that does: so it chooses no decoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from shoal.errors import FormatError
from shoal.formats import safe_names
from shoal.formats.digests import DIGEST_LENGTHS, digest_name, parse_digest, strongest
from shoal.formats.foreign_text import MAX_URLS, WEB_SEED_SCHEMES, clean_url
from shoal.units import MIB, format_size

METALINK_SUFFIXES = frozenset({".meta4", ".metalink"})
MAX_METALINK_LENGTH = 16 * MIB  # a file of 100,000 pieces with SHA-256 takes 9 MB
MAX_FILES = 10_000  # of one Metalink; each becomes a download
MAX_DEPTH = 20  # elements within one another; the deepest that means something is the seventh
MAX_SIZE = 2**63 - 1
LOWEST_PRIORITY = 999_999  # RFC 5854: the greatest number, and what a URL has that says none

_NAMESPACES = ("urn:ietf:params:xml:ns:metalink", "http://www.metalinker.org/", "")
_WRAPPERS = frozenset(
    {"files", "verification", "resources"}
)  # version 3 groups its elements; version 4 does not
_NUMBER = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Mirror:
    """One more place of the same file. The lowest `priority` is the best."""

    url: str = field(repr=False)  # it may hold a secret
    priority: int = LOWEST_PRIORITY
    location: str = ""  # a country's two letters, lower case, if it was said


@dataclass(frozen=True, slots=True)
class MetalinkFile:
    name: str  # as it was written
    path: safe_names.Path
    size: int | None = None
    digests: dict[str, bytes] = field(default_factory=dict)  # {"sha-256": 32 bytes}
    piece_length: int = 0  # 0: there are no digests of pieces
    piece_digest_name: str = ""
    piece_digests: tuple[bytes, ...] = ()
    urls: tuple[Mirror, ...] = ()
    torrents: tuple[Mirror, ...] = ()


@dataclass(frozen=True, slots=True)
class Metalink:
    files: tuple[MetalinkFile, ...]


def parse_metalink(data: bytes) -> Metalink:
    """What the Metalink says; it has at least one file. Raises `FormatError`, which names the line."""
    if len(data) > MAX_METALINK_LENGTH:
        raise FormatError(
            f"a metalink of {format_size(len(data))}, where {format_size(MAX_METALINK_LENGTH)} is the limit"
        )
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise FormatError(f"metalink line {error.lineno}: {expat.ErrorString(error.code)}") from None
    if not reader.files:
        raise FormatError("a metalink without a file")
    return Metalink(tuple(reader.files))


@dataclass(slots=True)
class _Draft:
    """A file while it is read."""

    name: str
    size: int | None = None
    digests: dict[str, bytes] = field(default_factory=dict)
    pieces: dict[str, tuple[int, list[bytes]]] = field(default_factory=dict)  # length and digests by name
    urls: dict[str, Mirror] = field(default_factory=dict)
    torrents: dict[str, Mirror] = field(default_factory=dict)


class _Reader:
    """Expat's events -> files. An element is known by its way from the root, without version 3's wrappers."""

    def __init__(self) -> None:
        self.files: list[MetalinkFile] = []
        self.parser = expat.ParserCreate("utf-8", " ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._on_document_type
        self.parser.StartElementHandler = self._on_start
        self.parser.EndElementHandler = self._on_end
        self._way: list[str] = []
        self._attributes: list[dict[str, str]] = []
        self._namespace = ""
        self._text: list[str] = []
        self._file = _Draft("")
        self._piece_digest_name: str | None = (
            None  # of the list that is being read; None: one we cannot check
        )
        self._ends: dict[tuple[str, ...], Callable[[str, dict[str, str]], None]] = {
            ("file",): self._on_file,
            ("file", "size"): self._on_size,
            ("file", "hash"): self._on_hash,
            ("file", "pieces", "hash"): self._on_piece_hash,
            ("file", "url"): self._on_url,
            ("file", "metaurl"): self._on_metaurl,
        }

    def _on_document_type(self, *_: object) -> NoReturn:
        raise self._refused("a document type, which no metalink needs")

    def _on_start(self, tag: str, attributes: dict[str, str]) -> None:
        namespace, _, name = tag.rpartition(" ")
        if not self._way:
            if name != "metalink" or namespace not in _NAMESPACES:
                raise self._refused("not a metalink")
            self._namespace = namespace
        if len(self._way) == MAX_DEPTH:
            raise self._refused(f"elements {MAX_DEPTH} deep")
        self._way.append(name if namespace == self._namespace else f"{namespace} {name}")
        self._attributes.append(attributes)
        self._text.clear()
        way = self._known_way()
        self.parser.CharacterDataHandler = self._text.append if way in self._ends else None
        if way == ("file",):
            self._begin_file(attributes)
        elif way == ("file", "pieces"):
            self._begin_pieces(attributes)

    def _on_end(self, _: str) -> None:
        end = self._ends.get(self._known_way())
        self._way.pop()
        attributes = self._attributes.pop()
        self.parser.CharacterDataHandler = None
        if end is not None:
            end("".join(self._text).strip(), attributes)

    def _known_way(self) -> tuple[str, ...]:
        if self._way[-1] in _WRAPPERS:
            return ()
        return tuple(name for name in self._way[1:] if name not in _WRAPPERS)

    # ---- elements

    def _begin_file(self, attributes: dict[str, str]) -> None:
        if len(self.files) == MAX_FILES:
            raise self._refused(f"more than {MAX_FILES} files")
        name = attributes.get("name", "").strip()
        if not name:
            raise self._refused("a file without a name")
        self._file = _Draft(name)

    def _begin_pieces(self, attributes: dict[str, str]) -> None:
        self._piece_digest_name = name = digest_name(attributes.get("type", ""))
        if name is not None:
            length = attributes.get("length", "").strip()
            if not _NUMBER.fullmatch(length) or not 0 < int(length) <= MAX_SIZE:
                raise self._refused(f"a piece length of '{length[:40]}'")
            self._file.pieces[name] = (int(length), [])

    def _on_size(self, text: str, _: dict[str, str]) -> None:
        if not _NUMBER.fullmatch(text) or int(text) > MAX_SIZE:
            raise self._refused(f"a size of '{text[:40]}'")
        self._file.size = int(text)

    def _on_hash(self, text: str, attributes: dict[str, str]) -> None:
        name = digest_name(attributes.get("type", ""))
        if name is not None:
            self._file.digests[name] = self._digest(name, text)

    def _on_piece_hash(self, text: str, attributes: dict[str, str]) -> None:
        name = self._piece_digest_name
        if name is not None:
            digests = self._file.pieces[name][1]
            number = attributes.get("piece", "").strip()  # so counts version 3
            if number and number != str(len(digests)):
                raise self._refused(
                    f"the digest of piece '{number[:40]}' where that of {len(digests)} belongs"
                )
            digests.append(self._digest(name, text))

    def _on_url(self, text: str, attributes: dict[str, str]) -> None:
        is_torrent = attributes.get("type") == "bittorrent"  # so says version 3
        self._add_url(self._file.torrents if is_torrent else self._file.urls, text, attributes)

    def _on_metaurl(self, text: str, attributes: dict[str, str]) -> None:
        if attributes.get("mediatype") == "torrent":
            self._add_url(self._file.torrents, text, attributes)

    def _add_url(self, to: dict[str, Mirror], text: str, attributes: dict[str, str]) -> None:
        url = clean_url(text.encode(), WEB_SEED_SCHEMES)
        if url is not None and len(to) < MAX_URLS:
            to.setdefault(url, Mirror(url, _priority(attributes), country(attributes.get("location", ""))))

    def _on_file(self, _: str, __: dict[str, str]) -> None:
        draft = self._file
        digests_of = strongest(draft.pieces) or ""
        piece_length, piece_digests = draft.pieces.get(digests_of, (0, []))
        if draft.size is not None and piece_length and -(-draft.size // piece_length) != len(piece_digests):
            raise self._refused(
                f"{len(piece_digests)} digests of pieces of {piece_length} bytes for a size of {draft.size}"
            )
        self.files.append(
            MetalinkFile(
                name=draft.name,
                path=safe_names.safe_path([element.encode() for element in draft.name.split("/")]),
                size=draft.size,
                digests=draft.digests,
                piece_length=piece_length,
                piece_digest_name=digests_of,
                piece_digests=tuple(piece_digests),
                urls=in_order(draft.urls.values()),
                torrents=in_order(draft.torrents.values()),
            )
        )

    def _digest(self, name: str, text: str) -> bytes:
        digest = parse_digest(name, text)
        if digest is None:
            raise self._refused(f"'{text[:140]}' is not the {2 * DIGEST_LENGTHS[name]} hex digits of {name}")
        return digest

    def _refused(self, what: str) -> FormatError:
        shown = "".join(character if character.isprintable() else "\ufffd" for character in what)
        return FormatError(f"metalink line {self.parser.CurrentLineNumber}: {shown}")


def in_order(mirrors: Iterable[Mirror]) -> tuple[Mirror, ...]:
    """The best first; of equal ones those that were named first."""
    return tuple(sorted(mirrors, key=lambda mirror: mirror.priority))


def country(text: str) -> str:
    """`"DE"` -> `"de"`; `""` for what is not two letters."""
    text = text.strip().lower()
    return text if re.fullmatch("[a-z]{2}", text) else ""


def _priority(attributes: dict[str, str]) -> int:
    """Version 4 has `priority`, 1 the best; version 3 `preference`, 100 the best."""
    priority, preference = attributes.get("priority", ""), attributes.get("preference", "")
    if _NUMBER.fullmatch(priority):
        return min(max(int(priority), 1), LOWEST_PRIORITY)
    if _NUMBER.fullmatch(preference):
        return 101 - min(int(preference), 100)
    return LOWEST_PRIORITY
