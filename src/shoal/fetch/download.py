"""Download a file: where sources, facts, plan, transfers and the part file meet. It decides nothing.

The first request is the download itself. Its response gives the facts; while the part file is opened, what comes is
kept in memory. Then it goes on as the first of several connections (`ranged.py`) or as the only one (`stream.py`).

Always true: the final name appears when all is here and, if a digest is known, checked; when a download ends early, for
whatever reason, what is here is synced and remembered, and the same call goes on from it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from shoal.errors import ChecksumError, NetworkError, ShoalError
from shoal.fetch.joining import Joining
from shoal.fetch.options import AskedUrl, FetchOptions, asked_url
from shoal.fetch.progress import Document, Downloaded, OnNote, OnProgress, Wanted
from shoal.fetch.ranged import Changed, Disagreed, NoRangesAfterAll
from shoal.fetch.session import Session
from shoal.fetch.transfer import Transfers
from shoal.fetch.trust import Trust
from shoal.net.curl_errors import host_of

MOST_CHANGES = 1  # of the file while it is downloaded; then somebody is still writing it
MOST_MISFITS = 2  # ranges that do not fit: first it may be another file, then the server cannot do it


async def download(
    wanted: Wanted, *, on_progress: OnProgress | None = None, on_note: OnNote | None = None
) -> Downloaded | Document:
    """Fetch the file; the same call after an early end goes on where that one stopped.

    Raises `NotFoundError`, `NetworkError`, `DeniedError`, `FormatError` (the origin's faults), `ChecksumError`,
    `ExistsError`, `DiskFullError` and `FileError`.
    """
    asked = [asked_url(url) for url in wanted.urls]
    started_at = time.monotonic()
    changes: list[str] = []
    misfits: list[str] = []
    trust = Trust([one.url for one in asked])
    is_anew = False  # what is here is wrong
    wrong: ChecksumError | None = None
    async with (
        company(wanted, asked[0], on_note) as others,
        transfers_with(others, wanted.options, asked[0]) as transfers,
    ):
        while len(changes) <= MOST_CHANGES:
            in_runs = len(misfits) < MOST_MISFITS
            session = Session(
                wanted, asked, transfers, trust, started_at, in_runs, on_progress, on_note, others, is_anew,
            )  # fmt: skip
            try:
                return await session.run()
            except Changed as change:
                changes.append(str(change))
                session.note(f"begins anew: the file was replaced on the server: {change}")
            except Disagreed as other:
                trust.on_disagreed(set(session.answered()))
                named = ", ".join(session.answered().values())
                session.note(f"begins anew: {host_of(asked[0].url)} has another file than {named}: {other}")
            except ChecksumError as error:
                is_anew = True
                if others is not None and session.had_help:
                    others = None
                    session.note(f"{error.message}; begins anew, without the group")
                    continue
                if session.was_here and wanted.overwrite:
                    session.note(f"{error.message}; begins anew")
                    continue
                if not trust.on_wrong(set(session.gave), session.given_up):
                    raise
                wrong = error
                how = "from one source alone" if trust.is_alone else "from others"
                session.note(f"{', '.join(session.gave.values())}: {error.message}; begins anew, {how}")
            except NoRangesAfterAll as misfit:
                misfits.append(str(misfit))
                session.note(f"begins anew: {misfit}")
            except ShoalError:
                if wrong is None or session.answered():
                    raise
                raise wrong from None  # who else was asked has no file: that one was wrong is the reason
    raise NetworkError(
        f"{host_of(asked[0].url)}: the file was replaced again while it was downloaded: {changes[-1]}",
        hint="somebody is still writing it: try again later",
    )


def transfers_with(others: Joining | None, options: FetchOptions, first: AskedUrl) -> Transfers:
    if others is None:
        return Transfers(options, first)
    return Transfers(options, first, limit=others.limit, on_request=others.begin)


@contextlib.asynccontextmanager
async def company(wanted: Wanted, first: AskedUrl, on_note: OnNote | None) -> AsyncIterator[Joining | None]:
    """The group that downloads with us, if one was named and this URL may be told to others."""
    if wanted.group is None:
        yield None
        return
    from shoal.fetch.pool.poolable import reason_not_to_pool

    note = on_note or _say_nothing
    reason = reason_not_to_pool(first, wanted.options)
    if reason is not None:
        note(f"downloads without the group: {reason}")
        yield None
        return
    async with Joining(wanted.group, note, wanted.options.max_rate) as joining:
        yield joining


def _say_nothing(text: str) -> None:
    """Nobody listens."""
