"""The story of a group as a person lives it: keys, helpers, and `get` from a real server with real processes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.fetch.group.key import parse_key
from shoal.testing.hostile_origin import HostileOrigin, redirect
from shoal.units import MIB

from ..fetch.nginx import Nginx, nginx
from ..peers.processes import Pen
from ..peers.programs import TRACKERS
from .machines import ALLOWED, Room, room
from .running import LOCAL

ELSEWHERE = "127.0.0.3"  # where the helpers of tests that must not hear each other listen
PAYLOAD = random.Random(5).randbytes(8 * MIB)
LARGE = random.Random(6).randbytes(16 * MIB)  # for a crowd, which a busy machine needs seconds to gather
LONG_AGO = 1_600_000_000  # a file of this second has no version that could be believed


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("origin")) as running:
        for name, data in (("file.bin", PAYLOAD), ("large.bin", LARGE)):
            path = running.files / name
            path.write_bytes(data)
            os.utime(path, (LONG_AGO, LONG_AGO))
        yield running


@pytest.fixture
def lab(tmp_path: Path, origin: Nginx) -> Iterator[Room]:
    origin.log.write_text("")
    with room(tmp_path) as made:
        yield made


def bytes_sent(origin: Nginx) -> int:
    return sum(int(line.rpartition(" ")[2]) for line in origin.asked())


def brought(out: str) -> dict[str, str]:
    """Who fetched how much, by the rows below the result's line."""
    rows = (re.split(r" {2,}", line.strip()) for line in out.splitlines()[1:])
    return {name: count for count, _, name in rows}


def test_two_helpers_found_in_the_local_network_make_a_slow_server_faster(lab: Room, origin: Nginx) -> None:
    mine = lab.machine()
    helpers = [lab.helper(), lab.helper()]
    got = mine.get(f"{origin.url}/slow/file.bin", "--group", "lab", "--connections", "2")
    assert got.returncode == 0, got
    assert mine.got() == PAYLOAD
    first = got.stdout.splitlines()[0]
    assert re.match(r"got file\.bin: 8\.00 MiB in [0-9.]+ s \(.*/s\) from 127\.0\.0\.1:\d+, ", first)
    assert ", with 2 other members, " in first
    assert {"this machine", *(helper.address for helper in helpers)} == set(brought(got.stdout))
    assert mine.left == {"file.bin"}
    for helper in helpers:
        helper.wait_line(r"helps with http://.*/slow/file\.bin \(8\.00 MiB\)")
    assert bytes_sent(origin) < 1.8 * len(PAYLOAD)


def test_two_with_the_same_checksum_share_a_file_of_which_the_server_says_no_version(
    lab: Room, origin: Nginx
) -> None:
    checksum = f"sha256:{hashlib.sha256(PAYLOAD).hexdigest()}"
    arguments = ("get", f"{origin.url}/mute/file.bin", "--group", "lab", "--checksum", checksum)
    machines = [lab.machine(), lab.machine()]
    running = [lab.start(one, *arguments, "--connections", "1", *LOCAL) for one in machines]
    for one, machine in zip(running, machines, strict=True):
        line = one.wait_line(r"got file\.bin: 8\.00 MiB in ")
        assert "with 1 other member" in line.string, one.out
        assert "sha256" in line.string
        assert machine.got() == PAYLOAD
    assert bytes_sent(origin) < 1.5 * len(PAYLOAD)  # until they have met each fetches for itself


def test_without_a_checksum_such_a_file_is_downloaded_alone_and_it_is_said_why(
    lab: Room, origin: Nginx
) -> None:
    mine = lab.machine()
    got = mine.get(f"{origin.url}/mute/file.bin", "--group", "lab")
    assert got.returncode == 0, got
    assert mine.got() == PAYLOAD
    assert "one connection, without the group, and no going on after a stop: " in got.stderr
    assert "does not say which version it is (a checksum makes up for that)" in got.stderr


