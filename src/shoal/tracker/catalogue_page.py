"""`/catalogue`: the list, the torrents, and publishing with a token.

    GET    /catalogue                the list, as JSON
    GET    /catalogue/NAME.torrent
    PUT    /catalogue/NAME           a metainfo as body; 201, or 200 where it replaced an entry of the same owner.
                                     Without a body nothing changes: 200, or why it could not be published
    DELETE /catalogue/NAME

Who changes something shows the tracker's token (`Authorization: Bearer TOKEN`) and may name itself as owner
(`Shoal-Owner: TOKEN`); without, the tracker's token is the owner. Always true: no body is read from a stranger;
the disk is waited for in workers, never on the loop; a refusal is one line of text.
"""

from __future__ import annotations

import asyncio
import hmac
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct, json

from shoal.disk.workers import Workers
from shoal.errors import DiskFullError, ExistsError, FormatError, NotFoundError, ShoalError
from shoal.tracker.catalogue import TORRENT, Catalogue, CatalogueFullError, Entry, NotOwnerError
from shoal.tracker.door_http import Question
from shoal.tracker.replies import Reply
from shoal.tracker.soon import Soon, later, then
from shoal.tracker.store import Entries, Trouble
from shoal.tracker.tracker import Tracker
from shoal.units import MIB

MAX_PUBLISHED_LENGTH = 32 * MIB  # 1.6 million pieces; the door holds 64 MiB of bodies at a time
WORKERS = 2  # one reads while the other parses a torrent of a million files
LIST_SECONDS = 1.0  # sizes of swarms are told again for so long; strangers may ask for all of them, and often
NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
TORRENT_TYPE = "application/x-bittorrent"

Answer = TypeVar("Answer")


class Listed(Struct, frozen=True):
    """An entry and the size of its swarm; None where the store is away."""

    entry: Entry
    seeds: int | None
    leechers: int | None


