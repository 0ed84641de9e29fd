"""`shoal tracker`: a place where the peers of any number of torrents find each other.

Lines on stdout say where it is, the HTTP one first; the status, now and then, goes to stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from shoal.cli.app import report_bug
from shoal.cli.log import EventLog
from shoal.cli.settings.table import Values, options
from shoal.cli.settings.tracker import TRACKER, tracker_settings
from shoal.cli.signals import HANGUP, run_until_stopped
from shoal.cli.text import counted, printable
from shoal.errors import ExitCode, FileError, ShoalError
from shoal.net.descriptors import take_all_descriptors
from shoal.net.sockets import format_address
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.tracker.annex import Annex
from shoal.tracker.mesh import RECONNECT_SECONDS, Mesh
from shoal.tracker.mesh_store import MeshStore
from shoal.tracker.report import Report
from shoal.tracker.server import serve
from shoal.tracker.settings import TrackerSettings, build, make_doors
from shoal.tracker.soon import known
from shoal.tracker.store import ListedPeer, Trouble
from shoal.tracker.tracker import Tracker
from shoal.tracker.workers import Place, run_workers

MAX_BUGS_TOLD = 20  # each leaves a file
MAX_PEERS_SHOWN = 200  # of each status at -v; a terminal is no database


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one process of the tracker has to know; it can be pickled, for there may be several."""

    settings: TrackerSettings
    status_seconds: float  # 0: no status
    lists_peers: bool
    log_path: Path | None
    name: str


@click.command("tracker")
@options(TRACKER)
def command(values: Values) -> int:
    """Run a tracker until Ctrl-C: peers that announce the same torrent to it find each other.

    Each option may be set in config.toml and by a variable, too, as docs/settings.md tells: port = 6969 below
    [tracker], SHOAL_TRACKER_PORT=6969. An option beats a variable, and a variable the file.
    """
    take_all_descriptors()
    wishes = Wishes(
        tracker_settings(values),
        values["status_every"],
        values["verbose"],
        values["log"],
        values["name"] or "",
    )
    settings = wishes.settings
    if settings.workers == 1:
        return run_until_stopped(lambda stop: track(wishes, stop))
    return run_workers(settings.workers, make_doors(settings), partial(work, wishes), say)


