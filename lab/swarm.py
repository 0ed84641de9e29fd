"""One seed, leechers started at once, equal links: how near ours, libtorrent and aria2 come to the bound.

`./dev lab swarm [--leechers N] [--rate RATE] [--size SIZE] [--piece SIZE] [--rounds N] [--only SWARMS]`, as root.
Every member is a real process in a network namespace of its own; all meet by one tracker of ours whose link has no
limit. The swarms take turns. First one TCP stream shows what such a link carries (`--check` does only that).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.harness import argument, compile_ours, machine, make_payload, run_process, size_in_words
from lab.parts.clients import SHOAL, Client, known_clients
from lab.parts.command_line import FAILED, parse_rate, run_lab, say
from lab.parts.line_check import payload_rate
from lab.parts.namespaces import SUBNET, LabError
from lab.parts.spreading import TRACKER_PORT, Scene, Spread, Swarm, spread
from lab.parts.swarm_table import (
    FRAME,
    FRAME_PAYLOAD,
    explanation,
    figures_of,
    rates,
    record,
    table,
    trace,
    verdicts,
)
from shoal.units import KIB, parse_size

PURE = ("shoal", "libtorrent", "aria2")
NAMES = (*PURE, "mixed-libtorrent", "mixed-shoal")  # half libtorrent's, half ours, and whose the seed is


def main(argv: Sequence[str] | None = None) -> int:
    chosen = parse_options(argv)
    return run_lab(partial(run, chosen))


def parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev lab swarm", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--leechers", type=int, default=8, help="how many beside the seed (8)")
    parser.add_argument(
        "--rate", type=argument(parse_rate), default="40mbit", help="of every link, each way (40mbit)"
    )
    parser.add_argument("--size", type=argument(parse_size), default="64MiB", help="of the payload (64MiB)")
    parser.add_argument("--piece", type=argument(parse_size), default="256KiB", help="of one piece (256KiB)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each swarm runs (3)")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="SWARM", help=", ".join(NAMES))
    parser.add_argument("--check", action="store_true", help="only see what a link carries")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, unrounded")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write when each leecher had everything")
    parser.add_argument("--rates", type=Path, metavar="FILE", help="write each link's rates once a second")
    return parser.parse_args(argv)


def swarms_of(leechers: int) -> list[Swarm]:
    """Those of one client each, and two of libtorrent and ours by turns."""
    both = tuple(("libtorrent", "shoal")[number % 2] for number in range(leechers))
    return [Swarm(name, name, (name,) * leechers) for name in PURE] + [
        Swarm(f"mixed-{seed}", seed, both) for seed in ("libtorrent", "shoal")
    ]


def run(chosen: argparse.Namespace, folder: Path) -> int:
    """All of it; an exit code. Raises `LabError`."""
    compile_ours()
    print(machine())
    print(line_checked(chosen.rate, folder), flush=True)
    if chosen.check:
        return 0
    clients = known_clients()
    for name in PURE:
        print(f"{name}: {clients[name].version}" if name in clients else f"absent: {name}")
    swarms = [swarm for swarm in swarms_of(chosen.leechers) if swarm.name in (chosen.only or NAMES)]
    swarms = [swarm for swarm in swarms if {swarm.seed, *swarm.leechers} <= set(clients)]
    pieces = f"{size_in_words(chosen.size)} in pieces of {chosen.piece // KIB} KiB"
    print(f"1 seed, {chosen.leechers} leechers, {pieces}, rounds: {chosen.rounds}\n", flush=True)
    scene = set_scene(folder, chosen)
    spreads, failures = take_turns(swarms, scene, clients, chosen)
    write_files(chosen, scene, spreads)
    figures = figures_of(spreads, scene.size)
    print(f"{explanation(scene)}\n\n{table(figures, scene)}\n")
    print("\n".join([*(f"FAILED {failure}" for failure in failures), *verdicts(figures, swarms, scene)]))
    return FAILED if failures else 0


def line_checked(rate: int, folder: Path) -> str:
    carried = payload_rate(rate, folder)
    return (
        f"a link of {rate / 1e6:g} Mbit/s carries {carried / 1e6:.2f} of payload in one TCP stream: "
        f"{carried / rate:.3f} of it, where the headers of full frames leave {FRAME_PAYLOAD / FRAME:.3f}"
    )


def set_scene(folder: Path, chosen: argparse.Namespace) -> Scene:
    payload = folder / "payload" / "payload.bin"
    payload.parent.mkdir()
    make_payload(payload, chosen.size)
    torrent = folder / "payload.torrent"
    tracker = f"http://{next(SUBNET.hosts())}:{TRACKER_PORT}/announce"
    how = ["--format", "v1", "--piece-length", str(chosen.piece), "--tracker", tracker]
    run_process([*SHOAL, "create", payload, "-o", torrent, *how])
    return Scene(folder, payload, torrent, chosen.rate)


def take_turns(
    swarms: Sequence[Swarm], scene: Scene, clients: Mapping[str, Client], chosen: argparse.Namespace
) -> tuple[list[Spread], list[str]]:
    """Every swarm once a round, in order; and what went wrong in any."""
    spreads: list[Spread] = []
    failures: list[str] = []
    for number in range(1, 1 + chosen.rounds):
        for swarm in swarms:
            name = f"{swarm.name}, round {number}"
            say(f"{name} ...")
            try:
                spreads.append(spread(swarm, scene, clients, sampled=chosen.rates is not None))
            except LabError as error:
                failures.append(f"{name}: {error}")
                say(failures[-1])
                continue
            last = max(arrival.seconds for arrival in spreads[-1].arrivals)
            say(f"{name}: the last after {last:.1f} s, {last / scene.bound:.2f} x F/u")
    return spreads, failures


def write_files(chosen: argparse.Namespace, scene: Scene, spreads: Sequence[Spread]) -> None:
    for path, text in (
        (chosen.json, record(spreads, scene)),
        (chosen.trace, trace(spreads)),
        (chosen.rates, rates(spreads)),
    ):
        if path is not None:
            path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
