"""The source of the project, as the rules read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "shoal"


@dataclass(frozen=True, slots=True)
class Module:
    """A source file: its dotted name and what it imports, each with the line of the import."""

    name: str
    path: Path
    imports: tuple[tuple[str, int], ...]


def product_modules() -> list[Module]:
    return [read_module(path) for path in sorted(PACKAGE.rglob("*.py"))]


def read_module(path: Path) -> Module:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    package = name if parts[-1] == "__init__" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    return Module(name, path, tuple(imported_names(tree, package)))


def imported_names(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """Each imported module or name, absolute: `from . import x` in `shoal.disk` is `shoal.disk.x`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            ancestors = package.split(".")[: len(package.split(".")) - max(0, node.level - 1)]
            base = ".".join(ancestors if node.level else []) + ("." if node.level and node.module else "")
            yield from ((f"{base}{node.module or ''}.{alias.name}", node.lineno) for alias in node.names)