@pytest.mark.parametrize("tracker", TRACKERS)
def test_members_find_each_other_by_a_tracker(lab: Room, origin: Nginx, tracker: str, tmp_path: Path) -> None:
    """Bound to addresses between which no call by multicast goes, and with `group` and `tracker` in the file."""
    mine = lab.machine()
    pen = Pen(tmp_path)
    try:
        url = TRACKERS[tracker](pen, parse_key(lab.key).meeting_hash)
        helper = lab.helper("--bind", ELSEWHERE, "--port", "0", "--tracker", url, *ALLOWED, local=())
        mine.write_config(f'[get]\ngroup = "lab"\ntracker = ["{url}"]\n')
        got = mine.get(f"{origin.url}/slow/file.bin?at={tracker[:5].strip()}", "-o", "file.bin", "--json")
    finally:
        pen.close()
    assert got.returncode == 0, got
    assert mine.got() == PAYLOAD
    last = json.loads(got.stdout.splitlines()[-1])
    assert (last["status"], last["path"], last["bytes"]) == ("complete", "file.bin", len(PAYLOAD))
    members = {one["address"]: one["bytes"] for one in last["sources"] if one["kind"] == "member"}
    assert list(members) == [f"{ELSEWHERE}:{helper.port}"]


def test_a_named_peer_helps_over_tls_and_http2_behind_a_host_that_redirects(lab: Room, origin: Nginx) -> None:
    mine, theirs = lab.machine(), lab.machine()
    for machine in (mine, theirs):
        machine.variables["CURL_CA_BUNDLE"] = str(origin.ca)
    helper = lab.helper("--bind", ELSEWHERE, "--port", "0", *ALLOWED, on=theirs, local=())
    with HostileOrigin("127.0.0.2") as front:
        front.pages["/latest.bin"] = redirect(f"{origin.tls_url}/slow/file.bin")
        peer = f"{ELSEWHERE}:{helper.port}"
        got = mine.get(front.url("/latest.bin"), "--group", "lab", "--peer", peer, "-o", "file.bin")
    assert got.returncode == 0, got
    assert mine.got() == PAYLOAD
    assert brought(got.stdout).get(peer, "0 B") != "0 B"
    asked = origin.asked()
    assert asked and all("206 HTTP/2.0" in line for line in asked)


def test_a_crowd_takes_each_byte_from_the_server_about_once(lab: Room, origin: Nginx) -> None:
    crowd = [lab.machine() for _ in range(3)]
    url = f"{origin.url}/slow/large.bin?of=a-crowd"
    command = ("get", url, *LOCAL, "--group", "lab", "-o", "file.bin", "--connections", "1")
    running = [lab.start(machine, *command) for machine in crowd]
    assert [one.wait() for one in running] == [0, 0, 0], [one.err for one in running]
    assert all(machine.got() == LARGE for machine in crowd)
    assert bytes_sent(origin) < 1.7 * len(LARGE)


def test_without_any_helper_nothing_is_lost(lab: Room, origin: Nginx) -> None:
    mine = lab.machine()
    got = mine.get(f"{origin.url}/file.bin", "--group", "lab")
    assert got.returncode == 0 and "shoal: " not in got.stderr, got
    assert mine.got() == PAYLOAD
    assert "other member" not in got.stdout


def test_get_alone_loads_nothing_of_groups(lab: Room, origin: Nginx) -> None:
    mine = lab.machine(joins=False)
    mine.variables["PYTHONPROFILEIMPORTTIME"] = "1"
    got = mine.run("get", f"{origin.url}/file.bin")
    loaded = re.findall(r"\| +(\S+)$", got.stderr, re.MULTILINE)
    assert got.returncode == ExitCode.OK and "shoal.fetch.session" in loaded
    assert not [name for name in loaded if name.startswith(("cryptography", "shoal.engine"))]
