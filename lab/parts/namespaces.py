"""Several hosts on one machine: network namespaces on one bridge, each with links of its own rates.

    with Network([Link(up, down), ...]) as network:
        network.at(network.hosts[0], command)   # the command line that runs `command` there

Always true: everything made is named after this process (`shoal-lab-PID-...`) and gone when the block ends, with
whatever still ran in it; what a killed process of ours left behind goes when the next one starts (`sweep`). Nothing is
made in the namespace we run in. Knows `ip` and `tc`, and nothing of what is measured.

A link is a veth pair. Its host end is shaped to the upload, its bridge end to the download, both by a token bucket
that charges whole Ethernet frames and holds at most `QUEUE` of them; the hub is a host at the bridge itself, whose
own link has no limit.

With a `lan` each host has a second link of that rate, to a second bridge, and multicast goes there. Then the hosts see
each other on the LAN alone: the first bridge passes nothing from host to host.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from lab.parts.stopping import undisturbed
from shoal.units import KIB

PREFIX = "shoal-lab-"
NAMED = re.compile(rf"{PREFIX}(\d+)(-.*)?")  # the process that made it
SUBNET = ipaddress.ip_network("10.77.0.0/16")  # exists inside of the namespaces only
LAN_SUBNET = ipaddress.ip_network("10.78.0.0/16")  # so does this
MULTICAST = "224.0.0.0/4"
QUEUE = "60ms"  # of frames that wait for a link; what does not fit is dropped, as a home router does
LEAST_BURST = 32 * KIB  # a few frames more than the timers of any kernel need at 100 Mbit/s
BURST_SECONDS = 0.001  # above that, what a millisecond carries
PROC_BRIDGE = "/proc/sys/net/bridge/bridge-nf-call-iptables"  # absent where the module is
MEMORY = Path("/dev/shm")  # files in memory, so that no disk is measured
TOOL_LIMIT = 30.0  # seconds for one call of `ip` or `tc`; most take some milliseconds

Command = list[str | Path]


class LabError(Exception):
    """The lab cannot be built, or what runs in it failed; one line for a person."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a host's link carries, in bits a second; None is without limit."""

    up: int | None
    down: int | None


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    namespace: str
    address: str
    lan_address: str  # means something only where there is a LAN


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a shaped link has carried so far, in bytes of whole frames."""

    sent: int
    received: int


class Network(AbstractContextManager["Network"]):
    """Hosts `hosts[i]` on links `links[i]`, and a `hub` beside them. Raises `LabError`."""

    def __init__(self, links: Sequence[Link], *, lan: Link | None = None) -> None:
        prefix = f"{PREFIX}{os.getpid()}-"
        addresses = zip(map(str, SUBNET.hosts()), map(str, LAN_SUBNET.hosts()), strict=True)
        self.links = tuple(links)
        self.lan = lan
        self.hub = Host("hub", f"{prefix}hub", *next(addresses))
        self.hosts = tuple(
            Host(f"host{number}", f"{prefix}{number}", *next(addresses)) for number in range(len(links))
        )

    def __enter__(self) -> Network:
        try:
            for host in (self.hub, *self.hosts):
                call("ip", "netns", "add", host.namespace)
            self._lay_cables()
            self._shape()
            if self.lan is not None:
                self._add_lan(self.lan)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            for host in (*self.hosts, self.hub):
                remove_namespace(host.namespace)

    def at(self, host: Host, command: Sequence[str | Path]) -> Command:
        """The command line that becomes `command` (same process id) in the host's namespace."""
        return ["ip", "netns", "exec", host.namespace, *command]

    def traffic(self) -> list[Traffic]:
        """What each host's link has carried, as the shapers count: every frame with its own header."""
        at_bridge = shaped_bytes(self.hub)
        return [
            Traffic(sent=shaped_bytes(host).get("eth0", 0), received=at_bridge.get(port_of(number), 0))
            for number, host in enumerate(self.hosts)
        ]

    def lan_received(self) -> list[int]:
        """Bytes that came to each host over the LAN."""
        listed = json.loads(call("ip", "-n", self.hub.namespace, "-s", "-j", "link", "show", "type", "veth"))
        sent = {entry["ifname"]: int(entry["stats64"]["tx"]["bytes"]) for entry in listed}
        return [sent[lan_port_of(number)] for number in range(len(self.hosts))]

    def change_downloads(self, rates: Sequence[int]) -> None:
        """Give each host's link another download rate; what it has carried is still counted."""
        lines = [" ".join(shaper(port_of(number), rate, verb="change")) for number, rate in enumerate(rates)]
        batch(["tc", "-n", self.hub.namespace], *lines)

    def _lay_cables(self) -> None:
        hub = self.hub.namespace
        call("ip", "-n", hub, "link", "add", "bridge", "type", "bridge")
        call(*self.at(self.hub, ["sh", "-c", f"[ ! -e {PROC_BRIDGE} ] || echo 0 > {PROC_BRIDGE}"]))
        batch(
            ["ip", "-n", hub],
            "link set lo up",
            f"addr add {self.hub.address}/{SUBNET.prefixlen} dev bridge",
            "link set bridge up",
        )
        for number, host in enumerate(self.hosts):
            self._lay_cable(host, "eth0", port_of(number), "bridge")
            if self.lan is not None:
                call(
                    "ip", "-n", hub, "link", "set", port_of(number), "type", "bridge_slave", "isolated", "on"
                )
            batch(
                ["ip", "-n", host.namespace],
                "link set lo up",
                f"addr add {host.address}/{SUBNET.prefixlen} dev eth0",
                "link set eth0 up",
            )

    def _lay_cable(self, host: Host, device: str, port: str, bridge: str) -> None:
        hub = self.hub.namespace
        cable = ["link", "add", device, "netns", host.namespace, "type", "veth"]
        call("ip", *cable, "peer", "name", port, "netns", hub)
        batch(["ip", "-n", hub], f"link set {port} master {bridge}", f"link set {port} up")

    def _add_lan(self, lan: Link) -> None:
        hub = self.hub.namespace
        call("ip", "-n", hub, "link", "add", "lan", "type", "bridge")
        batch(
            ["ip", "-n", hub],
            f"addr add {self.hub.lan_address}/{LAN_SUBNET.prefixlen} dev lan",
            "link set lan up",
        )
        for number, host in enumerate(self.hosts):
            port = lan_port_of(number)
            self._lay_cable(host, "eth1", port, "lan")
            batch(
                ["ip", "-n", host.namespace],
                f"addr add {host.lan_address}/{LAN_SUBNET.prefixlen} dev eth1",
                "link set eth1 up",
                f"route add {MULTICAST} dev eth1",
            )
            if lan.up is not None:
                call("tc", "-n", host.namespace, *shaper("eth1", lan.up))
            if lan.down is not None:
                call("tc", "-n", hub, *shaper(port, lan.down))

    def _shape(self) -> None:
        for number, (host, link) in enumerate(zip(self.hosts, self.links, strict=True)):
            if link.up is not None:
                call("tc", "-n", host.namespace, *shaper("eth0", link.up))
            if link.down is not None:
                call("tc", "-n", self.hub.namespace, *shaper(port_of(number), link.down))


