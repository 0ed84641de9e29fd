"""`shoal group`: a key is shown once, and nowhere else."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from shoal.errors import ExitCode
from shoal.fetch.group.key import GroupKey, new_key, parse_key
from shoal.fetch.group.keyring import Keyring

from ..conftest import Shoal
from .running import COMMAND, PATIENCE, environment

JOINED = """\
joined group {name}
get a URL together: shoal get URL --group {name}
help the others with this machine's line: shoal helper --group {name}
"""


def join_from(stdin: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "group", "join", "-"],
        input=stdin,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def digits_of(key: str) -> str:
    return key.rpartition("-")[2]


def test_a_new_group_prints_its_key_alone_on_the_first_line(shoal: Shoal) -> None:
    result = shoal("group", "new", "home")
    assert result.returncode == 0, result.stderr
    first, *others = result.stdout.splitlines()
    assert parse_key(first) == Keyring().load("home").key
    assert "shoal group join -" in "\n".join(others)
    assert digits_of(first) not in "\n".join(others)
    assert result.stderr == ""


def test_what_new_prints_can_be_given_to_join_on_another_machine(shoal: Shoal, tmp_path: Path) -> None:
    printed = shoal("group", "new", "home").stdout
    joined = join_from(printed, SHOAL_STATE_DIR=str(tmp_path / "there"))
    assert (joined.returncode, joined.stdout) == (0, JOINED.format(name="home"))
    assert Keyring(tmp_path / "there" / "groups").load("home").key == Keyring().load("home").key


def test_a_key_is_never_shown_again(shoal: Shoal) -> None:
    key = shoal("group", "new", "home").stdout.splitlines()[0]
    said = ""
    for arguments in (
        ("group", "list"),
        ("group", "list", "--json"),
        ("group", "join", key),
        ("group", "join", key, "more"),
        ("group", "join", key[:-1]),
        ("group", "join", f"{key}a"),
        ("group", "new", key),
        ("group", "leave", key),
        ("group", key),
        ("group", "new", "home"),
        ("group", "leave", "home"),
    ):
        result = shoal(*arguments)
        said += result.stdout + result.stderr
        assert "Traceback" not in said and "internal error" not in said
    assert not any(digits_of(key)[at : at + 8] in said for at in range(50))


def test_a_key_may_be_an_argument(shoal: Shoal) -> None:
    result = shoal("group", "join", new_key("work").text)
    assert (result.returncode, result.stdout) == (0, JOINED.format(name="work"))
    assert shoal("group", "join", "--quiet", new_key("more").text).stdout == ""


def test_a_key_that_is_typed_is_not_shown(tmp_path: Path) -> None:
    key = new_key("home").text
    primary, secondary = pty.openpty()
    with (
        subprocess.Popen(
            [*COMMAND, "group", "join", "-"],
            stdin=secondary,
            stdout=subprocess.PIPE,
            stderr=secondary,
            env=environment(),
            start_new_session=True,  # getpass opens the terminal of the session, which is none: it falls back to stdin
            text=True,
        ) as process
    ):
        os.close(secondary)
        shown = b""
        while b"group key: " not in shown:
            shown += os.read(primary, 1000)
        os.write(primary, f"{key}\n".encode())
        assert process.stdout is not None
        assert process.stdout.read() == JOINED.format(name="home")
        try:
            while more := os.read(primary, 1000):
                shown += more
        except OSError:  # the other end is closed
            pass
    os.close(primary)
    assert digits_of(key).encode() not in shown


def test_joining_twice_is_fine_and_another_group_of_that_name_is_not(shoal: Shoal) -> None:
    key = new_key("home")
    assert join_from(key.text).returncode == 0
    again = join_from(f"\t{key.text}\r\n")
    assert (again.returncode, again.stdout) == (0, "this machine is in group home already\n")
    other = join_from(new_key("home").text)
    assert other.returncode == ExitCode.EXISTS
    assert other.stderr == (
        "shoal: there is a group 'home' on this machine already, with another key\n"
        "hint: choose another name, or leave that one first: shoal group leave home\n"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "this is not a group key"),
        ("hello\n", "this is not a group key"),
        (GroupKey("a", bytes(32)).text[:-3], "this group key is incomplete"),
        ("x" * 100_000, "this is not a group key"),
    ],
)
def test_what_is_no_key_is_refused(given: str, said: str) -> None:
    result = join_from(given)
    assert result.returncode == ExitCode.BAD_DATA
    assert result.stderr.startswith(f"shoal: {said}\nhint: ")


def test_groups_are_listed_with_who_we_are_in_them(shoal: Shoal) -> None:
    assert (
        shoal("group", "list").stdout == "this machine is in no group\nmake one with: shoal group new NAME\n"
    )
    assert json.loads(shoal("group", "list", "--json").stdout) == []
    for name in ("work", "home"):
        shoal("group", "new", name)
    members = {name: Keyring().load(name).member.public.hex() for name in ("home", "work")}
    listed = json.loads(shoal("group", "list", "--json").stdout)
    assert listed == [{"name": name, "member": member} for name, member in members.items()]
    lines = [line.split() for line in shoal("group", "list").stdout.splitlines()]
    assert lines[1:] == [[name, member[:8]] for name, member in members.items()]


def test_a_group_that_was_left_is_gone(shoal: Shoal) -> None:
    shoal("group", "new", "home")
    left = shoal("group", "leave", "home")
    assert (left.returncode, left.stdout) == (0, "left group home\n")
    again = shoal("group", "leave", "home")
    assert again.returncode == ExitCode.NOT_FOUND
    assert again.stderr == (
        "shoal: this machine is not in a group 'home'\n"
        "hint: make a group with shoal group new NAME, or join one with shoal group join -\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing command."),
        (("lst",), "shoal group has no such command"),
        (("new", "Home"), "this cannot be the name of a group"),
        (("join", "a", "b"), "a group key is one word"),
    ],
)
def test_a_wrong_command_line_is_told(shoal: Shoal, arguments: tuple[str, ...], said: str) -> None:
    result = shoal("group", *arguments)
    assert result.returncode == ExitCode.USAGE
    assert result.stderr.startswith(f"shoal: {said}\nhint: ")


@pytest.mark.parametrize(
    ("how", "code", "error"),
    [
        (
            ">/dev/full",
            ExitCode.DISK_FULL,
            "the key of group home could not be written to stdout: No space left on device",
        ),
        (">&-", ExitCode.USAGE, "stdout is closed, or leads to nowhere"),
        (">/dev/null", ExitCode.USAGE, "stdout is closed, or leads to nowhere"),
    ],
)
def test_a_group_whose_key_nobody_saw_is_none(shoal: Shoal, how: str, code: ExitCode, error: str) -> None:
    run = '"$0" "$@" '
    result = subprocess.run(
        ["bash", "-c", run + how, *COMMAND, "group", "new", "home"],
        env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr == (
        f"shoal: {error}\nhint: no group was made: a key is shown once, and nobody would have this one\n"
    )
    assert Keyring().names() == []
    assert shoal("group", "new", "home").returncode == 0


def test_where_nobody_reads_there_is_no_group(shoal: Shoal) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [*COMMAND, "group", "new", "home"],
        env=environment(), stdout=writing, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
    )  # fmt: skip
    os.close(writing)
    error = "shoal: the key of group home could not be written to stdout: Broken pipe"
    assert (result.returncode, result.stderr.splitlines()[0]) == (ExitCode.FILE_IO, error)
    assert Keyring().names() == []


def test_who_reads_the_first_line_alone_has_the_group(shoal: Shoal) -> None:
    result = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" "$@" | head -n 1', *COMMAND, "group", "new", "home"],
        env=environment(), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    assert parse_key(result.stdout) == Keyring().load("home").key
