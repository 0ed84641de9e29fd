"""What one TCP stream really gets through a link of the lab, so that a bound from the link's rate can be believed."""

from __future__ import annotations

import sys
from pathlib import Path

from lab.parts.namespaces import Link, Network
from lab.parts.processes import Crew

PROGRAM = Path(__file__).resolve().parent / "raw_stream.py"
PORT = 5000
SECONDS = 1.5
LIMIT = 30.0  # seconds for all of it


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
