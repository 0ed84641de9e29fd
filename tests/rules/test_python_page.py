"""docs/python.md: its examples run, and its tables name what there is."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import shoal
from shoal import api
from shoal.testing.hostile_origin import HostileOrigin, Page

from ..cli.running import environment
from .source import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text()
BODY = random.Random(1).randbytes(100_000)


def test_the_examples_run(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    with HostileOrigin() as origin:
        origin.pages["/data.iso"] = Page(BODY)
        for number, example in enumerate(examples):
            folder = tmp_path / str(number)
            folder.mkdir()
            code = example.replace("https://host.example/data.iso", origin.url("/data.iso"))
            code = code.replace(', checksum="sha256:..."', "")
            command = [sys.executable, "-c", code]
            subprocess.run(command, cwd=folder, check=True, timeout=60, env=environment())
            (found,) = folder.rglob("data.iso")
            assert found.read_bytes() == BODY


def test_the_page_names_every_keyword_and_no_other() -> None:
    table = PAGE.split("| keyword | |")[1].split("\n\n")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert named == set(api.How.__annotations__)


def test_the_package_has_what_it_promises_and_nothing_else() -> None:
    assert all(getattr(shoal, name) for name in shoal.__all__)
    assert not hasattr(shoal, "put")
