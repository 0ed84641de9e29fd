"""A torrent of a file that has just come from a URL: hybrid, with the places it came from as web seeds.

Always true: it has the info hashes that `shoal create --format hybrid` gives the same file; a web seed is a URL that
may be told to anybody, without a user and without what looks like a key; nothing is overwritten unasked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shoal.disk.hashing import hash_files
from shoal.disk.new_file import refuse_existing, write_whole
from shoal.disk.part_place import part_names
from shoal.disk.walk import find_payload
from shoal.errors import ExistsError, NotFoundError, UnfinishedError, UsageError
from shoal.fetch.options import FetchOptions, asked_url
from shoal.fetch.pool.poolable import reason_not_to_pool
from shoal.fetch.progress import Downloaded, OnNote, OnProgress, Phase, Progress, Wanted
from shoal.formats.metainfo_build import CREATED_BY, build_metainfo, choose_piece_length

OPTION = "--torrent"  # that names the torrent


def web_seeds_of(first_url: str, urls: Sequence[str], options: FetchOptions) -> tuple[list[str], str]:
    """Those of `urls` that may be told to anybody, and why `first_url` may not, if so.

    `first_url` is the one asked for: headers and password in `options` are for its origin.
    """
    home = asked_url(first_url)
    elsewhere = replace(options, headers=(), user=None, password="")
    seeds = []
    for url in urls:
        one = asked_url(url)
        is_home = one.origin == home.origin
        if url != home.url and not reason_not_to_pool(one, options if is_home else elsewhere):
            seeds.append(one.url)
    reason = reason_not_to_pool(home, options)
    if home.url in urls and not reason:
        seeds.insert(0, home.url)
    return seeds, reason or ""


async def write_torrent_of(
    got: Downloaded,
    target: Path,
    wanted: Wanted,
    *,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> None:
    """Hash the file, which is in memory still mostly, and write its torrent.

    Raises `ExistsError`, `UsageError`, `FormatError` (a name or a length that no torrent has) and `FileError`.
    """
    _refuse_harm(target, got.path, overwrite=wanted.overwrite)
    seeds, reason = web_seeds_of(wanted.urls[0], got.urls, wanted.options)
    data = await _torrent_of(got, seeds, on_progress)
    await asyncio.to_thread(write_whole, target, data, overwrite=wanted.overwrite, option=OPTION)
    if reason and on_note is not None:
        kept = "has no web seed" if not seeds else "leaves out the URL asked for"
        on_note(f"{target}: {kept}: {reason}")


def refuse_place(target: Path, wanted: Wanted) -> None:
    """What is known before the download: raises `ExistsError`, `NotFoundError` or `UsageError`."""
    folder = target.absolute().parent
    is_made = wanted.folder.absolute().is_relative_to(folder)  # with the file
    if not (folder.is_dir() or is_made):
        raise NotFoundError(f"{target}: there is no folder {target.parent}", hint="make it, or name another")
    if target.is_dir():
        raise ExistsError(f"{target} is a folder", hint="name a file in it")
    if wanted.name is not None:
        refuse_same(target, wanted.folder, wanted.name)
    if not wanted.overwrite:
        refuse_existing(target, option=OPTION)


def refuse_same(target: Path, folder: Path, name: str) -> None:
    """Raises `UsageError` where the file's own names are the torrent's."""
    if target.resolve() in {(folder / one).resolve() for one in (name, *part_names(name))}:
        raise UsageError(f"{target} is the file itself", hint="give its torrent another name")


def _refuse_harm(target: Path, path: Path, *, overwrite: bool) -> None:
    if not overwrite:
        refuse_existing(target, option=OPTION)
    elif target.exists() and target.samefile(path):
        raise UsageError(f"{target} is the file itself", hint="give its torrent another name")


async def _torrent_of(got: Downloaded, seeds: Sequence[str], on_progress: OnProgress | None) -> bytes:
    is_stopped = False
    loop = asyncio.get_running_loop()
    began_at = time.monotonic()

    def tell(hashed: int) -> None:
        if on_progress is not None:
            now = Progress(
                Phase.HASHING, got.path.name, got.length, hashed, 0.0, seconds=time.monotonic() - began_at
            )
            loop.call_soon_threadsafe(on_progress, now)

    def make() -> bytes:
        payload = find_payload(got.path)
        piece_length = choose_piece_length(payload.total_size)
        hashes = hash_files(
            payload.files, piece_length, v2=True, on_progress=tell, should_stop=lambda: is_stopped
        )
        if hashes is None:
            raise UnfinishedError(f"{payload.name}: hashing was stopped")
        (file,), (tree,) = payload.files, hashes.file_trees
        return build_metainfo(
            payload.name, [(file.names, file.size)], piece_length, format="hybrid", is_single_file=True,
            piece_hashes=hashes.piece_hashes, file_trees={file.names: tree}, web_seeds=seeds, created_by=CREATED_BY,
        )  # fmt: skip

    try:
        return await asyncio.to_thread(make)
    finally:
        is_stopped = True
