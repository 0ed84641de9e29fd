"""Downloads for Python programs: `await shoal.get(url)`, or `shoal.get_blocking(url)`. `shoal get URL` is built on it.

Always true: what a function returned from is whole on disk under its final name, and checked if a digest was known;
what ended early (an error, a cancelled task, a kill) goes on from there with the next call of the same.
docs/python.md shows how to use it.
"""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from shoal.disk.checksum import parse_checksum
from shoal.errors import FormatError, UsageError
from shoal.fetch.download import download
from shoal.fetch.facts import Facts, file_name, looks_like
from shoal.fetch.metalinks import downloads_of, downloads_of_local, is_local
from shoal.fetch.options import FetchOptions, parse_header
from shoal.fetch.plan import DEFAULT_MOST_FETCHERS
from shoal.fetch.progress import Document, Downloaded, OnNote, OnProgress, Wanted
from shoal.fetch.torrents import refuse_place, refuse_same, write_torrent_of
from shoal.formats.metalink import parse_metalink
from shoal.formats.safe_names import seen_name
from shoal.protocol.http.origin import refuse_unlike_url
from shoal.protocol.tracker.urls import shown_url
from shoal.units import LEAST_RATE

if TYPE_CHECKING:
    from shoal.fetch.pool.wish import GroupWish

FILE, METALINK, TORRENT = "file", "metalink", "torrent"


class How(TypedDict, total=False):
    """What may be said beside the URL. Sizes are bytes, rates bytes a second."""

    folder: str | os.PathLike[str]  # made if need be; without it: the current one
    name: str  # of the file; without it: as the server or the URL says
    mirrors: Sequence[str]  # URLs of the same file
    checksum: str  # "sha256:HEX", or with sha512, sha1, md5
    connections: int  # at most; in a group, of all members together
    group: str  # download together with the members of this group, of which this machine has the key
    trackers: Sequence[str]  # where members are looked for, beside the local network ...
    peers: Sequence[tuple[str, int]]  # ... and members that are known
    port: int  # for other members; without it: 6881 or the next free one
    max_upload_rate: int  # to other members
    headers: Mapping[str, str] | Sequence[tuple[str, str]]  # for the URL's host alone, like user and password
    user: str
    password: str
    netrc: str | os.PathLike[str]
    cookies: str | os.PathLike[str]  # a file in the format of Netscape
    proxy: str  # without it: what the environment says
    cacert: str | os.PathLike[str]  # certificates of CAs to trust, in place of the system's
    bind: str  # a local address
    max_download_rate: int
    overwrite: bool
    remote_time: bool
    torrent: str | os.PathLike[str]  # write a torrent of the file there, with the URL as web seed
    raw: bool  # a Metalink, too, is a file like any other
    on_progress: OnProgress  # a few times a second
    on_note: OnNote  # what a person should know, a line each
    on_whole: Callable[
        [Downloaded], None
    ]  # the file has its name; members of a group may still take parts of it
    on_kind: Callable[
        [str], None
    ]  # `FILE`, `METALINK`, `TORRENT`: what it is; may raise, nothing is kept yet
    on_torrent: Callable[
        [bytes], None
    ]  # takes a torrent instead of a file, or raises `FormatError` if it is none


async def get(url: str, **how: Unpack[How]) -> Downloaded:
    """Download the one file behind `url`. Raises a `ShoalError`, which says what to do as `hint`."""
    _refuse_unknown("get", how)
    got = await get_all(url, **how)
    if len(got) != 1:
        raise UsageError(f"{shown_url(url)}: is {len(got)} files", hint="get_all() downloads them")
    return got[0]


def get_blocking(url: str, **how: Unpack[How]) -> Downloaded:
    """`get` for a program without a running event loop."""
    _refuse_unknown("get_blocking", how)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(get(url, **how))
    raise RuntimeError("get_blocking() would block the event loop that runs here: await shoal.get(...)")


async def get_all(url: str, **how: Unpack[How]) -> list[Downloaded]:
    """Download the files behind `url`: one, or those that a Metalink names, one after the other.

    `url` may also be the path of a Metalink file, `.meta4` or `.metalink`.
    Raises as `get` does; what a callback raises comes through as it is.
    """
    _refuse_unknown("get_all", how)
    try:
        return await _get_all(url, how)
    except BaseExceptionGroup as error:  # of the tasks that worked at it; one is told
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


async def _get_all(url: str, how: How) -> list[Downloaded]:
    wanted = _wanted(url, how)
    torrent = _path(how.get("torrent"))
    if torrent is not None:
        refuse_place(torrent, wanted)
    on_progress, on_note = how.get("on_progress"), how.get("on_note")
    result = await _local(wanted, how) or await download(
        replace(wanted, is_document=_document_door(how)), on_progress=on_progress, on_note=on_note
    )
    if isinstance(result, Downloaded):
        downloads, results = [wanted], [result]
    else:
        downloads = result if isinstance(result, list) else _follow(result, wanted, how)
        if torrent is not None and len(downloads) > 1:
            raise UsageError(f"a torrent is made of one file, and {shown_url(url)} names {len(downloads)}")
        if torrent is not None and downloads:
            refuse_place(torrent, downloads[0])
        each = [await download(one, on_progress=on_progress, on_note=on_note) for one in downloads]
        results = [one for one in each if isinstance(one, Downloaded)]
    if torrent is not None and results:
        await write_torrent_of(results[0], torrent, downloads[0], on_progress=on_progress, on_note=on_note)
    return results


