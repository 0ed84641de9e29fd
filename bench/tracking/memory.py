"""What a peer costs `shoal tracker` in memory: a million of them in 100,000 swarms, one worker."""

from __future__ import annotations

import socket
import struct

from bench.tracking.population import Population, info_hash
from bench.tracking.rings import SLOT
from bench.tracking.servers import pin_to_load_core, running_shoal
from bench.tracking.udp_load import HOST, connection_id, fill_from
from shoal.units import MIB

POPULATION = Population(100_000, 1_000_000)
SOURCES = [f"127.{number}.{number}.{number}" for number in range(1, 11)]
MOST_BYTES = 200  # a peer
LOOKED_AT = 50  # swarms whose sizes are asked for at the end: they fit in one datagram
ANSWER_SECONDS = 2.0
SCRAPE_ACTION = 2


def measure_memory(population: Population = POPULATION) -> int:
    """Print it; an exit code."""
    pin_to_load_core()
    with running_shoal() as server:
        before = server.resident()
        loads = fill_from(SOURCES, server.port, population)
        grown = server.resident() - before
        held = peers_held(server.port, LOOKED_AT)
    print(f"{population}: {before / MIB:.0f} MiB resident before, {grown / MIB:.0f} more with all of them")
    each = grown / population.peers
    print(f"{'yes' if each <= MOST_BYTES else 'NO '}  {each:.0f} bytes a peer; no more than {MOST_BYTES}")
    wanted = LOOKED_AT * population.peers // population.swarms
    if held != wanted:
        print(f"FAILED {LOOKED_AT} swarms have {held} peers instead of {wanted}")
    missing = population.peers - sum(load.answered for load in loads)
    if missing:
        print(f"FAILED {missing} announces were not answered")
    return 1 if missing or held != wanted else 0


def peers_held(port: int, swarms: int) -> int:
    """How many peers the first so many swarms have, by a scrape (BEP 15)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        head = connection_id(sock) + SCRAPE_ACTION.to_bytes(4, "big") + bytes(4)
        sock.settimeout(ANSWER_SECONDS)
        sock.send(head + b"".join(map(info_hash, range(swarms))))
        answer = sock.recv(SLOT)
    return sum(seeds + leechers for seeds, _, leechers in struct.iter_unpack("!III", answer[8:]))
