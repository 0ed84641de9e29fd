"""The table of `shoal tracker`, and what its values come to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from shoal.cli.settings.kinds import (
    ADDRESS,
    COUNT,
    FILE,
    FLAG,
    FOLDER,
    INTERVAL,
    NETWORK,
    PORT,
    SERVED,
    TEXT,
    TIME,
    TOKEN,
    WIRE_HASH_LENGTH,
    Kind,
    parse_count,
)
from shoal.cli.settings.table import Section, Setting, Values
from shoal.cli.torrent_files import load_metainfo
from shoal.errors import UsageError
from shoal.tracker.decision import DEFAULT_INTERVAL
from shoal.tracker.memory_store import MAX_PEERS, MAX_SWARMS
from shoal.tracker.server import DEFAULT_PORT
from shoal.tracker.settings import MEMORY, STORE_SCHEMES, TrackerSettings
from shoal.tracker.workers import MAX_WORKERS

DEFAULT_STATUS_SECONDS = 60


def parse_store(text: str) -> str:
    """A URL may hold a password, so nothing of it is quoted."""
    if text == MEMORY:
        return text
    try:
        url = urlsplit(text)
        is_known = url.scheme in STORE_SCHEMES and bool(url.path if url.scheme == "unix" else url.hostname)
        is_known = is_known and (url.port is None or url.port > 0)
    except ValueError:
        is_known = False
    if not is_known:
        schemes = ", ".join(f"{scheme}://" for scheme in STORE_SCHEMES)
        raise UsageError(
            f"neither '{MEMORY}' nor a URL of {schemes}", hint="write it like redis://:PASSWORD@HOST:6379/0"
        )
    return text


WORKERS = Kind("N", partial(parse_count, most=MAX_WORKERS), (int,))
STORE = Kind("memory|URL", parse_store)

TRACKER = Section(
    "tracker",
    (
        Setting(
            "bind",
            ADDRESS,
            "Listen on this address; may be given several times. Without it: all interfaces, IPv4 and IPv6.",
            is_multiple=True,
            examples=("192.0.2.7", "2001:db8::7"),
        ),
        Setting("port", PORT, "Listen on this port, TCP and UDP; 0 takes any.", DEFAULT_PORT),
        Setting("udp", FLAG, "Answer over UDP as well as over HTTP.", True),
        Setting("workers", WORKERS, "Processes that share the port and the load.", 1),
        Setting(
            "store",
            STORE,
            "Where to remember peers: memory, or a redis://, rediss:// or unix:// URL, with which any number of "
            "trackers are one. Where it has a password, prefer the file or the variable: other users see options.",
            MEMORY,
            is_secret=True,
        ),
        Setting(
            "only",
            SERVED,
            "Serve this torrent, or this info hash in hex, and no others; may be given several times.",
            is_multiple=True,
            examples=("big.torrent", "0123456789abcdef0123456789abcdef01234567"),
        ),
        Setting(
            "interval",
            INTERVAL,
            "How often peers shall announce: 600, 90s, 30m, 1h. One that misses two is forgotten.",
            int(DEFAULT_INTERVAL),
        ),
        Setting(
            "min_interval",
            INTERVAL,
            "How long even an eager peer shall wait, written the same way. Without it: a twentieth of the interval.",
            examples=(30,),
        ),
        Setting(
            "max_peers",
            COUNT,
            "Remember no more peers than this; more are refused. Without it: a million, in Redis ten million.",
            examples=(MAX_PEERS,),
        ),
        Setting(
            "max_swarms",
            COUNT,
            "Remember no more swarms than this; more are refused. Without it: 500,000, in Redis a million.",
            examples=(MAX_SWARMS,),
        ),
        Setting(
            "passkeys",
            FILE,
            "Serve only those who announce to /KEY/announce with a KEY of this file, and keep sums for each.",
            examples=("passkeys.txt",),
        ),
        Setting(
            "catalogue",
            FOLDER,
            "Keep published torrents in this folder, and give them out by name.",
            examples=("/var/lib/shoal/catalogue",),
        ),
        Setting(
            "publish_token",
            TOKEN,
            "Let only those publish who show this token. Prefer the file or the variable: other users see options.",
            is_secret=True,
            examples=("a-long-random-word",),
        ),
        Setting("metrics", FLAG, "Tell Prometheus at /metrics how it goes.", False),
        Setting(
            "trusted_proxy",
            NETWORK,
            "Believe the X-Forwarded-For of proxies in this network; may be given several times.",
            is_multiple=True,
            examples=("10.0.0.0/8", "::1"),
        ),
        Setting(
            "status_every",
            TIME,
            "How often to print a status line; 0 prints none.",
            DEFAULT_STATUS_SECONDS,
        ),
        Setting("verbose", FLAG, "List the peers with each status line.", False, short="-v"),
        Setting(
            "name",
            TEXT,
            "What the log calls this machine; others see its address.",
            metavar="NAME",
            examples=("here",),
        ),
        Setting(
            "log",
            FILE,
            "Record in FILE, a JSON object a line, who announced what.",
            examples=("tracker.jsonl",),
        ),
    ),
)


def tracker_settings(values: Values) -> TrackerSettings:
    """What the tracker itself is told. Reads the torrents that are named; raises what is wrong with them."""
    interval, min_interval = values["interval"], values["min_interval"]
    if min_interval is not None and min_interval > interval:
        raise values.fault("min_interval", f"{min_interval:g} s is longer than the interval, {interval:g} s")
    return TrackerSettings(
        binds=values["bind"],
        port=values["port"],
        has_udp=values["udp"],
        trusted_proxies=values["trusted_proxy"],
        workers=values["workers"],
        interval=interval,
        min_interval=min_interval,
        only=served_hashes(values["only"]) if values["only"] else None,
        store=values["store"],
        max_peers=values["max_peers"],
        max_swarms=values["max_swarms"],
        passkeys=values["passkeys"],
        catalogue=values["catalogue"],
        publish_token=values["publish_token"] or "",
        has_metrics=values["metrics"],
    )


def served_hashes(served: Sequence[Path | bytes]) -> frozenset[bytes]:
    """The info hashes under which peers may announce these torrents: a hybrid one has two."""
    hashes = set()
    for one in served:
        if isinstance(one, bytes):
            hashes.add(one)
            continue
        metainfo = load_metainfo(one)
        hashes.add(metainfo.wire_hash)
        if metainfo.info_hash_v2 is not None:
            hashes.add(metainfo.info_hash_v2[:WIRE_HASH_LENGTH])
    return frozenset(hashes)