async def _local(wanted: Wanted, how: How) -> list[Wanted] | None:
    """What the Metalink at a path names; None if a URL was given."""
    if not is_local(wanted.urls[0]):
        return None
    if how.get("raw"):
        raise UsageError(f"{wanted.urls[0]} is a file of this machine already")
    downloads = await asyncio.to_thread(downloads_of_local, wanted)
    if (on_kind := how.get("on_kind")) is not None:
        on_kind(METALINK)
    return downloads


def _follow(document: Document, wanted: Wanted, how: How) -> list[Wanted]:
    """What there is still to download; the document itself, if it is not what it looked like."""
    on_torrent = how.get("on_torrent")
    try:
        if on_torrent is not None and looks_like(document.facts, wanted.urls[0]) == TORRENT:
            on_torrent(document.body)
            return []
        return downloads_of(parse_metalink(document.body), wanted)
    except FormatError as error:
        if (on_note := how.get("on_note")) is not None:
            on_note(f"{shown_url(wanted.urls[0])}: kept as the file that it is: {error.message}")
        return [wanted]


def _document_door(how: How) -> Callable[[Facts, str], bool]:
    """Tells `on_kind`; whether the body is for us to read instead of the disk."""
    followed = set() if how.get("raw") else {METALINK} | ({TORRENT} if "on_torrent" in how else set())
    on_kind, torrent = how.get("on_kind"), _path(how.get("torrent"))

    def door(facts: Facts, asked: str) -> bool:
        kind = looks_like(facts, asked)
        if on_kind is not None:
            on_kind(kind if kind in followed else FILE)
        if torrent is not None and kind not in followed:
            name = how.get("name") or seen_name(file_name(facts, asked))
            refuse_same(torrent, Path(how.get("folder", ".")), name)
        return kind in followed

    return door


def _refuse_unknown(function: str, how: Mapping[str, object]) -> None:
    """Raises `TypeError`, as Python does: a mistyped `checksum` would check nothing."""
    for name in how:
        if name not in How.__annotations__:
            near = difflib.get_close_matches(name, How.__annotations__, n=1)
            meant = f". Did you mean '{near[0]}'?" if near else ""
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'{meant}")


def _wanted(url: str, how: How) -> Wanted:
    _refuse_nonsense(how)
    for one in (*(() if is_local(url) else (url,)), *how.get("mirrors", ())):
        refuse_unlike_url(one)
    headers = how.get("headers", ())
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return Wanted(
        urls=(url, *how.get("mirrors", ())),
        folder=Path(how.get("folder", ".")),
        name=how.get("name"),
        options=FetchOptions(
            headers=tuple(parse_header(f"{name}: {value}") for name, value in pairs),
            user=how.get("user"),
            password=how.get("password", ""),
            netrc=_path(how.get("netrc")),
            cookies=_path(how.get("cookies")),
            proxy=how.get("proxy"),
            cacert=_path(how.get("cacert")),
            bind=how.get("bind"),
            max_rate=how.get("max_download_rate"),
        ),
        checksums=(parse_checksum(how["checksum"]),) if "checksum" in how else (),
        most_fetchers=how.get("connections", DEFAULT_MOST_FETCHERS),
        group=_group_wish(how),
        on_whole=how.get("on_whole", lambda _: None),
        overwrite=how.get("overwrite", False),
        keeps_remote_time=how.get("remote_time", False),
    )


def _refuse_nonsense(how: How) -> None:
    """Raises `UsageError` for what would fail later, and less clearly."""
    if how.get("connections", 1) < 1:
        raise UsageError(
            f"connections={how['connections']}: without any nothing is fetched", hint="1 or more"
        )
    for name, value in (("mirrors", how.get("mirrors")), ("trackers", how.get("trackers"))):
        if isinstance(value, str):
            raise UsageError(f"{name} is a list of URLs, and one string was given", hint=f"{name}=[url]")
    for name, rate in (
        ("max_download_rate", how.get("max_download_rate")),
        ("max_upload_rate", how.get("max_upload_rate")),
    ):
        if rate is not None and rate < LEAST_RATE:
            raise UsageError(
                f"{name}={rate}: less than {LEAST_RATE} bytes a second", hint="without it there is no limit"
            )
    user, password = how.get("user"), how.get("password")
    if user is not None and password is None:
        raise UsageError("user goes with password", hint="password='' is an empty one")
    if user is None and password:
        raise UsageError("password goes with user")


def _group_wish(how: How) -> GroupWish | None:
    """Raises `NotFoundError` for a group of which this machine has no key."""
    if "group" not in how:
        return None
    from shoal.fetch.group.keyring import Keyring
    from shoal.fetch.pool.wish import Contacts, GroupWish

    return GroupWish(
        Keyring().load(how["group"]),
        Contacts(tuple(how.get("trackers", ())), tuple(how.get("peers", ()))),
        bind=how.get("bind"),
        port=how.get("port"),
        max_upload_rate=how.get("max_upload_rate"),
    )


def _path(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)
