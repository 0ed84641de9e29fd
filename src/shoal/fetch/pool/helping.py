"""A helper: it is in the meetings of its groups and works for those who ask, within what its owner allows.

Always true: a refusal names its reason; one URL is worked on once, however many ask; what ends one work (a full disk,
another version, a quota) ends nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from shoal.disk.state import state_dir
from shoal.errors import (
    DiskFullError,
    ExistsError,
    FileError,
    FormatError,
    GuardError,
    NotFoundError,
    OwnWayError,
    OwnWayNotFoundError,
    ShoalError,
)
from shoal.fetch.group.joined import JoinedGroup
from shoal.fetch.group.keyring import Keyring
from shoal.fetch.guard import MOST_REDIRECTS, Guard
from shoal.fetch.options import AskedUrl, FetchOptions
from shoal.fetch.pool.cache import Cache
from shoal.fetch.pool.helper_options import HelperOptions
from shoal.fetch.pool.meeting import Attendant
from shoal.fetch.pool.meetings import Events, Meetings
from shoal.fetch.pool.poolable import reason_not_to_pool, reason_not_to_pool_length
from shoal.fetch.pool.question import belongs
from shoal.fetch.pool.quota import Quota
from shoal.fetch.pool.wish import Contacts
from shoal.fetch.pool.work import Work
from shoal.fetch.transfer import Transfers
from shoal.net.curl_errors import host_of
from shoal.net.environment_proxies import proxy_of_environment
from shoal.net.sockets import format_address
from shoal.protocol.group.messages import AskHelp, Dismiss, Helping, Kept, Pause, Refused
from shoal.protocol.http.origin import origin_of, split_user
from shoal.protocol.tracker.urls import shown_url

MOST_WORKS = 64  # URLs at a time; each costs a file, connections and a thread ...
MOST_WORKS_OF_ONE = 16  # ... and at the wish of one member alone; the others are to find a place
LOOKS_EVERY = (
    5.0  # seconds between two looks whether this machine is in its groups still: two small files are read
)
USED_UP = "what it may fetch in a day is used up"
MOST_REFUSALS_TOLD = 20  # of one member and connection: who asks for a thousand things fills no log

Report = Callable[..., None]


class HelperServer:
    """`report(event, **fields)` is told what people may read."""

    def __init__(
        self,
        options: HelperOptions,
        groups: list[JoinedGroup],
        contacts: dict[str, Contacts],
        cache: Cache,
        quota: Quota,
        report: Report,
        is_joined: Callable[[JoinedGroup], bool] = lambda group: True,
    ) -> None:
        """`is_joined` may block: whether this machine is a member still."""
        self._options = options
        self._groups = groups
        self._is_joined = is_joined
        self._cache = cache
        self._quota = quota
        self._report = report
        self._works: dict[bytes, Work] = {}
        self._begun: set[bytes] = set()
        self._askers: dict[bytes, set[Attendant]] = {}
        self._again: dict[bytes, tuple[JoinedGroup, AskHelp]] = {}  # asked for while the work on it ended
        self._is_over = False
        self._refusals: Counter[Attendant] = Counter()
        self._guard = Guard(options.allow_hosts, options.allow_private)
        events = Events(
            on_change=lambda key, attendant: None,
            on_message=self._on_message,
            on_gone=self._on_gone,
            note=lambda text: report("note", message=text),
        )
        self.meetings = Meetings(
            groups,
            contacts,
            events,
            is_helper=True,
            bind=options.bind,
            port=options.port,
            max_upload_rate=options.max_upload_rate,
            max_download_rate=options.max_download_rate,
        )

    async def run(self, stop: asyncio.Event, on_ready: Callable[[int], None]) -> None:
        """Until `stop` is set."""
        await asyncio.to_thread(self._cache.prepare)
        try:
            await self._help(stop, on_ready)
        finally:
            self._cache.close()

    async def _help(self, stop: asyncio.Event, on_ready: Callable[[int], None]) -> None:
        options = FetchOptions(
            bind=self._options.bind,
            proxy=self._options.proxy,
            most_redirects=MOST_REDIRECTS,
        )
        nobody = AskedUrl(
            "https://nobody.invalid/"
        )  # no secret is ever told, so whose they are does not matter
        limit = self.meetings.engine.make_limit()
        async with self.meetings, Transfers(options, nobody, self._guard, limit) as transfers:
            self._transfers = transfers
            on_ready(self.meetings.engine.port)
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._tasks: dict[asyncio.Task[None], Work] = {}
                looking = group.create_task(self._notice_leaving(stop))
                await stop.wait()
                self._is_over = True
                looking.cancel()
                for task in self._tasks:
                    task.cancel()

    async def _notice_leaving(self, stop: asyncio.Event) -> None:
        """Whoever leaves a group on this machine does not help it any more; without any group it is over."""
        while self._groups:
            await asyncio.sleep(LOOKS_EVERY)
            for group in list(self._groups):
                if not await asyncio.to_thread(self._is_joined, group):
                    await self._leave(group)
        stop.set()

    async def _leave(self, group: JoinedGroup) -> None:
        self._groups.remove(group)
        working = [task for task, work in self._tasks.items() if work.group is group]
        for task in working:
            task.cancel()
        if working:
            await asyncio.wait(working)
        await self.meetings.leave(group.name)
        self._report("left", group=group.name)

    # ---- what members say

    def _on_message(self, group: JoinedGroup, attendant: Attendant, message: Any) -> None:
        match message:
            case AskHelp(only_kept=True):
                self._on_asked_for_kept(group, attendant, message)
            case AskHelp():
                self._on_asked(group, attendant, message)
            case Dismiss(info_hash):
                self._on_dismissed(attendant, info_hash)
            case Pause(tag, seconds):
                for work in self._works.values():
                    work.on_others_pause(tag, float(seconds))

    def _on_gone(self, group: JoinedGroup, attendant: Attendant) -> None:
        self._refusals.pop(attendant, None)
        for askers in self._askers.values():
            askers.discard(attendant)

    def _on_asked(self, group: JoinedGroup, attendant: Attendant, ask: AskHelp) -> None:
        if group not in self._groups:
            return  # it is being left
        reason = self._reason_to_refuse(group, ask) or self._reason_to_wait(attendant, ask)
        if reason:
            self._refuse(attendant, ask, reason, self._way_to_allow(ask.url))
            return
        self._take_in(group, attendant, ask)

    def _on_asked_for_kept(self, group: JoinedGroup, attendant: Attendant, ask: AskHelp) -> None:
        """Nothing is refused, for nothing is to be done: who has none of it, or may not give it, says so."""
        is_here = ask.info_hash in self._works or self._cache.has(ask.info_hash)
        is_any = is_here and group in self._groups and not self._reason_not_to_serve(group, ask)
        is_any = is_any and not self._reason_to_wait(attendant, ask)
        attendant.say(Kept(ask.info_hash, is_any))
        if is_any:
            self._take_in(group, attendant, ask)

    def _on_dismissed(self, attendant: Attendant, info_hash: bytes) -> None:
        askers = self._askers.get(info_hash, set())
        if attendant in askers:
            askers.discard(attendant)
            if not askers and info_hash in self._works:
                self._works[info_hash].retire()

    def _take_in(self, group: JoinedGroup, attendant: Attendant, ask: AskHelp) -> None:
        self._askers.setdefault(ask.info_hash, set()).add(attendant)
        work = self._works.get(ask.info_hash)
        if work is None:
            self._begin(group, ask)
            return
        if work.is_ending:
            before = self._again.get(ask.info_hash)
            if before is None or before[1].only_kept:
                self._again[ask.info_hash] = group, ask
            return
        if not (ask.only_kept or work.fetches):
            work.fetch()
        if ask.info_hash in self._begun:
            attendant.say(Helping(ask.info_hash))

    def _begin(self, group: JoinedGroup, ask: AskHelp) -> None:
        work = Work(
            group, ask, self.meetings, self._transfers, self._cache, self._quota, self._note,
            partial(self._refuse_all, ask, USED_UP),
        )  # fmt: skip
        self._works[ask.info_hash] = work
        asker = next(iter(self._askers[ask.info_hash]))
        task = self._group.create_task(self._work(work, _names(asker)))
        self._tasks[task] = work
        task.add_done_callback(self._tasks.pop)

    def _refuse(self, attendant: Attendant, ask: AskHelp, reason: str, hint: str = "") -> None:
        """`hint` is for our owner alone."""
        attendant.say(Refused(ask.info_hash, reason))
        self._refusals[attendant] += 1
        if self._refusals[attendant] <= MOST_REFUSALS_TOLD:
            self._report(
                "refused", **_names(attendant), url=shown_url(ask.url), reason=reason, hint=hint or None
            )

    def _refuse_all(self, ask: AskHelp, reason: str, hint: str = "") -> None:
        for attendant in self._askers.get(ask.info_hash, ()):
            self._refuse(attendant, ask, reason, hint)

    def _reason_to_refuse(self, group: JoinedGroup, ask: AskHelp) -> str:
        """Empty: it is helped. What only a connection shows is refused when it is made."""
        reason = self._reason_not_to_serve(group, ask)
        if not reason and self._quota.is_used_up:
            return USED_UP
        return reason

    def _reason_not_to_serve(self, group: JoinedGroup, ask: AskHelp) -> str:
        """Empty: others may have of us what is kept of it."""
        try:
            url, user = split_user(ask.url)
            host = origin_of(url).host
            if url != ask.url or user is not None:
                return "the URL is not plain"
            if not belongs(group.key, ask):
                return "the URL, length and version do not belong to that pool"
        except FormatError as error:
            return error.message
        reason = reason_not_to_pool(AskedUrl(url), FetchOptions()) or reason_not_to_pool_length(ask.length)
        if reason:
            return reason
        refusal = self._guard.refusal(url, hop=0, is_proxied=self._is_proxied(url))
        if refusal is not None:
            return f"{host} {refusal} (its owner may allow it)"
        return ""

    def _is_proxied(self, url: str) -> bool:
        own = self._options.proxy
        return bool(proxy_of_environment(url) if own is None else own)

    def _way_to_allow(self, url: str) -> str:
        """What our owner may do about a refusal, if it was for the host."""
        with suppress(ValueError):
            option = self._guard.way_to_allow(url, is_proxied=self._is_proxied(url))
            return f"{option} allows it" if option else ""
        return ""

    def _reason_to_wait(self, attendant: Attendant, ask: AskHelp) -> str:
        if ask.info_hash in self._works:
            return ""
        of_this_one = sum(
            all(asker.member == attendant.member for asker in self._askers.get(info_hash, ()))
            for info_hash in self._works
        )
        if len(self._works) >= MOST_WORKS or of_this_one >= MOST_WORKS_OF_ONE:
            return "it is busy with too many files"
        return ""

    # ---- works

    async def _work(self, work: Work, asker: dict[str, str]) -> None:
        """`asker`: the fields of an event that name who asked first."""
        info_hash = work.ask.info_hash
        self._report("helping", **asker, url=shown_url(work.ask.url), bytes=work.ask.length)
        try:
            await work.run(partial(self._on_begun, info_hash))
        except ShoalError as error:
            self._note(error.message)
            hint = error.hint if isinstance(error, GuardError) else ""
            self._refuse_all(work.ask, _told(error, work.ask.url), hint)
            self._again.pop(info_hash, None)
        finally:
            self._begun.discard(info_hash)
            del self._works[info_hash]
            self._go_on(info_hash)
            self._report(
                "helped",
                **asker,
                url=shown_url(work.ask.url),
                fetched=work.fetched,
                sent=work.sent,
                members=work.member_count,
                seconds=round(time.monotonic() - work.began_at, 3),
            )

    def _go_on(self, info_hash: bytes) -> None:
        """A work has ended; who asked for it in that moment has another one."""
        again = self._again.pop(info_hash, None)
        is_wanted = bool(self._askers.get(info_hash)) and not self._is_over
        if again is not None and is_wanted and again[0] in self._groups:
            self._begin(*again)
        else:
            self._askers.pop(info_hash, None)

    def _on_begun(self, info_hash: bytes) -> None:
        self._begun.add(info_hash)
        for attendant in self._askers.get(info_hash, ()):
            attendant.say(Helping(info_hash))

    def _note(self, text: str) -> None:
        self._report("note", message=text)


def _names(attendant: Attendant) -> dict[str, str]:
    """The fields of an event that name a member."""
    return {"address": format_address(attendant.address), "member": attendant.member.hex()}


def _told(error: ShoalError, url: str) -> str:
    """What others may know of it: not where this machine has its files, nor which way it goes to the origin."""
    if isinstance(error, OwnWayError | OwnWayNotFoundError):
        return f"it cannot reach {host_of(url)}"
    if isinstance(error, DiskFullError):
        return "its disk is full"
    return "its disk fails" if isinstance(error, FileError | ExistsError) else error.message


async def run_helper(options: HelperOptions, stop: asyncio.Event, report: Report) -> None:
    """Help the groups of `options`, of which this machine has the keys, until `stop` is set.

    Raises `NotFoundError` for a group without a key, `NetworkError` for a port that is taken, `FileError`.
    """
    keyring = Keyring()
    groups = [keyring.load(name) for name in options.groups]
    contacts = {
        name: Contacts(options.trackers.get(name, ()), options.peers.get(name, ())) for name in options.groups
    }

    def is_joined(group: JoinedGroup) -> bool:
        try:
            return keyring.load(group.name) == group
        except NotFoundError:
            return False
        except ShoalError:  # it cannot be told now
            return True

    state = state_dir() / "helper"
    folder = options.cache or state / "files"
    cache = Cache(folder, options.cache_size if options.cache is not None else 0)
    server = HelperServer(
        options, groups, contacts, cache, Quota(options.quota, state / "quota.json"), report, is_joined
    )

    def on_ready(port: int) -> None:
        report("ready", port=port, groups=list(options.groups))

    await server.run(stop, on_ready)
