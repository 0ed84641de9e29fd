"""The truth under load: a few peers in swarms of their own, of whom everything is known, ask between all the others.

Whatever answers must name the right numbers of seeds and leechers, and to a leecher all the other peers. A seed need
not be told of seeds, and opentracker tells everybody of himself too; ours promises neither to happen.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes

from bench.tracking.population import (
    ANNOUNCE_ACTION,
    COMPLETED,
    FIRST_PORT,
    PEER_ID,
    PROBED_SWARMS,
    STARTED,
    STOPPED,
    WANTED,
    announce,
    probed_hash,
)
from bench.tracking.rings import SLOT
from bench.tracking.udp_load import HOST, LoadError, connection_id
from shoal.errors import FormatError
from shoal.formats import bencode

MOST_PEERS = 40  # of a probed swarm: fewer than are asked for, so that all must be told
ID_SECONDS = 50.0  # of a connection id; BEP 15 lets a client use it for a minute
TRIES, ANSWER_SECONDS = 5, 1.0
MOST_FAILURES = 10  # that are kept and told
RECORD = 6
LEFT = 1 << 20
LEAVES, IS_SEED = 0.2, 0.3  # how often a peer that comes by leaves, or has everything
EVENT_NAMES = {0: "", COMPLETED: "&event=completed", STARTED: "&event=started", STOPPED: "&event=stopped"}


@dataclass(frozen=True, slots=True)
class Asked:
    info_hash: bytes
    port: int
    left: int
    event: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    seeds: int
    leechers: int
    records: list[bytes]


class WrongAnswer(Exception):
    """What came back is no answer to what was asked."""


Ask = Callable[[Asked], Told | None]  # None: no answer in time, as may happen to a datagram


@dataclass
class Prober:
    """Keeps in mind who is in the probed swarms of one server, and compares."""

    tells_only_others: bool  # nobody of himself, no seed of seeds
    checked: int = 0
    wrong: int = 0
    failures: list[str] = field(default_factory=list)  # the first of the wrong ones
    _rng: random.Random = field(default_factory=lambda: random.Random(7))
    _swarms: list[dict[int, bool]] = field(default_factory=lambda: [{} for _ in range(PROBED_SWARMS)])

    def step(self, ask: Ask) -> None:
        """One peer of one swarm comes, comes again, finishes or leaves; then its answer is checked."""
        number = self._rng.randrange(PROBED_SWARMS)
        swarm = self._swarms[number]  # port -> is it a seed?
        port = FIRST_PORT + self._rng.randrange(MOST_PEERS)
        was_seed = swarm.get(port)
        if was_seed is not None and self._rng.random() < LEAVES:
            del swarm[port]
            asked = Asked(probed_hash(number), port, 0 if was_seed else LEFT, STOPPED)
        else:
            swarm[port] = is_seed = was_seed or self._rng.random() < IS_SEED
            event = STARTED if was_seed is None else COMPLETED if is_seed and not was_seed else 0
            asked = Asked(probed_hash(number), port, 0 if is_seed else LEFT, event)
        try:
            told = self._patiently(ask, asked)
            self.checked += 1
            if asked.event != STOPPED:
                self._check(told, port, swarm)
        except (WrongAnswer, LoadError, FormatError, OSError) as error:
            self.wrong += 1
            if len(self.failures) < MOST_FAILURES:
                self.failures.append(f"probed swarm {number}, port {port}: {error}")

    def _patiently(self, ask: Ask, asked: Asked) -> Told:
        for _ in range(TRIES):
            told = ask(asked)
            if told is not None:
                return told
        raise WrongAnswer(f"no answer to {TRIES} announces")

    def _check(self, told: Told, port: int, swarm: dict[int, bool]) -> None:
        seeds = sum(swarm.values())
        if (told.seeds, told.leechers) != (seeds, len(swarm) - seeds):
            raise WrongAnswer(
                f"told {told.seeds} seeds and {told.leechers} leechers; they are {seeds} and {len(swarm) - seeds}"
            )
        records = set(told.records)
        if len(records) < len(told.records):
            raise WrongAnswer("a peer is told twice")
        others = {_record(other) for other in swarm if other != port}
        leechers = {_record(other) for other, is_seed in swarm.items() if other != port and not is_seed}
        needed = leechers if swarm[port] else others
        allowed = needed if self.tells_only_others else others | {_record(port)}
        if not needed <= records <= allowed:
            raise WrongAnswer(
                f"{len(needed - records)} peers are missing, {len(records - allowed)} are too many"
            )


def _record(port: int) -> bytes:
    return socket.inet_aton(HOST) + port.to_bytes(2, "big")


# ---- through the doors


class UdpQuestions:
    """Asks over UDP, with a connection id that is renewed in time."""

    def __init__(self, port: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.connect((HOST, port))
        self._connection_id, self._renew_at = b"", 0.0
        self._number = 0

    def __call__(self, asked: Asked) -> Told | None:
        if time.monotonic() > self._renew_at:
            self._connection_id = connection_id(self._sock)
            self._renew_at = time.monotonic() + ID_SECONDS
        self._number += 1
        transaction_id = self._number.to_bytes(4, "big")
        self._sock.settimeout(ANSWER_SECONDS)
        self._sock.send(
            announce(
                self._connection_id, transaction_id, asked.info_hash,
                port=asked.port, left=asked.left, event=asked.event,
            )
        )  # fmt: skip
        try:
            while True:
                answer = self._sock.recv(SLOT)
                if answer[4:8] == transaction_id:  # not one that came too late for the question before
                    return _parse_udp(answer)
        except TimeoutError:
            return None

    def close(self) -> None:
        self._sock.close()


def _parse_udp(answer: bytes) -> Told:
    if (
        len(answer) < 20
        or (len(answer) - 20) % RECORD
        or int.from_bytes(answer[:4], "big") != ANNOUNCE_ACTION
    ):
        raise WrongAnswer(f"no answer to an announce: {answer[:64]!r}")
    leechers, seeds = struct.unpack_from("!II", answer, 12)
    return Told(seeds, leechers, _split(answer[20:]))


class HttpQuestions:
    """Asks over HTTP, each time on a connection of its own."""

    def __init__(self, port: int) -> None:
        self._address = (HOST, port)

    def __call__(self, asked: Asked) -> Told | None:
        request = (
            f"GET /announce?info_hash={quote_from_bytes(asked.info_hash)}&peer_id={quote_from_bytes(PEER_ID)}"
            f"&port={asked.port}&uploaded=0&downloaded=0&left={asked.left}&numwant={WANTED}&compact=1"
            f"{EVENT_NAMES[asked.event]} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        try:
            with socket.create_connection(self._address, ANSWER_SECONDS) as connection:
                connection.sendall(request.encode())
                while chunk := connection.recv(65536):
                    answer += chunk
        except TimeoutError:
            return None
        return _parse_http(answer)

    def close(self) -> None:
        """Nothing is open between two questions."""


def _parse_http(answer: bytes) -> Told:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"200", 9):
        raise WrongAnswer(f"not OK: {head[:64]!r}")
    told = bencode.decode(body, allow_unsorted=True)
    if not isinstance(told, dict) or b"failure reason" in told:
        raise WrongAnswer(f"no answer to an announce: {body[:64]!r}")
    seeds, leechers, peers = told.get(b"complete"), told.get(b"incomplete"), told.get(b"peers", b"")
    if not isinstance(seeds, int) or not isinstance(leechers, int) or not isinstance(peers, bytes):
        raise WrongAnswer(f"no counts or no peers: {body[:64]!r}")
    return Told(seeds, leechers, _split(peers))


def _split(records: bytes) -> list[bytes]:
    return [records[at : at + RECORD] for at in range(0, len(records), RECORD)]
