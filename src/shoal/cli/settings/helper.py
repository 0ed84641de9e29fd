"""The table of `shoal helper`, and what its values come to."""

from __future__ import annotations

from shoal.cli.settings.group import places_of
from shoal.cli.settings.kinds import (
    ADDRESS,
    FILE,
    FOLDER,
    GROUP,
    HOST_PATTERN,
    PORT,
    PROXY,
    RATE,
    SIZE,
    TEXT,
    TRACKER_URL,
    Kind,
)
from shoal.cli.settings.table import Section, Setting, Values
from shoal.errors import UsageError
from shoal.fetch.group.keyring import Keyring
from shoal.fetch.pieces import SHORTEST_PIECE
from shoal.fetch.pool.helper_options import HelperOptions
from shoal.net.address_classes import Network
from shoal.units import format_size


def parse_allowed(text: str) -> Network:
    from shoal.fetch.guard import parse_network  # it loads libcurl

    return parse_network(text)


ALLOWED = Kind("CIDR", parse_allowed)

HELPER = Section(
    "helper",
    (
        Setting(
            "group",
            GROUP,
            "Help the members of this group; may be given several times. Without it: of all that this machine is in.",
            is_multiple=True,
            examples=("lab",),
        ),
        Setting(
            "port",
            PORT,
            "Listen on this port; 0 takes any. Without it: 6881 or the next free one.",
            examples=(6881,),
        ),
        Setting(
            "bind",
            ADDRESS,
            "Listen on this address, and connect from it. Without it: all interfaces, IPv4 and IPv6.",
            examples=("192.0.2.7",),
        ),
        Setting(
            "tracker",
            TRACKER_URL,
            "Register with this tracker, beside the local network; may be given several times.",
            is_multiple=True,
            examples=("http://tracker.example:6969/announce",),
        ),
        Setting(
            "proxy",
            PROXY,
            "Fetch through this proxy (HTTP or SOCKS), from the hosts of --allow-host alone. Without it: as the "
            "environment says.",
            is_secret=True,
            examples=("socks5h://127.0.0.1:1080",),
        ),
        Setting(
            "allow_host",
            HOST_PATTERN,
            "Fetch from hosts of this name and from no others; may be given several times. Without it: from any "
            "public one, but behind a proxy from none.",
            is_multiple=True,
            examples=("*.example.org",),
        ),
        Setting(
            "allow_private",
            ALLOWED,
            "Fetch from addresses of this network, too, though it is private, or loopback; may be given several times.",
            is_multiple=True,
            examples=("192.168.7.0/24",),
        ),
        Setting(
            "max_download_rate",
            RATE,
            "Fetch no more than this a second for all together: 500k, 2MB/s, 1.5MiB/s; a bare number is bytes.",
            examples=("10MB/s",),
        ),
        Setting(
            "max_upload_rate",
            RATE,
            "Send no more than this a second to all members together, written the same way.",
            examples=("10MB/s",),
        ),
        Setting(
            "quota",
            SIZE,
            "Fetch no more than this in a day for others: 500MB, 20GiB. Without it: no limit.",
            examples=("20GiB",),
        ),
        Setting(
            "cache",
            FOLDER,
            "Keep what was fetched in this folder, and serve the next who asks from it. Without it: nothing is kept.",
            examples=("/var/cache/shoal",),
        ),
        Setting("cache_size", SIZE, "Keep no more than this; what was not asked for longest goes.", "10GiB"),
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
            "Record in FILE, a JSON object a line, who was helped with what.",
            examples=("helper.jsonl",),
        ),
    ),
)


def helper_options(values: Values) -> HelperOptions:
    """What the helper itself is told. Raises `UsageError`, for no group as well."""
    groups: tuple[str, ...] = tuple(dict.fromkeys(values["group"])) or tuple(Keyring().names())
    if not groups:
        raise UsageError(
            "a helper needs a group whose members it helps",
            hint="shoal group new NAME makes one; then: shoal helper --group NAME",
        )
    if values.origins["cache_size"] and values["cache"] is None:
        raise values.fault(
            "cache_size", "goes with a cache, and there is none", hint="--cache DIR says where it is"
        )
    if values["cache_size"] < SHORTEST_PIECE:
        raise values.fault(
            "cache_size", f"holds no piece of a file: {format_size(SHORTEST_PIECE)} is the least"
        )
    places = {name: places_of(name, values) for name in groups}
    return HelperOptions(
        groups=groups,
        port=values["port"],
        bind=values["bind"],
        trackers={name: place.trackers for name, place in places.items()},
        peers={name: place.peers for name, place in places.items()},
        proxy=values["proxy"],
        allow_hosts=values["allow_host"],
        allow_private=values["allow_private"],
        max_download_rate=values["max_download_rate"],
        max_upload_rate=values["max_upload_rate"],
        quota=values["quota"],
        cache=values["cache"],
        cache_size=values["cache_size"],
    )
