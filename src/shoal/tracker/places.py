"""The places at a door: how many there are, and how many one host may have.

Always true: no more are taken than there are, and no host has more than its part of them, save for proxies that are
trusted, who speak for many.
"""

from __future__ import annotations

from collections.abc import Sequence

from shoal.tracker.proxies import Network, is_trusted

MOST_A_HOST = 1_000  # a tenth of what a door has by default; a thousand peers behind one address still fit


class Places:
    def __init__(self, count: int, trusted_proxies: Sequence[Network] = ()) -> None:
        self._count = count
        self._trusted = trusted_proxies
        self._taken_count = 0
        self._taken: dict[bytes, int] = {}  # by those who have any

    def take(self, host: bytes) -> bool:
        """Whether this host (packed) gets one; then it is to `leave` it some time."""
        key = _neighbourhood(host)
        taken = self._taken.get(key, 0)
        if self._taken_count >= self._count:
            return False
        if taken >= MOST_A_HOST and not (self._trusted and is_trusted(host, self._trusted)):
            return False
        self._taken_count += 1
        self._taken[key] = taken + 1
        return True

    def leave(self, host: bytes) -> None:
        self._taken_count -= 1
        key = _neighbourhood(host)
        if self._taken[key] == 1:
            del self._taken[key]
        else:
            self._taken[key] -= 1


def _neighbourhood(host: bytes) -> bytes:
    """An IPv4 address; of an IPv6 address its network, as one host may have all addresses there."""
    return host if len(host) == 4 else host[:8]
