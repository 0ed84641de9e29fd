"""`shoal tracker`: a place where the peers of any number of torrents find each other.

Lines on stdout say where it is, the HTTP one first; the status, now and then, goes to stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from shoal.cli.log import EventLog
from shoal.cli.settings.table import Values, options
from shoal.cli.settings.tracker import TRACKER, tracker_settings
from shoal.cli.signals import run_until_stopped
from shoal.cli.text import counted, printable
from shoal.errors import ExitCode
from shoal.net.sockets import format_address
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.tracker.server import serve
from shoal.tracker.settings import TrackerSettings, build
from shoal.tracker.store import ListedPeer, StoreCounts, known
from shoal.tracker.tracker import Tracker

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
    wishes = Wishes(
        tracker_settings(values),
        values["status_every"],
        values["verbose"],
        values["log"],
        values["name"] or "",
    )
    return run_until_stopped(lambda stop: track(wishes, stop))


async def track(wishes: Wishes, stop: asyncio.Event) -> int:
    with contextlib.ExitStack() as opened:
        log = None
        if wishes.log_path is not None:
            log = opened.enter_context(EventLog(wishes.log_path, name=wishes.name))
        on_announce = None if log is None else announce_recorder(log)
        tracker, site, doors = build(wishes.settings, on_announce=on_announce)
        async with serve(tracker, site, doors) as serving:
            if log is not None:
                log.record("listening", address=serving.url)
            for url in serving.announce_urls:
                print(f"tracker {url}", flush=True)
            await show_status_until(stop, tracker, wishes)
    return ExitCode.OK


async def show_status_until(stop: asyncio.Event, tracker: Tracker, wishes: Wishes) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wishes.status_seconds or None):
                await stop.wait()
        if not stop.is_set():
            await show_status(tracker, lists_peers=wishes.lists_peers)


def announce_recorder(log: EventLog) -> Callable[[AnnounceRequest, bytes, str], None]:
    def record(request: AnnounceRequest, host: bytes, owner: str) -> None:
        log.record(
            "announce",
            info_hash=request.info_hash.hex(),
            peer=format_address((str(ipaddress.ip_address(host)), request.port)),
            reason=request.event.value if request.event is not None else "",
            left=request.left,
        )

    return record


async def show_status(tracker: Tracker, *, lists_peers: bool) -> None:
    now = tracker.clock()
    counts = await known(tracker.store.count(now))
    lines = [status_line(tracker, counts if isinstance(counts, StoreCounts) else None)]
    if lists_peers:
        peers = await known(tracker.store.list_peers(MAX_PEERS_SHOWN + 1, now))
        lines += peer_lines(peers if isinstance(peers, list) else [])
    print("\n".join(map(printable, lines)), file=sys.stderr, flush=True)


def status_line(tracker: Tracker, counts: StoreCounts | None) -> str:
    counters = tracker.counters
    parts = ["the store is away"]
    if counts is not None:
        parts = [
            counted(counts.swarms, "swarm"),
            counted(counts.seeds, "seeder"),
            counted(counts.leechers, "leecher"),
        ]
    parts.append(counted(counters.announces, "announce"))
    if counters.refusals:
        parts.append(f"{counters.refusals} refused")
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
