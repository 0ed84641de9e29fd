"""What a file is called: by Content-Disposition (RFC 6266), or by a URL's path.

Names are bytes in UTF-8 if they can be read at all, and one element: what is before the last separator, of either
kind, is cut off, and `.` and `..` are no names. They are made safe for this machine by `formats/safe_names.py`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes, urlsplit

from shoal.protocol.http.headers import parse_parameters

MAX_NAME_LENGTH = 4096  # bytes; safe names are far shorter
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'([!#$&+.^_`|~%0-9A-Za-z-]*)", re.IGNORECASE)


def parse_content_disposition(text: str) -> bytes | None:
    """The name that the server gives to the file, whether it says `attachment` or `inline`.

    `filename*` goes before `filename`, unless it cannot be decoded.
    """
    parameters = parse_parameters(text if text.lstrip().startswith(";") else f";{text}")
    match = _EXTENDED.fullmatch(parameters.get("filename*", ""))
    if match is not None:
        raw = unquote_to_bytes(match[2])
        name = _last_element(_as_utf8(raw) if match[1].lower() == "iso-8859-1" else raw)
        if name is not None and _is_utf8(name):
            return name
    return _last_element(_as_utf8(_bytes_of(parameters.get("filename", ""))))


def name_of_url(url: str) -> bytes | None:
    """The last element of the path, unquoted; None if the path ends with a slash."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    return _last_element(unquote_to_bytes(path.rpartition("/")[2]))


def suffix_of(name: bytes | None) -> str:
    """`b"a.tar.GZ"` -> `".gz"`; `""` if there is none."""
    stem, dot, suffix = (name or b"").rpartition(b".")
    return f".{suffix.decode('latin-1').lower()}" if stem and dot and suffix else ""


def _bytes_of(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # it was not decoded as Latin-1
        return text.encode("utf-8", "replace")


def _as_utf8(raw: bytes) -> bytes:
    """Servers say UTF-8 or Latin-1 here, and not which; what happens to be UTF-8 is meant as that."""
    return raw if _is_utf8(raw) else raw.decode("latin-1").encode()


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _last_element(raw: bytes) -> bytes | None:
    name = re.split(rb"[/\\]", raw)[-1].strip()
    return None if name in (b"", b".", b"..") or len(name) > MAX_NAME_LENGTH else name
