"""The Metalink that a response names (RFC 6249: `Link: <...>; rel=describedby`), for its mirrors and digests.

It is fetched beside the download, which does not wait for its first byte. Always true: it comes from the origin of
the response or over https; it is no longer than Metalinks may be and was here within `LONGEST` seconds, or it is
left out; it speaks of this file only if it says the same length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from shoal.errors import FormatError, NetworkError, ShoalError
from shoal.fetch.facts import Facts
from shoal.fetch.judging import Answer
from shoal.fetch.options import asked_url
from shoal.fetch.progress import OnNote
from shoal.fetch.transfer import Flow, Transfers
from shoal.formats.metalink import MAX_METALINK_LENGTH, MetalinkFile, parse_metalink
from shoal.net.curl_errors import host_of
from shoal.protocol.http.origin import origin_of

LONGEST = 5.0  # seconds; a small file is here before it, and waits so long for its digest


def description_url(facts: Facts) -> str | None:
    """The first that may be believed as far as the file's own server may, or further."""
    return next((url for url in facts.metalinks if _is_trusted(url, facts.final_url)), None)


async def fetch_description(transfers: Transfers, url: str, facts: Facts) -> MetalinkFile:
    """What it says of the file. Raises a `ShoalError` if it says nothing that can be used."""
    sink = _Sink(facts.final_url)
    try:
        async with asyncio.timeout(LONGEST):
            await transfers.get(asked_url(url), sink, None)
    except TimeoutError:
        raise NetworkError(f"{host_of(url)}: not here within {LONGEST:.0f} s") from None
    if sink.refusal is not None:
        raise sink.refusal
    return _file_of(bytes(sink.body), facts)


class Describing:
    """The description of the file that is on its way here. `on_described` gets it, and may raise a `ShoalError`."""

    def __init__(
        self, transfers: Transfers, on_described: Callable[[MetalinkFile], None], note: OnNote
    ) -> None:
        self._transfers = transfers
        self._on_described = on_described
        self._note = note
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def begin(self, group: asyncio.TaskGroup, facts: Facts) -> None:
        """If there is one."""
        url = description_url(facts)
        if url is not None:
            self._task = group.create_task(self._run(url, facts))

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        if self._task is not None:
            await self._task

    async def _run(self, url: str, facts: Facts) -> None:
        try:
            self._on_described(await fetch_description(self._transfers, url, facts))
        except ShoalError as error:  # without it the download goes on as well
            self._note(f"its Metalink is of no use: {error.message}")


def _file_of(body: bytes, facts: Facts) -> MetalinkFile:
    files = parse_metalink(body).files
    fitting = [file for file in files if file.size == facts.length]
    if len(fitting) != 1:
        raise FormatError(f"it names {len(fitting)} files of {facts.length} bytes, of {len(files)}")
    return fitting[0]


def _is_trusted(url: str, beside: str) -> bool:
    try:
        origin = origin_of(url)
        return origin.scheme == "https" or origin == origin_of(beside)
    except FormatError:
        return False


class _Sink:
    """Takes it into memory."""

    def __init__(self, beside: str) -> None:
        self.body = bytearray()
        self.refusal: ShoalError | None = None
        self._beside = beside

    def on_response(self, answer: Answer, go_on: Callable[[], None]) -> bool:
        host = host_of(answer.url)
        if answer.status != HTTPStatus.OK:
            self.refusal = NetworkError(f"{host}: the server answers {answer.status}")
        elif not _is_trusted(answer.url, self._beside):
            self.refusal = NetworkError(f"{host}: it was led to another server, and not over https")
        return self.refusal is None

    def on_data(self, data: bytes) -> Flow:
        self.body += data
        return Flow.MORE if len(self.body) <= MAX_METALINK_LENGTH else Flow.END
