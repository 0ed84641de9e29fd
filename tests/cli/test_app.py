"""The way in and the way out of every command."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from shoal import __version__
from shoal.cli import app
from shoal.errors import ExistsError, ExitCode, FormatError
from shoal.testing.build import build_torrent
from shoal.units import KIB


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Put a command of the test's own in place of `shoal demo`."""

    def install(body: Callable[[], object]) -> None:
        module = types.ModuleType("shoal.cli.demo")
        module.__dict__["command"] = click.command("demo")(body)
        monkeypatch.setitem(sys.modules, "shoal.cli.demo", module)

    return install


def imported_by(*arguments: str) -> set[str]:
    """The modules that are imported when `shoal ARGUMENTS` is done."""
    code = f"import sys; sys.argv = ['shoal', *{arguments!r}]; from shoal.__main__ import main\n"
    code += "try: main()\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


def test_the_version_is_told_without_importing_anything() -> None:
    assert "click" not in imported_by("--version")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["sede"]])
def test_no_command_is_imported_before_it_is_used(arguments: list[str]) -> None:
    modules = imported_by(*arguments)
    assert modules.isdisjoint(f"shoal.cli.{verb}" for verb in app.VERBS)
    assert modules.isdisjoint({"rich", "asyncio", "uvloop", "pycurl", "sqlite3"})


def test_the_version_is_the_packages(shoal: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert shoal("--version").stdout == f"shoal {__version__}\n"
    assert shoal("--version", "--help").stdout == f"shoal {__version__}\n"


def test_without_arguments_a_newcomer_is_told_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([]) == 0
    assert "shoal share FILE" in capsys.readouterr().out


def test_help_lists_the_commands_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--help"]) == 0
    output = capsys.readouterr().out
    assert app.VERBS["create"] in output


def test_a_mistyped_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["crate"]) == ExitCode.USAGE
    assert capsys.readouterr().err == "shoal: there is no command 'crate'\nhint: did you mean: shoal create\n"


def test_a_mistyped_option_gets_a_suggestion_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["get", "x", "--torent", "y"]) == ExitCode.USAGE
    assert capsys.readouterr().err == "shoal: there is no option '--torent'\nhint: did you mean: --torrent\n"
    assert app.run(["get", "x", "--xyzzy=secret"]) == ExitCode.USAGE
    assert capsys.readouterr().err == "shoal: there is no option '--xyzzy'\nhint: shoal get --help\n"


def test_a_command_like_no_other_gets_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["xyzzy\x1b[2J"]) == ExitCode.USAGE
    assert capsys.readouterr().err == (
        "shoal: there is no command 'xyzzy\\x1b[2J'\nhint: shoal --help lists all commands\n"
    )


@pytest.mark.parametrize("arguments", [["--nonsense"], ["demo", "--nonsense"], ["demo", "surplus"]])
def test_a_wrong_command_line_is_told_in_our_style(
    arguments: list[str], demo: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    demo(lambda: None)
    assert app.run(arguments) == ExitCode.USAGE
    output = capsys.readouterr()
    assert output.out == ""
    message, hint = output.err.splitlines()
    assert message.startswith("shoal: ")
    assert hint in ("hint: shoal --help", "hint: shoal demo --help")


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (7, 7), (ExitCode.CHECKSUM, 32), ("text", 0)])
def test_a_command_returns_its_exit_code(
    returned: object, code: int, demo: Callable[[Callable[[], object]], None]
) -> None:
    demo(lambda: returned)
    assert app.run(["demo"]) == code


def test_an_error_of_ours_is_a_line_a_hint_and_its_exit_code(
    demo: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise ExistsError("a.torrent is there", hint="--overwrite replaces it")

    demo(body)
    assert app.run(["demo"]) == ExitCode.EXISTS
    assert capsys.readouterr().err == "shoal: a.torrent is there\nhint: --overwrite replaces it\n"


def test_a_message_stays_on_its_line_whatever_is_in_it(
    demo: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise FormatError("name 'a\nb\x1b]0;gotcha\x07' \ud800")

    demo(body)
    assert app.run(["demo"]) == ExitCode.BAD_DATA
    assert capsys.readouterr().err == "shoal: name 'a\\nb\\x1b]0;gotcha\\x07' \\ud800\n"


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt, 7), (click.Abort, 7), (BrokenPipeError, 1)])
def test_an_end_that_a_person_wanted_is_silent(
    raised: type[BaseException],
    code: int,
    demo: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def body() -> None:
        raise raised

    demo(body)
    assert app.run(["demo"]) == code
    output = capsys.readouterr()
    assert (output.out + output.err).strip() == ""  # click ends the line that ^C is on


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`shoal --help | head -0`: no traceback, neither from us nor from the interpreter's last flush."""
    script = f"'{sys.executable}' -m shoal --help | true; echo done"
    result = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "done\n"
    assert result.stderr == ""


def test_a_bug_is_one_line_and_its_traceback_is_kept(
    demo: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str], state_dir: Path
) -> None:
    demo(lambda: {}["absent"])
    assert app.run(["demo"]) == ExitCode.FAILED
    message, hint = capsys.readouterr().err.splitlines()
    assert message == "shoal: internal error: KeyError: 'absent'"
    (report,) = (state_dir / "crashes").iterdir()
    assert hint == f"hint: please report it with {report}"
    assert "Traceback (most recent call last)" in report.read_text()


def test_an_error_of_a_device_is_told_unless_the_terminal_is_gone(
    demo: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    state_dir: Path,
) -> None:
    @demo
    def command() -> None:
        raise OSError(errno.EIO, "Input/output error")

    assert app.run(["demo"]) == ExitCode.FAILED
    assert capsys.readouterr().err.startswith("shoal: internal error: OSError: ")
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "w") as stream:
        os.close(controller)
        monkeypatch.setattr(sys, "stderr", stream)
        assert app.run(["demo"]) == ExitCode.UNFINISHED


def test_a_bug_is_shown_whole_to_who_asks(
    demo: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    state_dir: Path,
) -> None:
    monkeypatch.setenv("SHOAL_DEBUG", "1")
    demo(lambda: {}["absent"])
    assert app.run(["demo"]) == ExitCode.FAILED
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert not (state_dir / "crashes").exists()


def test_a_bug_is_told_even_where_nothing_can_be_kept(
    demo: Callable[[Callable[[], object]], None], capsys: pytest.CaptureFixture[str], state_dir: Path
) -> None:
    (state_dir / "crashes").touch()
    demo(lambda: {}["absent"])
    assert app.run(["demo"]) == ExitCode.FAILED
    assert capsys.readouterr().err.splitlines()[1] == "hint: SHOAL_DEBUG=1 shows where it happened"


def test_output_that_finds_the_disk_full_is_no_bug_of_ours() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "shoal", "--help"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == ExitCode.DISK_FULL
    assert result.stderr == "shoal: disk full: writing the output: No space left on device\n"


@pytest.mark.parametrize(
    "arguments",
    [["share"], ["share", "--each"], ["verify", "x.torrent", "--dir"], ["seed", "x.torrent", "--dir"]],
)
def test_a_path_that_cannot_be_looked_at_is_no_bug_of_ours(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.torrent").write_bytes(build_torrent(b"payload", piece_length=16 * KIB))
    assert app.run([*arguments, "a" * 300]) == ExitCode.FILE_IO
    assert "aaa: looking at it failed: File name too long\n" in capsys.readouterr().err
