"""What of a stranger's text reaches a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.cli.text import aligned, counted, first_of_many, printable


@pytest.mark.parametrize("text", ["plain", "Käse 日本語 🐟.iso", "two words"])
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb", "a\\nb"),
        ("gpj\u202eexe", "gpj\\u202eexe"),
        ("\x9b1m", "\\x9b1m"),
    ],
)
def test_what_steers_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_any_text_becomes_one_line_that_can_be_written(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown


def test_rows_are_aligned() -> None:
    assert aligned([("a", "1"), ("long", "2"), ("b", "")]) == ["a     1", "long  2", "b"]
    assert aligned([]) == []


def test_the_rest_of_many_lines_is_counted() -> None:
    assert first_of_many(["a", "b"], 2, "files") == ["a", "b"]
    assert first_of_many(["a", "b", "c"], 2, "files") == ["a", "b", "c"]
    assert first_of_many(["a", "b", "c", "d"], 2, "files") == ["a", "b", "... and 2 more files"]


def test_one_is_not_many() -> None:
    assert [counted(count, "file") for count in (0, 1, 1024)] == ["0 files", "1 file", "1,024 files"]
