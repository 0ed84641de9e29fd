"""One scene of a URL, once: nginx at the hub, helpers that are ready, requesters started at once, and what came of it.

A requester's time runs from the start of its process to its end. The file of each one that was not struck has to have
the SHA-256 of what is served; one that was struck may have none, but no wrong one under the final name.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.parts import nginx_origin
from lab.parts.clients import SHOAL
from lab.parts.members import Member, aria2
from lab.parts.namespaces import Command, LabError, Link, Network
from lab.parts.nginx_origin import Answer
from lab.parts.pool_scenes import CHANGE_EVERY, Scene, Step, bound_of, drawn_rates, steps_without
from lab.parts.processes import Crew, Process

START_LIMIT = 60.0  # seconds for the origin and all helpers to be ready
STARTING = 30.0  # seconds more than a scene may take, whatever the size
SLOWEST = 6  # times the bound
LOOK_EVERY = 0.05  # seconds; a blow or a change of rates is so late at most, and counted from when it was
TRACKER_PORT = 6969


class WrongFile(LabError):
    """A member ended well and what it has is not what was served."""


@dataclass(frozen=True, slots=True)
class Stand:
    """What all scenes of one run share."""

    folder: Path
    payload: Path
    sha256: bytes
    lan: Link
    group: Sequence[Member]
    meets_at_tracker: bool = False

    @property
    def size(self) -> int:
        return self.payload.stat().st_size


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scene."""

    scene: str
    seconds: float  # of the last requester that was to have the file
    bound: float
    size: int
    origin_frames: int  # bytes of frames that the links from the origin carried until then
    lan_bytes: int  # that came to any host over the LAN until then
    answers: tuple[Answer, ...]
    addresses: tuple[str, ...]  # of each host, at the origin
    told: tuple[Mapping[str, Any], ...] = ()  # each requester's own sources, where its last line has them
    finished: tuple[float, ...] = field(default=())  # seconds of each such requester


def play(scene: Scene, stand: Stand, seed: int) -> Outcome:
    """Raises `LabError`; `WrongFile` for a file with other bytes than those served."""
    folder = stand.folder / "run"
    folder.mkdir()
    rng = random.Random(f"{seed} {scene.name}")
    rates = drawn_rates(rng, len(scene.rates), max(scene.rates)) if scene.is_changing else scene.rates
    links = [Link(up, down) for up, down in zip(scene.rates, rates, strict=True)]
    try:
        with Network(links, lan=stand.lan) as network, Crew(network, folder) as crew:
            run = _Run(scene, stand, rng, rates, network, crew)
            run.start_origin()
            run.start_helpers()
            run.start_requesters()
            run.wait_all()
            return run.result()
    finally:
        shutil.rmtree(folder)


