"""The machines of a group: what each one remembers of it, and the commands that they run.

A group is made anew for each run of a lab: the first member makes the key, the others join with it on their standard
input. Each has a state folder of its own, where the keys are, and which lasts for all scenes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.harness import ROOT
from lab.parts.clients import SHOAL
from lab.parts.namespaces import SUBNET, Command, LabError

GROUP = "lab"
LIMIT = 30.0  # seconds for one call


class Member:
    """`home` is its state folder; `where` are the options that say how members find each other."""

    def __init__(self, home: Path, where: Command) -> None:
        self._where = where
        self.settings: Mapping[str, str] = {"SHOAL_STATE_DIR": str(home), "SHOAL_CONFIG": os.devnull}

    def get(self, url: str, folder: Path) -> Command:
        return [*SHOAL, "get", url, "--group", GROUP, "--dir", folder, "--json", *self._where]

    def help(self) -> Command:
        return [*SHOAL, "helper", "--group", GROUP, "--allow-private", str(SUBNET), "--json", *self._where]

    def new_group(self) -> str:
        """The key. Raises `LabError`."""
        return self._call("new", GROUP).splitlines()[0]

    def join(self, key: str) -> None:
        self._call("join", "-", said=key + "\n")

    def _call(self, *words: str, said: str = "") -> str:
        done = subprocess.run(
            [*SHOAL, "group", *words],
            env={**os.environ, **self.settings, "PYTHONPATH": str(ROOT / "src")},
            input=said,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode != 0:
            raise LabError(f"shoal group {words[0]}: {' '.join(done.stderr.split())}")
        return done.stdout


def make_group(folder: Path, members: int, where: Command) -> list[Member]:
    """Members of a new group, with their homes in `folder`. Raises `LabError`."""
    group = [Member(folder / f"member-{number}", where) for number in range(members)]
    key = group[0].new_group()
    for member in group[1:]:
        member.join(key)
    return group


def aria2(url: str, folder: Path) -> Command:
    """One machine's best, as bench/url.py runs it."""
    how = ["--no-conf", "--quiet", "-x16", "-s16", "-k1M", "--file-allocation=none"]
    return ["aria2c", *how, f"--dir={folder}", url]


def curl_part(url: str, begin: int, end: int) -> Command:
    """Fetches the bytes `[begin, end)`, prints how many came, and ends."""
    return ["curl", "--silent", "--fail", "--range", f"{begin}-{end - 1}", "--output", os.devnull,
            "--write-out", "%{size_download}\n", url]  # fmt: skip
