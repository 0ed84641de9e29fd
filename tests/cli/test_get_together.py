"""The story of a group as a person lives it: keys, helpers, and `get`, with real processes.

Where members have to meet before the file is here, the server is slow until they have.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.fetch.group.key import parse_key
from shoal.testing.hostile_origin import HostileOrigin, Page, redirect
from shoal.units import KIB, MIB

from ..fetch.nginx import Nginx, nginx
from ..peers.processes import Pen
from ..peers.programs import TRACKERS
from .machines import ALLOWED, LOGGED, Room, room, wait_until
from .running import LOCAL

ELSEWHERE = "127.0.0.3"  # where the helpers of tests that must not hear each other listen
PAYLOAD = random.Random(5).randbytes(12 * MIB)
SMALL = PAYLOAD[:MIB]
LARGE = random.Random(6).randbytes(32 * MIB)  # half a minute over one connection of the real server
LONG_AGO = 1_600_000_000  # a file of this second has no version that could be believed
SLOW = 512 * KIB  # bytes a second that the server gives all together, until those have met who are to ...
FAST = 8 * MIB  # ... and then
PATH = "/file.bin"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("origin")) as running:
        for name, data in (("file.bin", PAYLOAD), ("small.bin", SMALL), ("large.bin", LARGE)):
            path = running.files / name
            path.write_bytes(data)
            os.utime(path, (LONG_AGO, LONG_AGO))
        yield running


@pytest.fixture
def origin() -> Iterator[HostileOrigin]:
    with HostileOrigin() as running:
        running.pages[PATH] = Page(PAYLOAD)
        running.rate = SLOW
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


def getting(url: str, *more: str) -> tuple[str, ...]:
    return ("get", url, *LOCAL, *LOGGED, "--group", "lab", "--connections", "1", *more)


def brought(out: list[str]) -> dict[str, str]:
    """Who fetched how much, by the rows below the result's line."""
    rows = (re.split(r" {2,}", line.strip()) for line in out[1:])
    return {name: count for count, _, name in rows}


def test_two_helpers_found_in_the_local_network_bring_their_part(lab: Room, origin: HostileOrigin) -> None:
    mine = lab.machine()
    helpers = [lab.helper(), lab.helper()]
    get = lab.start(mine, *getting(origin.url(PATH)))
    mine.wait_brought(*helpers)
    origin.rate = FAST
    assert get.wait() == 0, get.err
    assert mine.got() == PAYLOAD
    assert re.match(r"got file\.bin: 12\.0 MiB in .* \(.*/s\) from 127\.0\.0\.1:\d+, ", get.out[0])
    assert ", with 2 other members, " in get.out[0]
    assert {"this machine", *(helper.address for helper in helpers)} == set(brought(get.out))
    assert mine.left == {"file.bin"}
    for helper in helpers:
        helper.wait_line(r"helps with http://.*/file\.bin \(12\.0 MiB\)")


def test_two_with_the_same_checksum_share_a_file_of_which_the_server_says_no_version(
    lab: Room, origin: HostileOrigin
) -> None:
    origin.pages[PATH] = Page(PAYLOAD, etag=None)
    checksum = f"sha256:{hashlib.sha256(PAYLOAD).hexdigest()}"
    machines = [lab.machine(), lab.machine()]
    running = [lab.start(one, *getting(origin.url(PATH), "--checksum", checksum)) for one in machines]
    wait_until(lambda: any(one.bringers for one in machines), "pieces of one at the other")
    origin.rate = FAST
    for one, machine in zip(running, machines, strict=True):
        line = one.wait_line(r"got file\.bin: 12\.0 MiB in ")
        assert "with 1 other member" in line.string, one.out
        assert "sha256" in line.string
        assert machine.got() == PAYLOAD


def test_without_a_checksum_such_a_file_is_downloaded_alone_and_it_is_said_why(
    lab: Room, real: Nginx
) -> None:
    mine = lab.machine()
    got = mine.get(f"{real.url}/mute/small.bin", "--group", "lab", "-o", "file.bin")
    assert got.returncode == 0, got
    assert mine.got() == SMALL
    assert "one connection, without the group, and no going on after a stop: " in got.stderr
    assert "does not say which version it is (a checksum makes up for that)" in got.stderr


