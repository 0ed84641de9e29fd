"""What really goes through the links of a lab, so that bounds from their rates can be believed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.parts.members import curl_part
from lab.parts.namespaces import Command, Host, LabError, Link, Network
from lab.parts.nginx_origin import is_up, prepare, url_at
from lab.parts.processes import Crew

PROGRAM = Path(__file__).resolve().parent / "raw_stream.py"
PORT = 5000
SECONDS = 1.5
LIMIT = 30.0  # seconds for all of it
_CONNECT = """
import errno, socket, sys
probe = socket.socket()
probe.settimeout(0.5)
sys.exit(probe.connect_ex((sys.argv[1], 9)) != errno.ECONNREFUSED)
"""
PROBE: Command = [sys.executable, "-I", "-c", _CONNECT]


def payload_rate(rate: int, folder: Path) -> float:
    """Payload in bits a second from one host to another, over links of `rate`. Raises `LabError`."""
    with Network([Link(rate, rate)] * 2) as network, Crew(network, folder) as crew:
        sender, receiver = network.hosts
        where = [receiver.address, str(PORT)]
        receiving = crew.start("receiver", receiver, [sys.executable, PROGRAM, "receive", *where])
        crew.watch(lambda: bool(receiving.lines), LIMIT)
        crew.start("sender", sender, [sys.executable, PROGRAM, "send", *where, str(SECONDS)])
        crew.watch(lambda: len(receiving.lines) > 1, LIMIT)
        return float(receiving.last_line.removeprefix("rate ")) * 8


def origin_check(rates: Sequence[int], lan: Link, payload: Path, folder: Path) -> str:
    """What links to an origin carry when each host fetches its share of the file with curl, in one line.

    And that hosts reach each other over the LAN, and over nothing else. Raises `LabError`.
    """
    run = folder / "check"
    run.mkdir()
    size, count = payload.stat().st_size, len(rates)
    links = [Link(rate, rate) for rate in rates]
    with Network(links, lan=lan) as network, Crew(network, run) as crew:
        crew.start("nginx", network.hub, prepare(run, payload.parent, network.hub.address))
        crew.watch(lambda: is_up(run), LIMIT, every=0.02)
        first, second = network.hosts[:2]
        refuse_unless(reaches(network, first, second.lan_address), "hosts do not see each other on the LAN")
        refuse_unless(not reaches(network, first, second.address), "hosts see each other beside the LAN")
        url = url_at(network.hub.address)
        fetching = [
            crew.start(
                f"curl-{number}", host, curl_part(url, number * size // count, (number + 1) * size // count)
            )
            for number, host in enumerate(network.hosts)
        ]
        for process in fetching:
            process.end_is_expected = True
        crew.watch(lambda: all(process.ended_at for process in fetching), LIMIT + 3 * size * 8 / sum(rates))
        came = sum(int(process.last_line or 0) for process in fetching)
        refuse_unless(came == size, f"curl got {came} bytes of {size}")
        seconds = max(process.ended_at for process in fetching) - fetching[0].started_at
    bound = size * 8 / sum(rates)
    return f"curl, an equal share on each link: {seconds:.2f} s, {seconds / bound:.3f} x {bound:.2f} s"


def refuse_unless(is_so: bool, what: str) -> None:
    if not is_so:
        raise LabError(f"this is not the network that was asked for: {what}")


def reaches(network: Network, host: Host, address: str) -> bool:
    """Whether `address` answers at all, if only that nobody listens."""
    return subprocess.run(network.at(host, [*PROBE, address]), capture_output=True).returncode == 0
