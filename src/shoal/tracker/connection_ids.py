"""Connection ids of the UDP door: a keyed hash of an address and a window of time (BEP 15).

Nothing is kept of who asked for one, so asking costs no memory; nobody can make one for an address at which he
does not receive. An id is good for one to two windows.
"""

from __future__ import annotations

from hashlib import blake2s

WINDOW_SECONDS = 60.0  # BEP 15: a client may use an id for one minute, a tracker should take it for two
ID_LENGTH = 8


class ConnectionIds:
    """Makes and knows ids. Trackers that share `secret` (at most 32 bytes) know each other's."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._turn(0.0)

    def make(self, host: bytes, now: float) -> bytes:
        """The id for a packed address."""
        if now >= self._ends_at:
            self._turn(now)
        keyed = self._now_hash.copy()
        keyed.update(host)
        return keyed.digest()

    def is_valid(self, connection_id: bytes, host: bytes, now: float) -> bool:
        """Whether it was made for this address in this window or the one before it."""
        if now >= self._ends_at:
            self._turn(now)
        keyed = self._now_hash.copy()
        keyed.update(host)
        if keyed.digest() == connection_id:
            return True
        keyed = self._last_hash.copy()
        keyed.update(host)
        return keyed.digest() == connection_id

    def _turn(self, now: float) -> None:
        window = int(now / WINDOW_SECONDS)
        self._ends_at = (window + 1) * WINDOW_SECONDS
        self._now_hash, self._last_hash = self._hash_of(window), self._hash_of(window - 1)

    def _hash_of(self, window: int) -> blake2s:
        """The secret stands before the rest, which is as safe with BLAKE2 as its `key` and all fits in one block.

        A key is a block of its own, and each id took half as long again (0.3 us, where 0.2 do).
        """
        return blake2s(self._secret + window.to_bytes(8, "big", signed=True), digest_size=ID_LENGTH)
