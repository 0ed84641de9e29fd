"""A lower floor never imports a higher one; rooms on one line never import each other.

The floors are drawn in docs/architecture.md; here is what that drawing means to an import.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from .source import PACKAGE, ROOT, Module, imported_names, product_modules

# The house from the ground up; rooms of one floor are neighbours. (The page draws the lowest two as one.)
FLOORS = (
    ("errors",),
    ("units",),
    ("formats",),
    ("protocol",),
    ("swarm",),
    ("disk", "net"),
    ("engine", "tracker"),
    ("fetch",),
    ("api",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

# Who may wait, and who may do two things at once.
ONLY_THERE = {
    "asyncio": {"net", "engine", "tracker", "fetch", "api", "cli"},
    "socket": {"net", "engine", "tracker", "cli"},
    "selectors": set[str](),
    "threading": {
        "disk",
        "engine",  # it starts the workers, and looks up names
        "fetch",  # workers of two writers meet at one piece; a lock, no thread
    },
    "concurrent": {"disk", "engine"},
    "multiprocessing": set[str](),
    "sqlite3": {"disk"},
    "click": {"cli"},
    "rich": {"cli"},
    "httptools": {"tracker"},
    "pycurl": {"net", "fetch"},
    "redis": {"tracker"},
    "cryptography": {"fetch"},
    "ssl": {"net", "fetch"},
}

# Addresses as text and as bytes: no socket is made, whatever module they live in.
PURE = {"socket.AF_INET", "socket.AF_INET6", "socket.inet_ntop", "socket.inet_pton"}

MODULES = product_modules()


def room_of(name: str) -> str:
    """`shoal.disk.storage` -> `disk`; the package itself and its entry point have none."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def wrong_imports(module: Module) -> list[str]:
    """What `module` imports and may not, one line each."""
    room = room_of(module.name)
    wrong = []
    for imported, line in module.imports:
        where = f"{module.path.relative_to(ROOT)}:{line} imports {imported}"
        outside = imported.split(".")[0]
        if imported in PURE:
            continue
        if outside != "shoal":
            if room not in ONLY_THERE.get(outside, {room}):
                wrong.append(f"{where}: only {sorted(ONLY_THERE[outside])} may")
            continue
        target = room_of(imported)
        if target == "testing":
            wrong.append(f"{where}: the product does not import its test kit")
        elif target in LEVEL and target != room and LEVEL[target] >= LEVEL[room]:
            wrong.append(f"{where}: {room} stands on floor {LEVEL[room]}, {target} on {LEVEL[target]}")
    return wrong


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m.name) in LEVEL], ids=lambda m: m.name)
def test_a_module_imports_only_from_the_floors_below(module: Module) -> None:
    assert wrong_imports(module) == []


def test_every_folder_has_its_floor() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert rooms - {"__init__", "__main__", "__pycache__", "py", "testing"} <= set(LEVEL)


def test_the_floors_are_those_of_the_architecture_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawing = page.split("## Floors")[1].split("```")[1].strip().splitlines()
    drawn = [tuple(re.split(r"\s*[|,]\s*", re.split(r"\s{2,}", line)[0])) for line in drawing]
    assert drawn == [*reversed(FLOORS[2:]), ("errors", "units")]


@pytest.mark.parametrize(
    ("room", "code"),
    [
        ("shoal.formats.x", "from shoal.protocol.peer import wire"),
        ("shoal.disk.x", "import shoal.net.link"),
        ("shoal.disk.x", "from shoal import net"),
        ("shoal.disk.x", "from ..net import link"),
        ("shoal.swarm.x", "def f():\n    import asyncio"),
        ("shoal.net.x", "from concurrent.futures import ThreadPoolExecutor"),
        ("shoal.engine.x", "from shoal.testing import builders"),
        ("shoal.errors", "from shoal.formats import bencode"),
    ],
)
def test_an_import_upwards_is_found(room: str, code: str) -> None:
    imports = tuple(imported_names(ast.parse(code), room.rpartition(".")[0]))
    assert len(wrong_imports(Module(room, ROOT / "x.py", imports))) == 1


def test_an_import_downwards_is_fine() -> None:
    code = "import os\nfrom shoal.errors import FileError\nfrom .storage import Storage\nimport sqlite3"
    imports = tuple(imported_names(ast.parse(code), "shoal.disk"))
    assert wrong_imports(Module("shoal.disk.state", Path(ROOT / "x.py"), imports)) == []
