"""`shoal get` for files of URLs: downloads them one after the other, shows them, and tells what each came to.

The downloads themselves are `shoal.api`'s; here is what a person sees and hears of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shoal import api
from shoal.cli.brought import Brought
from shoal.cli.course import MOST_SOURCES_SHOWN, UNVERIFIED, Course, FileCourse
from shoal.cli.fetch_screen import Sight, make_screen, progress_record
from shoal.cli.network_options import NetworkOptions
from shoal.cli.screen import FIRST_AFTER, PLAIN_EVERY
from shoal.cli.text import counted, printable
from shoal.cli.torrent_files import FOLDERS_IGNORE_CASE
from shoal.cli.url_options import UrlOptions
from shoal.cli.voice import Voice, unless_stopped
from shoal.disk.part_place import part_names
from shoal.errors import DiskFullError, FileError, ShoalError, UnfinishedError, UsageError
from shoal.fetch.progress import Downloaded, MemberShare, Phase, Progress
from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.net.curl_errors import TRUST_HINT, UNREADABLE_HINT
from shoal.protocol.tracker.urls import shown_url
from shoal.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from shoal.cli.get import Given

WAYS = {  # how a file was checked, where that is not by a digest
    UNVERIFIED: "not checked: no digest is known",
    "sample": "what others brought was checked by sample: no digest is known",
}
HINTS = {  # where there is an option for it, too
    TRUST_HINT: "--cacert FILE trusts a CA of your own, as CURL_CA_BUNDLE and SSL_CERT_FILE do",
    UNREADABLE_HINT: "look at the file that --cacert, CURL_CA_BUNDLE or SSL_CERT_FILE names",
}
MOST_NAMED = 3  # sources in the result's line; more are counted, and listed below it


async def get_urls(
    urls: Sequence[str],
    asked: UrlOptions,
    given: Given,
    network: NetworkOptions,
    voice: Voice,
    stop: asyncio.Event,
    course: Course,
) -> list[Metainfo]:
    """Download them; returns the torrents among them. Where one of several fails, the others go on."""
    torrents: list[Metainfo] = []
    for url in urls:
        errand = _Errand(url, asked, given, network, voice, course)
        try:
            torrents += await errand.run(stop)
        except (DiskFullError, FileError, UnfinishedError, UsageError):
            raise
        except ShoalError as error:
            if len(urls) == 1:
                raise
            course.on_failure(error)
            voice.complain(error)
    course.on_fetched(is_complete=course.failure is None)
    return torrents


class _Errand:
    """One URL."""

    def __init__(
        self, url: str, asked: UrlOptions, given: Given, network: NetworkOptions, voice: Voice, course: Course
    ) -> None:
        self._url = url
        self._asked = asked
        self._given = given
        self._network = network
        self._voice = voice
        self._course = course
        self._is_silent = network.quiet or network.as_json
        self._torrents: list[Metainfo] = []
        self._whole: list[Downloaded] = []
        self._is_one_file = False
        self._sight = Sight()
        self._brought = Brought()
        self._next_record_at = time.monotonic() + FIRST_AFTER

    async def run(self, stop: asyncio.Event) -> list[Metainfo]:
        """The torrent, if it is one."""
        with make_screen(is_silent=self._is_silent) as screen:

            def on_progress(now: Progress) -> None:
                self._sight.see(now)
                screen.draw(self._sight)
                if self._network.as_json:
                    self._record(self._sight.now or now)
                if self._network.log:
                    for fields in self._brought.news(now):
                        self._voice.event("brought", **fields)

            getting = api.get_all(
                self._url,
                **self._asked.how,
                folder=self._asked.folder,
                on_progress=on_progress,
                on_note=lambda text: self._voice.event("note", message=text),
                on_whole=self._whole.append,
                on_kind=self._on_kind,
                on_torrent=self._on_torrent,
            )
            try:
                got = await unless_stopped(getting, stop, "downloading")
            except UnfinishedError:
                if not self._whole or not self._is_one_file:
                    raise self._stopped() from None
                got = self._whole  # others took parts of it still
            except ShoalError as error:
                self._keep_partial()
                error.hint = HINTS.get(error.hint, error.hint)
                raise
        for one in got:
            self._tell(one)
        return self._torrents

    # ---- what it is

    def _on_kind(self, kind: str) -> None:
        self._is_one_file = kind == api.FILE and "torrent" not in self._asked.how
        shown = shown_url(self._url)
        if kind == api.TORRENT:
            self._given.refuse_for_torrent(shown)
        else:
            self._given.refuse_for_file(shown)

    def _on_torrent(self, body: bytes) -> None:
        torrent = parse_metainfo(body, source=shown_url(self._url), ignore_case=FOLDERS_IGNORE_CASE)
        self._torrents.append(torrent)

    # ---- what it came to

    def _tell(self, got: Downloaded) -> None:
        path = self._asked.folder / got.path.name
        course = FileCourse(path, got.length, got.seconds, got.sources, got.verified, got.members)
        self._course.files.append(course)
        self._voice.event("got", **course.record())
        if self._is_silent:
            return
        tell = self._voice.tell
        tell(result_line(path, got))
        if "torrent" in self._asked.how:
            tell(f"created {printable(str(self._asked.how['torrent']))}")
        if len(got.members) > 1:
            for one in (got.members[0], *sorted(got.members[1:], key=lambda one: -one.brought)):
                tell(f"  {member_line(one, got.seconds)}")
        elif len(got.sources) > 1:
            for name, count in sorted(got.sources, key=lambda pair: -pair[1])[:MOST_SOURCES_SHOWN]:
                tell(f"  {format_size(count):>10}  {printable(name)}")

    def _record(self, now: Progress) -> None:
        if time.monotonic() >= self._next_record_at:
            self._next_record_at = time.monotonic() + PLAIN_EVERY
            self._voice.json(progress_record(now))

    def _keep_partial(self) -> None:
        """For the last line of --json."""
        now = self._sight.now
        if now is not None and now.name:
            members = tuple(MemberShare(one.name, one.brought, one.had) for one in now.members)
            path = self._asked.folder / now.name
            self._course.files.append(FileCourse(path, now.here, now.seconds, now.sources, members=members))

    def _stopped(self) -> UnfinishedError:
        now = self._sight.now
        shown = shown_url(self._url) if now is None or not now.name else now.name
        self._keep_partial()
        if now is not None and now.phase is Phase.HASHING:
            return UnfinishedError(
                f"{shown}: is here; stopped before its torrent was made",
                hint=f"shoal create {printable(shown)} --format hybrid makes it",
            )
        if now is None or not now.here:
            return UnfinishedError(f"{shown}: stopped before anything of it was here")
        if not is_remembered(self._asked.folder, now.name):
            return UnfinishedError(
                f"{shown}: stopped; nothing of it could be kept, and the same command begins anew"
            )
        left = format_size((now.length or now.here) - now.here)
        return UnfinishedError(
            f"{shown}: stopped with {left} still to come; the same command goes on from here"
        )


def member_line(one: MemberShare, seconds: float) -> str:
    """`"  41.5 MiB   3.8 MiB/s  192.0.2.2:6881, 40.8 MiB of which it had"`."""
    rate = format_rate(one.brought / seconds) if seconds else ""
    had = ""
    if one.had:
        had = ", which it had" if one.had == one.brought else f", {format_size(one.had)} of which it had"
    return f"{format_size(one.brought):>10}  {rate:>12}  {printable(one.name)}{had}"


def is_remembered(folder: Path, name: str) -> bool:
    """Whether something of the file is kept for the next time."""
    _, record, _ = part_names(name)
    return (folder / record).exists()


def result_line(path: Path, got: Downloaded) -> str:
    """`"got data.iso: 1.00 GiB in 1.2 s (850 MiB/s) from nginx.example, 8 connections, sha256 right"`."""
    names = [printable(name) for name, _ in sorted(got.sources, key=lambda pair: -pair[1])]
    sources = ", ".join(names) if len(names) <= MOST_NAMED else counted(len(names), "source")
    rate = f" ({format_rate(got.rate)})" if got.received or got.members else ""
    origin = f" from {sources}" if sources else ""
    parts = [
        f"got {printable(str(path))}: {format_size(got.length)} in {format_duration(got.seconds)}{rate}{origin}",
        counted(max(got.connections, 1), "connection")
        if len(got.members) < 2
        else f"with {counted(len(got.members) - 1, 'other member')}",
    ]
    if got.resumed:
        parts.append(f"{format_size(got.resumed)} were here")
    parts.append(WAYS.get(got.verified) or f"{got.verified} right")
    return ", ".join(parts)
