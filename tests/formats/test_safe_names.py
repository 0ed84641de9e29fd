from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import FormatError
from shoal.formats.safe_names import (
    MAX_DEPTH,
    MAX_FOLDERS,
    MAX_NAME_LENGTH,
    MAX_SAME_NAME,
    safe_name,
    safe_path,
    unique_paths,
)

UNSAFE = re.compile("[/\\\\\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
names = st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
few_names = st.sampled_from(["a", "A", "b", "a.txt", "A.TXT", "a.1.txt", "ä", "a\u0308", "Ä", ".x"])
paths = st.lists(few_names, min_size=1, max_size=4).map(tuple)


def is_safe(name: str) -> bool:
    return (
        name not in ("", ".", "..") and not UNSAFE.search(name) and len(name.encode()) <= MAX_NAME_LENGTH + 1
    )


@given(names, st.booleans())
def test_a_safe_name_is_safe_and_stays_what_it_is(raw: bytes, windows: bool) -> None:
    name = safe_name(raw, windows=windows)
    assert is_safe(name)
    assert safe_name(name.encode(), windows=windows) == name


@given(st.lists(names, max_size=6), st.booleans())
def test_a_safe_path_has_only_safe_names(elements: list[bytes], windows: bool) -> None:
    try:
        path = safe_path(elements, windows=windows)
    except FormatError:
        assert not any(elements)
    else:
        assert path
        assert all(map(is_safe, path))


@pytest.mark.parametrize(
    "name",
    ["a", "Ubuntu 24.04 (amd64).iso", "日本語.txt", " spaces ", "a:b?", "COM1", "-rf", "~", "...", "x" * 240],
)
def test_a_name_that_can_be_kept_is_kept(name: str) -> None:
    assert safe_name(name.encode(), windows=False) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"", "_"),
        (b".", "_"),
        (b"..", "_"),
        (b"/", "_"),
        (b"../../etc/passwd", "....etcpasswd"),
        (b"..\\boot.ini", "..boot.ini"),
        (b"/..", "_"),
        (b"a\x00b\nc", "a_b_c"),
        (b"\x1b[2J", "_[2J"),
        ("a\u202egpj.exe".encode(), "agpj.exe"),
        (b"caf\xe9.txt", "caf_.txt"),
        (b"\xed\xa0\x80", "_"),
        (b"\xc0\xaf", "_"),
    ],
)
def test_a_name_that_cannot_be_kept_is_rewritten(raw: bytes, name: str) -> None:
    assert safe_name(raw, windows=False) == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"con", "_con"),
        (b"COM1.txt", "_COM1.txt"),
        (b"com99.txt", "com99.txt"),
        (b"a:b", "a_b"),
        (b"a. .", "a"),
    ],
)
def test_windows_has_more_names_that_cannot_be(raw: bytes, name: str) -> None:
    assert safe_name(raw, windows=True) == name


def test_a_long_name_is_cut_between_characters_and_keeps_its_extension() -> None:
    name = safe_name("é".encode() * 200 + b".tar")
    assert len(name.encode()) <= MAX_NAME_LENGTH
    assert re.fullmatch("é+\\.tar", name)
    assert safe_name(b"a." + b"b" * 300) == "a." + "b" * 238


def test_a_path_may_not_be_too_deep() -> None:
    assert len(safe_path([b"a"] * MAX_DEPTH)) == MAX_DEPTH
    with pytest.raises(FormatError, match=f"101 folders deep, where {MAX_DEPTH} is the limit"):
        safe_path([b"a"] * (MAX_DEPTH + 1))


def test_empty_and_single_dot_elements_are_left_out() -> None:
    assert safe_path([b"", b"a", b".", b"b"]) == ("a", "b")
    assert safe_path([b".", b"."]) == ("_",)
    with pytest.raises(FormatError, match="there is no name in it"):
        safe_path([b"", b""])


def folded(path: tuple[str, ...]) -> str:
    text = unicodedata.normalize("NFD", "/".join(path)).casefold()
    return unicodedata.normalize("NFD", text)


@given(st.lists(paths, max_size=12))
def test_unique_paths_meet_no_file_and_no_folder(given_paths: list[tuple[str, ...]]) -> None:
    unique = unique_paths(given_paths)
    files = [folded(path) for path in unique]
    folders = {folded(path[:depth]) for path in unique for depth in range(1, len(path))}
    assert len(set(files)) == len(given_paths)
    assert not folders.intersection(files)
    assert [path[:-1] for path in unique] == [path[:-1] for path in given_paths]


@given(st.lists(paths, max_size=12))
def test_unique_paths_where_case_counts(given_paths: list[tuple[str, ...]]) -> None:
    unique = unique_paths(given_paths, ignore_case=False)
    assert len(set(unique)) == len(given_paths)
    assert not {path[:depth] for path in unique for depth in range(1, len(path))}.intersection(unique)


def test_the_first_keeps_its_name_and_a_folder_always_does() -> None:
    assert unique_paths([("a.txt",), ("A.txt",), ("a.TXT",)]) == [("a.txt",), ("A.1.txt",), ("a.2.TXT",)]
    assert unique_paths([("a",), ("a", "b")]) == [("a.1",), ("a", "b")]
    assert unique_paths([(".x",), (".x",)]) == [(".x",), (".x.1",)]
    assert unique_paths([("a",), ("A",)], ignore_case=False) == [("a",), ("A",)]


def test_very_many_folders_are_refused() -> None:
    deep = [(f"{number}", *["d"] * 98, "file") for number in range(MAX_FOLDERS // 98)]
    with pytest.raises(FormatError, match=f"more than {MAX_FOLDERS} folders"):
        unique_paths(deep)


def test_very_many_files_of_one_name_are_refused() -> None:
    assert len(set(unique_paths([("a",)] * MAX_SAME_NAME))) == MAX_SAME_NAME
    with pytest.raises(FormatError, match=f"more than {MAX_SAME_NAME} files are named 'a'"):
        unique_paths([("a",)] * 1_000_000)
