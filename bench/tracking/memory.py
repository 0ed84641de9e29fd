"""What a peer costs in memory: a million of them in 100,000 swarms, in the store alone and in one `shoal tracker`."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from bench.tracking.population import Population, info_hash
from bench.tracking.rings import SLOT
from bench.tracking.servers import pin_to_load_core, resident_of, running_shoal
from bench.tracking.udp_load import HOST, connection_id, fill_from
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.scopes import Scope
from shoal.tracker.store import Presence, Visit
from shoal.units import MIB

POPULATION = Population(100_000, 1_000_000)
SOURCES = [f"127.{number}.{number}.{number}" for number in range(1, 11)]
MOST_BYTES = 200  # a peer
LOOKED_AT = 50  # swarms whose sizes are asked for at the end: they fit in one datagram
ANSWER_SECONDS, TRIES = 2.0, 5
SCRAPE_ACTION = 2
HOUR = 3600.0


def measure_memory(population: Population = POPULATION) -> int:
    """Print it; an exit code."""
    pin_to_load_core()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        alone = process.submit(grow_store, population).result()
    with running_shoal() as server:
        before = server.resident()
        loads = fill_from(SOURCES, server.port, population)
        grown = server.resident() - before
        held = peers_held(server.port, LOOKED_AT)
    print(f"{population}: {before / MIB:.0f} MiB resident before, {grown / MIB:.0f} more with all of them")
    print(f"the store alone grows by {alone / MIB:.0f} MiB: {alone / population.peers:.0f} bytes a peer")
    each = grown / population.peers
    print(f"{'yes' if each <= MOST_BYTES else 'NO '}  {each:.0f} bytes a peer; no more than {MOST_BYTES}")
    wanted = LOOKED_AT * population.peers // population.swarms
    if held != wanted:
        print(f"FAILED {LOOKED_AT} swarms have {held} peers instead of {wanted}")
    missing = population.peers - sum(load.answered for load in loads)
    if missing:
        print(f"FAILED {missing} announces were not answered")
    return 1 if missing or held != wanted else 0


def grow_store(population: Population) -> int:
    """By how many bytes a process grows when its store takes them in."""
    order, hashes = population.order(), [info_hash(swarm) for swarm in range(population.swarms)]
    host = socket.inet_aton(HOST)
    store = MemoryStore(HOUR, random.Random(1), max_peers=population.peers, max_swarms=population.swarms)
    before = resident_of(os.getpid())
    for peer in order:
        presence = Presence.LEECHING if population.left(peer) else Presence.SEEDING
        record = host + population.port(peer).to_bytes(2, "big")
        own_hash = bytes(bytearray(hashes[peer % population.swarms]))  # a door makes a new one each time
        store.visit(Visit(own_hash, record, presence, scope=Scope.LOOPBACK), 0.0)
    return resident_of(os.getpid()) - before


def peers_held(port: int, swarms: int) -> int:
    """How many peers the first so many swarms have, by a scrape (BEP 15)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        head = connection_id(sock) + SCRAPE_ACTION.to_bytes(4, "big") + bytes(4)
        sock.settimeout(ANSWER_SECONDS)
        answer = b""
        for _ in range(TRIES):  # behind a load the server may have no room for a datagram
            sock.send(head + b"".join(map(info_hash, range(swarms))))
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(SLOT)
                break
    return sum(seeds + leechers for seeds, _, leechers in struct.iter_unpack("!III", answer[8:]))