class _Run:
    """What `play` does, step by step."""

    def __init__(
        self,
        scene: Scene,
        stand: Stand,
        rng: random.Random,
        rates: Sequence[int],
        network: Network,
        crew: Crew,
    ) -> None:
        self.scene = scene
        self.stand = stand
        self.rng = rng
        self.rates = rates
        self.network = network
        self.crew = crew
        self.members: list[Process] = []  # by host
        self.steps: list[Step] = [(0.0, float(sum(rates)))]
        self.has_struck = False

    # ---- who takes part

    def start_origin(self) -> None:
        hub = self.network.hub
        where = ["--bind", hub.lan_address, "--port", str(TRACKER_PORT)]
        if self.stand.meets_at_tracker:
            tracker = self.crew.start("tracker", hub, [*SHOAL, "tracker", *where])
            self.crew.watch(lambda: bool(tracker.lines), START_LIMIT, every=LOOK_EVERY)
        folder = self.crew.folder
        command = nginx_origin.prepare(folder, self.stand.payload.parent, hub.address)
        self.origin = self.crew.start("nginx", hub, command)
        self.crew.watch(lambda: nginx_origin.is_up(folder), START_LIMIT, every=LOOK_EVERY)

    def start_helpers(self) -> None:
        """All that are not requesters; returns when each has said that it is ready."""
        helpers = [
            self._start(number, self.stand.group[number].help())
            for number in range(self.scene.requesters, len(self.scene.rates))
        ]
        self.crew.watch(lambda: all(helper.lines for helper in helpers), START_LIMIT, every=LOOK_EVERY)
        self.helpers = helpers

    def start_requesters(self) -> None:
        url = nginx_origin.url_at(self.network.hub.address)
        requesters: list[Process] = []
        for number in range(self.scene.requesters):
            folder = self._download(number)
            folder.mkdir()
            requesters.append(self._start(number, self._request(number, url, folder)))
            requesters[-1].end_is_expected = True
        self.started_at = requesters[0].started_at
        self.members = [*requesters, *self.helpers]
        for number in self.scene.struck:
            self.members[number].end_is_expected = True

    def _request(self, number: int, url: str, folder: Path) -> Command:
        if self.scene.program == "aria2":
            return aria2(url, folder)
        return self.stand.group[number].get(url, folder)

    def _start(self, number: int, command: Command) -> Process:
        settings = self.stand.group[number].settings if self.stand.group else {}
        return self.crew.start(f"member-{number}", self.network.hosts[number], command, settings)

    def _download(self, number: int) -> Path:
        return self.crew.folder / f"download-{number}"

    # ---- what happens to them

    def wait_all(self) -> None:
        """Until every requester that is not struck has ended; meanwhile what the scene wants is done to the others."""
        waited = [self.members[number] for number in self.scene.survivors]
        self.strikes_at = bound_of(self.stand.size, self.steps) / 2
        slowest = self.stand.size * 8 / min(self.rates)  # alone, over the slowest link: whatever the scene is
        self.crew.watch(
            lambda: all(process.ended_at for process in waited),
            STARTING + SLOWEST * slowest,
            every=LOOK_EVERY,
            look=self._act,
        )
        for process in waited:
            if process.popen.wait() != 0:
                raise LabError(f"{process.name} ended with {process.popen.returncode}: {process.last_words}")

    def _act(self, now: float) -> None:
        seconds = now - self.started_at
        if self.scene.struck and not self.has_struck and seconds >= self.strikes_at:
            self.has_struck = True
            for number in self.scene.struck:
                os.kill(self.members[number].popen.pid, self.scene.blow)
            self.steps = steps_without(self.rates, self.scene.struck, time.perf_counter() - self.started_at)
        if self.scene.is_changing and seconds >= self.steps[-1][0] + CHANGE_EVERY:
            rates = drawn_rates(self.rng, len(self.scene.rates), max(self.scene.rates))
            self.network.change_downloads(rates)
            self.steps.append((time.perf_counter() - self.started_at, float(sum(rates))))

    # ---- what it came to

    def result(self) -> Outcome:
        """Ends all processes: the origin's log is whole when nobody is connected any more."""
        origin_frames = sum(traffic.received for traffic in self.network.traffic())
        lan_bytes = sum(self.network.lan_received())
        told = tuple(map(sources_of, (self.members[number] for number in self.scene.survivors)))
        if self.has_struck and self.scene.blow == signal.SIGSTOP:
            for number in self.scene.struck:
                self.members[number].popen.kill()  # a frozen process hears nothing else
        self.crew.stop(self.members)
        self.origin.popen.send_signal(signal.SIGQUIT)
        self.origin.popen.wait()
        self._compare()
        finished = [self.members[number].ended_at - self.started_at for number in self.scene.survivors]
        return Outcome(
            self.scene.name,
            max(finished),
            bound_of(self.stand.size, self.steps),
            self.stand.size,
            origin_frames,
            lan_bytes,
            tuple(nginx_origin.parse_log((self.crew.folder / "access.log").read_text())),
            tuple(host.address for host in self.network.hosts),
            tuple(one for one in told if one),
            tuple(finished),
        )

    def _compare(self) -> None:
        for number in range(self.scene.requesters):
            copy = self._download(number) / nginx_origin.NAME
            if copy.exists() or number in self.scene.survivors:
                if not copy.exists():
                    raise WrongFile(f"member-{number} ended well, and has no {copy.name}")
                with copy.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").digest() != self.stand.sha256:
                        raise WrongFile(f"the file of member-{number} is not the one that was served")


def sources_of(requester: Process) -> dict[str, Any]:
    """What its last line says of who gave how much, by name; empty where it says nothing."""
    line = requester.last_line
    if not line.startswith('{"status"'):
        return {}
    sources = json.loads(line).get("sources", [])
    return {str(source.get("name") or source["address"]): int(source["bytes"]) for source in sources}
