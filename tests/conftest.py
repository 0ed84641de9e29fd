"""What every test may ask for: the command line, the conformance data, a state folder of its own, a disk too small."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine may take a second for anything; a run that hangs is ended by pytest's own limit.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent
CORPORA = Path(os.environ.get("SHOAL_CORPORA", ROOT.parent / "shared" / "corpora"))

SETTINGS = ("SHOAL_TRACKER_", "SHOAL_GET_", "SHOAL_HELPER_")  # variables that commands take settings from

# Whatever this person's way out is: tests talk to this machine alone.
for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]

Shoal = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The conformance data, where it is; the test is skipped where it is not."""
    if not CORPORA.is_dir():
        pytest.skip(f"no conformance data at {CORPORA}: set SHOAL_CORPORA")
    return CORPORA


@pytest.fixture(autouse=True)
def state_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder for this test alone: nothing is remembered from one to the next, nor set by this person."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("SHOAL_STATE_DIR", str(folder))
    monkeypatch.setenv("SHOAL_CONFIG", os.devnull)
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        monkeypatch.delenv(name)
    return folder


@pytest.fixture
def shoal(tmp_path: Path, state_dir: Path) -> Shoal:
    """Run the command line in `tmp_path` and wait for its end: `shoal("inspect", path).stdout`."""

    def run(*arguments: str | os.PathLike[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "shoal", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}  # this checkout, whatever is installed
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


def may_skip(item: pytest.Item) -> bool:
    """Whether it lacks what no package brings: conformance data, a right, a feature of the system."""
    if item.get_closest_marker("corpora") is not None:
        return not CORPORA.is_dir()
    if item.get_closest_marker("namespaces") is not None:
        return all(map(shutil.which, ("ip", "tc")))  # with the tools there, it was the system that refused
    return item.get_closest_marker("system") is not None or "small_disk" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With SHOAL_NO_SKIPS=1 (as in CI) a skipped test is a failed one, save for what could not be installed."""
    report = yield
    if os.environ.get("SHOAL_NO_SKIPS") == "1" and report.skipped and not may_skip(item):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB in memory."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)
