"""What a peer costs `shoal tracker` in memory: a million of them in 100,000 swarms, one worker."""

from __future__ import annotations

from collections.abc import Iterator

from bench.tracking.population import Population
from bench.tracking.servers import running_shoal
from bench.tracking.udp_load import fill_udp

SWARMS, SOURCES = 100_000, 10
MOST_BYTES = 200  # a peer


def measure_memory() -> int:
    """Print it; an exit code. Each source is a loopback address from which a peer comes to each swarm."""
    population = Population(SWARMS, SWARMS)
    with running_shoal() as server:
        before = server.resident()
        refused = lost = 0
        for source in sources():
            load = fill_udp(server.port, population, source)
            refused, lost = refused + load.refused, lost + load.lost
        peers = SWARMS * SOURCES
        grown = server.resident() - before
    print(
        f"{peers:,} peers in {SWARMS:,} swarms: {before / 2**20:.0f} MiB before, {grown / 2**20:.0f} MiB more"
    )
    each = grown / peers
    print(f"{'yes' if each <= MOST_BYTES else 'NO '}  {each:.0f} bytes a peer; no more than {MOST_BYTES}")
    if refused or lost:
        print(f"FAILED {refused} announces refused, {lost} lost")
    return 1 if refused or lost else 0


def sources() -> Iterator[str]:
    return (f"127.0.{number // 200}.{1 + number % 200}" for number in range(1, 1 + SOURCES))