class CataloguePage:
    methods: tuple[bytes, ...] = (b"PUT", b"DELETE")

    def __init__(
        self,
        catalogue: Catalogue,
        tracker: Tracker,
        publish_token: str | None,
    ) -> None:
        """If the tracker serves named torrents only (`policy.only`), those of the catalogue become some of them."""
        self._catalogue = catalogue
        self._tracker = tracker
        self._token = None if publish_token is None else publish_token.encode()
        only = tracker.policy.only
        self._always_served = frozenset(only or ())
        self._served: set[bytes] = set()
        self._workers: Workers | None = None
        self._told: tuple[float, list[Listed]] | None = None
        self._is_refreshing = False
        self._serve_entries()

    def close(self) -> None:
        if self._workers is not None:
            self._workers.close()

    def keep_house(self) -> None:
        """See what other processes published; called every second or so."""
        if not self._is_refreshing and not self._catalogue.is_fresh():
            self._is_refreshing = True

            def refreshed(_: object) -> None:
                self._is_refreshing = False

            self._fresh_entries().add_done_callback(refreshed)

    def listed(self) -> Soon[list[Listed]]:
        """All entries, newest first, with the sizes of their swarms."""
        now = self._tracker.clock()
        if self._told is not None and now - self._told[0] < LIST_SECONDS:
            return self._told[1]
        fresh: Soon[Mapping[str, Entry]] = (
            self._catalogue.entries if self._catalogue.is_fresh() else self._fresh_entries()
        )

        def tell(listed: list[Listed]) -> list[Listed]:
            self._told = now, listed
            return listed

        return then(then(fresh, lambda entries: self._with_sizes(list(entries.values()))), tell)

    # -- the page ------------------------------------------------------------------------------------

    def answer(self, question: Question) -> Soon[Reply] | None:
        name = name_in(question.path)
        if name is None:
            return _refusal(HTTPStatus.BAD_REQUEST, "this path names nothing: write /catalogue/NAME")
        if question.method in self.methods:
            return self._change(question, name)
        if name:
            if not question.path.endswith(TORRENT.encode()):
                return None
            return self._in_worker(lambda: _told(lambda: _torrent_reply(name, self._catalogue.torrent(name))))
        return then(self.listed(), _list_reply)

    def body_limit(self, method: bytes, path: bytes, headers: dict[bytes, bytes]) -> int:
        """A whole metainfo from who may publish; nothing from anybody else."""
        return MAX_PUBLISHED_LENGTH if method == b"PUT" and self._refuse(headers) is None else 0

    def _refuse(self, headers: Mapping[bytes, bytes]) -> Reply | None:
        if self._token is None:
            return _refusal(
                HTTPStatus.FORBIDDEN,
                "nothing can be published here: the tracker runs without --publish-token",
            )
        scheme, _, shown = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return _refusal(
                HTTPStatus.UNAUTHORIZED,
                "publishing needs the tracker's token: Authorization: Bearer TOKEN",
                ("WWW-Authenticate", "Bearer"),
            )
        if not hmac.compare_digest(shown.strip(), self._token):
            return _refusal(HTTPStatus.FORBIDDEN, "this is not the token for publishing here")
        return None

    def _change(self, question: Question, name: str) -> Soon[Reply]:
        refusal = self._refuse(question.headers)
        if refusal is not None or self._token is None:
            return refusal or _refusal(HTTPStatus.FORBIDDEN, "nothing can be published here")
        owner = question.headers.get(b"shoal-owner", b"") or self._token
        change = self._publish if question.method == b"PUT" else self._remove

        def done(reply: Reply) -> Reply:
            self._told = None
            self._serve_entries()
            return reply

        return then(self._in_worker(lambda: _told(lambda: change(name, question.body, owner))), done)

    def _publish(self, name: str, body: bytes, owner: bytes) -> Reply:
        if not body:
            self._catalogue.check(name, owner)
            return Reply(f"'{name}' may be published\n".encode(), TEXT, headers=(NO_SNIFFING,))
        is_new = self._catalogue.publish(name, body, owner)
        word, status = ("published", HTTPStatus.CREATED) if is_new else ("replaced", HTTPStatus.OK)
        return Reply(f"{word} '{name}'\n".encode(), TEXT, status, (NO_SNIFFING,))

    def _remove(self, name: str, _body: bytes, owner: bytes) -> Reply:
        self._catalogue.remove(name, owner)
        return Reply(f"removed '{name}'\n".encode(), TEXT, headers=(NO_SNIFFING,))

    # -- what is behind it ---------------------------------------------------------------------------

    def _fresh_entries(self) -> Future[Mapping[str, Entry]]:
        def refresh() -> Mapping[str, Entry]:
            try:
                return self._catalogue.refresh()
            except ShoalError:  # the folder is gone, or cannot be read: what we know is still served
                return self._catalogue.entries

        def refreshed(entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
            self._serve_entries()
            return entries

        made = then(self._in_worker(refresh), refreshed)
        assert isinstance(made, Future)
        return made

    def _serve_entries(self) -> None:
        """Let in the peers of what is published, and no longer those of what is not."""
        only = self._tracker.policy.only
        if only is not None:
            entries = self._catalogue.entries.values()
            published = {info_hash for entry in entries for info_hash in entry.info_hashes}
            only -= self._served - published - self._always_served
            only |= published
            self._served = published

    def _with_sizes(self, entries: Sequence[Entry]) -> Soon[list[Listed]]:
        def listed(sizes: Entries | Trouble) -> list[Listed]:
            if isinstance(sizes, Trouble):
                return [Listed(entry, None, None) for entry in entries]
            found = [(entry, sizes.get(entry.info_hash)) for entry in entries]
            return [
                Listed(entry, size.complete if size else 0, size.incomplete if size else 0)
                for entry, size in found
            ]

        hashes = [entry.info_hash for entry in entries]
        sizes = self._tracker.store.scrape(hashes, self._tracker.clock())
        return later(sizes, listed) if isinstance(sizes, Future) else listed(sizes)

    def _in_worker(self, job: Callable[[], Answer]) -> Future[Answer]:
        """What `job` gives. If it raises, which is our mistake, the future fails."""
        loop = asyncio.get_running_loop()
        if self._workers is None:
            self._workers = Workers(loop.call_soon_threadsafe, WORKERS)
        made: Future[Answer] = loop.create_future()

        def work() -> tuple[Answer | None, Exception | None]:
            try:
                return job(), None
            except Exception as error:  # noqa: BLE001 (somebody waits for the answer)
                return None, error

        def tell(outcome: tuple[Any, Exception | None]) -> None:
            answer, error = outcome
            if made.done():
                return
            if error is not None:
                made.set_exception(error)
            else:
                made.set_result(answer)

        self._workers.submit(work, tell)
        return made


TEXT = "text/plain; charset=utf-8"

_STATUSES: tuple[tuple[type[ShoalError], HTTPStatus], ...] = (
    (ExistsError, HTTPStatus.CONFLICT),
    (NotOwnerError, HTTPStatus.CONFLICT),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (FormatError, HTTPStatus.BAD_REQUEST),
    (CatalogueFullError, HTTPStatus.INSUFFICIENT_STORAGE),
)


def name_in(path: bytes) -> str | None:
    """`/catalogue/NAME.torrent` -> `NAME`, `/catalogue` -> `""`; None for what holds no single readable name."""
    elements = path.split(b"/")[2:]
    if not elements or elements == [b""]:
        return ""
    try:
        name = unquote_to_bytes(elements[0]).decode()
    except UnicodeDecodeError:
        return None
    return name.removesuffix(TORRENT) or None if len(elements) == 1 else None


def encode_list(listed: Sequence[Listed]) -> bytes:
    """The list as scripts and `shoal list` read it. Sizes are bytes, `published_at` is Unix time."""
    return json.encode(
        [
            {
                "name": one.entry.name,
                "info_hash": one.entry.info_hash.hex(),
                "size": one.entry.size,
                "file_count": one.entry.file_count,
                "published_at": one.entry.published_at,
                "seeds": one.seeds,
                "leechers": one.leechers,
                "magnet": one.entry.magnet,
            }
            for one in listed
        ]
    )


def _list_reply(listed: Sequence[Listed]) -> Reply:
    return Reply(encode_list(listed), "application/json", headers=(NO_SNIFFING,))


def _torrent_reply(name: str, torrent: bytes | None) -> Reply:
    if torrent is None:
        return _refusal(HTTPStatus.NOT_FOUND, f"nothing is published as '{name}'")
    attachment = f"attachment; filename*=UTF-8''{quote(name + TORRENT, safe='')}"
    return Reply(torrent, TORRENT_TYPE, headers=(("Content-Disposition", attachment), NO_SNIFFING))


def _told(change: Callable[[], Reply]) -> Reply:
    try:
        return change()
    except DiskFullError:
        return _refusal(HTTPStatus.INSUFFICIENT_STORAGE, "the tracker's disk is full; nothing was changed")
    except ShoalError as error:
        for kind, status in _STATUSES:
            if isinstance(error, kind):
                return _refusal(status, error.message)
        return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the tracker's disk failed; nothing was changed")


def _refusal(status: HTTPStatus, line: str, *headers: tuple[str, str]) -> Reply:
    shown = "".join(char if char.isprintable() else "\ufffd" for char in line)
    return Reply(f"{shown}\n".encode(), TEXT, status, (NO_SNIFFING, *headers))
