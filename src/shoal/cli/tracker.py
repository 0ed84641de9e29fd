"""`shoal tracker`: a place where the peers of any number of torrents find each other.

One line on stdout says where it is; the status, now and then, goes to stderr.
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

from shoal.cli import options
from shoal.cli.log import EventLog
from shoal.cli.signals import run_until_stopped
from shoal.cli.text import counted, printable
from shoal.cli.torrent_files import load_metainfo
from shoal.errors import ExitCode
from shoal.net.sockets import format_address
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.tracker.decision import DEFAULT_INTERVAL, Policy
from shoal.tracker.server import DEFAULT_PORT, Doors, serve
from shoal.tracker.store import ListedPeer, StoreCounts, known
from shoal.tracker.tracker import Tracker

DEFAULT_STATUS_SECONDS = 60.0
MAX_PEERS_SHOWN = 200  # of each status at -v; a terminal is no database


@dataclass(frozen=True, slots=True)
class Wishes:
    bind: str | None
    port: int
    policy: Policy
    status_seconds: float  # 0: no status
    lists_peers: bool


@click.command("tracker")
@options.bind_option
@click.option(
    "--port",
    type=options.PORT,
    metavar="N",
    default=DEFAULT_PORT,
    show_default=True,
    help="Listen on this port; 0 takes any.",
)
@click.option(
    "--only",
    "torrents",
    type=options.PATH,
    metavar="TORRENT",
    multiple=True,
    help="Serve this torrent and no others; may be given several times.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    default=DEFAULT_INTERVAL,
    show_default=True,
    help="How often peers shall announce. One that misses two is forgotten.",
)
@click.option(
    "--status-every",
    "status_seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=DEFAULT_STATUS_SECONDS,
    show_default=True,
    help="How often to print a status line; 0 prints none.",
)
@click.option("--verbose", "-v", is_flag=True, help="List the peers with each status line.")
@options.name_option
@click.option(
    "--log",
    "log_path",
    type=options.PATH,
    metavar="FILE",
    default=None,
    help="Record in FILE, a JSON object a line, who announced what.",
)
def command(
    bind: str | None,
    port: int,
    torrents: tuple[Path, ...],
    interval: float,
    status_seconds: float,
    verbose: bool,
    name: str,
    log_path: Path | None,
) -> int:
    """Run a tracker until Ctrl-C: peers that announce the same torrent to it find each other."""
    policy = Policy(interval=interval, only=served_hashes(torrents) if torrents else None)
    wishes = Wishes(bind, port, policy, status_seconds, verbose)
    with contextlib.ExitStack() as opened:
        log = opened.enter_context(EventLog(log_path, name=name)) if log_path is not None else None
        return run_until_stopped(lambda stop: track(wishes, log, stop))


def served_hashes(torrents: Sequence[Path]) -> set[bytes]:
    """The info hashes under which peers may announce these torrents: a hybrid one has two."""
    hashes = set()
    for path in torrents:
        metainfo = load_metainfo(path)
        hashes.add(metainfo.wire_hash)
        if metainfo.info_hash_v2 is not None:
            hashes.add(metainfo.info_hash_v2[: len(metainfo.wire_hash)])  # on the wire it is cut (BEP 52)
    return hashes


async def track(wishes: Wishes, log: EventLog | None, stop: asyncio.Event) -> int:
    tracker = Tracker(wishes.policy, on_announce=None if log is None else announce_recorder(log))
    doors = Doors(() if wishes.bind is None else (wishes.bind,), wishes.port)
    async with serve(tracker, doors=doors) as serving:
        if log is not None:
            log.record("listening", address=serving.url)
        print(f"tracker {serving.url}/announce", flush=True)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wishes.status_seconds or None):
                    await stop.wait()
            if not stop.is_set():
                await show_status(tracker, lists_peers=wishes.lists_peers)
    return ExitCode.OK


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