def port_of(number: int) -> str:
    """The bridge's end of a host's cable."""
    return f"port{number}"


def lan_port_of(number: int) -> str:
    return f"lan{number}"


def shaper(device: str, rate: int, *, verb: str = "add") -> list[str]:
    burst = max(LEAST_BURST, int(rate / 8 * BURST_SECONDS))
    limits = ["rate", f"{rate}bit", "burst", f"{burst}b", "latency", QUEUE]
    return ["qdisc", verb, "dev", device, "root", "tbf", *limits]


def shaped_bytes(host: Host) -> dict[str, int]:
    """What each shaper in a namespace has let through, by device."""
    listed = json.loads(call("tc", "-n", host.namespace, "-s", "-j", "qdisc", "show") or "[]")
    return {entry["dev"]: entry["bytes"] for entry in listed if entry["kind"] == "tbf"}


# ---- what is there, and what was left behind


def why_not() -> str | None:
    """Why no network can be made here, in one line; None if one can, which is tried, after a `sweep`."""
    if sys.platform != "linux":
        return "network namespaces are Linux's; this is not Linux"
    if os.geteuid() != 0:
        return "making network namespaces needs root (CAP_NET_ADMIN): run it with sudo"
    for program in ("ip", "tc"):
        if shutil.which(program) is None:
            return f"'{program}' is missing: apt install iproute2"
    try:
        sweep()
        with Network([Link(10**9, 10**9)]):
            return None
    except LabError as error:
        return f"this system does not let us make network namespaces: {error}"


def namespaces() -> list[str]:
    """All of ours that there are, of whichever process."""
    names = [line.split()[0] for line in call("ip", "netns", "list").splitlines()]
    return [name for name in names if NAMED.fullmatch(name)]


def sweep() -> None:
    """Before any network: remove the namespaces that dead processes of ours left behind."""
    for name in namespaces():
        if not is_owner_alive(name):
            remove_namespace(name)


def is_owner_alive(name: str) -> bool:
    """Whether another process that something of ours is named after is there; we ourselves start with nothing."""
    named = NAMED.fullmatch(name)
    return named is not None and int(named[1]) != os.getpid() and Path("/proc", named[1]).exists()


def remove_namespace(name: str) -> None:
    """Kill what still runs in it, by process id, and delete it; if it is not there, that is well."""
    with contextlib.suppress(LabError):
        for pid in call("ip", "netns", "pids", name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        call("ip", "netns", "delete", name)


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A folder in memory named after this process; removed with the block, as are those of the dead at its start."""
    parent = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    for old in parent.glob(f"{PREFIX}*"):
        if NAMED.fullmatch(old.name) and not is_owner_alive(old.name):
            shutil.rmtree(old)
    folder = parent / f"{PREFIX}{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        with undisturbed():
            shutil.rmtree(folder)


# ---- the tools


def batch(tool: Sequence[str], *lines: str) -> None:
    """Several commands in one process."""
    call(*tool, "-batch", "-", said="\n".join(lines) + "\n")


def call(*command: str | Path, said: str = "") -> str:
    """Run one command and return what it prints. Raises `LabError`."""
    try:
        done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=TOOL_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{' '.join(map(str, command))}: {error}") from error
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or f"ended with {done.returncode}"
        raise LabError(f"{' '.join(map(str, command))}: {reason}")
    return done.stdout
