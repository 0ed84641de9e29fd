"""What a Metalink says -> the downloads that it stands for.

Always true: headers and a password that were given for the URL of the Metalink go to no other origin, whatever
places the Metalink names; no file or folder that it names is hidden.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shoal.disk.checksum import Checksum
from shoal.disk.faults import file_fault
from shoal.errors import FormatError, NotFoundError, UsageError
from shoal.fetch.options import asked_url
from shoal.fetch.progress import Wanted
from shoal.formats.digests import strongest
from shoal.formats.metalink import (
    MAX_METALINK_LENGTH,
    METALINK_SUFFIXES,
    Metalink,
    MetalinkFile,
    parse_metalink,
)
from shoal.formats.safe_names import seen_name


def is_local(source: str) -> bool:
    """Whether it is the path of a Metalink on this machine, and no URL."""
    return "://" not in source and Path(source).suffix.lower() in METALINK_SUFFIXES


def downloads_of_local(wanted: Wanted) -> list[Wanted]:
    """As below, where `wanted` has the path of the Metalink in place of its URL.

    Raises `NotFoundError`, `FileError`, `FormatError`; `UsageError` for what is told to the host of a URL alone.
    """
    path, options = Path(wanted.urls[0]), wanted.options
    if options.headers or options.user is not None:
        raise UsageError(f"headers, user and password are for the host of a URL, and {path} is a file")
    try:
        with path.open("rb") as file:
            body = file.read(MAX_METALINK_LENGTH + 1)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except OSError as error:
        raise file_fault(error, path, "reading") from error
    try:
        return downloads_of(parse_metalink(body), wanted)
    except FormatError as error:
        raise FormatError(f"{path}: {error.message}", hint=error.hint) from None


def downloads_of(metalink: Metalink, wanted: Wanted) -> list[Wanted]:
    """One for each file; `wanted` is how the Metalink itself was asked for.

    Raises `UsageError` if what was given for one file (a name, a checksum, mirrors) meets several.
    """
    files = metalink.files
    if len(files) > 1 and (wanted.name or wanted.checksums or len(wanted.urls) > 1):
        raise UsageError(
            f"the metalink names {len(files)} files: a name, a checksum and mirrors are those of one"
        )
    return [_download_of(file, wanted) for file in files]


def _download_of(file: MetalinkFile, wanted: Wanted) -> Wanted:
    urls = (*(mirror.url for mirror in file.urls), *wanted.urls[1:])
    if not urls:
        raise FormatError(f"the metalink names no place of {file.name}")
    path = [seen_name(element.encode()) for element in file.path]
    name = strongest(file.digests)
    known = () if name is None else (Checksum(name, file.digests[name]),)
    is_home = not is_local(wanted.urls[0]) and asked_url(urls[0]).origin == asked_url(wanted.urls[0]).origin
    options = wanted.options if is_home else replace(wanted.options, headers=(), user=None, password="")
    return replace(
        wanted,
        urls=urls,
        folder=wanted.folder.joinpath(*path[:-1]) if wanted.name is None else wanted.folder,
        name=wanted.name or path[-1],
        options=options,
        checksums=wanted.checksums or known,
        described=file,
        is_document=None,
    )
