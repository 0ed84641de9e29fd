"""The requests of one peer that wait to be answered, by piece.

BEP 3 asks for no order, so the next piece may be chosen, at best the one that fewest have. A piece whose first block
was answered is finished first: only whole pieces can be shared. Within a piece the peer's own order holds. Only the
pieces that were asked for first are chosen from: who asks for a block of each of very many must not make us rank them
all before every answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from shoal.protocol.peer.messages import Request

CHOICE = 32  # pieces that are ranked: a peer that asks for whole pieces seldom has more waiting


class UploadQueue:
    __slots__ = ("_by_piece", "_count", "_current")

    def __init__(self) -> None:
        self._by_piece: dict[int, deque[Request]] = {}  # in the order of their first requests; none is empty
        self._count = 0
        self._current: int | None = None  # the piece that is being answered

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Request]:
        """All of them, piece after piece."""
        for requests in self._by_piece.values():
            yield from requests

    def append(self, request: Request) -> None:
        self._by_piece.setdefault(request[0], deque()).append(request)
        self._count += 1

    def remove(self, request: Request) -> bool:
        """Take one back; whether it was there."""
        requests = self._by_piece.get(request[0])
        if requests is None or request not in requests:
            return False
        requests.remove(request)
        self._count -= 1
        if not requests:
            self._forget(request[0])
        return True

    def drop(self, is_dropped: Callable[[Request], bool]) -> list[Request]:
        """Take these out; they are returned."""
        dropped = [request for request in self if is_dropped(request)]
        for request in dropped:
            self.remove(request)
        return dropped

    def next(self, rank: Callable[[int], tuple[bool, int]] | None = None) -> Request:
        """What to answer now. The lowest `rank` of the oldest comes first; without one, what was asked for first."""
        if self._current is None:
            pieces = self._by_piece
            choice = islice(pieces, CHOICE if rank else 1)
            self._current = min(choice, key=rank) if rank and len(pieces) > 1 else next(choice)
        return self._by_piece[self._current][0]

    def take_run(self, piece: int, start: int, stop: int, limit: int) -> list[Request]:
        """Take the piece's first requests as long as they are for bytes `start` to `stop`: about `limit` bytes."""
        requests = self._by_piece.get(piece)
        run: list[Request] = []
        while requests and limit > 0:
            _, begin, length = requests[0]
            if begin < start or begin + length > stop:
                break
            run.append(requests.popleft())
            limit -= length
        self._count -= len(run)
        if not requests and requests is not None:
            self._forget(piece)
        return run

    def _forget(self, piece: int) -> None:
        del self._by_piece[piece]
        if self._current == piece:
            self._current = None
