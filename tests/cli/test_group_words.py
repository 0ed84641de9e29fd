"""What people mistype or are not allowed, in a group: one line, a hint where one helps, and a code that stays."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.fetch.group.key import new_key
from shoal.testing.hostile_origin import HostileOrigin, Page
from shoal.units import KIB, MIB

from ..fetch.proxies import proxy
from .machines import ALLOWED, Machine, Room, room, wait_until
from .part_records import remembered
from .running import HOST, LOCAL, Running

PAYLOAD = random.Random(7).randbytes(MIB)
SLOW = 64 * KIB  # bytes a second that the server gives all together: worth asking for help; until `finish`
PIECE = 256 * KIB
NOBODY = f"{HOST}:1"  # nothing listens there


@pytest.fixture
def origin() -> Iterator[HostileOrigin]:
    with HostileOrigin() as running:
        running.pages["/file.bin"] = Page(PAYLOAD)
        running.rate = SLOW
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


def check(ended: subprocess.CompletedProcess[str], code: ExitCode, error: str, hint: str = "") -> None:
    lines = [line for line in ended.stderr.splitlines() if line.startswith(("shoal: ", "hint: "))]
    assert ended.returncode == code, ended
    assert re.fullmatch(f"shoal: {error}", lines[0]), lines
    assert re.fullmatch(f"hint: {hint}", lines[1]) if hint else len(lines) == 1, lines
    assert "Traceback" not in ended.stderr


def finish(get: Running, origin: HostileOrigin) -> subprocess.CompletedProcess[str]:
    """What was to be waited for has happened: the server gives all the rest."""
    origin.rate = None
    code = get.wait()
    return subprocess.CompletedProcess(get.process.args, code, "\n".join(get.out), "\n".join(get.err))


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """One that is in the group lab; nothing here changes that."""
    with room(tmp_path_factory.mktemp("member")) as made:
        return made.machine()


URL = f"http://{NOBODY}/file.bin"
MISTYPED = {
    "a group that is not here": (
        ("get", URL, "--group", "labs"), 3, "--group: this machine is not in a group 'labs'",
        "it is in lab",
    ),
    "a helper for a group that is not here": (
        ("helper", "--group", "labs"), 3, "--group: this machine is not in a group 'labs'", "it is in lab",
    ),
    "no name of a group": (("get", URL, "--group", "My Lab"), 2, "--group: 'My Lab' is not the name.*", "one has 1 .*"),
    "a group for a torrent": (("get", "file.torrent", "--group", "lab"), 2, "--group is for URLs, and .*", ""),
    "a tracker without a group": (
        ("get", URL, "--tracker", "http://t.example/announce"), 2, "--tracker: goes with a group", "--group NAME .*",
    ),
    "no tracker": (("get", URL, "--group", "lab", "--tracker", "t.example"), 2, "--tracker: .*", ""),
    "no peer": (("get", URL, "--group", "lab", "--peer", HOST), 2, f"'{HOST}' is not HOST:PORT", "write it like .*"),
    "a cache that cannot be": (
        ("helper", *LOCAL, "--cache", "/dev/null/cache"), 17, "/dev/null/cache: writing failed: .*", "",
    ),
    "an address of nobody": (("helper", "--bind", "192.0.2.1", "--port", "0"), 6, "cannot listen on .*", "--bind .*"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTYPED)
def test_what_is_mistyped_is_one_line_with_a_hint(member: Machine, name: str) -> None:
    arguments, code, error, hint = MISTYPED[name]
    check(member.run(*arguments), ExitCode(code), error, hint)


def test_a_helper_without_any_group_says_how_to_make_one(lab: Room) -> None:
    ended = lab.machine(joins=False).run("helper")
    check(
        ended,
        ExitCode.USAGE,
        "a helper needs a group whose members it helps",
        "shoal group new NAME makes one.*",
    )


def test_a_mistyped_key_is_noticed_and_not_quoted(member: Machine) -> None:
    key = new_key("other").text
    wrong = key[:-7] + ("a" if key[-7] != "a" else "b") + key[-6:]
    for said in (wrong, key[:-9]):
        ended = member.run("group", "join", "-", said=f"{said}\n")
        check(
            ended, ExitCode.BAD_DATA, "this (is not a group key|group key is (mistyped|incomplete).*)", ".*"
        )
        assert key[14:24] not in ended.stdout + ended.stderr


def test_a_port_that_is_taken_is_said_and_a_download_goes_on_alone(lab: Room, origin: HostileOrigin) -> None:
    mine, helper = lab.machine(), lab.helper()
    taken = ("--bind", HOST, "--port", str(helper.port))
    in_use = f"port {helper.port} is in use: cannot listen on {helper.address}"
    check(mine.run("helper", *taken), ExitCode.NETWORK, in_use, "choose another with --port.*")
    get = lab.start(mine, "get", origin.url("/file.bin"), "--group", "lab", *taken)
    get.wait_line("^shoal: ", on_stderr=True)
    check(finish(get, origin), ExitCode.OK, f"downloads alone: group lab: {in_use}")


def getting(origin: HostileOrigin, *more: str) -> tuple[str, ...]:
    return ("get", origin.url("/file.bin"), *LOCAL, "--group", "lab", "--connections", "1", *more)


def number_of(machine: Machine) -> str:
    """What others are told of it, beside its address."""
    return machine.run("group", "list").stdout.split()[-1]


def test_a_member_that_is_not_there_is_said_in_our_own_words(lab: Room, origin: HostileOrigin) -> None:
    get = lab.start(lab.machine(), *getting(origin, "--peer", NOBODY))
    get.wait_line(f"^shoal: member {NOBODY} is not met: connection refused$", on_stderr=True)
    assert finish(get, origin).returncode == 0


def test_a_second_helper_in_one_cache_is_refused_at_the_start_and_one_without_is_not(lab: Room) -> None:
    cache = lab.folder / "cache"
    machine = lab.machine()
    first = lab.helper("--cache", cache, on=machine)
    check(
        machine.run("helper", *LOCAL, "--cache", cache),
        ExitCode.EXISTS,
        rf"{cache}: another shoal process \(pid {first.running.process.pid}\) works in this folder",
        "give each a folder of its own, or stop the other one",
    )
    one, other = lab.helper(on=machine), lab.helper(on=machine)
    assert [helper.running.stop() for helper in (first, one, other)] == [0, 0, 0]


def test_a_helper_stops_helping_a_group_that_its_machine_left(lab: Room, origin: HostileOrigin) -> None:
    mine, theirs = lab.machine(), lab.machine()
    theirs.run("group", "new", "den")
    helper = lab.helper(on=theirs)
    assert theirs.run("group", "leave", "lab").returncode == 0
    helper.wait_line("^this machine left group lab, ")
    get = lab.start(mine, *getting(origin, "--peer", helper.address))
    refused = f"shoal: member {helper.address} is not met: it is not in this group"
    get.wait_line(re.escape(refused), on_stderr=True)
    assert finish(get, origin).returncode == 0 and mine.got() == PAYLOAD
    assert theirs.run("group", "leave", "den").returncode == 0
    helper.wait_line("^this machine left group den, ")
    assert helper.running.wait() == 0  # nobody is left to help


def test_a_helper_on_the_machine_that_gets_the_file_helps_and_is_no_other_member(
    lab: Room, origin: HostileOrigin
) -> None:
    payload = random.Random(8).randbytes(16 * PIECE)
    origin.pages["/file.bin"], origin.rate = Page(payload), PIECE // 2
    mine, cache = lab.machine(), lab.folder / "cache"
    helper = lab.helper("--cache", cache, on=mine)
    to_it = getting(origin, "--peer", helper.address)
    get = lab.start(mine, *to_it)
    wait_until(
        lambda: any(len(remembered(one, 16)) >= 8 for one in cache.rglob("*.shoal")), "half of it cached"
    )
    assert finish(get, origin).returncode == 0
    before, origin.rate = origin.sent, PIECE // 2
    get = lab.start(mine, *to_it, "-o", "again.bin")
    assert get.wait() == 0 and mine.got("again.bin") == payload
    assert origin.sent - before < 12 * PIECE
    again = finish(get, origin)
    assert "member" not in again.stdout + again.stderr
    assert helper.running.stop() == 0
    helper.wait_line(r"^helped with .*: fetched .* and gave .* to this machine in ")


def test_a_helper_goes_through_the_proxy_that_it_is_told(lab: Room, origin: HostileOrigin) -> None:
    """To a host that it would never find by itself, and only since its owner names it."""
    mine, url = lab.machine(), "http://files.example/file.bin"
    with proxy(to=(origin.host, origin.port)) as way:
        told = ("--proxy", f"http://me:hunter2@{way.address}")
        named = lab.helper(*told, "--allow-host", "files.example")
        unnamed = lab.helper(*told)
        through = ("--proxy", f"http://{way.address}")
        get = lab.start(mine, "get", url, *LOCAL, "--group", "lab", "--connections", "1", *through)
        named.wait_line(f"helps with {url}")
        unnamed.wait_line(f"refused .* {url}: .*proxy.*; --allow-host files.example allows it")
        wait_until(lambda: b"Proxy-Authorization: Basic " in way.heard, "password at the proxy")
        assert finish(get, origin).returncode == 0 and mine.got() == PAYLOAD
        assert [helper.running.stop() for helper in (named, unnamed)] == [0, 0]
    assert "hunter2" not in "".join(
        line for one in (named, unnamed) for line in (*one.running.out, *one.running.err)
    )


@pytest.mark.parametrize("wrong", [("--peer", NOBODY), ("--tracker", f"http://{NOBODY}/announce")])
def test_a_member_or_a_tracker_that_does_not_answer_is_said_once(
    lab: Room, origin: HostileOrigin, wrong: tuple[str, str]
) -> None:
    get = lab.start(lab.machine(), *getting(origin, "--quiet", "--json", *wrong))
    get.wait_line(f'"note".*{NOBODY}')
    got = finish(get, origin)
    assert got.returncode == 0
    assert len([line for line in got.stdout.splitlines() if '"note"' in line and NOBODY in line]) == 1, got


def test_a_url_with_a_password_is_got_alone_and_says_why(lab: Room, origin: HostileOrigin) -> None:
    mine, helper = lab.machine(), lab.helper()
    origin.rate = None
    url = origin.url("/file.bin").replace("//", "//me:secret@")
    check(mine.get(url, "--group", "lab"), ExitCode.OK, "downloads without the group: the URL names a user")
    assert "secret" not in "".join((*helper.running.out, *helper.running.err))


@pytest.mark.parametrize(
    ("options", "reason", "hint"),
    [
        (
            LOCAL,
            "127.0.0.1 leads to this machine itself (its owner may allow it)",
            "; --allow-private 127.0.0.1 allows it",
        ),
        (
            (*LOCAL, *ALLOWED, "--allow-host", "*.example.org"),
            "127.0.0.1 is none of the hosts that are allowed here (its owner may allow it)",
            "; --allow-host 127.0.0.1 allows it",
        ),
        ((*LOCAL, *ALLOWED, "--quota", "1"), "what it may fetch in a day is used up", ""),
    ],
    ids=["a private address", "another host", "a quota"],
)
def test_who_does_not_help_and_why_is_said_once_and_its_owner_hears_what_would_allow_it(
    lab: Room, origin: HostileOrigin, options: tuple[str, ...], reason: str, hint: str
) -> None:
    mine = lab.machine()
    helper = lab.helper(*options, local=())
    get = lab.start(mine, *getting(origin))
    get.wait_line("^shoal: helper ", on_stderr=True)
    got = finish(get, origin)
    assert got.returncode == 0 and mine.got() == PAYLOAD
    remarks = [line for line in got.stderr.splitlines() if line.startswith("shoal: helper ")]
    assert remarks == [f"shoal: helper {helper.address} does not help: {reason}"]
    said = f"{re.escape(origin.url('/file.bin'))}: {re.escape(reason + hint)}$"
    helper.wait_line(rf"^refused 127\.0\.0\.1:\d+ \(member {number_of(mine)}\) {said}")
    assert helper.running.stop() == 0
