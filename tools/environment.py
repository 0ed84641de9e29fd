"""Make the environment that ./shoal and ./dev run in, with nothing but Python's own library.

Always true: one process at a time works on an environment, whichever way the others died; a stamp file is the
last thing written, so an environment with a stamp is whole; one that we did not make is never touched. What
goes wrong is one line on stderr with what to do about it, and the half-made environment is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

STAMP = (
    "shoal-stamp"  # the checkout that is installed, which ./shoal reads too, and `what_is_installed` of it
)
NEEDED_SPACE = 150 * 10**6  # bytes: the environment with the tools for tests and checks
MARK = "made-by-shoal"  # written before anything else: what bears it is ours to remove

# What pip's log says -> what a person should do about it.
FULL_DISK = f"the disk is full: make about {NEEDED_SPACE // 10**6} MB of room"
CAUSES = (
    (("No space left on device", "Errno 28"), FULL_DISK),
    (("Permission denied", "Errno 13"), "no permission to write there: set SHOAL_VENV to a folder of yours"),
    (
        ("No matching distribution", "Name or service not known", "name resolution", "ConnectionError",
         "connection broken", "timed out", "Network is unreachable"),
        "the package index was not reached: a first use needs the network (or PIP_INDEX_URL)",
    ),
)  # fmt: skip


class SetupError(Exception):
    """Why there is no environment, and what to do: one line for a person."""


def stamp_of(root: Path) -> str:
    """What the stamp says when `root` is installed as it is: all of pyproject.toml that pip goes by."""
    try:
        settings = tomllib.loads((root / "pyproject.toml").read_text())
    except ValueError as error:
        raise SetupError(f"{root / 'pyproject.toml'}: {error}") from None
    parts = [settings.get("build-system"), settings.get("project"), settings.get("tool", {}).get("hatch")]
    return f"{root}\n{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}\n"


def is_ready(root: Path, venv: Path) -> bool:
    """Whether `venv` is whole, and `root` is installed in it as it is now."""
    try:
        return (venv / STAMP).read_text() == stamp_of(root) and os.access(python_of(venv), os.X_OK)
    except OSError:
        return False


def refresh_stamp(root: Path, venv: Path) -> None:
    """Make the stamp newer than pyproject.toml, for that is all that ./shoal looks at."""
    (venv / STAMP).touch()
    if (venv / STAMP).stat().st_mtime_ns < (root / "pyproject.toml").stat().st_mtime_ns:
        shutil.copystat(root / "pyproject.toml", venv / STAMP)  # a file from the future stays newer for ever


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


@contextlib.contextmanager
def lock(venv: Path) -> Iterator[int]:
    """Be the only one at work on `venv`. Yields the lock's descriptor.

    The kernel lets go of the lock when the last process that holds the descriptor ends, so whoever is started
    with it (pip) keeps others out even when we are killed, and nobody has to guess whether a lock is stale.
    """
    path = venv.with_name(f"{venv.name}.lock")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                break
        os.close(descriptor)  # the one before us removed it when done: take the new one
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


class Log(contextlib.AbstractContextManager["Log"]):
    """The chatter of venv and pip. It has no name until somebody needs one, so nobody can take it away meanwhile."""

    def __init__(self, venv: Path, descriptor: int) -> None:
        self.venv = venv
        self.lock_descriptor = descriptor
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (`__exit__` closes it)

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def run(self, *command: str | os.PathLike[str]) -> None:
        """Run `command` quietly; raise `SetupError` with its most telling line if it fails."""
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(self.lock_descriptor,),
        )
        if result.returncode != 0:
            raise SetupError(self.explain())

    def explain(self) -> str:
        """What to do about it if we know, the most telling line of the log, and where the rest is."""
        text = self._read().decode("utf-8", "replace")
        advice = next((advice for words, advice in CAUSES if any(word in text for word in words)), "")
        if shutil.disk_usage(self.venv).free < NEEDED_SPACE // 10:
            advice = FULL_DISK  # ensurepip only says that it failed
        return "; ".join(filter(None, (advice, telling_line(text), self._save())))

    def keep(self) -> None:
        """All went well: the log stays in the environment."""
        (self.venv / "install.log").write_bytes(self._read())

    def _save(self) -> str:
        """Put the log where a person finds it, since the environment is about to go; says where."""
        try:
            handle, name = tempfile.mkstemp(prefix="shoal-install-", suffix=".log")
            with os.fdopen(handle, "wb") as file:
                file.write(self._read())
        except OSError:
            return ""  # no room for that either
        return f"all of it: {name}"

    def _read(self) -> bytes:
        self._file.seek(0)
        return self._file.read()


def telling_line(text: str) -> str:
    """pip's last `ERROR:` line, or else the last line at all."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing"]
    return next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])


def require_venv_module() -> None:
    """Debian ships Python without the two modules that make an environment."""
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"Python {version} has no venv module (Debian, Ubuntu: apt install python{version}-venv)"
        )


def claim(venv: Path) -> None:
    """Make `venv` an empty folder of ours, in the place of a broken environment of ours."""
    if venv.exists() and any(venv.iterdir()):
        if not (venv / MARK).exists():
            raise SetupError(f"{venv} was not made by ./shoal: remove it, or set SHOAL_VENV to another place")
        shutil.rmtree(venv)
    venv.mkdir(parents=True, exist_ok=True)
    (venv / MARK).touch()


def install_checkout(root: Path, venv: Path, log: Log) -> None:
    """Install `root` so that edits show, and stamp the environment as whole."""
    fresh_stamp = venv / f"{STAMP}.new"
    fresh_stamp.write_text(stamp_of(root))  # before pip reads pyproject.toml: a later edit of that is newer
    log.run(python_of(venv), "-m", "pip", "install", "--editable", root)
    fresh_stamp.replace(venv / STAMP)


def make_environment(root: Path, venv: Path) -> None:
    """Make `venv` ready, unless another process does so while we wait for the lock."""
    require_venv_module()
    venv.parent.mkdir(parents=True, exist_ok=True)
    with lock(venv) as descriptor:
        if is_ready(root, venv):
            refresh_stamp(root, venv)
            return
        is_upgrade = (venv / STAMP).exists() and os.access(python_of(venv), os.X_OK)
        if not is_upgrade:
            claim(venv)
        task = "updating" if is_upgrade else "first use: making"
        print(f"shoal: {task} {venv}, a moment ...", file=sys.stderr)
        with Log(venv, descriptor) as log:
            try:
                if not is_upgrade:
                    log.run(os.path.realpath(sys.executable), "-m", "venv", venv)
                install_checkout(root, venv, log)
            except BaseException:
                if not is_upgrade:
                    shutil.rmtree(venv, ignore_errors=True)
                raise
            log.keep()


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root, venv = (Path(argument).absolute() for argument in arguments)
    try:
        make_environment(root.resolve(), venv)
    except SetupError as error:
        print(f"shoal: cannot make the environment: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"shoal: cannot make the environment: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
