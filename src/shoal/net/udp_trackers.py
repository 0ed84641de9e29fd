"""Ask a tracker in datagrams: one exchange with each of its addresses, over real sockets.

What is sent, when, and what counts as an answer is `protocol/tracker/udp_exchange.py`'s to say. Always true: a socket
is connected to the one address that it asks, so nobody else's datagrams reach it; every failure is one line that names
the tracker; a tracker that has both families is asked over both, and neither waits long for the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from shoal.errors import FormatError, NetworkError, ShoalError
from shoal.net.addresses import is_wildcard
from shoal.protocol.tracker.messages import AnnounceRequest, AnnounceResponse, TrackerFailure
from shoal.protocol.tracker.udp import Announced, ErrorAnswer
from shoal.protocol.tracker.udp_exchange import (
    Connections,
    FinalAnswer,
    Question,
    UdpExchange,
    announce_question,
)

OTHER_FAMILY_SECONDS = 3.0  # once one has answered: more than two round trips; then the other one is broken
LONGEST_DATAGRAM = 65535  # trackers may tell of more peers than a packet holds
TRANSACTION_ID_LENGTH = 4

SocketAddress = tuple[Any, ...]  # as `socket.connect` takes it: host, port, and for IPv6 two numbers more


async def announce(
    name: str,
    addresses: Sequence[SocketAddress],
    request: AnnounceRequest,
    *,
    url_data: bytes,
    bind: str | None,
    tries: int,
    connections: Connections,
    on_silence: Callable[[], None],
) -> AnnounceResponse | TrackerFailure:
    """Announce to a tracker at all of its addresses, and join what they answer; see `ask`."""
    question = announce_question(request, url_data)
    answers = await ask(
        name, addresses, question, bind=bind, tries=tries, connections=connections, on_silence=on_silence
    )
    responses = [answer.response for answer in answers if isinstance(answer, Announced)]
    if responses:
        return _joined(responses)
    refusal = next(answer for answer in answers if isinstance(answer, ErrorAnswer))
    return TrackerFailure(refusal.reason)


async def ask(
    name: str,
    addresses: Sequence[SocketAddress],
    question: Question,
    *,
    bind: str | None,
    tries: int,
    connections: Connections,
    on_silence: Callable[[], None],
) -> list[FinalAnswer]:
    """The answers of those addresses that gave one; at least one did. `addresses` has one of each family at most.

    `name` is what errors call the tracker, `on_silence` is called whenever an answer was waited for in vain and is
    waited for again. Raises `NetworkError` (nobody there, no answer) and `FormatError` (an answer that is none).
    """
    one = partial(_carry_out, name, question, bind, tries, connections, on_silence)
    outcomes: list[FinalAnswer | ShoalError] = []
    async with asyncio.TaskGroup() as exchanges:
        pending = {exchanges.create_task(one(address)) for address in addresses}
        patience = None
        while pending:
            done, pending = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            outcomes += [task.result() for task in done]
            if any(not isinstance(outcome, ShoalError | ErrorAnswer) for outcome in outcomes):
                patience = OTHER_FAMILY_SECONDS
            if not done:
                break
        for task in pending:
            task.cancel()
    answers = [outcome for outcome in outcomes if not isinstance(outcome, ShoalError)]
    if not answers:
        raise next(outcome for outcome in reversed(outcomes) if isinstance(outcome, ShoalError))
    return answers


async def _carry_out(
    name: str,
    question: Question,
    bind: str | None,
    tries: int,
    connections: Connections,
    on_silence: Callable[[], None],
    address: SocketAddress,
) -> FinalAnswer | ShoalError:
    """One exchange with one address. An error is a value here: the other family may fare better."""
    now = asyncio.get_running_loop().time
    exchange = UdpExchange(
        question,
        is_v6=":" in address[0],
        tries=tries,
        new_transaction_id=lambda: secrets.token_bytes(TRANSACTION_ID_LENGTH),
        connection=connections.get(address, now()),
    )
    try:
        with _connected(address, bind) as sock:
            await _pump(exchange, sock, on_silence)
    except ConnectionRefusedError:
        return NetworkError(f"{name}: cannot connect")
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return NetworkError(f"{name}: the address given to --bind is not this machine's")
        return NetworkError(f"{name}: {(error.strerror or str(error)).lower()}")
    except FormatError as error:
        return FormatError(f"{name} sent a bad answer: {error.message}")
    finally:
        connections.put(address, exchange.connection, now())
    return exchange.answer or NetworkError(f"{name}: no answer in time")


async def _pump(exchange: UdpExchange, sock: socket.socket, on_silence: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    exchange.begin(loop.time())
    while not exchange.is_over:
        for datagram in exchange.datagrams_to_send():
            with contextlib.suppress(BlockingIOError):  # no room: it is lost, as datagrams may be
                sock.send(datagram)
        deadline = exchange.next_deadline()
        try:
            async with asyncio.timeout_at(deadline):
                exchange.on_datagram(await loop.sock_recv(sock, LONGEST_DATAGRAM), loop.time())
                await asyncio.sleep(0)  # whoever floods us holds up nobody else
        except TimeoutError:
            exchange.on_deadline(max(loop.time(), deadline or 0.0))  # uvloop may wake us a moment too early
            if not exchange.is_over:
                on_silence()


@contextlib.contextmanager
def _connected(address: SocketAddress, bind: str | None) -> Iterator[socket.socket]:
    """A datagram socket that sends to `address`, and receives from there only."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        if bind is not None and not is_wildcard(bind):
            sock.bind((bind, 0))
        sock.connect(address)
        yield sock


def _joined(responses: Sequence[AnnounceResponse]) -> AnnounceResponse:
    """What one tracker said over IPv4 and over IPv6, as one answer: its longest interval, its largest counts."""
    if len(responses) == 1:
        return responses[0]
    return AnnounceResponse(
        interval=max(response.interval or 0 for response in responses),
        complete=max(response.complete or 0 for response in responses),
        incomplete=max(response.incomplete or 0 for response in responses),
        peers_v4=b"".join(response.peers_v4 for response in responses),
        peers_v6=b"".join(response.peers_v6 for response in responses),
    )
