"""The pages say what the program does: they are compared with it."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.cli import app, reference

from .source import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_made_of_the_commands_is_what_they_say(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == reference.PAGES[name](), "run ./dev docs"


def test_the_commands_in_the_readme_exist() -> None:
    named = set(re.findall(r"(?:\./|`)shoal ([a-z]+)", README))
    assert named
    assert named <= set(app.VERBS)


def test_the_readme_names_every_command() -> None:
    rows = set(re.findall(r"^\| `shoal ([a-z]+)", README, re.MULTILINE))
    assert rows == set(app.VERBS)


def test_the_developer_commands_in_the_pages_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"\./dev ([a-z-]+)", page.read_text())}
    listing = subprocess.run(
        [sys.executable, ROOT / "tools" / "dev.py"], capture_output=True, text=True, check=True
    ).stdout
    assert named <= set(re.findall(r"\./dev ([a-z-]+)", listing))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("verb", app.VERBS)
def test_a_verb_explains_itself(verb: str) -> None:
    command = importlib.import_module(f"shoal.cli.{verb}").command
    assert command.name == verb
    assert command.help
    undocumented = [p.name for p in command.params if p.param_type_name == "option" and not p.help]
    assert undocumented == []
