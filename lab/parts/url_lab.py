"""What `dev lab pool` and `dev lab crowd` share: their options, the turns that scenes take, and what is printed."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bench.harness import (
    argument,
    compile_ours,
    first_line_of,
    is_there,
    machine,
    make_payload,
    size_in_words,
)
from lab.parts import nginx_origin
from lab.parts.command_line import FAILED, parse_rate, run_lab, say
from lab.parts.line_check import origin_check
from lab.parts.members import make_group
from lab.parts.namespaces import LAN_SUBNET, Command, LabError, Link
from lab.parts.pool_scenes import Scene
from lab.parts.pool_table import explanation, round_line, table, told_lines
from lab.parts.pooling import TRACKER_PORT, Outcome, Stand, play
from lab.parts.repeats import repeat_lines
from shoal import __version__
from shoal.units import parse_size

NO_LIMIT = "none"

MakeScenes = Callable[[int, int], list[Scene]]
Judge = Callable[[Sequence[Outcome]], list[str]]


def main(name: str, doc: str, make_scenes: MakeScenes, judge: Judge, argv: Sequence[str] | None) -> int:
    chosen = parse_options(name, doc, make_scenes, argv)
    return run_lab(partial(run, chosen, make_scenes, judge))


def parse_options(
    name: str, doc: str, make_scenes: MakeScenes, argv: Sequence[str] | None
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"dev lab {name}", description=doc.splitlines()[0])
    parser.add_argument("--members", type=int, default=8, help="machines in all (8)")
    parser.add_argument(
        "--rate", type=argument(parse_rate), default="20mbit", help="of each link to the origin (20mbit)"
    )
    parser.add_argument(
        "--lan-rate",
        type=argument(parse_lan_rate),
        default="1gbit",
        help="of each link to the LAN, or none (1gbit)",
    )
    parser.add_argument("--size", type=argument(parse_size), default="256MiB", help="of the file (256MiB)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each scene is played (3)")
    names = [scene.name for scene in make_scenes(2, 1)]
    parser.add_argument("--scene", nargs="+", choices=names, metavar="SCENE", help=", ".join(names))
    parser.add_argument("--seed", type=int, default=1, help="of the rates that change (1)")
    parser.add_argument(
        "--tracker", action="store_true", help="members meet at a tracker, not by local discovery"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=0,
        metavar="N",
        help="tell of the N largest runs that left the origin twice",
    )
    parser.add_argument("--check", action="store_true", help="only see what the links carry")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, unrounded")
    chosen = parser.parse_args(argv)
    if chosen.members < 2:
        parser.error("--members: at least 2")
    return chosen


def parse_lan_rate(text: str) -> int:
    """0 is without limit."""
    return 0 if text == NO_LIMIT else parse_rate(text)


def run(chosen: argparse.Namespace, make_scenes: MakeScenes, judge: Judge, folder: Path) -> int:
    """All of it; an exit code. Raises `LabError`."""
    compile_ours()
    print(machine())
    versions = [f"shoal {__version__}", nginx_origin.version()]
    versions += [
        first_line_of([name, "--version"]).split(" (")[0] for name in ("aria2c", "curl") if is_there(name)
    ]
    print("; ".join(versions))
    lan = Link(chosen.lan_rate or None, chosen.lan_rate or None)
    payload = make_file(folder, chosen.size)
    each = (
        f"{chosen.members} links of {chosen.rate / 1e6:g} Mbit/s to the origin, {size_in_words(chosen.size)}"
    )
    print(f"{each}, rounds: {chosen.rounds}")
    rates = [chosen.rate] * chosen.members
    print(origin_check(rates, lan, payload, folder), flush=True)
    if chosen.check:
        return 0
    scenes = [
        scene
        for scene in make_scenes(chosen.members, chosen.rate)
        if scene.name in (chosen.scene or scene.name)
    ]
    stand = set_stand(chosen, scenes, payload, lan, folder)
    outcomes, failures = take_turns(scenes, stand, chosen)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps([asdict(one) for one in outcomes], indent=1) + "\n")
    if outcomes:
        print(f"\n{explanation()}\n\n{table(outcomes)}\n")
    print("\n".join([*(f"FAILED {failure}" for failure in failures), *judge(outcomes)]))
    return FAILED if failures else 0


def make_file(folder: Path, size: int) -> Path:
    payload = folder / "files" / nginx_origin.NAME
    payload.parent.mkdir()
    make_payload(payload, size)
    changed_at = payload.stat().st_mtime - nginx_origin.AGE
    os.utime(payload, (changed_at, changed_at))
    return payload


def set_stand(
    chosen: argparse.Namespace, scenes: Sequence[Scene], payload: Path, lan: Link, folder: Path
) -> Stand:
    tracker = f"http://{next(LAN_SUBNET.hosts())}:{TRACKER_PORT}/announce"
    where: Command = ["--tracker", tracker] if chosen.tracker else []
    most = max((len(scene.rates) for scene in scenes if scene.program == "shoal"), default=0)
    group = make_group(folder / "homes", most, where) if most else []
    with payload.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").digest()
    return Stand(folder, payload, sha256, lan, group, chosen.tracker)


def take_turns(
    scenes: Sequence[Scene], stand: Stand, chosen: argparse.Namespace
) -> tuple[list[Outcome], list[str]]:
    """Every scene once a round, in order; and what went wrong in any."""
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for number in range(1, 1 + chosen.rounds):
        for scene in scenes:
            say(f"{scene.name}, round {number} ...")
            try:
                outcome = play(scene, stand, chosen.seed + number)
            except LabError as error:
                failures.append(f"{scene.name}, round {number}: {error}")
                say(failures[-1])
                continue
            outcomes.append(outcome)
            lines = [*told_lines(outcome), *repeat_lines(outcome.answers, chosen.repeats)]
            print("\n".join([round_line(outcome, number), *lines]), flush=True)
    return outcomes, failures