def work(wishes: Wishes, place: Place) -> int:
    """One worker's life. Ctrl-C and a hangup reach every process of a terminal; what counts is the parent's word."""
    for number in (signal.SIGINT, *HANGUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        return run_until_stopped(lambda stop: track(wishes, stop, place), [signal.SIGTERM])
    except ShoalError:
        raise  # the parent tells it once for all
    except Exception as error:  # noqa: BLE001 (the last door of this process)
        return report_bug(error)


def say(text: str) -> None:
    print(f"shoal: {printable(text)}", file=sys.stderr, flush=True)


async def track(wishes: Wishes, stop: asyncio.Event, place: Place | None = None) -> int:
    """Serve until `stop`; as one of several workers at its `place`."""
    asyncio.get_running_loop().set_exception_handler(BugReports())
    async with contextlib.AsyncExitStack() as opened:
        log = None
        if wishes.log_path is not None:
            log = opened.enter_context(EventLog(wishes.log_path, name=wishes.name))
        mesh = None if place is None else Mesh(place.number, place.count, place.folder)
        on_announce = None if log is None else announce_recorder(log)
        tracker, site, doors, annex = build(wishes.settings, mesh=mesh, on_announce=on_announce, complain=say)
        if place is not None and mesh is not None:
            asyncio.get_running_loop().add_reader(place.parent_pipe, stop.set)
            await opened.enter_async_context(mesh.open())
        sockets = () if place is None else place.sockets
        serving = await opened.enter_async_context(serve(tracker, site, doors, sockets))
        opened.enter_context(annex.open(serving))
        if place is not None and place.number != 0:
            await stop.wait()
            return ExitCode.OK
        if isinstance(tracker.store, MeshStore):
            await wait_for_fellows(tracker.store, tracker.clock, stop)
        if place is None or is_first_life(place):
            tell_where(serving.announce_urls)
            if log is not None:
                log.record("listening", address=serving.url)
        await show_status_until(stop, tracker, annex, wishes)
    return ExitCode.OK


class BugReports:
    """A handler for what callbacks raise: the tracker serves on, and each mistake is told once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        what = where_from(error) if isinstance(error, Exception) else str(context.get("message"))
        if what in self._told or len(self._told) >= MAX_BUGS_TOLD:
            return
        self._told.add(what)
        if isinstance(error, Exception):
            report_bug(error)
        else:
            loop.default_exception_handler(context)


def where_from(error: Exception) -> str:
    """The same for what went wrong in the same way at the same place."""
    places = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} {places[-1].filename}:{places[-1].lineno}" if places else repr(error)


def is_first_life(place: Place) -> bool:
    """Whether no worker that died stood at this place before."""
    try:
        (place.folder / f"{place.number}-was-here").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def tell_where(urls: Sequence[str]) -> None:
    print("".join(f"tracker {url}\n" for url in urls), end="", flush=True)


async def wait_for_fellows(store: MeshStore, clock: Callable[[], float], stop: asyncio.Event) -> None:
    """Until all workers answer: whoever is told where we are finds a whole tracker."""
    while not stop.is_set() and await known(store.count(clock())) is Trouble.AWAY:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECONNECT_SECONDS):
                await stop.wait()


async def show_status_until(stop: asyncio.Event, tracker: Tracker, annex: Annex, wishes: Wishes) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wishes.status_seconds or None):
                await stop.wait()
        if not stop.is_set():
            report = await known(annex.gather())
            await show_status(tracker, report, lists_peers=wishes.lists_peers)


def announce_recorder(log: EventLog) -> Callable[[AnnounceRequest, bytes, str], None]:
    """One that is told every announce. A log that cannot be written is no reason not to answer; that is said once."""
    is_failing = False

    def record(request: AnnounceRequest, host: bytes, owner: str) -> None:
        nonlocal is_failing
        try:
            log.record(
                "announce",
                info_hash=request.info_hash.hex(),
                peer=format_address((str(ipaddress.ip_address(host)), request.port)),
                reason=request.event.value if request.event is not None else "",
                left=request.left,
            )
            is_failing = False
        except FileError as error:
            if not is_failing:
                say(f"{error.message}; announces are answered, and not recorded")
            is_failing = True

    return record


async def show_status(tracker: Tracker, report: Report, *, lists_peers: bool) -> None:
    lines = [status_line(report)]
    if lists_peers:
        peers = await known(tracker.store.list_peers(MAX_PEERS_SHOWN + 1, tracker.clock()))
        lines += peer_lines(peers if isinstance(peers, list) else [])
    print("\n".join(map(printable, lines)), file=sys.stderr, flush=True)


def status_line(report: Report) -> str:
    counts, parts = report.counts, ["the store is away"]
    if counts is not None:
        parts = [
            counted(counts.swarms, "swarm"),
            counted(counts.seeds, "seeder"),
            counted(counts.leechers, "leecher"),
        ]
    parts.append(counted(report.announces, "announce"))
    if report.refusals:
        parts.append(f"{report.refusals} refused")
    return ", ".join(parts)


def peer_lines(peers: Sequence[ListedPeer]) -> list[str]:
    """A line for each peer, swarm by swarm, as many as can be looked at."""
    ordered = sorted(peers, key=lambda peer: (peer.info_hash, not peer.is_seed, peer.record))
    lines = [peer_line(peer) for peer in ordered[:MAX_PEERS_SHOWN]]
    if len(ordered) > MAX_PEERS_SHOWN:
        lines.append(f"  ... and {len(ordered) - MAX_PEERS_SHOWN} more")
    return lines


def peer_line(peer: ListedPeer) -> str:
    host = str(ipaddress.ip_address(peer.record[:-2]))
    port = int.from_bytes(peer.record[-2:], "big")
    role = "seeder " if peer.is_seed else "leecher"
    return f"  {peer.info_hash.hex()} {role} {format_address((host, port))}"
