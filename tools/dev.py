"""The commands of those who work on Shoal; run through ./dev, in the product's own environment.

The tools they need are installed on first use: `requirements-dev.lock` for tests and checks, the other
dependency groups of pyproject.toml (peers, fuzz, pictures) when something asks for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

from environment import Log, SetupError, lock

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(sys.prefix)
LOCK_FILE = ROOT / "requirements-dev.lock"
WITHOUT_PEERS = ("sim",)  # benchmarks that need no foreign program
LOCK_HEADER = "# What ./dev test and ./dev check run with. Made by: ./dev lock\n"


def install(wanted: str, stamp_name: str, *requirements: str) -> None:
    """pip-install `requirements`, unless the stamp says that `wanted` is what was installed last."""
    stamp = VENV / stamp_name
    if stamp.exists() and stamp.read_text() == wanted:
        return
    with lock(VENV) as descriptor:
        if stamp.exists() and stamp.read_text() == wanted:
            return
        print(f"dev: installing {' '.join(requirements)} ...", file=sys.stderr)
        with Log(VENV, descriptor) as log:
            log.run(sys.executable, "-m", "pip", "install", *requirements)
            log.keep()
        stamp.write_text(wanted)


def install_tools() -> None:
    install(LOCK_FILE.read_text(), "dev-stamp", "--requirement", str(LOCK_FILE))


def install_group(group: str) -> None:
    """A dependency group of pyproject.toml, as new as it comes."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    if group not in groups:
        raise SetupError(f"no dependency group '{group}'; there are {', '.join(groups)}")
    install("\n".join(groups[group]), f"group-{group}-stamp", *groups[group])


def run(*command: str) -> int:
    """Run one tool in the checkout, with the environment's programs first on PATH."""
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}).returncode


def python(*arguments: str) -> int:
    return run(sys.executable, *arguments)


# Machines at slow servers, programs that start, take their time and end: seconds each, and the processor idle.
WAITING = tuple(f"tests/{area}" for area in ("peers", "fetch", "cli", "engine"))
AT_ONCE = min(4, 2 * (os.cpu_count() or 1))


def test(arguments: list[str]) -> int:
    """[PYTEST ARGUMENTS]: run the tests; without a path all of them, those that mostly wait side by side."""
    install_tools()
    if any(not argument.startswith("-") for argument in arguments):
        return python("-m", "pytest", *arguments)
    side_by_side = python("-m", "pytest", *WAITING, "-n", str(AT_ONCE), *arguments)
    others = python("-m", "pytest", *(f"--ignore={area}" for area in WAITING), *arguments)
    return side_by_side or others


def check(arguments: list[str]) -> int:
    """Lint, formatting, types and the rules of the house (layers, lengths, docs)."""
    install_tools()
    steps = (
        ("ruff", "check", "--quiet"),
        ("ruff", "format", "--check", "--quiet"),
        ("mypy",),
        ("pytest", "tests/rules"),
    )
    failed = [" ".join(step) for step in steps if python("-m", *step) != 0]
    print(f"dev check: {'failed: ' + ', '.join(failed) if failed else 'all good'}")
    return 1 if failed else 0


def fix(arguments: list[str]) -> int:
    """[PATHS]: let ruff repair and format what it can."""
    install_tools()
    formatted = python("-m", "ruff", "format", "--quiet", *arguments)
    return python("-m", "ruff", "check", "--fix", "--quiet", *arguments) or formatted


def bench(arguments: list[str]) -> int:
    """NAME [ARGUMENTS]: run one benchmark, bench/NAME.py."""
    names = sorted(path.stem for path in (ROOT / "bench").glob("[a-z]*.py") if path.stem != "harness")
    if not arguments or arguments[0] not in names:
        raise SetupError(f"name a benchmark: {', '.join(names)}")
    install_tools()
    if arguments[0] not in WITHOUT_PEERS:
        install_group("peers")
    return python("-m", f"bench.{arguments[0]}", *arguments[1:])


def lab(arguments: list[str]) -> int:
    """NAME [ARGUMENTS]: run one experiment on networks made for it, lab/NAME.py (Linux, root)."""
    names = sorted(path.stem for path in (ROOT / "lab").glob("[a-z]*.py"))
    if not arguments or arguments[0] not in names:
        raise SetupError(f"name a lab: {', '.join(names)}")
    install_tools()
    install_group("peers")
    return python("-m", f"lab.{arguments[0]}", *arguments[1:])


def sim(arguments: list[str]) -> int:
    """[--seed N] [--trace FILE] [--picture FILE] SCENARIO: replay a simulated swarm (--list tells them)."""
    if any(argument.startswith("--pic") for argument in arguments):
        install_group("pictures")
    return python("-m", "shoal.testing.replay", *arguments)


def fuzz(arguments: list[str]) -> int:
    """TARGET [ARGUMENTS]: feed a decoder with made-up bytes until it breaks (atheris)."""
    install_tools()
    install_group("fuzz")
    return python("tests/fuzz/run.py", *arguments)


def docs(arguments: list[str]) -> int:
    """Write docs/commands.md and docs/settings.md anew from the commands themselves."""
    return python("-m", "shoal.cli.reference", "docs/commands.md", "docs/settings.md")


def kill_campaign(arguments: list[str]) -> int:
    """[--rounds N]: kill -9 downloads at random moments and see that they go on rightly."""
    install_tools()
    return python("-m", "tests.campaigns.kill", *arguments)


def datagram_campaign(arguments: list[str]) -> int:
    """[--count N] [--seed N]: feed the tracker's UDP door with ten million datagrams of no use."""
    install_tools()
    return python("-m", "tests.campaigns.datagrams", *arguments)


def install_groups(arguments: list[str]) -> int:
    """[GROUP...]: install the tools, and dependency groups by name (peers, fuzz, pictures)."""
    install_tools()
    for group in arguments:
        install_group(group)
    return 0


def make_lock(arguments: list[str]) -> int:
    """Pin the newest versions of the tools and of what Shoal needs in requirements-dev.lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    with (
        tempfile.TemporaryDirectory() as folder,
        lock(VENV) as descriptor,
        Log(VENV, descriptor) as log,
    ):
        log.run(sys.executable, "-m", "venv", folder)
        fresh_python = str(Path(folder, "bin", "python"))
        log.run(fresh_python, "-m", "pip", "install", *wanted)
        frozen = subprocess.run(
            [fresh_python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True
        ).stdout
    LOCK_FILE.write_text(LOCK_HEADER + frozen)
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "test": test,
    "check": check,
    "fix": fix,
    "bench": bench,
    "lab": lab,
    "sim": sim,
    "fuzz": fuzz,
    "docs": docs,
    "kill-campaign": kill_campaign,
    "datagram-campaign": datagram_campaign,
    "install": install_groups,
    "lock": make_lock,
}


def usage() -> str:
    lines = [f"  ./dev {name:18} {command.__doc__}" for name, command in COMMANDS.items()]
    return "\n".join(["The commands of those who work on Shoal:", *lines])


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"dev: no command '{name}'\n{usage()}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[name](rest)
    except (SetupError, OSError) as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
