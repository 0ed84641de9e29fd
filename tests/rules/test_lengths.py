"""No file over 400 lines, no function over 60, anywhere: past that, look for the second noun."""

from __future__ import annotations

import ast

import pytest

from .source import ROOT

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# What is longer and may be, each with its reason: {"src/shoal/x.py": "...", "src/shoal/x.py:function": "..."}
LONGER: dict[str, str] = {}

FOLDERS = ("src", "tests", "bench", "lab", "tools")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]


def long_functions(source: str) -> dict[str, int]:
    """Name and length of each function over the limit; its decorators and docstring count."""
    functions = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    return {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_and_its_functions_are_short(name: str) -> None:
    source = (ROOT / name).read_text()
    too_long = {f"{name}:{function}": length for function, length in long_functions(source).items()}
    if source.count("\n") > MAX_FILE_LINES:
        too_long[name] = source.count("\n")
    assert {what: length for what, length in too_long.items() if what not in LONGER} == {}


def test_what_may_be_longer_is_there_and_says_why() -> None:
    assert {what for what in LONGER if what.split(":")[0] not in NAMES or not LONGER[what]} == set()


def test_a_long_function_is_found() -> None:
    body = "\n".join("    x = 1" for _ in range(MAX_FUNCTION_LINES))
    assert long_functions(f"def short():\n    pass\n\ndef long():\n{body}\n") == {"long": 61}