@pytest.mark.parametrize("tracker", TRACKERS)
def test_members_find_each_other_by_a_tracker(
    lab: Room, origin: HostileOrigin, tracker: str, tmp_path: Path
) -> None:
    """Bound to addresses between which no call by multicast goes, and with `group` and `tracker` in the file."""
    mine = lab.machine()
    pen = Pen(tmp_path)
    try:
        url = TRACKERS[tracker](pen, parse_key(lab.key).meeting_hash)
        helper = lab.helper("--bind", ELSEWHERE, "--port", "0", "--tracker", url, *ALLOWED, local=())
        mine.write_config(f'[get]\ngroup = "lab"\ntracker = ["{url}"]\n')
        get = lab.start(mine, "get", origin.url(PATH), *LOCAL, *LOGGED, "--json", "--connections", "1")
        mine.wait_brought(helper)
        origin.rate = FAST
        assert get.wait() == 0, get.err
    finally:
        pen.close()
    assert mine.got() == PAYLOAD
    last = get.json()[-1]
    assert (last["status"], last["path"], last["bytes"]) == ("complete", "file.bin", len(PAYLOAD))
    members = {one["address"]: one["bytes"] for one in last["sources"] if one["kind"] == "member"}
    assert list(members) == [helper.address]


def test_a_named_peer_helps_over_tls_and_http2_behind_a_host_that_redirects(lab: Room, real: Nginx) -> None:
    real.log.write_text("")
    mine, theirs = lab.machine(), lab.machine()
    for machine in (mine, theirs):
        machine.variables["CURL_CA_BUNDLE"] = str(real.ca)
    helper = lab.helper("--bind", ELSEWHERE, "--port", "0", *ALLOWED, on=theirs, local=())
    with HostileOrigin("127.0.0.2") as front:
        front.pages["/latest.bin"] = redirect(f"{real.tls_url}/slow/large.bin")
        get = lab.start(mine, *getting(front.url("/latest.bin"), "--peer", helper.address, "-o", "file.bin"))
        assert get.wait() == 0, get.err
    assert mine.got() == LARGE
    assert brought(get.out).get(helper.address, "0 B") != "0 B"
    asked = real.asked()
    assert asked and all("206 HTTP/2.0" in line for line in asked)


def test_a_crowd_takes_each_byte_from_the_server_about_once(lab: Room, origin: HostileOrigin) -> None:
    crowd = [lab.machine() for _ in range(3)]
    running = [lab.start(machine, *getting(origin.url(PATH))) for machine in crowd]
    wait_until(lambda: all(machine.bringers for machine in crowd), "pieces of others at each")
    origin.rate = FAST
    assert [one.wait() for one in running] == [0, 0, 0], [one.err for one in running]
    assert all(machine.got() == PAYLOAD for machine in crowd)
    assert origin.sent < 1.7 * len(PAYLOAD)


def test_without_any_helper_nothing_is_lost(lab: Room, real: Nginx) -> None:
    mine = lab.machine()
    got = mine.get(f"{real.url}/file.bin", "--group", "lab")
    assert got.returncode == 0 and "shoal: " not in got.stderr, got
    assert mine.got() == PAYLOAD
    assert "other member" not in got.stdout


def test_get_alone_loads_nothing_of_groups(lab: Room, real: Nginx) -> None:
    mine = lab.machine(joins=False)
    mine.variables["PYTHONPROFILEIMPORTTIME"] = "1"
    got = mine.run("get", f"{real.url}/file.bin")
    loaded = re.findall(r"\| +(\S+)$", got.stderr, re.MULTILINE)
    assert got.returncode == ExitCode.OK and "shoal.fetch.session" in loaded
    assert not [name for name in loaded if name.startswith(("cryptography", "shoal.engine"))]
