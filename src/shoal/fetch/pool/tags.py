"""How an origin is named within a group, so that members can tell of it without naming it to anybody else."""

from __future__ import annotations

from shoal.fetch.group.key import GroupKey
from shoal.protocol.http.origin import origin_of


def origin_tag_of(key: GroupKey, url: str) -> bytes:
    """The same for all URLs of one scheme, host and port, on every member."""
    origin = origin_of(url)
    return key.origin_tag(origin.scheme, origin.host, origin.port)
