"""What a Metalink says -> the downloads that it stands for. Pure.

Always true: headers and a password that were given for the URL of the Metalink go to no other origin, whatever
places the Metalink names; no file or folder that it names is hidden.
"""

from __future__ import annotations

from dataclasses import replace

from shoal.disk.checksum import Checksum
from shoal.errors import FormatError, UsageError
from shoal.fetch.options import asked_url
from shoal.fetch.progress import Wanted
from shoal.formats.digests import strongest
from shoal.formats.metalink import Metalink, MetalinkFile
from shoal.formats.safe_names import seen_name


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
    is_home = asked_url(urls[0]).origin == asked_url(wanted.urls[0]).origin
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
