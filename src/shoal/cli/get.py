"""`shoal get`: have what is behind each SOURCE, be it a torrent or any file of a URL.

Which of the two a URL is, only its server's answer tells: so files of URLs are downloaded one after the other, and
the torrents that turn up on the way are got together with those named as files, at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from shoal.cli import options, url_options
from shoal.cli.course import Course
from shoal.cli.network_options import NetworkOptions
from shoal.cli.settings.get import GET
from shoal.cli.settings.group import places_of, refuse_unjoined
from shoal.cli.settings.table import Values
from shoal.cli.settings.table import options as table_options
from shoal.cli.signals import run_until_stopped
from shoal.cli.sources import is_metalink_file, is_url, load_source, shown_source
from shoal.cli.url_options import Pooling, UrlOptions
from shoal.cli.voice import Voice, unless_stopped
from shoal.errors import ExitCode, ShoalError, UsageError

# Parameters that only one kind of source has a use for, by the option that people give.
FOR_TORRENTS = {
    "globs": "--file",
    "seed_ratio": "--seed-ratio",
    "seed_time": "--seed-time",
    "peers": "--peer",
    "max_upload_rate": "--max-upload-rate",
    "port": "--port",
}
FOR_POOLS = frozenset({"--peer", "--max-upload-rate", "--port"})  # of these, what a group has a use for, too
FOR_FILES = {
    "output": "-o",
    "connections": "--connections",
    "checksum": "--checksum",
    "mirrors": "--mirror",
    "remote_time": "--remote-time",
    "torrent": "--torrent",
    "group": "--group",
    "tracker": "--tracker",
}
FOR_URLS = {
    **FOR_FILES,
    "no_group": "--no-group",
    "headers": "--header",
    "user": "--user",
    "password_prompt": "--password-prompt",
    "netrc": "--netrc",
    "cookies": "--cookies",
    "proxy": "--proxy",
    "cacert": "--cacert",
    "raw": "--raw",
}


@dataclass(frozen=True, slots=True)
class Given:
    """Which of those options are on this command line; what a variable or the file says is no reason to refuse."""

    for_torrents: tuple[str, ...]
    for_files: tuple[str, ...]
    for_urls: tuple[str, ...]

    @classmethod
    def on(cls, context: click.Context, *, is_pooled: bool) -> Given:
        def given(kind: Mapping[str, str]) -> tuple[str, ...]:
            source = click.core.ParameterSource.COMMANDLINE
            return tuple(flag for name, flag in kind.items() if context.get_parameter_source(name) is source)

        for_torrents = given(FOR_TORRENTS)
        if is_pooled:
            for_torrents = tuple(flag for flag in for_torrents if flag not in FOR_POOLS)
        return cls(for_torrents, given(FOR_FILES), given(FOR_URLS))

    def refuse_for_torrent(self, shown: str) -> None:
        """What is behind the URL `shown` is a torrent. Raises `UsageError`."""
        if self.for_files:
            raise UsageError(
                f"{self.for_files[0]} is for files of URLs, and {shown} is a torrent",
                hint="--raw gets the torrent file itself",
            )

    def refuse_for_file(self, shown: str) -> None:
        for flag in FOR_POOLS.intersection(self.for_torrents[:1]):
            raise UsageError(
                f"{flag} is for torrents and groups, and {shown} is no torrent",
                hint="--group NAME says in which group",
            )
        if self.for_torrents:
            raise UsageError(f"{self.for_torrents[0]} is for torrents, and {shown} is none")


@click.command("get")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@table_options(GET)
@url_options.all_options
@click.option("--overwrite", is_flag=True, help="Replace files that are in the way.")
@click.option(
    "--file",
    "globs",
    metavar="GLOB",
    multiple=True,
    help="Of a torrent only the files of that name or path; may be given several times.",
)
@click.option("--no-seed", is_flag=True, help="End as soon as everything is here.")
@click.option(
    "--seed-ratio", type=click.FloatRange(min=0), metavar="R", help="Seed until R times the size was sent."
)
@click.option(
    "--seed-time", type=click.FloatRange(min=0), metavar="SECONDS", help="Seed for so long after the end."
)
@options.peer_or_member_option
@options.json_option
@options.quiet_option
def command(settings: Values, sources: tuple[str, ...], **values: Any) -> int:
    """Get files: of a torrent, from everybody who has it, or of a URL, over as many connections as are of use.

    SOURCE is the http(s) or ftp URL of any file, the URL of a torrent or Metalink, a .torrent, .meta4 or
    .metalink file, or shoal://HOST/NAME; several are several files. Whatever interrupts it, the same command goes
    on from there.

    A torrent's files that are there already are checked and kept. Once everything is here, it asks on a terminal
    whether to go on seeding; without one it ends.

    Some of these options may be set in config.toml below [get], and by a variable, as docs/settings.md tells.
    """
    values |= settings.values
    folder: Path = values["dir"] or Path()
    is_alone = values["no_group"] or values["group"] is None
    given = Given.on(click.get_current_context(), is_pooled=not is_alone)
    if values["no_seed"] and (values["seed_ratio"] is not None or values["seed_time"] is not None):
        raise UsageError("--no-seed goes with neither --seed-ratio nor --seed-time")
    urls = [source for source in dict.fromkeys(sources) if is_url(source) or is_metalink_file(source)]
    if not urls and given.for_urls:
        raise UsageError(f"{given.for_urls[0]} is for URLs, and {shown_source(sources[0])} is none")
    network = NetworkOptions.of(values)
    pooling = pooling_of(settings, values["peers"], is_alone=values["no_group"])
    if urls and pooling is not None:
        refuse_unjoined(settings, pooling.group, way_out="; --no-group gets it alone")
    asked = url_options.checked(urls, folder, network, values, pooling)
    course = Course(folder)
    with Voice(network) as voice:
        try:
            errand = Errand(sources, urls, asked, values, given, network, voice, course)
            code = run_until_stopped(errand.run)
        except ShoalError as error:
            if network.as_json:
                voice.json(course.record(error))
            raise
        if network.as_json:
            voice.json(course.record(course.failure))
    return code


def pooling_of(
    settings: Values, peers: tuple[tuple[str, int], ...], *, is_alone: bool = False
) -> Pooling | None:
    """With whom; None: alone, as `is_alone` wants it whatever the settings say. Raises `UsageError`."""
    group = settings["group"]
    if is_alone and settings.origins["group"] == "--group":
        raise UsageError("--group and --no-group are two answers to one question: give one of them")
    if is_alone and settings.origins["tracker"] != "--tracker":
        return None
    if group is None or is_alone:
        if "tracker" in settings.for_now:
            hint = "leave out --no-group" if is_alone else "--group NAME says which"
            raise settings.fault("tracker", "goes with a group", hint=hint)
        return None
    places = places_of(group, settings)
    return Pooling(group, places.trackers, tuple(dict.fromkeys((*peers, *places.peers))))


@dataclass(frozen=True, slots=True)
class Errand:
    """Everything this command was asked to do."""

    sources: Sequence[str]
    urls: Sequence[str]
    asked: UrlOptions
    values: Mapping[str, Any]
    given: Given
    network: NetworkOptions
    voice: Voice
    course: Course

    async def run(self, stop: asyncio.Event) -> int:
        named = [source for source in dict.fromkeys(self.sources) if source not in self.urls]
        loaded = [
            await unless_stopped(load_source(source, self.network.bind), stop, "fetching the torrent")
            for source in named
        ]
        if self.urls:
            from shoal.cli.get_urls import get_urls

            loaded += await get_urls(
                self.urls, self.asked, self.given, self.network, self.voice, stop, self.course
            )
        code: int = ExitCode.OK
        if loaded:
            from shoal.cli.get_torrents import get_torrents, torrent_wishes

            wishes = torrent_wishes(self.course.folder, self.values)
            code = await get_torrents(loaded, wishes, self.network, self.voice, stop, self.course)
        failure = self.course.failure
        return code if failure is None else failure.exit_code
