"""What the owner of a helper lets it do. Whoever makes one has looked at the values; nobody does again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from shoal.units import GIB

DEFAULT_CACHE_SIZE = 10 * GIB  # two images of a system; a fraction of any disk


@dataclass(frozen=True, slots=True)
class HelperOptions:
    """`trackers` and `peers` are by the name of a group, of which there is one at least.

    Sizes are bytes, rates bytes a second, None is no limit; `quota` is bytes a day. `port` None: 6881 or the next free
    one; `bind` None: all addresses of this machine; `cache` None: nothing is kept; `proxy` None: what the environment
    says.
    """

    groups: tuple[str, ...]
    port: int | None = None
    bind: str | None = None
    trackers: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict, repr=False
    )  # URLs may hold a passkey
    peers: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    allow_hosts: tuple[str, ...] = ()
    allow_private: tuple[IPv4Network | IPv6Network, ...] = ()
    max_download_rate: int | None = None
    max_upload_rate: int | None = None
    quota: int | None = None
    cache: Path | None = None
    cache_size: int = DEFAULT_CACHE_SIZE
